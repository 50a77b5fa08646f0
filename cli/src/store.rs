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

/// A store that exists and is open.
pub(crate) enum Existing {
    Directory(PathBuf),
    #[cfg(feature = "lease-etcd")]
    Etcd(Box<pyflake::lease::EtcdStore>),
    /// Boxed, as the one above: they are much larger.
    #[cfg(feature = "lease-postgres")]
    Postgres(Box<pyflake::lease::PostgresStore>),
}

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
    pub(crate) fn open(self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, Failure> {
        match self {
            Location::Directory(dir) => Ok(Box::new(FileStore::open(dir, epoch).map_err(Failure::lease)?)),
            #[cfg(feature = "lease-etcd")]
            Location::Etcd(remote) => Ok(Box::new(remote.etcd().open(epoch).map_err(Failure::lease)?)),
            #[cfg(feature = "lease-postgres")]
            Location::Postgres(remote) => Ok(Box::new(remote.postgres().open(epoch).map_err(Failure::lease)?)),
        }
    }

    /// Opens a store that exists, whatever its epoch.
    #[cfg_attr(
        not(any(feature = "lease-etcd", feature = "lease-postgres")),
        expect(clippy::unnecessary_wraps, reason = "opening a server's store can fail")
    )]
    pub(crate) fn existing(self) -> Result<Existing, Failure> {
        match self {
            Location::Directory(dir) => Ok(Existing::Directory(dir)),
            #[cfg(feature = "lease-etcd")]
            Location::Etcd(remote) => {
                Ok(Existing::Etcd(Box::new(remote.etcd().open_existing().map_err(Failure::runtime)?)))
            }
            #[cfg(feature = "lease-postgres")]
            Location::Postgres(remote) => {
                Ok(Existing::Postgres(Box::new(remote.postgres().open_existing().map_err(Failure::runtime)?)))
            }
        }
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

impl Existing {
    /// The epoch of the store, and every node that was ever used.
    pub(crate) fn nodes(&self) -> Result<(Epoch, Vec<NodeStatus>), LeaseError> {
        match self {
            Existing::Directory(dir) => FileStore::inspect(dir),
            #[cfg(feature = "lease-etcd")]
            Existing::Etcd(store) => Ok((store.epoch(), store.nodes()?)),
            #[cfg(feature = "lease-postgres")]
            Existing::Postgres(store) => Ok((store.epoch(), store.nodes()?)),
        }
    }

    /// Ends the lease of a node without its holder; returns the holder's label, if there was one.
    #[cfg_attr(not(any(feature = "lease-etcd", feature = "lease-postgres")), expect(unused_variables))]
    pub(crate) fn evict(&self, node: Node) -> Result<Option<String>, Failure> {
        match self {
            Existing::Directory(_) => Err(Failure::input(
                "nothing to do: a node of a directory is free as soon as its holder's process has ended, so end that",
            )),
            #[cfg(feature = "lease-etcd")]
            Existing::Etcd(store) => store.evict(node).map_err(Failure::runtime),
            #[cfg(feature = "lease-postgres")]
            Existing::Postgres(store) => store.evict(node).map_err(Failure::runtime),
        }
    }
}
