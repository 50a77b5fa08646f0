//! The store for a fleet that has an etcd cluster.

mod change;
mod keys;
mod link;
mod memory;
mod names;
mod store;

use core::fmt;
use core::time::Duration;

use ureq::Agent;

use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::etcd::link::Link;
use crate::lease::etcd::store::Store;
use crate::lease::fleet::{check_name, lease_store};
use crate::lease::status::NodeStatus;
use crate::lease::store::{Grant, LeaseStore, Renewal, Request};

/// Gives each process of a fleet a node of its own: a [`LeaseStore`] in an etcd cluster (version
/// 3.4 or later).
///
/// All that open one realm of one cluster share its 1024 nodes. One key stands for a node: the end
/// of its window, which the next holder starts from, its holder, and the time of the last renewal.
/// A mistake about who lives costs a lost lease; the end of the window keeps IDs unique.
///
/// ```
/// use pyflake::Epoch;
/// use pyflake::lease::{EtcdStore, LeasedGenerator};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let urls = "http://etcd-0.internal:2379,http://etcd-1.internal:2379";
/// # // It runs where the tests have a server.
/// # let Ok(urls) = &std::env::var("PYFLAKE_ETCD_URL") else { return Ok(()) };
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// let generator = LeasedGenerator::new(EtcdStore::open(urls, epoch)?)?;
/// println!("{}", generator.next_id()?);
/// # Ok(())
/// # }
/// ```
///
/// # The keys
///
/// All are under `pyflake/REALM/`, with JSON in them, and created as they are needed:
///
/// | key | holds | changed by |
/// |---|---|---|
/// | `realm` | the epoch and the layout, the cluster, the longest window, the rest after a restore | the first process; a longer window; a restore |
/// | `node/0519` | the end of the node's window, its holder, the last renewal; it stays | acquire, renewal, release |
///
/// Each change compares the value that it was made from, so it is made on that or not at all. A
/// renewal is one request, and so are a hundred renewals of one process. A dead holder is noticed
/// up to two seconds after its window ends. To delete the key of a node, or to restore one by hand,
/// is to say that no ID was issued on it in the clock's future; where a holder lives it knows
/// better, and all leases end as below.
///
/// # The cluster
///
/// It keeps what it acknowledges. A change is acknowledged once a majority of the members has it in
/// a log that is flushed, and a new leader has all of those: a failover loses nothing, and no node
/// rests after one. This stands on a majority that does not lose its disks, and on no member with
/// `--unsafe-no-fsync`, which a client cannot find out. Reads are linearizable: a member that was
/// cut off does not answer.
///
/// A restored cluster lacks the last windows. Each process knows its own window and the latest
/// state that it has seen:
///
/// | what happens | noticed |
/// |---|---|
/// | a snapshot is restored under another `--initial-cluster-token`, or under other names and addresses | at once, by the first request of any process |
/// | a snapshot is restored with the cluster's ID, or a volume is put back | at once, by the first request of a process that has seen a later revision |
/// | the same, after more changes were made than were lost | at the next renewal of a holder whose window is missing |
/// | a node's key is deleted, or an older one is put back by hand | at the next renewal of its holder |
/// | any of these but the first, and no process is left that has seen or holds more | never |
/// | the old cluster lives on, and still takes writes | never: it is two stores |
/// | a cluster is wiped and created again as it was | never: it has its old ID, and is a new store; [`open_existing`](EtcdStoreBuilder::open_existing) founds no realm in it |
///
/// Once it is noticed all leases end, and every node rests until the windows that may be lost have
/// ended: the longest window, plus twice [`max_skew`](EtcdStoreBuilder::max_skew), 31 s by default,
/// in which no ID is issued. An acquire in that time returns [`LeaseError::Resting`] with the
/// cause. The longest window is the longest of those that the restored realm knows, that the
/// process which notices has seen or asked for, and that its caller holds. So a window is not
/// counted if it was made longer after the backup by others, and the process that notices has not
/// seen it. The rest also counts on one `max_skew` for all, to which clocks agree, and on a
/// [`max_wait`](crate::lease::LeasedGeneratorBuilder::max_wait) and a
/// [`max_lead`](crate::GeneratorBuilder::max_lead) that together are no longer.
///
/// To be safe give a restored cluster a token of its own, with `etcdutl snapshot restore`
/// (`etcdctl` before 3.6), or start no process before the windows have ended. `--bump-revision`
/// hides the earlier revision, and `--force-new-cluster` keeps the ID on a member that may lack the
/// last changes.
///
/// # Upkeep
///
/// - **Compact its history.** Each renewal is a revision, which etcd keeps until it is told
///   otherwise: without `--auto-compaction-retention=1h` or the like 1024 holders fill its 2 GB
///   within a day. A full etcd takes no change, so IDs end with the windows.
/// - **Keep clocks within [`max_skew`](EtcdStoreBuilder::max_skew)** of the server's, or a lease is
///   refused. This is not for uniqueness: a host that is years ahead would take its node with it.
///   The server's clock is the `Date` of its answers, to a second. A renewal is not compared with
///   it, so a server's clock that is set back ends no lease.
///
/// # Connections
///
/// It speaks to the JSON gateway that every member serves on its client port, with `ureq`: 15 small
/// crates that block, as a store does. The crate `etcd-client` would bring tokio, tonic and prost,
/// some 90 crates with those that build them, for one short request in each third of a window, and
/// the gateway has been a stable part of etcd since 3.4.
///
/// URLs are separated by commas: the next is asked where one has no address or takes no connection,
/// and from the next call on where one does not answer. A call ends after
/// [`timeout`](EtcdStoreBuilder::timeout), whatever it asks. It may be made in async code, where it
/// blocks the thread. A request to an IP address spawns no thread; one to a name spawns one, to
/// resolve it in time, and fails where no thread can be had.
///
/// # TLS
///
/// Bring an agent with the roots, and the client certificate if there is one, that you trust, with
/// [`agent`](EtcdStoreBuilder::agent), and choose the cryptography by the features of `ureq`:
/// neither is a matter of IDs, and both have their own updates. Without one a URL with `https` is
/// refused. Etcd's own users and passwords are not supported.
#[derive(Debug)]
pub struct EtcdStore {
    store: Store,
    epoch: Epoch,
}

