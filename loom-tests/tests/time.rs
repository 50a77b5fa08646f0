//! Models of claims while the time moves forward or back, and of waits.
#![cfg(pyflake_loom)]

use std::sync::Arc;
use std::sync::atomic::AtomicU64 as StdAtomicU64;
use std::time::Duration;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{EPOCH, TICK, assert_unique, bounded, every, generator, ids, join, leave, start};
use pyflake::{Clock, Error, Generator, ManualClock, Snowflake};

/// A clock that records the latest time it has shown to any thread. A model compares IDs with that
/// time.
#[derive(Clone)]
struct Witness<C> {
    clock: C,
    /// An atomic of std: the real latest time, and not the one that a thread sees.
    latest: Arc<StdAtomicU64>,
}

impl<C> Witness<C> {
    fn of(clock: C) -> Self {
        Witness { clock, latest: Arc::default() }
    }

    /// Panics if the clock has not yet shown the time of the ID.
    fn assert_due(&self, id: Snowflake) {
        let latest = self.latest.load(Ordering::Relaxed);
        assert!(id.timestamp(EPOCH) <= latest, "{id} is of {} and the time is {latest}", id.timestamp(EPOCH));
    }
}

impl<C: Clock> Clock for Witness<C> {
    fn unix_millis(&self) -> u64 {
        let now = self.clock.unix_millis();
        self.latest.fetch_max(now, Ordering::Relaxed);
        now
    }

    fn unix_time(&self) -> Duration {
        let now = self.clock.unix_time();
        self.latest.fetch_max(u64::try_from(now.as_millis()).unwrap(), Ordering::Relaxed);
        now
    }

    fn is_simulated(&self) -> bool {
        self.clock.is_simulated()
    }
}

/// A clock that advances by half a millisecond at each slow reading, so also during a wait.
///
/// Two waiters and a thread that moves the time cannot be one model: loom may let the waiters wait
/// for each other forever.
struct TicksInTheWait(AtomicU64);

impl TicksInTheWait {
    fn new(tick: u64) -> Self {
        TicksInTheWait(AtomicU64::new(2 * tick))
    }
}

