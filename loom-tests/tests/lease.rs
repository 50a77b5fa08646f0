//! Models of the window of a lease: the handover between two holders, and the end while others
//! claim.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use loom_tests::{bounded, join, start};
use pyflake::testing::Line;

/// The first slot of a tick.
const fn slot(tick: u64) -> u64 {
    tick << 12
}

#[test]
fn a_closed_window_stays_closed_under_a_late_renewal() {
    bounded(3, || {
        let line = Arc::new(Line::new());
        line.open(1, 5);
        let keeper = start(&line, |line| line.extend(9));
        let closer = start(&line, Line::close);
        let during = line.claim(|| 2);
        assert!(during.is_none_or(|claimed| claimed == slot(2)));
        join(keeper);
        join(closer);
        assert_eq!(line.claim(|| 3), None);
    });
}

#[test]
fn a_renewal_is_used_only_up_to_its_limit() {
    bounded(3, || {
        let line = Arc::new(Line::new());
        line.open(1, 2);
        let keeper = start(&line, |line| line.extend(3));
        let caller = start(&line, |line| line.claim(|| 2));
        assert_eq!(line.claim(|| 3), None, "past both limits");
        let claimed = join(caller);
        assert!(claimed.is_none_or(|claimed| claimed == slot(2)));
        join(keeper);
        assert!(line.claim(|| 2).is_some());
    });
}

/// A window is lost and a later one opened. A caller claims with a clock in the gap between them.
#[test]
fn the_gap_between_two_windows_is_never_claimed() {
    bounded(3, || {
        let line = Arc::new(Line::new());
        line.open(1, 3);
        let keeper = start(&line, |line| {
            line.close();
            line.open(6, 9);
        });
        // The clock is in the gap: tick 4 belongs to another holder.
        let in_gap = line.claim(|| 4);
        assert_eq!(in_gap, None, "claimed in another holder's window");
        join(keeper);
        assert_eq!(line.claim(|| 6), Some(slot(6)));
    });
}

/// A caller has found room in a begun tick. It adds while the window is lost and a later one
/// opened.
#[test]
fn a_late_addition_is_not_in_the_gap() {
    bounded(3, || {
        let line = Arc::new(Line::new());
        line.open(1, 3);
        // The second claim opens the tick for additions.
        assert_eq!([line.claim(|| 2), line.claim(|| 2)], [Some(slot(2)), Some(slot(2) + 1)]);
        let keeper = start(&line, |line| {
            line.close();
            line.open(6, 9);
            line.claim(|| 6)
        });
        let late = line.claim(|| 2);
        let new = join(keeper);
        let in_a_window = |claimed| claimed == slot(2) + 2 || (slot(6)..slot(7)).contains(&claimed);
        assert!(late.is_none_or(in_a_window), "{late:?} lies in neither window");
        assert!(new.is_some_and(|slot| slot >= self::slot(6)) && new != late, "{new:?} and {late:?}");
    });
}

/// No thread claims a slot at or above the one that `close` returns. A release gives those slots
/// back.
#[test]
fn the_free_slot_of_a_close_is_final() {
    bounded(4, || {
        let line = Arc::new(Line::new());
        line.open(1, 5);
        assert_eq!([line.claim(|| 2), line.claim(|| 2)], [Some(slot(2)), Some(slot(2) + 1)]);
        let adds = start(&line, |line| [line.claim(|| 2), line.claim(|| 2)]);
        let swaps = start(&line, |line| line.run(3, 3));
        let free = line.close();
        let swapped = join(swaps).map(|first| first + 2);
        for claimed in join(adds).into_iter().chain([swapped]).flatten() {
            assert!(claimed < free, "{claimed} was claimed, and {free} was given back");
        }
        assert_eq!(line.claim(|| 4), None);
    });
}

/// A window is given back unused, and the next one ends earlier. A step of the clock can cause
/// this. A claim that was prepared in the first window must fail in the second one.
#[test]
fn a_claim_of_one_window_fails_in_the_next() {
    bounded(4, || {
        let line = Arc::new(Line::new());
        line.open(0, 9);
        let late = start(&line, |line| line.run(1, 7));
        let free = line.close();
        line.open(0, 5);
        let again = line.claim(|| 4);
        let late = join(late);
        assert!(late.is_none_or(|claimed| claimed < free), "{late:?} lies past the window, and {free} was given back");
        assert!(again.is_none_or(|claimed| claimed < slot(5)));
    });
}

