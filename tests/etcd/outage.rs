//! A server that loses answers, or crashes, and a key that is taken by hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyflake::Error;
use pyflake::lease::{EtcdStore, LeaseState, LeasedGenerator, OnLost};

use crate::proxy::{Network, Proxy};
use crate::server::{Server, eventually, leave_free, steal};
use crate::{now, own_epoch};

const WINDOW: Duration = Duration::from_millis(1500);

fn until(generator: &LeasedGenerator) -> Option<u64> {
    match generator.state() {
        LeaseState::Held { until, .. } => Some(until),
        _ => None,
    }
}

fn through(proxy: &Proxy) -> String {
    format!("http://127.0.0.1:{}", proxy.port())
}

#[test]
fn a_lost_acknowledgement_raises_no_limit_and_is_mended() {
    let Some(server) = Server::start() else { return };
    let (proxy, epoch) = (Proxy::to(server.port()), own_epoch());
    let direct = EtcdStore::open(&server.url(), epoch).unwrap();
    leave_free(&server.url(), "default", 1);
    let store = EtcdStore::builder(&through(&proxy)).timeout(Duration::from_millis(200)).open(epoch).unwrap();
    let generator = LeasedGenerator::builder(store).window(WINDOW).build().unwrap();
    let node = generator.next_id().unwrap().node();
    // A renewal is a read, a sign of life and a write: answers are lost until it is a write that loses its own.
    let mut lost = None;
    for _ in 0..200 {
        thread::sleep(Duration::from_millis(37));
        proxy.set(Network::LosesAnswers);
        thread::sleep(Duration::from_millis(4));
        let stored = direct.nodes().unwrap()[0].until;
        let used = until(&generator);
        if used.is_some_and(|used| stored > used) {
            lost = Some(stored);
            break;
        }
        proxy.set(Network::Works);
    }
    if let Some(stored) = lost {
        let mut limit = None;
        let start = Instant::now();
        while start.elapsed() < 2 * WINDOW {
            if let Err(Error::PastLease { until, .. }) = generator.next_id() {
                limit = Some(until);
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert!(limit.is_some_and(|limit| limit < stored), "{limit:?} acknowledged, {stored} stored");
        proxy.set(Network::Works);
    }
    assert!(lost.is_some(), "no answer to a write was lost");
    let back = now();
    eventually("it issues again", || generator.next_id().is_ok_and(|id| id.node() == node));
    assert!(now() - back < 1500, "{}", now() - back);
}

#[test]
fn a_key_stolen_by_hand_ends_issue_at_the_next_renewal() {
    let Some(server) = Server::start() else { return };
    let store = EtcdStore::open(&server.url(), own_epoch()).unwrap();
    let generator = LeasedGenerator::builder(store).window(WINDOW).on_lost(OnLost::Stop).build().unwrap();
    steal(&server.url(), "default", generator.next_id().unwrap().node());
    let took = eventually("issue ends", || generator.next_id() == Err(Error::LeaseLost));
    assert!(took < WINDOW / 3 + Duration::from_millis(250), "{took:?}");
    let told = generator.last_error().unwrap().to_string();
    assert!(told.contains("thief"), "{told}");
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
    let Some(server) = Server::start() else { return };
    let (url, epoch) = (server.url(), own_epoch());
    let store = || EtcdStore::open(&url, epoch).unwrap();
    let generators: Vec<_> =
        (0..4).map(|_| LeasedGenerator::builder(store()).window(Duration::from_secs(1)).build().unwrap()).collect();
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
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(300));
            server.crash();
            // What was acknowledged before the crash.
            let used: Vec<_> = generators
                .iter()
                .filter_map(|generator| generator.next_id().ok())
                .map(|id| (id.node(), id.timestamp(epoch)))
                .collect();
            server.up();
            let back = now();
            let keys = store().nodes().unwrap();
            for (node, time) in used {
                let key = keys.iter().find(|key| key.node == node).unwrap();
                assert!(key.until > time, "{node:?} issued at {time}, and {} is stored", key.until);
            }
            let renewed = |generator| until(generator).is_some_and(|until| until > back + 1000);
            worst = worst.max(eventually("all are renewed", || generators.iter().all(renewed)));
        }
        drop(ends);
        (threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>(), worst)
    });
    let issued = ids.len();
    ids.sort_unstable();
    ids.dedup();
    println!("{issued} IDs, {} duplicates, recovered within {worst:?}", issued - ids.len());
    assert!(issued > 100_000 && ids.len() == issued);
    assert!(worst <= Duration::from_secs(2), "{worst:?}");
}
