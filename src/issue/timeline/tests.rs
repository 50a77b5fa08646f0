//! Tests of the timeline.

use std::convert::Infallible;
use std::sync::Barrier;
use std::{panic, thread};

use super::*;

impl Timeline {
    /// Claims exactly `n` slots by a clock that reads `tick`.
    fn run(&self, n: u64, tick: u64, reach: u64) -> Result<Run, Refusal> {
        let now = Now { tick, reach };
        let claim = self.claim(Wanted::exactly(n), Spread::default(), &Counter::default(), || Ok::<_, Infallible>(now));
        claim.unwrap_or_else(|never| match never {})
    }

    /// Claims `n` slots in `tick`, and returns the first.
    fn first(&self, n: u64, tick: u64) -> Option<u64> {
        self.run(n, tick, tick).ok().map(|run| run.first)
    }

    fn state(&self) -> State {
        State(self.state.load(Ordering::Relaxed))
    }

    /// The number of additions that claimed nothing in the tick of `state`.
    fn in_vain(&self) -> u64 {
        self.state().claimed().saturating_sub(IDS_PER_TICK)
    }
}

#[test]
fn the_gate_opens_with_the_second_claim_of_a_tick() {
    let line = Timeline::open_ended();
    assert_eq!(line.first(1, 1), Some(first_slot(1)));
    assert_eq!(line.add(|| 1), Err(1));
    assert_eq!(line.first(1, 1), Some(first_slot(1) + 1));
    assert_eq!(line.add(|| 1), Ok(first_slot(1) + 2));
    assert_eq!(line.add(|| 2), Err(2));
}

#[test]
fn a_held_up_thread_adds_in_vain_once() {
    let line = Timeline::open_ended();
    assert!(line.first(1, 1).and(line.first(1, 1)).is_some());
    let held_up = || -> u64 {
        assert!(line.first(IDS_PER_TICK - 1, 2).and(line.first(1, 2)).is_some());
        1
    };
    for clock in [&held_up as &dyn Fn() -> u64, &|| 2] {
        assert!(line.add(clock).is_err());
        assert_eq!(line.first(1, 2), None);
    }
    assert_eq!(line.in_vain(), 1);
}

#[test]
fn a_clock_that_panics_lets_its_caller_add_nothing() {
    let line = Timeline::open_ended();
    assert!(line.first(IDS_PER_TICK - 1, 1).and(line.first(1, 1)).is_some());
    for _ in 0..3 {
        let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| line.add(|| panic!("no time"))));
        assert!(caught.is_err());
    }
    assert_eq!(line.in_vain(), 0);
}

/// A thread that claimed the second slot of a tick may open the gate long after the tick is over.
#[test]
fn opening_the_gate_of_an_old_tick_changes_nothing() {
    let line = Timeline::open_ended();
    line.state.store(State::begin(1000) + 2, Ordering::Relaxed);
    line.raise(5000);
    for tick in 1..=1000 {
        line.raise_gate(Gate::open(tick));
        assert!(line.add(|| tick).is_err());
        assert_eq!(line.first(1, tick), None);
    }
    assert_eq!(line.state().claimed(), 1, "one slot of tick 5000 is lost");
}

#[test]
fn a_thread_adds_in_vain_once() {
    const THREADS: usize = 4;
    let line = Timeline::open_ended();
    let mut all_in_vain = 0;
    for tick in 1..500 {
        assert_eq!(line.first(IDS_PER_TICK - 2, tick), Some(first_slot(tick)));
        assert!(line.first(1, tick).is_some());
        // The second claim has opened the gate.
        let start = Barrier::new(THREADS);
        let call = || line.add(|| tick).ok().or_else(|| line.first(1, tick)).is_some();
        let claims = || {
            start.wait();
            (0..10).filter(|_| call()).count()
        };
        let claimed: usize = thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| scope.spawn(claims));
            threads.into_iter().map(|thread| thread.join().expect("it ran")).sum()
        });
        assert_eq!(claimed, 1, "one slot was free");
        assert_eq!(line.state().tick(), tick);
        assert!(line.in_vain() <= THREADS as u64, "{} by {THREADS} threads", line.in_vain());
        all_in_vain += line.in_vain();
    }
    assert!(all_in_vain > 0, "no addition found the tick full");
}

#[test]
fn after_close_nothing_is_claimed_and_the_free_slot_is_final() {
    let line = Timeline::closed();
    line.open(5, 9);
    assert!(line.first(1, 6).and(line.first(1, 6)).is_some());
    assert_eq!(line.add(|| 6), Ok(first_slot(6) + 2));
    assert_eq!(line.close(), first_slot(6) + 3);
    for _ in 0..3 {
        assert_eq!(line.add(|| 6), Err(6));
        assert_eq!(line.run(1, 6, 8), Err(Refusal::Closed));
    }
    assert_eq!((line.limit(), line.close(), line.free()), (None, first_slot(7) + 1, first_slot(7) + 1));
}

