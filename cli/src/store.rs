//! Which store a command looks at: a directory, or a realm of a PostgreSQL database.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

/// The arguments that name a store.
#[derive(Args)]
pub(crate) struct StoreArgs {
    /// A directory that was given to --lease, or the URL of a database, `postgres://user@host/database`
    #[arg(value_name = "DIR|URL")]
    store: String,
    /// The realm of the database
    #[arg(long, default_value = "default")]
    realm: String,
}

/// A store.
pub(crate) enum Place {
    Directory(PathBuf),
    /// Boxed: it is much larger.
    #[cfg(feature = "postgres")]
    Postgres(Box<pyflake::lease::PostgresStore>),
}

impl StoreArgs {
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        if self.store.starts_with("postgres://") || self.store.starts_with("postgresql://") {
            self.postgres()
        } else {
            Ok(Place::Directory(PathBuf::from(&self.store)))
        }
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

    #[cfg(not(feature = "postgres"))]
    fn postgres(&self) -> Result<Place, Failure> {
        let realm = &self.realm;
        Err(Failure::input(format!(
            "this pyflake cannot open the realm {realm} of a database: build it with --features postgres"
        )))
    }
}
