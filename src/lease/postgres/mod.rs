//! The store for a fleet: a PostgreSQL database.

mod acquire;
mod identity;
mod keep;
mod link;
mod look;
mod open;
mod past;
mod statements;
mod store;

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::fleet::{check_name, lease_store, skew_millis};
use crate::lease::postgres::link::{Connect, Link};
use crate::lease::postgres::statements::Statements;
use crate::lease::postgres::store::Store;
use crate::lease::status::NodeStatus;
use crate::lease::store::{Grant, LeaseStore, Renewal, Request};

pub use crate::lease::postgres::identity::Identity;

const MIGRATION: &str = include_str!("migration.sql");

/// Gives each process of a fleet a node of its own: a [`LeaseStore`] in a PostgreSQL database (version 10 or later).
///
/// All that open one realm of one database share its 1024 nodes. A node is a row, and its lease is held until it is
/// released or has not been renewed for the length of its window, by the server's clock. A mistake in that costs a
/// lost lease; what keeps IDs unique is the row's `until_ms`, which the next holder starts from.
///
/// ```
/// use pyflake::Epoch;
/// use pyflake::lease::{LeasedGenerator, PostgresStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://app:secret@db.internal/app?sslmode=prefer";
/// # // It runs where the tests have a server.
/// # let Ok(url) = &std::env::var("PYFLAKE_POSTGRES_URL") else { return Ok(()) };
/// PostgresStore::migrate(url)?; // once, or by your own migrations
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// let generator = LeasedGenerator::new(PostgresStore::open(url, epoch)?)?;
/// println!("{}", generator.next_id()?);
/// # Ok(())
/// # }
/// ```
///
/// # The tables
///
/// They are made by [`migrate`](Self::migrate), or by running [`migration`](Self::migration) yourself:
///
/// ```sql
#[doc = include_str!("migration.sql")]
/// ```
///
/// They are in the schema `public`, unless [`schema`](PostgresStoreBuilder::schema) names another one. A user needs `SELECT`,
/// `INSERT` and `UPDATE` on both, and `SELECT` and `UPDATE` once the realm is there. Do not restore rows by hand: only a
/// living holder notices it.
///
/// # The server
///
/// - **It keeps what it acknowledges.** Each statement asks for a commit that is flushed, whatever
///   `synchronous_commit` is by default, and a server with `fsync` off is refused. `full_page_writes` may be off only
///   on a file system that never writes half a page.
/// - **A server that lost windows is noticed**, or rests. The realm knows its cluster, timeline, database and table (see
///   [`Identity`]), and each store remembers the WAL position and the windows that it has seen. Once a difference is noticed
///   all leases end, and every node rests for the longest window plus twice
///   [`max_skew`](PostgresStoreBuilder::max_skew): 30 s by default. Until then no ID is issued, and an acquire fails with
///   [`LeaseError::Resting`]. It is so for a synchronous standby too, as the server cannot tell whether the one that was
///   promoted was synchronous.
///
///   | the server, or its rows                            | noticed                                               |
///   |----------------------------------------------------|-------------------------------------------------------|
///   | a standby is promoted; a backup is recovered       | at once: the timeline is another one                  |
///   | a dump is restored as another database or table    | at once: the oids are others                          |
///   | the data directory is put back from a copy         | at the next renewal of a holder that it lacks; an acquire rests after the start |
///   | rows are put back by hand; the server's machine is resumed from a snapshot of its memory | at the next renewal of a holder that it lacks, and never if none lives |
///   | an old primary lives on and still takes writes     | never: it is two stores                               |
///
/// - **A start of the server is a rest for new holders.** A holder whose lease had not expired when the server started renews
///   as before, and a node that it gives back is free at once. One whose lease had expired loses it: what the server has may
///   be a backup from before the node's next holder. So a restart that takes longer than two thirds of a window may end every
///   lease. Any other node may have been used after the state that the server has, so it rests until the
///   longest window plus twice [`max_skew`](PostgresStoreBuilder::max_skew) after the start: 30 s by default, and 12 s with a
///   `max_skew` of one second. A realm that is created on a cluster that started within 10 s of its `initdb` does not rest:
///   there was nothing to lose. With [`Identity::Named`] no start is a rest.
/// - **A copy of the data directory** that another machine starts must not start, by that machine's clock, before the old
///   server ended by its own. A restore that takes back an [eviction](Self::evict) is not noticed in time.
/// - **The rests count** on clocks that agree to `max_skew` and on a
///   [`max_wait`](crate::lease::LeasedGeneratorBuilder::max_wait) that is no longer. After a restore the longest window is the
///   longer of the realm's and the one that the noticing process has requested.
/// - **Clocks agree to [`max_skew`](PostgresStoreBuilder::max_skew)**, or no node is acquired. This is not for
///   uniqueness: a host that is years ahead would take its node with it. A holder goes on when the server's clock is set
///   back: its window may grow by a window and the time since its last renewal.
///
/// # Connections
///
/// A store has one connection, and calls take turns on it in the thread that makes them. It works through a transaction pooler (PgBouncer), which
/// fleets need, as 1024 processes are more than a server's usual 100 connections: each call is one statement and one
/// transaction, nothing is prepared, and no session keeps anything. After a failure it connects again at the next call.
/// A call ends after [`connect_timeout`](PostgresStoreBuilder::connect_timeout) and
/// [`statement_timeout`](PostgresStoreBuilder::statement_timeout) at the latest. In async code it blocks the thread,
/// and another thread does the work.
///
/// # TLS
///
/// Bring the connector that your application has already, from `tokio-postgres-rustls` or `postgres-native-tls`, with
/// [`tls`](PostgresStoreBuilder::tls): which roots and which cryptography to trust is not a matter of IDs, and has its
/// own updates. Without one, a URL with `sslmode=require` is refused.
#[derive(Debug)]
pub struct PostgresStore {
    store: Store,
    epoch: Epoch,
}