/// A compare-and-swap that was prepared in one window must not succeed in the next one.
#[test]
fn no_word_comes_back_in_a_later_window() {
    for claims in [0, 1, 2, IDS_PER_TICK] {
        let line = Timeline::closed();
        line.open(0, 9);
        if claims > 0 {
            line.run(claims, 3, 3).expect("there is room");
        }
        let before = line.state();
        line.close();
        line.open(0, 5);
        assert!(line.state().tick() > before.tick(), "{claims}");
        assert_eq!(line.limit(), Some(5));
    }
}

#[test]
fn a_window_begins_at_its_floor_and_ends_at_its_limit() {
    let line = Timeline::closed();
    line.open(5, 7);
    assert_eq!(line.run(1, 4, 4), Err(Refusal::Ahead { last_tick: 5 }));
    assert_eq!(line.run(1, 4, 5), Ok(Run { first: first_slot(5), len: 1, ahead: true }));
    assert_eq!(line.run(1, 7, 9), Err(Refusal::Limit { last_tick: 7, limit: 7 }));
    assert_eq!(line.run(2 * IDS_PER_TICK, 5, 9), Err(Refusal::Limit { last_tick: 7, limit: 7 }));
    line.extend(8);
    line.extend(6);
    assert_eq!(line.run(1, 7, 9), Ok(Run { first: first_slot(7), len: 1, ahead: false }));
}

#[test]
fn a_run_takes_the_rest_of_a_tick_if_that_is_enough() {
    let line = Timeline::open_ended();
    let some = |least, most, tick| {
        let now = Now::at(tick);
        let claim =
            line.claim(Wanted { least, most }, Spread::default(), &Counter::default(), || Ok::<_, Infallible>(now));
        claim.unwrap_or_else(|never| match never {}).map(|run| run.len)
    };
    assert_eq!(some(1, IDS_PER_TICK - 5, 1), Ok(IDS_PER_TICK - 5));
    assert_eq!(some(6, 10, 1), Err(Refusal::Ahead { last_tick: 2 }));
    assert_eq!(some(5, 10, 1), Ok(5));
    assert_eq!(some(1, 10, 1), Err(Refusal::Ahead { last_tick: 2 }));
}

/// A gate that was opened in the last window must not let an addition claim in the next one.
#[test]
fn no_tick_has_begun_when_a_window_opens() {
    let line = Timeline::closed();
    line.open(5, 9);
    assert!(line.first(1, 5).and(line.first(1, 5)).is_some());
    line.close();
    line.open(5, 9);
    line.raise_gate(Gate::open(6));
    assert_eq!(line.add(|| 6), Err(6), "tick 6 has not begun in this window");
    line.close();
    line.open(5, 7);
    assert_eq!(line.run(1, 7, 8), Err(Refusal::Limit { last_tick: 7, limit: 7 }));
}

/// The tick of a clock before the epoch wraps around. Its low bits may be those of the open tick.
#[test]
fn the_gate_compares_all_bits_of_a_tick() {
    let line = Timeline::open_ended();
    assert!(line.first(1, 5).and(line.first(1, 5)).is_some());
    for bit in 42..64 {
        assert_eq!(line.add(|| 5 | 1 << bit), Err(5 | 1 << bit));
    }
    assert_eq!(line.add(|| 5), Ok(first_slot(5) + 2));
}

#[test]
fn a_refusal_holds_the_tick_in_which_the_run_would_end() {
    let line = Timeline::closed();
    line.open(5, 7);
    assert_eq!(line.run(3 * IDS_PER_TICK, 8, 20), Err(Refusal::Limit { last_tick: 10, limit: 7 }));
}

#[test]
fn nothing_is_claimed_after_the_last_tick() {
    let line = Timeline::closed();
    line.open(MAX_TICK, TICKS);
    assert!(line.first(3, MAX_TICK).is_some());
    assert_eq!(line.close(), first_slot(MAX_TICK) + 3);
    for floor in [0, MAX_TICK, TICKS] {
        line.open(floor, TICKS);
        assert!(matches!(line.run(1, MAX_TICK, MAX_TICK), Err(Refusal::Limit { .. })), "{floor}");
        line.close();
    }
    let line = Timeline::open_ended();
    line.raise(TICKS);
    assert!(matches!(line.run(1, MAX_TICK, MAX_TICK), Err(Refusal::Limit { .. })));
}
