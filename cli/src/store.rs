//! Which store a command looks at: a directory, or a realm of a PostgreSQL database or of an etcd cluster.

use std::path::PathBuf;

use clap::Args;
#[cfg(any(feature = "etcd", feature = "postgres"))]
use pyflake::lease::LeaseStore;
use pyflake::lease::{FileStore, LeaseError, NodeStatus};
use pyflake::{Epoch, Node};

use crate::failure::Failure;

/// The arguments that name a store.
#[derive(Args)]
pub(crate) struct StoreArgs {
    /// A directory that was given to --lease, or the URL of a database, `postgres://user@host/database`, or of etcd,
    /// `http://host:2379`
    #[arg(value_name = "DIR|URL")]
    store: String,
    /// The realm of the database or cluster
    #[arg(long, default_value = "default")]
    realm: String,
}

/// A store.
pub(crate) enum Place {
    Directory(PathBuf),
    #[cfg(feature = "etcd")]
    Etcd(Box<pyflake::lease::EtcdStore>),
    /// Boxed, as the one above: they are much larger.
    #[cfg(feature = "postgres")]
    Postgres(Box<pyflake::lease::PostgresStore>),
}

impl StoreArgs {
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        let is = |schemes: [&str; 2]| schemes.iter().any(|scheme| self.store.starts_with(scheme));
        if is(["postgres://", "postgresql://"]) {
            self.postgres()
        } else if is(["http://", "https://"]) {
            self.etcd()
        } else {
            Ok(Place::Directory(PathBuf::from(&self.store)))
        }
    }

    #[cfg(feature = "etcd")]
    fn etcd(&self) -> Result<Place, Failure> {
        use std::sync::Arc;

        use pyflake::lease::EtcdStore;
        use ureq::Agent;
        use ureq::tls::{Certificate, RootCerts, TlsConfig};

        // Where the system has no certificates, what needs them says so.
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots));
        let agent: Agent = Agent::config_builder().proxy(None).tls_config(tls.build()).build().into();
        let store = EtcdStore::builder(&self.store).realm(&self.realm).agent(agent);
        Ok(Place::Etcd(Box::new(store.open_existing().map_err(Failure::runtime)?)))
    }

    #[cfg(feature = "postgres")]
    fn postgres(&self) -> Result<Place, Failure> {
        use pyflake::lease::PostgresStore;
        use tokio_postgres_rustls::MakeRustlsConnect;

        let mut store = PostgresStore::builder(&self.store).realm(&self.realm);
        // Where the system has no certificates, what needs them says so.
        if let Ok((connector, _)) = MakeRustlsConnect::with_native_certs() {
            store = store.tls(connector);
        }
        Ok(Place::Postgres(Box::new(store.open_existing().map_err(Failure::runtime)?)))
    }

    #[cfg(not(feature = "etcd"))]
    fn etcd(&self) -> Result<Place, Failure> {
        Err(self.without("an etcd cluster", "etcd"))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(&self) -> Result<Place, Failure> {
        Err(self.without("a database", "postgres"))
    }

    #[cfg(not(all(feature = "etcd", feature = "postgres")))]
    fn without(&self, of: &str, feature: &str) -> Failure {
        let realm = &self.realm;
        Failure::input(format!(
            "this pyflake cannot open the realm {realm} of {of}: build it with --features {feature}"
        ))
    }
}

impl Place {
    /// The epoch of the store, and every node that was ever used.
    pub(crate) fn nodes(&self) -> Result<(Epoch, Vec<NodeStatus>), LeaseError> {
        match self {
            Place::Directory(dir) => FileStore::inspect(dir),
            #[cfg(feature = "etcd")]
            Place::Etcd(store) => Ok((store.epoch(), store.nodes()?)),
            #[cfg(feature = "postgres")]
            Place::Postgres(store) => Ok((store.epoch(), store.nodes()?)),
        }
    }

    /// Ends the lease of a node without its holder; answers the holder's label, if there was one.
    #[cfg_attr(not(any(feature = "etcd", feature = "postgres")), expect(unused_variables))]
    pub(crate) fn evict(&self, node: Node) -> Result<Option<String>, Failure> {
        match self {
            Place::Directory(_) => Err(Failure::input(
                "a directory's node is free as soon as its holder's process has ended: end that, and it is released",
            )),
            #[cfg(feature = "etcd")]
            Place::Etcd(store) => store.evict(node).map_err(Failure::runtime),
            #[cfg(feature = "postgres")]
            Place::Postgres(store) => store.evict(node).map_err(Failure::runtime),
        }
    }
}
