//! How a leased object gets its node: kept so that the child of a fork can open the store anew.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyString;

use pyflake::Epoch;
use pyflake::lease::{FileStore, LeaseError, LeaseStore, LeasedGenerator, OnLost};

use crate::args;
use crate::errors::Kind;

/// Where leases are kept.
#[derive(Clone)]
enum Place {
    Directory(PathBuf),
    Postgres(String),
    Etcd(String),
}

/// What `leased` was called with.
#[derive(Clone)]
pub(crate) struct Plan {
    place: Place,
    pub(crate) epoch: Epoch,
    realm: String,
    label: Option<String>,
    window: Duration,
    max_wait: Duration,
    on_lost: OnLost,
}

impl Plan {
    /// Reads the arguments of `leased`. Nothing is opened.
    pub(crate) fn read(
        place: &Bound<'_, PyAny>,
        epoch: &Bound<'_, PyAny>,
        options: &Options<'_, '_>,
    ) -> PyResult<Self> {
        Ok(Plan {
            place: Place::read(place)?,
            epoch: args::epoch(epoch)?,
            realm: options.realm.map_or_else(|| Ok("default".into()), |realm| args::text("realm", realm))?,
            label: options
                .label
                .filter(|label| !label.is_none())
                .map(|label| args::text("label", label))
                .transpose()?,
            window: options.window.map_or(Ok(Duration::from_secs(10)), args::window)?,
            max_wait: options.max_wait.map_or(Ok(Duration::from_secs(1)), |wait| args::seconds("max_wait", wait))?,
            on_lost: options.on_lost.map_or(Ok(OnLost::Reacquire), on_lost)?,
        })
    }

    /// Opens the store and takes a node. It waits for the store, so the caller detaches first.
    pub(crate) fn take(&self) -> Result<LeasedGenerator, LeaseError> {
        let mut builder =
            LeasedGenerator::builder(self.open()?).window(self.window).max_wait(self.max_wait).on_lost(self.on_lost);
        if let Some(label) = &self.label {
            builder = builder.label(label.clone());
        }
        builder.build()
    }

    fn open(&self) -> Result<Box<dyn LeaseStore>, LeaseError> {
        Ok(match &self.place {
            Place::Directory(dir) => Box::new(FileStore::open(dir, self.epoch)?),
            Place::Postgres(url) => Box::new(postgres(url).realm(&self.realm).open(self.epoch)?),
            Place::Etcd(urls) => Box::new(etcd(urls).realm(&self.realm).open(self.epoch)?),
        })
    }
}

/// The options of `leased`, as they were given.
#[derive(Default)]
pub(crate) struct Options<'a, 'py> {
    pub(crate) realm: Option<&'a Bound<'py, PyAny>>,
    pub(crate) label: Option<&'a Bound<'py, PyAny>>,
    pub(crate) window: Option<&'a Bound<'py, PyAny>>,
    pub(crate) max_wait: Option<&'a Bound<'py, PyAny>>,
    pub(crate) on_lost: Option<&'a Bound<'py, PyAny>>,
}

fn on_lost(value: &Bound<'_, PyAny>) -> PyResult<OnLost> {
    match args::text("on_lost", value)?.as_str() {
        "reacquire" => Ok(OnLost::Reacquire),
        "stop" => Ok(OnLost::Stop),
        _ => {
            Err(Kind::InvalidValue
                .error(format!("on_lost {} is unknown: use 'reacquire' or 'stop'", args::shown(value))))
        }
    }
}

impl Place {
    /// Reads a directory or a URL. A URL of any other scheme is refused: it is never a directory of that name.
    fn read(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        args::refuse_bytes("where", value)?;
        if let Ok(text) = value.cast::<PyString>() {
            let text = text.to_string_lossy();
            if text.is_empty() {
                return Err(Kind::InvalidValue.error("where '' is empty: use a directory, or a URL"));
            }
            if let Some((scheme, rest)) = text.split_once("://")
                && is_scheme(scheme)
            {
                return Place::of_url(&scheme.to_ascii_lowercase(), rest);
            }
        }
        args::path("where", value).map(Place::Directory)
    }

    fn of_url(scheme: &str, rest: &str) -> PyResult<Self> {
        match scheme {
            "postgres" | "postgresql" => Ok(Place::Postgres(format!("{scheme}://{rest}"))),
            "http" | "https" => Ok(Place::Etcd(format!("{scheme}://{rest}"))),
            // Without the rest, which may have a password.
            _ => Err(Kind::InvalidValue.error(format!(
                "no store has URLs that begin with {scheme}://: use a directory, postgres://, http:// or https://"
            ))),
        }
    }
}

/// Creates the tables of a PostgreSQL store where they are missing.
pub(crate) fn migrate(py: Python<'_>, url: &Bound<'_, PyAny>) -> PyResult<()> {
    match Place::read(url)? {
        Place::Postgres(url) => py.detach(|| postgres(&url).migrate()).map_err(|error| crate::errors::of_lease(&error)),
        _ => {
            Err(Kind::InvalidValue
                .error("only a PostgreSQL database has tables: use a URL that begins with postgres://"))
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|other| other.is_ascii_alphanumeric() || "+-.".contains(other))
}

/// A database, with TLS by the system's certificates where the URL asks for it.
fn postgres(url: &str) -> pyflake::lease::PostgresStoreBuilder {
    let store = pyflake::lease::PostgresStore::builder(url);
    // Where the system has no certificates, what needs them says so.
    match tokio_postgres_rustls::MakeRustlsConnect::with_native_certs() {
        Ok((connector, _)) => store.tls(connector),
        Err(_) => store,
    }
}

/// A cluster, with TLS by the system's certificates where the URL asks for it.
fn etcd(urls: &str) -> pyflake::lease::EtcdStoreBuilder {
    use std::sync::Arc;

    use ureq::Agent;
    use ureq::tls::{Certificate, RootCerts, TlsConfig};

    // Where the system has no certificates, what needs them says so.
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots));
    let agent: Agent = Agent::config_builder().proxy(None).tls_config(tls.build()).build().into();
    pyflake::lease::EtcdStore::builder(urls).agent(agent)
}
