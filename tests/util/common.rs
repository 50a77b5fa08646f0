//! What several test files share: the manual's example, the checkers, and a generator that fails them.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use pyflake::layout::{IDS_PER_TICK, MAX_SEQUENCE, MAX_TICK};
use pyflake::{Clock, Epoch, Error, Generator, GeneratorBuilder, ManualClock, Node, Snowflake};

/// The epoch of the manual's examples.
pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// The Unix time in milliseconds of the manual's example ID.
pub(crate) const NOW: u64 = 1_668_081_259_486;

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn node(pid: u64, seed: u64) -> Node {
    Node::new(pid, seed).unwrap()
}

/// A builder on a clock that shows [`NOW`], and the clock.
pub(crate) fn manual() -> (ManualClock, GeneratorBuilder<ManualClock>) {
    let clock = ManualClock::new(NOW);
    (clock.clone(), Generator::builder(EPOCH, node(6, 6)).clock(clock))
}

/// Takes IDs without waiting until there is an error.
pub(crate) fn drain<C: Clock>(generator: &Generator<C>) -> (Vec<Snowflake>, Error) {
    let mut ids = vec![];
    loop {
        match generator.try_next_id() {
            Ok(id) => ids.push(id),
            Err(error) => return (ids, error),
        }
    }
}

/// The wall clock in Unix milliseconds, as the operating system has it.
pub(crate) fn wall_millis() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Each ID is larger than the one before it.
pub(crate) fn check_increasing(ids: &[Snowflake]) -> Result<(), String> {
    match ids.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(format!("{} is followed by {}", pair[0], pair[1])),
        None => Ok(()),
    }
}

/// No ID is there twice. Sorts them.
pub(crate) fn check_distinct(ids: &mut [Snowflake]) -> Result<(), String> {
    rayon::slice::ParallelSliceMut::par_sort_unstable(ids);
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} was issued twice", pair[0])),
        None => Ok(()),
    }
}

/// No millisecond of one node has more than 4096 IDs. They must be sorted and of one node.
pub(crate) fn check_rate(sorted: &[Snowflake]) -> Result<(), String> {
    match sorted.windows(usize::from(MAX_SEQUENCE) + 2).find(|run| run[0].tick() == run[run.len() - 1].tick()) {
        Some(run) => Err(format!("tick {} has more than {IDS_PER_TICK} IDs", run[0].tick())),
        None => Ok(()),
    }
}

/// No ID is of a time that the wall clock has not reached, give or take the 2 ms that two clocks may differ by.
pub(crate) fn check_not_early(id: Snowflake) -> Result<(), String> {
    let (time, wall) = (id.timestamp(EPOCH), wall_millis());
    if time <= wall + 2 { Ok(()) } else { Err(format!("{id} is of {time}, handed out at {wall}")) }
}

/// Says that it is over when it goes out of scope, also by a panic, so that no thread of a failed test runs on.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The negative control of many tests: a generator as it is often written. It masks the time to 42 bits, wraps the
/// sequence in place when a millisecond is full, restarts it in each other millisecond, and remembers nothing when it
/// is built anew.
#[derive(Default)]
pub(crate) struct Naive {
    last: u64,
    sequence: u16,
}

impl Naive {
    pub(crate) fn next(&mut self, unix_millis: u64) -> Snowflake {
        let tick = unix_millis.wrapping_sub(EPOCH.as_unix_millis()) & MAX_TICK;
        self.sequence = if tick == self.last { (self.sequence + 1) & MAX_SEQUENCE } else { 0 };
        self.last = tick;
        Snowflake::from_parts(EPOCH, EPOCH.as_unix_millis() + tick, node(6, 6), self.sequence).unwrap()
    }

    pub(crate) fn take(&mut self, unix_millis: u64, n: usize) -> Vec<Snowflake> {
        (0..n).map(|_| self.next(unix_millis)).collect()
    }
}

/// Numbers of every size, and those next to the edges of the fields.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0_u32..64, -2_i64..=2).prop_map(|(bit, off)| (1_u64 << bit).wrapping_add_signed(off)),
        (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift),
    ]
}
