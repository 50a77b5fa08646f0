//! Where leases are kept: a directory, or a realm of a PostgreSQL database or of an etcd cluster.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;
use pyflake::lease::{FileStore, LeaseError, LeaseStore, NodeStatus};
use pyflake::{Epoch, Node};

use crate::failure::Failure;

/// The arguments that name a store.
#[derive(Args)]
pub(crate) struct StoreArgs {
    /// A directory that was given to --lease, or the URL of a database, `postgres://user@host/database`, or of etcd,
    /// `http://host:2379`
    #[arg(value_name = "DIR|URL")]
    store: OsString,
    /// The realm of the database or cluster
    #[arg(long, default_value = "default")]
    realm: String,
}

/// A store, as the command line names it; nothing is opened yet.
pub(crate) enum Location {
    Directory(PathBuf),
    #[cfg(feature = "lease-postgres")]
    Postgres(Remote),
    #[cfg(feature = "lease-etcd")]
    Etcd(Remote),
}

/// A realm of a server.
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
pub(crate) struct Remote {
    url: String,
    realm: String,
}

/// The face that all stores have for operators.
pub(crate) trait Existing: LeaseStore {
    /// Every node that was ever used.
    fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError>;

    /// Ends the lease of a node without its holder; returns the holder's label, if there was one.
    fn evict(&self, node: Node) -> Result<Option<String>, LeaseError>;
}

macro_rules! existing {
    ($($(#[$cfg:meta])? $store:ident),*) => {$(
        $(#[$cfg])?
        impl Existing for pyflake::lease::$store {
            fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
                self.nodes()
            }

            fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
                self.evict(node)
            }
        }
    )*};
}

existing!(
    FileStore,
    #[cfg(feature = "lease-etcd")]
    EtcdStore,
    #[cfg(feature = "lease-postgres")]
    PostgresStore
);

impl StoreArgs {
    pub(crate) fn location(&self) -> Result<Location, Failure> {
        Location::parse(&self.store, &self.realm)
    }
}

impl Location {
    /// Reads a directory or a URL. A URL of any other scheme is refused: it is never a directory of that name.
    pub(crate) fn parse(store: &OsStr, realm: &str) -> Result<Self, Failure> {
        let directory = || Ok(Location::Directory(PathBuf::from(store)));
        let Some((scheme, rest)) = store.to_str().and_then(|store| store.split_once("://")) else { return directory() };
        if !is_scheme(scheme) {
            return directory();
        }
        let scheme = scheme.to_ascii_lowercase();
        #[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
        let remote = || Remote { url: format!("{scheme}://{rest}"), realm: realm.into() };
        #[cfg(not(any(feature = "lease-etcd", feature = "lease-postgres")))]
        let _ = (rest, realm);
        match scheme.as_str() {
            #[cfg(feature = "lease-postgres")]
            "postgres" | "postgresql" => Ok(Location::Postgres(remote())),
            #[cfg(feature = "lease-etcd")]
            "http" | "https" => Ok(Location::Etcd(remote())),
            #[cfg(not(feature = "lease-postgres"))]
            "postgres" | "postgresql" => Err(not_built("a PostgreSQL database", "lease-postgres")),
            #[cfg(not(feature = "lease-etcd"))]
            "http" | "https" => Err(not_built("an etcd cluster", "lease-etcd")),
            // Without the rest, which may have a password.
            _ => Err(Failure::input(format!(
                "no store has URLs that begin with {scheme}:// (use a directory, postgres://, http:// or https://)"
            ))),
        }
    }

    /// Opens the store for an epoch, and creates it if it is missing.
    pub(crate) fn open(self, epoch: Epoch) -> Result<Box<dyn Existing>, Failure> {
        Ok(match self {
            Location::Directory(dir) => Box::new(FileStore::open(dir, epoch).map_err(Failure::lease)?),
            #[cfg(feature = "lease-etcd")]
            Location::Etcd(remote) => Box::new(remote.etcd().open(epoch).map_err(Failure::lease)?),
            #[cfg(feature = "lease-postgres")]
            Location::Postgres(remote) => Box::new(remote.postgres().open(epoch).map_err(Failure::lease)?),
        })
    }

    /// Opens a store that exists, whatever its epoch.
    pub(crate) fn open_existing(self) -> Result<Box<dyn Existing>, Failure> {
        Ok(match self {
            Location::Directory(dir) => Box::new(FileStore::open_existing(dir).map_err(Failure::lease)?),
            #[cfg(feature = "lease-etcd")]
            Location::Etcd(remote) => Box::new(remote.etcd().open_existing().map_err(Failure::lease)?),
            #[cfg(feature = "lease-postgres")]
            Location::Postgres(remote) => Box::new(remote.postgres().open_existing().map_err(Failure::lease)?),
        })
    }
}

#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
impl Remote {
    #[cfg(feature = "lease-etcd")]
    fn etcd(&self) -> pyflake::lease::EtcdStoreBuilder {
        use std::sync::Arc;

        use ureq::Agent;
        use ureq::tls::{Certificate, RootCerts, TlsConfig};

        // If the system has no certificates, the TLS handshake says so.
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots));
        let agent: Agent = Agent::config_builder().proxy(None).tls_config(tls.build()).build().into();
        pyflake::lease::EtcdStore::builder(&self.url).realm(&self.realm).agent(agent)
    }

    #[cfg(feature = "lease-postgres")]
    fn postgres(&self) -> pyflake::lease::PostgresStoreBuilder {
        let store = pyflake::lease::PostgresStore::builder(&self.url).realm(&self.realm);
        // If the system has no certificates, the TLS handshake says so.
        match tokio_postgres_rustls::MakeRustlsConnect::with_native_certs() {
            Ok((connector, _)) => store.tls(connector),
            Err(_) => store,
        }
    }
}

/// Whether a text is the scheme of a URL, as RFC 3986 has it.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
}

#[cfg(not(all(feature = "lease-etcd", feature = "lease-postgres")))]
fn not_built(store: &str, feature: &str) -> Failure {
    Failure::input(format!("this pyflake cannot keep leases in {store}: build it with --features {feature}"))
}
