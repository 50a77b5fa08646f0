//! A client on the node of a lease: what servers share among their handlers.

use std::fs;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{FileStore, LeaseError, LeaseState, LeasedGenerator, LeasedGeneratorBuilder, NodeStatus, OnLost};
use pyflake::{CachePolicy, Epoch, Error, Generator, ManualClock, Node, PyflakeClient, ShardedGenerator, Snowflake};

/// An epoch of this file's own: in a process a node of an epoch has one holder.
const EPOCH: Epoch = Epoch::from_unix_millis(1_520_000_000_000);
const NOW: u64 = 1_700_000_000_000;
/// Short, so that a lost lease is soon noticed; not so short that a slow disk makes renewals late.
const WINDOW: Duration = Duration::from_secs(2);

/// A directory of leases, removed at the end.
struct Leases(PathBuf);

impl Leases {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pyflake-client-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Leases(path)
    }

    fn builder(&self) -> LeasedGeneratorBuilder {
        LeasedGenerator::builder(FileStore::open(&self.0, EPOCH).unwrap()).window(WINDOW)
    }

    fn client(&self) -> PyflakeClient {
        PyflakeClient::leased(self.builder().build().unwrap(), CachePolicy::All)
    }

    /// A client on a clock that stands still.
    fn manual(&self) -> (ManualClock, PyflakeClient<ManualClock>) {
        let clock = ManualClock::new(NOW);
        let generator = self.builder().clock(clock.clone()).build().unwrap();
        (clock, PyflakeClient::leased(generator, CachePolicy::All))
    }

    fn status(&self, node: Node) -> NodeStatus {
        let (_, nodes) = FileStore::inspect(&self.0).unwrap();
        nodes.into_iter().find(|status| status.node == node).unwrap()
    }

    /// Takes a node from its holder by hand: the record of a later tenure appears.
    fn take(&self, node: Node) {
        let record = |token| self.0.join(format!("node-{:02}-{:02}.{token}", node.pid(), node.seed()));
        let token = self.status(node).token;
        fs::copy(record(token), record(token + 1)).unwrap();
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn state<C: pyflake::Clock + Clone>(client: &PyflakeClient<C>) -> LeaseState {
    client.lease().unwrap().state()
}

#[test]
fn ids_are_of_the_leased_node_numbered_and_remembered() {
    let leases = Leases::new("numbered");
    let client = leases.client();
    let LeaseState::Held { node, .. } = state(&client) else { panic!("{:?}", state(&client)) };
    let ids = [(); 3].map(|()| client.generate().unwrap());
    assert!(ids.iter().all(|id| id.node() == node) && ids.is_sorted());
    for (id, idx) in ids.into_iter().zip(1..) {
        assert_eq!(client.cached(idx), Some(id.record(EPOCH, idx)));
    }
    let info = client.info();
    assert_eq!((info.pid, info.seed, info.epoch), (Some(node.pid()), Some(node.seed()), EPOCH));
    assert_eq!((info.generated, info.generator), (3, true));
    assert!(client.stats().window_left.is_some_and(|left| left <= WINDOW + Duration::from_millis(1)));
}

#[test]
fn threads_share_it() {
    const IDS: usize = 50_000;
    let leases = Leases::new("threads");
    let client = Arc::new(leases.client());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || (0..IDS).map(|_| client.generate().unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let mut ids: Vec<Snowflake> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let mut numbered: Vec<_> = (1..=4 * IDS as u64).map(|idx| client.cached(idx).unwrap().snowflake).collect();
    ids.sort();
    numbered.sort();
    assert_eq!(ids, numbered);
    ids.dedup();
    assert_eq!(ids.len(), 4 * IDS);
    Arc::into_inner(client).unwrap().release().unwrap();
}

#[test]
fn the_lease_chooses_the_node() {
    let leases = Leases::new("chooses");
    let client = leases.client();
    let node = client.generate().unwrap().node();
    assert_eq!(client.create_generator(1, 1), Err(Error::ClientLeased));
    assert_eq!(client.renew_generator(1, 1), Err(Error::ClientLeased));
    assert!(!client.destroy_generator());
    assert_eq!(client.generate().unwrap().node(), node);
}

#[test]
fn a_lost_lease_ends_issue() {
    let leases = Leases::new("lost");
    let generator = leases.builder().on_lost(OnLost::Stop).build().unwrap();
    let client = PyflakeClient::leased(generator, CachePolicy::All);
    let node = client.generate().unwrap().node();
    leases.take(node);
    eventually("it is lost", || state(&client) == LeaseState::Lost);
    assert_eq!(client.generate(), Err(Error::LeaseLost));
    assert!(!client.info().generator);
    assert_eq!((client.info().generated, client.cache_len()), (1, 1), "what failed is not numbered");
    assert_eq!(client.stats().window_left, Some(Duration::ZERO));
    assert!(matches!(client.lease().unwrap().last_error().as_deref(), Some(LeaseError::Lost { .. })));
    assert!(matches!(client.release(), Err(LeaseError::Lost { .. })));
}

#[test]
fn the_numbers_go_on_when_another_node_is_acquired() {
    let leases = Leases::new("another");
    let client = leases.client();
    let first = client.generate().unwrap();
    leases.take(first.node());
    eventually(
        "another node is held",
        || matches!(state(&client), LeaseState::Held { node, .. } if node != first.node()),
    );
    let second = client.generate().unwrap();
    assert_ne!(second.node(), first.node());
    assert_eq!(client.info().generated, 2);
    assert_eq!([1, 2].map(|idx| client.cached(idx).unwrap().snowflake), [first, second]);
}

#[test]
fn a_window_that_ended_is_renewed_by_the_call_that_finds_it() {
    let leases = Leases::new("renewed");
    let (clock, client) = leases.manual();
    client.generate().unwrap();
    clock.advance(20_000);
    let id = client.generate().unwrap();
    assert_eq!(id.timestamp(EPOCH), NOW + 20_000);
    assert_eq!(client.cached(2), Some(id.record(EPOCH, 2)));
}

#[test]
fn try_generate_waits_for_nothing_and_numbers_only_what_it_issues() {
    let leases = Leases::new("try");
    let (clock, client) = leases.manual();
    let bare = PyflakeClient::builder(EPOCH).clock(clock.clone()).build();
    assert_eq!(bare.try_generate(), Err(Error::NoGenerator));
    bare.create_generator(3, 4).unwrap();
    for client in [&client, &bare] {
        for idx in 1..=4096 {
            let id = client.try_generate().unwrap();
            assert_eq!(client.cached(idx).map(|record| record.snowflake), Some(id));
        }
        // `generate` would wait here, for ever.
        assert_eq!(client.try_generate(), Err(Error::Exhausted { retry_after: Duration::from_millis(1) }));
        assert_eq!(client.info().generated, 4096);
    }
    clock.set(NOW + 1);
    assert_eq!(client.try_generate().map(|id| id.timestamp(EPOCH)), Ok(NOW + 1));
    assert_eq!(client.info().generated, 4097);
    // Past the window, where `generate` would wait for a renewal.
    clock.set(NOW + 3_600_000);
    assert!(matches!(client.try_generate(), Err(Error::PastLease { .. })));
    eventually("the try has the lease renewed", || client.try_generate().is_ok());
}

#[test]
fn a_store_that_fails_ends_issue_with_the_window() {
    let leases = Leases::new("window");
    let (clock, client) = leases.manual();
    client.generate().unwrap();
    // Away at once: the keeper may be writing in it.
    let gone = leases.0.with_extension("gone");
    fs::rename(&leases.0, &gone).unwrap();
    eventually("the failure is seen", || matches!(state(&client), LeaseState::Degraded { since: NOW }));
    let end = NOW + 2000;
    clock.set(end - 1);
    assert!(client.generate().is_ok());
    clock.set(end);
    assert_eq!(client.generate(), Err(Error::PastLease { end, until: end }));
    assert_eq!(client.info().generated, 2);
    fs::remove_dir_all(gone).unwrap();
}

#[test]
fn dropping_and_releasing_give_the_node_back() {
    let leases = Leases::new("back");
    let (_, client) = leases.manual();
    let last = client.generate().unwrap();
    assert!(leases.status(last.node()).held);
    drop(client);
    let status = leases.status(last.node());
    assert_eq!((status.held, status.until), (false, NOW + 1), "from the next millisecond");

    let (_, client) = leases.manual();
    let last = client.generate().unwrap();
    client.release().unwrap();
    let status = leases.status(last.node());
    assert_eq!((status.held, status.until), (false, last.timestamp(EPOCH) + 1));

    // The control: what is not dropped keeps its window.
    let (_, client) = leases.manual();
    let last = client.generate().unwrap();
    std::mem::forget(client);
    let status = leases.status(last.node());
    assert!(status.held && status.until >= NOW + 300, "{status:?}");
}

#[test]
fn a_client_without_a_lease_has_none_to_give_back() {
    let client = PyflakeClient::new(EPOCH);
    assert!(client.lease().is_none());
    assert_eq!(client.stats(), pyflake::Stats::default());
    client.create_generator(27, 1).unwrap();
    client.generate().unwrap();
    assert_eq!(client.stats().window_left, None);
    client.release().unwrap();
}

/// What handlers share may be used by one while another one's panic is caught.
#[test]
fn generators_and_clients_are_shared_and_safe_to_unwind() {
    fn shared<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}

    shared::<Generator>();
    shared::<ShardedGenerator>();
    shared::<LeasedGenerator>();
    shared::<PyflakeClient>();
}
