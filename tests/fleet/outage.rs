//! A server that is out of reach, loses answers, or crashes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::lease::{LeaseError, LeaseState, LeaseStore, LeasedGenerator, OnLost};
use pyflake::{Error, Node, Snowflake};

use crate::fleet::proxy::{Network, Proxy};
use crate::fleet::{eventually, now, own_epoch, request, unique};
use crate::server::{Server, Store, leave_free, loses_changes, open, open_within, port_of, shared, steal, url};

const WINDOW: Duration = Duration::from_millis(1500);
const PERIOD: Duration = Duration::from_millis(500);

/// A realm of its own with so many free nodes, a generator that reaches it through a proxy, and a store that needs none.
struct Partition {
    proxy: Proxy,
    generator: LeasedGenerator,
    direct: Store,
    url: String,
    realm: String,
}

fn partition(free: u16, on_lost: OnLost) -> Option<Partition> {
    let direct_url = shared()?;
    let (proxy, realm, epoch) = (Proxy::to(port_of(&direct_url)), unique("partition"), own_epoch());
    let direct = open(&direct_url, &realm, epoch);
    leave_free(&direct_url, &realm, free);
    let connect = || open_within(&url(proxy.port()), &realm, epoch, Duration::from_millis(300));
    let build = || LeasedGenerator::builder(connect()?).window(WINDOW).on_lost(on_lost).build();
    // A busy machine may take longer at first, which is not what is tested.
    let generator = std::iter::repeat_with(build).take(20).find_map(Result::ok).expect("one of twenty attempts");
    Some(Partition { proxy, generator, direct, url: direct_url, realm })
}

fn until(generator: &LeasedGenerator) -> Option<u64> {
    match generator.state() {
        LeaseState::Held { until, .. } => Some(until),
        _ => None,
    }
}

/// Issues for three windows: IDs up to the end of the window, then only the error that says so. Answers its end.
fn issue_through(generator: &LeasedGenerator) -> u64 {
    let (start, mut ended) = (Instant::now(), None);
    while start.elapsed() < 3 * WINDOW {
        match generator.next_id() {
            Ok(id) => {
                assert_eq!(ended, None, "{id} after the window's end");
            }
            Err(Error::PastLease { until, .. }) => {
                assert!(ended.is_none_or(|ended| ended == until));
                ended = Some(until);
            }
            Err(error) => panic!("{error}"),
        }
        thread::sleep(Duration::from_millis(1));
    }
    ended.expect("three windows end one")
}

#[test]
fn a_partition_ends_issue_at_the_end_of_the_window() {
    let Some(Partition { proxy, generator, .. }) = partition(1, OnLost::Reacquire) else { return };
    let node = generator.next_id().unwrap().node();
    proxy.set(Network::Partitioned);
    let end = issue_through(&generator);
    assert!(!generator.can_issue());
    assert!(matches!(generator.state(), LeaseState::Expired { until, .. } if until == end), "{:?}", generator.state());
    proxy.set(Network::Works);
    let id = recover(&generator);
    assert_eq!(id.node(), node, "nobody has touched it");
    assert!(id.timestamp(generator.epoch()) >= end);
}

#[test]
fn a_node_that_was_taken_meanwhile_is_replaced_by_another() {
    let Some(Partition { proxy, generator, direct, .. }) = partition(2, OnLost::Reacquire) else { return };
    let node = generator.next_id().unwrap().node();
    proxy.set(Network::Partitioned);
    let end = issue_through(&generator);
    let mut others = [direct.acquire(&request(60_000)).unwrap(), direct.acquire(&request(60_000)).unwrap()];
    // In which order a store gives them out is its business.
    if others[0].node == node {
        others.swap(0, 1);
    }
    assert_eq!((others[1].node, others[1].floor), (node, end), "from where the window ended");
    direct.release(&others[0], others[0].floor).unwrap();
    proxy.set(Network::Works);
    assert_eq!(recover(&generator).node(), others[0].node);
}