/// A `close` that only sets its bit: the word of the first window recurs in the second one.
#[test]
#[should_panic(expected = "lies past the window")]
fn negative_control_a_word_that_recurs() {
    const CLOSED: u64 = 1 << 62;
    bounded(4, || {
        let words = Arc::new((AtomicU64::new(0), AtomicU64::new(9)));
        let late = start(&words, |(state, limit)| {
            let found = state.load(SeqCst);
            let open = found & CLOSED == 0 && limit.load(SeqCst) > 7;
            (open && state.compare_exchange(found, slot(7) + 1, SeqCst, SeqCst).is_ok()).then_some(slot(7))
        });
        let (state, limit) = &*words;
        let free = state.fetch_or(CLOSED, SeqCst);
        limit.store(5, SeqCst);
        state.fetch_and(!CLOSED, SeqCst);
        let late = join(late);
        assert!(late.is_none_or(|claimed| claimed < free), "{late:?} lies past the window, and {free} was given back");
    });
}

/// A `close` in a word of its own: a claim that has read it before continues after it.
#[test]
#[should_panic(expected = "was given back")]
fn negative_control_a_close_beside_the_claims() {
    bounded(4, || {
        let words = Arc::new((AtomicU64::new(slot(2)), AtomicU64::new(5)));
        let claim = start(&words, |(free, limit)| (limit.load(SeqCst) > 2).then(|| free.fetch_add(1, SeqCst)));
        let (free, limit) = &*words;
        limit.store(0, SeqCst);
        let free = free.load(SeqCst);
        if let Some(claimed) = join(claim) {
            assert!(claimed < free, "{claimed} was claimed, and {free} was given back");
        }
    });
}

/// Two successive holders of one node, on two machines. Each has its own timeline. They share only
/// the store's `until` and the passing of time.
fn handover(claim: impl Fn(&Line, u64, &AtomicU64) -> Option<u64> + Send + Sync + Copy + 'static) {
    bounded(3, move || {
        let time = Arc::new(AtomicU64::new(1));
        // The old holder has the window `0..2`.
        let stored = Arc::new(AtomicU64::new(2));
        let old = start(&time, move |time| {
            let line = Line::new();
            line.open(0, 2);
            [claim(&line, 2, time), claim(&line, 2, time)]
        });
        let ticker = start(&time, |time| time.store(2, SeqCst));
        // The store gives the node to the successor, rightly or not. The two clocks differ.
        let floor = stored.load(Relaxed);
        stored.store(floor + 2, Relaxed);
        let successor = Line::new();
        successor.open(floor, floor + 2);
        let new = successor.claim(|| 2);
        join(ticker);
        for id in join(old).into_iter().flatten() {
            assert_ne!(Some(id), new, "duplicate");
        }
    });
}

#[test]
fn windows_of_two_holders_never_overlap() {
    handover(|line, _, time| line.claim(|| time.load(SeqCst)));
}

/// Checks that the lease is valid, then claims. Time passes in between.
#[test]
#[should_panic(expected = "duplicate")]
fn negative_control_check_before_the_claim() {
    handover(|line, until, time| {
        // Removes the limit from the claim.
        line.extend(9);
        if time.load(SeqCst) >= until {
            return None;
        }
        line.claim(|| time.load(SeqCst))
    });
}

/// Claims, then checks that the lease was valid, with a reading from before the claim.
#[test]
#[should_panic(expected = "duplicate")]
fn negative_control_check_after_the_claim() {
    handover(|line, until, time| {
        line.extend(9);
        let seen = AtomicU64::new(time.load(SeqCst));
        let claimed = line.claim(|| time.load(SeqCst));
        if seen.load(SeqCst) >= until { None } else { claimed }
    });
}

/// A caller claims twice while its window ends and a later one opens. This is how a lease moves to
/// another node: the new window starts after the last ID. `end` must return a slot above all claims
/// in the old window.
fn succession(end: impl Fn(&Line) -> u64 + Send + Sync + Copy + 'static) {
    bounded(3, move || {
        let (old, new) = (Arc::new(Line::new()), Line::new());
        old.open(1, 4);
        // The second claim opens the tick for additions.
        assert_eq!([old.claim(|| 2), old.claim(|| 2)], [Some(slot(2)), Some(slot(2) + 1)]);
        let caller = start(&old, |old| [old.claim(|| 2), old.claim(|| 3)]);
        let free = end(&old);
        new.open((free >> 12) + 1, 9);
        let next = new.claim(|| 4);
        for late in join(caller).into_iter().flatten() {
            assert!(late < free, "claimed after the end");
            assert!(next.is_none_or(|next| late < next));
        }
    });
}

#[test]
fn no_claim_comes_after_the_end_of_a_window() {
    succession(Line::close);
}

/// Reads the free slot and closes the window afterwards.
#[test]
#[should_panic(expected = "claimed after the end")]
fn negative_control_the_free_slot_before_the_close() {
    succession(|line| {
        let free = line.free();
        line.close();
        free
    });
}