/// Sets up an [`EtcdStore`] other than the default one; made by [`EtcdStore::builder`].
#[must_use = "a builder does nothing until it is opened"]
pub struct EtcdStoreBuilder {
    urls: String,
    realm: String,
    agent: Option<Agent>,
    timeout: Duration,
    max_skew: Duration,
}

impl EtcdStore {
    /// Opens the realm `default` of a cluster for an epoch, and creates the realm if it is missing.
    ///
    /// The URLs are those of the members' client ports, such as `http://host:2379`, separated by
    /// commas.
    ///
    /// # Errors
    ///
    /// As [`EtcdStoreBuilder::open`].
    pub fn open(urls: &str, epoch: Epoch) -> Result<Self, LeaseError> {
        EtcdStore::builder(urls).open(epoch)
    }

    /// Opens the realm `default` for whatever epoch it has, and creates nothing.
    ///
    /// # Errors
    ///
    /// As [`EtcdStoreBuilder::open_existing`].
    pub fn open_existing(urls: &str) -> Result<Self, LeaseError> {
        EtcdStore::builder(urls).open_existing()
    }

    /// Starts from the defaults of [`open`](Self::open), to change some of them.
    pub fn builder(urls: &str) -> EtcdStoreBuilder {
        EtcdStoreBuilder {
            urls: urls.into(),
            realm: "default".into(),
            agent: None,
            timeout: Duration::from_secs(2),
            max_skew: Duration::from_secs(10),
        }
    }