/// An ID, within a period and a second.
fn recover(generator: &LeasedGenerator) -> Snowflake {
    let start = Instant::now();
    loop {
        match generator.next_id() {
            Ok(id) => {
                println!("recovered in {:?}", start.elapsed());
                let (took, cause) = (start.elapsed(), generator.last_error());
                assert!(took <= PERIOD + Duration::from_secs(1), "{took:?}; the last error is {cause:?}");
                return id;
            }
            Err(Error::PastLease { .. } | Error::LeaseLost) => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_lost_acknowledgement_raises_no_limit_and_is_mended() {
    let Some(Partition { proxy, generator, direct, .. }) = partition(1, OnLost::Reacquire) else { return };
    generator.next_id().unwrap();
    let stored = || direct.nodes().unwrap().iter().find(|node| node.token > 0).unwrap().until;
    let used = until(&generator).unwrap();
    proxy.set(Network::LosesAcknowledgements);
    eventually("a longer window is stored", || stored() > used);
    let limit = issue_through(&generator);
    assert!(limit >= used);
    assert!(limit < stored(), "{limit} is the last that was acknowledged, {} is stored", stored());
    proxy.set(Network::Works);
    recover(&generator);
    eventually("the limit is what is stored", || until(&generator).is_some_and(|until| until > limit));
}

#[test]
fn a_node_stolen_by_hand_ends_issue_at_the_next_renewal() {
    let Some(Partition { generator, url, realm, direct, .. }) = partition(1, OnLost::Stop) else { return };
    let node = generator.next_id().unwrap().node();
    steal(&url, &realm, node);
    let took = eventually("issue ends", || generator.next_id() == Err(Error::LeaseLost));
    assert!(took < PERIOD + Duration::from_millis(250), "{took:?}");
    let told = generator.last_error().unwrap().to_string();
    assert!(told.contains("thief"), "{told}");
    // The thief's node is left as it is.
    assert!(matches!(generator.release(), Err(LeaseError::Lost { .. })));
    assert!(direct.nodes().unwrap().iter().any(|status| status.node == node && status.owner_label == "thief"));
}

/// Says that it is over when it goes out of scope.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn twenty_crashes_of_the_server_under_load() {
    const HOLDERS: usize = 4;
    // Longer than a start takes on a busy machine: a store may end a lease that has expired before it.
    const WINDOW: Duration = Duration::from_secs(4);
    let Some(server) = Server::start() else { return };
    let (url, epoch) = (server.url(), own_epoch());
    let store = || open(&url, "default", epoch);
    drop(store());
    leave_free(&url, "default", 8);
    let generators: Vec<_> =
        (0..HOLDERS).map(|_| LeasedGenerator::builder(store()).window(WINDOW).build().unwrap()).collect();
    let over = AtomicBool::new(false);
    let (mut ids, worst) = thread::scope(|scope| {
        let issue = |generator: &'_ LeasedGenerator| {
            let mut ids = Vec::new();
            while !over.load(Ordering::Relaxed) {
                ids.extend((0..50).map_while(|_| generator.next_id().ok()));
                thread::sleep(Duration::from_millis(1));
            }
            ids
        };
        let threads: Vec<_> = generators.iter().flat_map(|g| [0, 1].map(|_| scope.spawn(move || issue(g)))).collect();
        // Said also by a panic, so that no thread of a failed test runs on.
        let ends = Ends(&over);
        let mut worst = Duration::ZERO;
        for crash in 1..=20 {
            thread::sleep(Duration::from_millis(300));
            let change = server.change();
            server.crash();
            // What was acknowledged before the crash.
            let used: Vec<Option<(Node, u64)>> = generators
                .iter()
                .map(|generator| generator.next_id().ok().map(|id| (id.node(), id.timestamp(epoch))))
                .collect();
            let start = Instant::now();
            server.up();
            let (up, keeps) = (start.elapsed(), server.keeps(change));
            assert!(keeps || loses_changes(), "crash {crash}: the server has lost what it acknowledged");
            let (back, whole_window) = (now(), u64::try_from(WINDOW.as_millis()).unwrap());
            let rows = store().nodes().unwrap();
            for (node, time) in used.into_iter().flatten().filter(|_| keeps) {
                let row = rows.iter().find(|row| row.node == node).unwrap();
                assert!(row.until > time, "{node:?} issued at {time}, and {} is stored", row.until);
            }
            let renewed = |generator| until(generator).is_some_and(|until| until > back + whole_window);
            let took = eventually("all are renewed", || generators.iter().all(renewed));
            println!("crash {crash}: up after {up:?}, kept all: {keeps}, all renewed after {took:?}");
            // A server that went back is fenced, and all nodes rest.
            if keeps {
                let told: Vec<_> = generators.iter().map(LeasedGenerator::last_error).collect();
                assert!(took <= WINDOW / 3 + Duration::from_secs(1), "crash {crash}: {took:?}: {told:#?}");
                worst = worst.max(took);
            }
        }
        drop(ends);
        (threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>(), worst)
    });
    let issued = ids.len();
    ids.sort_unstable();
    ids.dedup();
    println!("{issued} IDs, {} duplicates, recovered within {worst:?}", issued - ids.len());
    assert!(issued > 100_000 && ids.len() == issued);
}
