//! A generator and a reference that issues one ID after the other: the same operations on both, and the first difference.
//!
//! The property tests and the fuzz targets share it, so it needs nothing but the library.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

use pyflake::layout::MAX_TICK;
use pyflake::{Clock, Epoch, Error, Generator, ManualClock, Node, Snowflake, Wait};

/// The epoch of the manual's examples.
pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);

/// What is done to a generator or its clock; numbers of IDs and milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    /// So many calls, as one would seldom fill a millisecond.
    TryNext(usize),
    Next,
    Reserve(usize),
    Fill(usize),
    Advance(u64),
    StepBack(u64),
    Jump(u64),
}

/// What an operation answered: the outcomes of all its calls, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Ids(Vec<Snowflake>),
    Error(Error),
    /// `ClockStalled`: the IDs were claimed ahead of a clock that stands still, and are lost.
    Stalled,
}

/// The generator, or something that claims to behave like it.
pub(crate) trait Subject {
    fn set_clock(&mut self, unix_millis: u64);
    /// Makes one call of an operation that issues.
    fn call(&mut self, operation: Operation) -> Answer;
}

/// A clock that is set by hand and, where it is obliging, shows the end of time to a caller who looks and looks: it
/// stands still while a claim is made, and spares the waiting.
struct TestClock {
    hands: ManualClock,
    obliging: bool,
    looks: AtomicU64,
}

impl Clock for TestClock {
    fn unix_millis(&self) -> u64 {
        self.hands.unix_millis()
    }

    fn unix_time(&self) -> Duration {
        let waiting = self.looks.fetch_add(1, Ordering::Relaxed) > 50;
        if self.obliging && waiting { Duration::from_millis(u64::MAX) } else { self.hands.unix_time() }
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// A generator of the library.
pub(crate) struct Real {
    generator: Generator<TestClock>,
    max_wait: Duration,
}

impl Real {
    pub(crate) fn new(model: &Model) -> Self {
        let Model { pid, seed, now, max_wait, obliging, .. } = *model;
        let max_wait = Duration::from_millis(max_wait);
        let clock = TestClock { hands: ManualClock::new(now), obliging, looks: AtomicU64::new(0) };
        let builder = Generator::builder(EPOCH, Node::new(pid, seed).unwrap()).clock(clock);
        Real { generator: builder.wait(Wait::Spin).max_wait(max_wait).build().unwrap(), max_wait }
    }

    fn answer(&self, ids: Result<Vec<Snowflake>, Error>) -> Answer {
        match ids {
            Ok(ids) => Answer::Ids(ids),
            Err(Error::ClockStalled { waited }) => {
                assert!(waited > self.max_wait, "{waited:?}");
                Answer::Stalled
            }
            Err(error) => Answer::Error(error),
        }
    }
}

impl Subject for Real {
    fn set_clock(&mut self, unix_millis: u64) {
        self.generator.clock().hands.set(unix_millis);
    }

    fn call(&mut self, operation: Operation) -> Answer {
        self.generator.clock().looks.store(0, Ordering::Relaxed);
        self.answer(match operation {
            Operation::TryNext(_) => self.generator.try_next_id().map(|id| vec![id]),
            Operation::Reserve(n) => self.generator.reserve(n).map(|block| {
                assert_eq!(block.len(), n);
                block.collect()
            }),
            Operation::Fill(n) => {
                let untouched = Snowflake::from(7);
                let mut ids = vec![untouched; n];
                let filled = self.generator.fill(&mut ids);
                assert!(filled.is_ok() || ids.iter().all(|&id| id == untouched), "an error leaves the slice as it was");
                filled.map(|()| ids)
            }
            _ => self.generator.next_id().map(|id| vec![id]),
        })
    }
}

/// The reference: a position in time, moved an ID at a time.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) pid: u64,
    pub(crate) seed: u64,
    pub(crate) now: u64,
    pub(crate) max_wait: u64,
    /// Waiting is of use (see [`TestClock`]).
    pub(crate) obliging: bool,
    /// The next ID is number `sequence` of `tick`, or the first of the tick after it if that is 4096.
    pub(crate) tick: u64,
    pub(crate) sequence: u64,
    /// The last claim ended in a tick that its clock had not reached.
    pub(crate) ahead: bool,
}

impl Model {
    /// Issues `n` IDs, of which the last may be up to `patience` ms away. Else says how many ms it is away.
    fn issue(&mut self, n: usize, patience: u64) -> Result<Answer, u64> {
        let (n, epoch) = (n as u64, EPOCH.as_unix_millis());
        if n == 0 {
            return Ok(Answer::Ids(vec![]));
        }
        if self.now < epoch {
            return Ok(Answer::Error(Error::EpochInFuture { epoch, now: self.now }));
        }
        let clock = self.now - epoch;
        if clock > MAX_TICK {
            return Ok(Answer::Error(Error::EndOfTime { epoch, now: self.now }));
        }

        // A millisecond that was begun in its time is finished, also if the clock is behind it now. (No clock is
        // behind 0, which stands for none.)
        let begun = if self.ahead || self.sequence == 0 { 0 } else { self.tick };
        let (mut tick, mut sequence) = if clock > self.tick { (clock, 0) } else { (self.tick, self.sequence) };
        let last = tick + (sequence + n - 1) / 4096;
        if last > MAX_TICK {
            return Ok(Answer::Error(Error::EndOfTime { epoch, now: epoch + last }));
        }
        let mut ids = vec![];
        for _ in 0..n {
            if sequence == 4096 {
                (tick, sequence) = (tick + 1, 0);
            }
            ids.push(Snowflake::from(tick << 22 | self.seed << 17 | self.pid << 12 | sequence));
            sequence += 1;
        }
        let ahead = tick > clock && tick != begun;
        if ahead && tick - clock > patience {
            return Err(tick - clock);
        }
        *self = Model { tick, sequence, ahead, ..*self };
        Ok(if ahead && !self.obliging { Answer::Stalled } else { Answer::Ids(ids) })
    }
}

impl Subject for Model {
    fn set_clock(&mut self, unix_millis: u64) {
        self.now = unix_millis;
    }