/// Sets up a [`PostgresStore`] other than the default one; made by [`PostgresStore::builder`].
#[must_use = "a builder does nothing until it is told what to do with the database"]
pub struct PostgresStoreBuilder {
    url: String,
    realm: String,
    /// `None`: without TLS.
    connect: Option<Box<dyn Connect>>,
    connect_timeout: Duration,
    statement_timeout: Duration,
    max_skew: Duration,
    schema: String,
    identity: Identity,
}

impl PostgresStore {
    /// The script that creates the tables in a schema. It can be run again, and changes nothing then.
    ///
    /// # Errors
    ///
    /// [`LeaseError::InvalidConfig`] if the server would cut the schema's name: it has 1 to 63 bytes, and no NUL.
    pub fn migration(schema: &str) -> Result<String, LeaseError> {
        Ok(Statements::new(schema, &Identity::Server)?.migration)
    }

    /// Opens the realm `default` of a database for an epoch, and creates the realm if it is missing.
    ///
    /// The URL is that of libpq, such as `postgres://user@host/database`, or `host=... user=...`.
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::open`].
    pub fn open(url: &str, epoch: Epoch) -> Result<Self, LeaseError> {
        PostgresStore::builder(url).open(epoch)
    }

    /// Opens the realm `default` for whatever epoch it has, and creates nothing.
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::open_existing`].
    pub fn open_existing(url: &str) -> Result<Self, LeaseError> {
        PostgresStore::builder(url).open_existing()
    }

    /// Creates the tables where they are missing.
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::migrate`].
    pub fn migrate(url: &str) -> Result<(), LeaseError> {
        PostgresStore::builder(url).migrate()
    }

    /// Starts from the defaults of [`open`](Self::open), to change some of them.
    pub fn builder(url: &str) -> PostgresStoreBuilder {
        PostgresStoreBuilder {
            url: url.into(),
            realm: "default".into(),
            connect: None,
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(2),
            max_skew: Duration::from_secs(10),
            schema: "public".into(),
            identity: Identity::Server,
        }
    }

    /// Returns the status of every node that was ever used, in order.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if the server does not answer; [`LeaseError::Forked`] in the child of a `fork`.
    pub fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        self.store.nodes()
    }

    /// Ends the lease of a node without its holder, and returns the holder's label; `None` if nobody holds it.
    ///
    /// For the holder of a node that is known to be dead, before its lease expires. No ID is issued twice by this: the
    /// next holder starts where the window of the last one ends, and so rests until then. But a holder that lives loses
    /// its lease at its next renewal, and issues nothing until it has another one, or ever again if it was told to
    /// [stop](crate::lease::OnLost::Stop).
    ///
    /// One thing is not noticed: a restore of the server, under the same identity, that takes back an eviction of less than a
    /// window ago. An evicted holder that lives renews its lease then, and may issue what the next holder has issued. After an
    /// eviction, and before such a restore, make sure that the evicted process is dead.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if the server does not answer; [`LeaseError::Forked`] in the child of a `fork`.
    pub fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        self.store.evict(node)
    }
}

impl PostgresStoreBuilder {
    /// Names the realm; `default` by default. A database can have any number of them, each with 1024 nodes. Two realms
    /// are two stores: give each an epoch or a use of its own.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Connects with TLS, if the URL's `sslmode` asks for it.
    pub fn tls<T>(mut self, connector: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.connect = Some(Box::new(connector));
        self
    }

    /// Sets how long a connection may take; two seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long an answer may take; two seconds by default. Two answers and a connection should fit in a third of
    /// a generator's window, with time to try again.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Sets how far the clock of a host may be from the server's; ten seconds by default.
    pub fn max_skew(mut self, max_skew: Duration) -> Self {
        self.max_skew = max_skew;
        self
    }

    /// Names the schema that the tables are in; `public` by default.
    ///
    /// Every statement names it, so a `search_path` changes nothing: neither the role's, nor one that another client has
    /// left behind on a pooled connection. The schema must exist.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Sets how the realm identifies the server; [`Identity::Server`] by default.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Opens the realm for an epoch, and creates it if it is missing.
    ///
    /// # Errors
    ///
    /// - [`LeaseError::InvalidConfig`]: the URL, the realm's name, the schema or the identity is malformed, or the URL
    ///   requires TLS and there is no connector.
    /// - [`LeaseError::NotFound`]: the tables are missing.
    /// - [`LeaseError::RealmMismatch`]: the realm was created for another epoch, bit layout or identity.
    /// - [`LeaseError::Unsafe`]: `fsync` is off, or the server hides the functions that [`Identity::Server`] reads.
    /// - [`LeaseError::Unavailable`]: the server does not answer in time.
    pub fn open(self, epoch: Epoch) -> Result<PostgresStore, LeaseError> {
        let store = self.store()?;
        store.open(epoch)?;
        Ok(PostgresStore { store, epoch })
    }

    /// Opens the realm for whatever epoch it has, and creates nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`LeaseError::NotFound`] if there is no such realm.
    pub fn open_existing(self) -> Result<PostgresStore, LeaseError> {
        let store = self.store()?;
        let epoch = store.existing()?;
        Ok(PostgresStore { store, epoch })
    }

    /// Creates the tables where they are missing.
    ///
    /// # Errors
    ///
    /// [`LeaseError::InvalidConfig`] as for [`open`](Self::open); [`LeaseError::NotFound`] if the schema does not exist;
    /// [`LeaseError::Unavailable`] if the server does not answer, or does not let this user create tables.
    pub fn migrate(self) -> Result<(), LeaseError> {
        self.store()?.migrate()
    }

    fn store(self) -> Result<Store, LeaseError> {
        let PostgresStoreBuilder {
            url,
            realm,
            connect,
            connect_timeout,
            statement_timeout,
            max_skew,
            schema,
            identity,
        } = self;
        check_name(&realm)?;
        // Without the URL: it has a password.
        let invalid = |reason, remedy: &str| LeaseError::InvalidConfig {
            setting: "the PostgreSQL URL".into(),
            reason,
            remedy: remedy.into(),
        };
        let mut config = Config::from_str(&url).map_err(|error| {
            invalid(format!("cannot be read ({error})"), "use postgres://user@host/database, or host=... user=...")
        })?;
        if connect.is_none() && config.get_ssl_mode() == SslMode::Require {
            let reason = "has sslmode=require, and the store has no connector for TLS".into();
            return Err(invalid(reason, "give one to PostgresStoreBuilder::tls, or use sslmode=prefer"));
        }
        if config.get_application_name().is_none() {
            config.application_name("pyflake");
        }
        let max_skew = skew_millis(max_skew).cast_signed();
        let connect = connect.unwrap_or_else(|| Box::new(NoTls));
        let link = Link::new(config, connect, connect_timeout, statement_timeout)?;
        Store::new(link, realm, &schema, identity, max_skew)
    }
}

lease_store! {
    /// As [`LeaseStore`] says; [`LeaseError::ClockSkewed`] if the caller's clock is too far from the server's,
    /// [`LeaseError::Unavailable`] if the server does not answer in time, [`LeaseError::InvalidConfig`] for a window of more
    /// than a day, and [`LeaseError::Forked`] in the child of a `fork`.
    PostgresStore
}

impl fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreBuilder").field("realm", &self.realm).finish_non_exhaustive()
    }
}
