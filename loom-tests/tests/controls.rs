//! Negative controls: common wrong designs, each in the shape of a model that the library passes.
//!
//! If loom did not find these errors, its silence about the library would prove nothing.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{TICK, assert_unique, every, join, start};
use pyflake::layout::IDS_PER_TICK;

/// Two threads issue two IDs each with a function that claims a slot.
fn two_threads<T: 'static>(shared: &Arc<T>, claim: fn(&T) -> u64) {
    let other = start(shared, move |shared| [claim(shared), claim(shared)]);
    let mine = [claim(shared), claim(shared)];
    assert_unique(&[&mine, &join(other)]);
}

/// A correct claim. It shows that the claims below fail for their own reasons.
#[test]
fn a_swap_that_compares() {
    every(|| {
        two_threads(&Arc::new(AtomicU64::new(0)), |free| {
            let first = TICK * IDS_PER_TICK;
            let mut state = free.load(Ordering::Relaxed);
            loop {
                let slot = state.max(first);
                match free.compare_exchange_weak(state, slot + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return slot,
                    Err(seen) => state = seen,
                }
            }
        });
    });
}

#[test]
#[should_panic(expected = "was issued twice")]
fn a_store_instead_of_a_swap() {
    every(|| {
        two_threads(&Arc::new(AtomicU64::new(0)), |free| {
            let slot = free.load(Ordering::SeqCst).max(TICK * IDS_PER_TICK);
            free.store(slot + 1, Ordering::SeqCst);
            slot
        });
    });
}

/// An addition after a check for room. The result of the addition is not checked.
#[test]
#[should_panic(expected = "was issued twice")]
fn an_addition_whose_result_is_not_checked() {
    every(|| {
        // A tick and its number of claimed slots, with one slot left.
        let state = Arc::new(AtomicU64::new(TICK << 21 | (IDS_PER_TICK - 1)));
        let claim = |state: &AtomicU64| {
            let has_room = state.load(Ordering::SeqCst) & 0x1f_ffff < IDS_PER_TICK;
            has_room.then(|| TICK * IDS_PER_TICK + (state.fetch_add(1, Ordering::SeqCst) & 0x1f_ffff))
        };
        let other = start(&state, claim);
        let mine = claim(&state);
        let other = join(other);
        // The first slot of the next tick.
        let next = Some((TICK + 1) * IDS_PER_TICK);
        for claimed in [mine, other].into_iter().flatten() {
            assert_unique(&[&[claimed], &[next.expect("a slot")]]);
        }
    });
}

/// The last millisecond and a sequence in two words. Most snowflake libraries do this under a lock;
/// here there is none.
#[test]
#[should_panic(expected = "was issued twice")]
fn a_last_millisecond_and_a_sequence() {
    every(|| {
        let words = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        two_threads(&words, |(last, sequence)| {
            if last.swap(TICK, Ordering::SeqCst) == TICK {
                TICK * IDS_PER_TICK + sequence.fetch_add(1, Ordering::SeqCst) + 1
            } else {
                sequence.store(0, Ordering::SeqCst);
                TICK * IDS_PER_TICK
            }
        });
    });
}

/// A compare-and-swap that follows the clock. It begins a new run when the clock differs from the
/// last tick, also backwards.
#[test]
#[should_panic(expected = "was issued twice")]
fn a_clock_that_is_trusted() {
    every(|| {
        let shared = Arc::new((AtomicU64::new(0), AtomicU64::new(TICK)));
        let stepper = start(&shared, |(_, clock)| clock.store(TICK - 1, Ordering::SeqCst));
        let claim = |(free, clock): &(AtomicU64, AtomicU64)| {
            loop {
                let first = clock.load(Ordering::SeqCst) * IDS_PER_TICK;
                let state = free.load(Ordering::SeqCst);
                let slot = if state / IDS_PER_TICK == first / IDS_PER_TICK { state } else { first };
                if free.compare_exchange(state, slot + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    return slot;
                }
                loom::thread::yield_now();
            }
        };
        // A claim by the reading TICK, then one by TICK - 1; the next one by TICK repeats the first
        // slot.
        let other = start(&shared, claim);
        let mut ids = vec![claim(&shared), claim(&shared), join(other)];
        join(stepper);
        ids.sort_unstable();
        assert_unique(&[&ids]);
    });
}

/// A ring of one place, with the tag and the ID in two plain stores. A reader finds the ID of one
/// index under the tag of another.
#[test]
#[should_panic(expected = "index 1 has another ID")]
fn a_tag_and_an_id_stored_apart() {
    every(|| {
        let place = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let put = |(tag, id): &(AtomicU64, AtomicU64), idx: u64| {
            tag.store(idx, Ordering::SeqCst);
            id.store(100 + idx, Ordering::SeqCst);
        };
        put(&place, 1);
        let writer = start(&place, move |place| put(place, 2));
        let (tag, id) = &*place;
        if tag.load(Ordering::SeqCst) == 1 {
            assert_eq!(id.load(Ordering::SeqCst), 101, "index 1 has another ID");
        }
        join(writer);
    });
}

/// The same with a tag that only rises. A writer raises the tag before it stores the ID, and a
/// later writer may overtake it in between.
#[test]
#[should_panic(expected = "index 2 has another ID")]
fn an_id_stored_by_a_writer_that_lost_its_place() {
    every(|| {
        let place = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let put = |(tag, id): &(AtomicU64, AtomicU64), idx: u64| {
            if tag.fetch_max(idx, Ordering::SeqCst) < idx {
                id.store(100 + idx, Ordering::SeqCst);
            }
        };
        let early = start(&place, move |place| put(place, 1));
        put(&place, 2);
        join(early);
        let (tag, id) = &*place;
        assert_eq!(tag.load(Ordering::SeqCst), 2);
        assert_eq!(id.load(Ordering::SeqCst), 102, "index 2 has another ID");
    });
}