    fn call(&mut self, operation: Operation) -> Answer {
        let (n, patience) = match operation {
            Operation::TryNext(_) => (1, 0),
            Operation::Reserve(n) | Operation::Fill(n) => (n, self.max_wait),
            _ => (1, self.max_wait),
        };
        self.issue(n, patience).unwrap_or_else(|wait| {
            let (wait, max_wait) = (Duration::from_millis(wait), Duration::from_millis(self.max_wait));
            Answer::Error(match operation {
                Operation::TryNext(_) => Error::Exhausted { retry_after: wait },
                _ => Error::WaitTooLong { wait, max_wait },
            })
        })
    }
}

/// Runs the operations on both, and says where they differ first.
pub(crate) fn compare(subject: &mut dyn Subject, mut model: Model, operations: &[Operation]) -> Result<(), String> {
    let mut now = model.now;
    for (step, &operation) in operations.iter().enumerate() {
        let calls = match operation {
            Operation::TryNext(calls) => calls,
            Operation::Next | Operation::Reserve(_) | Operation::Fill(_) => 1,
            _ => 0,
        };
        for call in 0..calls {
            let (expected, answer) = (model.call(operation), subject.call(operation));
            if answer != expected {
                let tick = i128::from(now) - i128::from(EPOCH.as_unix_millis());
                return Err(format!(
                    "step {step}, {operation:?}, call {call}, at tick {tick}: {answer:?} instead of {expected:?}"
                ));
            }
            if !matches!(answer, Answer::Ids(_)) {
                break;
            }
        }
        match operation {
            Operation::Advance(ms) => now = now.saturating_add(ms),
            Operation::StepBack(ms) => now = now.saturating_sub(ms),
            Operation::Jump(time) => now = time,
            _ => {}
        }
        model.set_clock(now);
        subject.set_clock(now);
    }
    Ok(())
}
