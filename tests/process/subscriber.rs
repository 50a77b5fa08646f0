//! A subscriber of `tracing` that panics. A process of its own: a process has one subscriber, and keeps it.

#[path = "../util/memory_store.rs"]
mod memory_store;

use std::thread;
use std::time::{Duration, Instant};

use memory_store::MemoryStore;
use pyflake::lease::{LeaseState, LeasedGenerator};
use pyflake::{Clock, ManualClock, Node};

const NOW: u64 = 1_700_000_000_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn held<C: Clock + Clone>(generator: &LeasedGenerator<C>) -> bool {
    matches!(generator.state(), LeaseState::Held { .. })
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(ms(1));
    }
}

#[test]
fn a_subscriber_that_panics_changes_nothing() {
    struct Panicking;

    impl tracing::Subscriber for Panicking {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            panic!("a bug in the subscriber");
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    tracing::subscriber::set_global_default(Panicking).unwrap();
    let (store, clock) = (MemoryStore::new(&[(1, 1), (2, 2)]), ManualClock::new(NOW));
    let generator = LeasedGenerator::builder(store.clone()).clock(clock.clone()).window(ms(60)).build().unwrap();
    store.set_down(true);
    eventually("it fails", || matches!(generator.state(), LeaseState::Degraded { .. }));
    clock.advance(60);
    thread::sleep(ms(50));
    store.set_down(false);
    eventually("it is renewed", || held(&generator));
    store.steal(Node::new(1, 1).unwrap());
    eventually(
        "another node is held",
        || matches!(generator.state(), LeaseState::Held { node, .. } if node.pid() == 2),
    );
    generator.release().unwrap();
    assert_eq!(store.row(Node::new(2, 2).unwrap()).holder, None);
}