impl Clock for TicksInTheWait {
    fn unix_millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 2
    }

    fn unix_time(&self) -> Duration {
        Duration::from_micros(500) * u32::try_from(self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// A clock with a list of readings. After the last one it advances by one with each reading.
struct Script {
    readings: &'static [u64],
    next: AtomicU64,
}

impl Script {
    fn new(readings: &'static [u64]) -> Self {
        Script { readings, next: AtomicU64::new(0) }
    }
}

impl Clock for Script {
    fn unix_millis(&self) -> u64 {
        let turn = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed)).unwrap();
        let last = self.readings.len() - 1;
        self.readings[turn.min(last)] + u64::try_from(turn.saturating_sub(last)).unwrap()
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// Issues `N` IDs, and checks that each is due.
fn due<const N: usize, C: Clock>(generator: &Generator<Witness<C>>) -> [Snowflake; N] {
    core::array::from_fn(|_| {
        let id = generator.next_id().expect("an ID");
        generator.clock().assert_due(id);
        id
    })
}

#[test]
fn the_clock_ticks_while_two_threads_claim() {
    bounded(3, || {
        let clock = ManualClock::new(TICK);
        let generator = generator(Witness::of(clock.clone()));
        let other = start(&generator, due::<2, _>);
        let ticker = loom::thread::spawn(move || clock.advance(1));
        let mine = due::<2, _>(&generator);
        join(ticker);
        assert_unique(&[&mine, &join(other)]);
    });
}

#[test]
fn the_clock_ticks_while_the_last_ids_are_claimed() {
    every(|| {
        let clock = ManualClock::new(TICK);
        let generator = generator(Witness::of(clock.clone()));
        leave(&generator, 1);
        let attempt = |generator: &Generator<Witness<ManualClock>>| {
            let attempt = generator.try_next_id();
            if let Ok(id) = attempt {
                generator.clock().assert_due(id);
            } else {
                assert!(matches!(attempt, Err(Error::Exhausted { .. })), "{attempt:?}");
            }
            attempt.ok()
        };
        let other = start(&generator, attempt);
        let ticker = loom::thread::spawn(move || clock.advance(1));
        let mine = attempt(&generator);
        let other = join(other);
        join(ticker);
        let ids: Vec<_> = [mine, other].into_iter().flatten().collect();
        assert!(!ids.is_empty(), "there was one left");
        assert!(ids.len() == 1 || ids[0] != ids[1], "{ids:?}");
    });
}

/// The clock steps during claims. A thread may read any of the times that it has shown, in any
/// order that one word allows.
#[test]
fn the_clock_steps_back_while_two_threads_claim() {
    bounded(3, || {
        let clock = ManualClock::new(TICK);
        let generator = generator(Witness::of(clock.clone()));
        let [first] = due::<1, _>(&generator);
        let other = start(&generator, due::<2, _>);
        let stepper = loom::thread::spawn(move || {
            clock.set(TICK + 1);
            clock.set(TICK - 1);
        });
        let [second, third] = due::<2, _>(&generator);
        join(stepper);
        assert_unique(&[&[first, second, third], &join(other)]);
    });
}

/// The same for blocks: they continue in the tick that had begun.
#[test]
fn the_clock_steps_back_while_blocks_are_claimed() {
    every(|| {
        let clock = ManualClock::new(TICK);
        let generator = generator(clock.clone());
        leave(&generator, 4);
        let other = start(&generator, |generator| generator.reserve(2).expect("a block").collect::<Vec<_>>());
        let stepper = loom::thread::spawn(move || clock.set(TICK - 1));
        let mine: Vec<_> = generator.reserve(2).expect("a block").collect();
        join(stepper);
        assert_unique(&[&mine, &join(other)]);
        assert!(mine.iter().all(|id| id.tick() == TICK));
    });
}

#[test]
fn one_thread_waits_for_another_to_move_the_clock() {
    every(|| {
        let clock = ManualClock::new(TICK);
        let generator = generator(Witness::of(clock.clone()));
        leave(&generator, 0);
        let ticker = loom::thread::spawn(move || clock.advance(1));
        let [id] = due::<1, _>(&generator);
        join(ticker);
        assert_eq!((id.tick(), id.sequence()), (TICK + 1, 0));
    });
}

#[test]
fn two_threads_wait_for_the_next_millisecond() {
    every(|| {
        let generator = generator(Witness::of(TicksInTheWait::new(TICK)));
        leave(&generator, 0);
        let other = start(&generator, due::<1, _>);
        let mine = due::<1, _>(&generator);
        assert_unique(&[&mine, &join(other)]);
    });
}

/// One of the threads gets the last ID. The others claim ahead and wait, or find the next
/// millisecond begun.
#[test]
fn two_threads_claim_across_the_millisecond() {
    bounded(6, || {
        let generator = generator(Witness::of(TicksInTheWait::new(TICK)));
        leave(&generator, 1);
        let other = start(&generator, due::<2, _>);
        let mine = due::<2, _>(&generator);
        assert_unique(&[&mine, &join(other)]);
    });
}

#[test]
fn three_threads_wait_for_the_next_millisecond() {
    bounded(3, || {
        let generator = generator(Witness::of(TicksInTheWait::new(TICK)));
        leave(&generator, 1);
        let others = [(); 2].map(|()| start(&generator, due::<1, _>));
        let mine = due::<1, _>(&generator);
        let [second, third] = others.map(join);
        assert_unique(&[&mine, &second, &third]);
    });
}

#[test]
fn a_block_across_the_millisecond_and_single_ids_do_not_overlap() {
    every(|| {
        let generator = generator(Witness::of(TicksInTheWait::new(TICK)));
        leave(&generator, 2);
        let block = start(&generator, |generator| {
            let block: Vec<_> = generator.reserve(4).expect("a block").collect();
            for &id in &block {
                generator.clock().assert_due(id);
            }
            block
        });
        let mine = due::<2, _>(&generator);
        let block = join(block);
        assert_eq!(block.len(), 4);
        assert_unique(&[&mine, &block]);
    });
}

/// While one caller waits for a tick, the clock shows an earlier one again. No other caller may
/// claim in the tick.
#[test]
fn the_clock_steps_back_while_a_thread_waits() {
    bounded(6, || {
        // One reading for the builder, one for the block, one for the ID after it. The scheduler
        // distributes the rest.
        let generator = generator(Witness::of(Script::new(&[10, 10, 10, 10, 10, 9, 10, 9, 10, 11, 10, 9, 11])));
        leave(&generator, 0);
        let other = start(&generator, due::<1, _>);
        let mine = due::<2, _>(&generator);
        assert_unique(&[&mine, &join(other)]);
    });
}

/// A claim that would have to wait is refused, and takes no slot.
#[test]
fn a_refused_claim_takes_no_slot() {
    every(|| {
        let generator = generator(ManualClock::new(TICK));
        leave(&generator, 1);
        let other = start(&generator, |generator| generator.try_next_id().is_ok());
        let mine = generator.try_next_id().is_ok();
        assert!(mine ^ join(other));
        assert!(generator.try_next_id().is_err());
        generator.clock().advance(1);
        assert_eq!(ids::<1, _>(&generator).map(|id| (id.tick(), id.sequence())), [(TICK + 1, 0)]);
    });
}
