//! Negative controls: the models' mistakes that shuttle must find, and one that it cannot find.
#![cfg(pyflake_shuttle)]

use std::sync::Arc;

use pyflake::layout::IDS_PER_TICK;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle_tests::window::{Wrong, two_holders};
use shuttle_tests::{TICK, assert_unique, explore, find, fork, join};

/// Four threads issue four each by a claim that returns slots.
fn four_threads<T: Send + Sync + 'static>(shared: T, claim: fn(&T) -> u64) {
    let shared = Arc::new(shared);
    let threads = [(); 4].map(|()| fork(&shared, move |shared| (0..4).map(|_| claim(shared)).collect()));
    assert_unique(&join(threads));
}

/// As the library does it, to show that what fails below fails for its own reason.
#[test]
fn a_swap_that_compares() {
    explore(|| {
        four_threads(AtomicU64::new(TICK * IDS_PER_TICK), |free| free.fetch_add(1, Ordering::SeqCst));
    });
}

/// A lost update: two threads read one slot, and both write the next one.
#[test]
#[should_panic(expected = "was issued twice")]
fn a_store_instead_of_a_swap() {
    find(|| {
        four_threads(AtomicU64::new(TICK * IDS_PER_TICK), |free| {
            let slot = free.load(Ordering::SeqCst);
            free.store(slot + 1, Ordering::SeqCst);
            slot
        });
    });
}

/// The floor of the next holder is its clock, and not the end of the last window.
#[test]
#[should_panic(expected = "was issued twice")]
fn a_missing_fence_of_the_store() {
    find(|| two_holders(Wrong { no_fence: true, ..Wrong::default() }));
}

#[test]
#[should_panic(expected = "was issued twice")]
fn a_window_that_is_used_before_it_is_stored() {
    find(|| two_holders(Wrong { early: true, ..Wrong::default() }));
}

/// A renewal writes over the tenure of the next holder, so the one after that begins within the window of the next.
#[test]
#[should_panic(expected = "was issued twice")]
fn an_update_of_the_store_that_is_lost() {
    find(|| two_holders(Wrong { lost_update: true, ..Wrong::default() }));
}

#[test]
#[should_panic(expected = "was issued twice")]
fn a_free_slot_that_is_read_before_the_close() {
    find(|| two_holders(Wrong { free_before_close: true, ..Wrong::default() }));
}

/// The data is published by a `Relaxed` store and read after a `Relaxed` load, so a reader may see the flag without the
/// data. loom finds this. shuttle does not, as its atomics are sequentially consistent.
#[test]
fn a_missing_memory_fence_is_out_of_reach() {
    explore(|| {
        let words = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let writer = fork(&words, |(data, flag)| {
            data.store(1, Ordering::Relaxed);
            flag.store(1, Ordering::Relaxed);
        });
        let reader = fork(&words, |(data, flag)| {
            if flag.load(Ordering::Relaxed) == 1 {
                assert_eq!(data.load(Ordering::Relaxed), 1, "it was found after all");
            }
        });
        join([writer, reader]);
    });
}