    /// Returns the status of every node that was ever used, in order.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if the cluster does not answer; [`LeaseError::Corrupt`] if the
    /// realm's key cannot be read.
    pub fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        self.store.nodes()
    }

    /// Ends the lease of a node without its holder, and returns the holder's label; `None` if
    /// nobody holds it.
    ///
    /// For the holder of a node that is known to be dead, before its lease expires. No ID is issued
    /// twice by this: the next holder starts where the window of the last one ends, and so rests
    /// until then. But a holder that lives loses its lease at its next renewal, and issues nothing
    /// until it has another one, or ever again if it was told to
    /// [stop](crate::lease::OnLost::Stop).
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if the cluster does not answer.
    pub fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        self.store.evict(node)
    }
}

impl EtcdStoreBuilder {
    /// Names the realm; `default` by default. A cluster can have any number of them, each with 1024
    /// nodes. Two realms are two stores: give each an epoch or a use of its own. A name has 1 to
    /// 100 bytes, without `/` and control characters.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Connects as this agent of `ureq` 3 is configured, which has what TLS needs.
    ///
    /// The store takes the agent's configuration, with TLS, proxy and middleware, and sets timeouts
    /// for each request. It makes connections of its own, so a connector or a resolver that the
    /// agent was made with is not used.
    ///
    /// ```no_run
    /// use pyflake::Epoch;
    /// use pyflake::lease::EtcdStore;
    /// use ureq::Agent;
    /// use ureq::tls::{Certificate, RootCerts, TlsConfig};
    ///
    /// // With ureq's feature `rustls`.
    /// let root = Certificate::from_pem(&std::fs::read("/etc/etcd/ca.crt")?)?;
    /// let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
    /// let agent = Agent::config_builder().proxy(None).tls_config(tls).build().into();
    /// let store = EtcdStore::builder("https://etcd-0.internal:2379").agent(agent).open(Epoch::TWITTER)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Sets how long a call may take in all; two seconds by default, a day at most. It should fit
    /// in a third of a generator's window, with time to try again.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how far the clock of a host may be from the server's; ten seconds by default.
    pub fn max_skew(mut self, max_skew: Duration) -> Self {
        self.max_skew = max_skew;
        self
    }

    /// Opens the realm for an epoch, and creates it if it is missing.
    ///
    /// # Errors
    ///
    /// - [`LeaseError::InvalidConfig`]: a URL or the realm's name is malformed, or a URL has `https`
    ///   and there is no agent.
    /// - [`LeaseError::RealmMismatch`]: the realm was created for another epoch or bit layout.
    /// - [`LeaseError::Corrupt`]: the realm's key cannot be read.
    /// - [`LeaseError::Unavailable`]: the cluster does not answer in time.
    pub fn open(self, epoch: Epoch) -> Result<EtcdStore, LeaseError> {
        let store = self.store()?;
        store.open(epoch)?;
        Ok(EtcdStore { store, epoch })
    }

    /// Opens the realm for whatever epoch it has, and creates nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`LeaseError::NotFound`] if there is no such realm.
    pub fn open_existing(self) -> Result<EtcdStore, LeaseError> {
        let store = self.store()?;
        let epoch = store.existing()?;
        Ok(EtcdStore { store, epoch })
    }

    fn store(self) -> Result<Store, LeaseError> {
        let EtcdStoreBuilder { urls, realm, agent, timeout, max_skew } = self;
        check_name(&realm)?;
        Ok(Store::new(Link::new(&urls, agent, timeout)?, realm, max_skew))
    }
}

lease_store! {
    /// As [`LeaseStore`] says; [`LeaseError::ClockSkewed`] if the caller's clock is too far from the
    /// server's, [`LeaseError::Unavailable`] if the cluster does not answer in time,
    /// [`LeaseError::InvalidConfig`] for a window of more than a day, and [`LeaseError::Forked`] in the
    /// child of a `fork`.
    EtcdStore
}

impl fmt::Debug for EtcdStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStoreBuilder").field("realm", &self.realm).finish_non_exhaustive()
    }
}
