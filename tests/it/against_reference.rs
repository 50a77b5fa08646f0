//! Random operations on a generator, against a reference that issues one ID after the other.

mod common;

use common::{EPOCH, Naive, node};
use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use pyflake::layout::MAX_TICK;
use pyflake::{Clock, Error, Generator, ManualClock, Snowflake, Wait};

const PID: u64 = 3;
const SEED: u64 = 17;

#[derive(Clone, Copy, Debug)]
enum Operation {
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
enum Answer {
    Ids(Vec<Snowflake>),
    Error(Error),
    /// `ClockStalled`: the IDs were claimed ahead of a clock that stands still, and are lost.
    Stalled,
}

/// The generator, or something that claims to behave like it.
trait Subject {
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

struct Real {
    generator: Generator<TestClock>,
    max_wait: Duration,
}

impl Real {
    fn new(now: u64, max_wait: u64, obliging: bool) -> Self {
        let max_wait = Duration::from_millis(max_wait);
        let clock = TestClock { hands: ManualClock::new(now), obliging, looks: AtomicU64::new(0) };
        let builder = Generator::builder(EPOCH, node(PID, SEED)).clock(clock);
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
#[derive(Default)]
struct Model {
    now: u64,
    max_wait: u64,
    /// Waiting is of use (see [`TestClock`]).
    obliging: bool,
    /// The next ID is number `sequence` of `tick`, or the first of the tick after it if that is 4096.
    tick: u64,
    sequence: u64,
    /// The last claim ended in a tick that its clock had not reached.
    ahead: bool,
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
            ids.push(Snowflake::from(tick << 22 | SEED << 17 | PID << 12 | sequence));
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
fn compare(subject: &mut dyn Subject, mut model: Model, operations: &[Operation]) -> Result<(), String> {
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

fn operation() -> impl Strategy<Value = Operation> {
    let number = || prop_oneof![0_usize..=3, 1_usize..=10_000, 4090_usize..=4100, 8190_usize..=8194];
    let epoch = EPOCH.as_unix_millis();
    prop_oneof![
        4 => prop_oneof![1_usize..10, 1_usize..5000].prop_map(Operation::TryNext),
        2 => Just(Operation::Next),
        4 => number().prop_map(Operation::Reserve),
        4 => number().prop_map(Operation::Fill),
        6 => (1_u64..=4).prop_map(Operation::Advance),
        4 => (1_u64..=6).prop_map(Operation::StepBack),
        1 => prop_oneof![
            (epoch..epoch + 1000).prop_map(Operation::Jump),
            (epoch - 2..epoch + 2).prop_map(Operation::Jump),
            (MAX_TICK - 4..=MAX_TICK + 2).prop_map(move |tick| Operation::Jump(epoch + tick)),
            any::<u64>().prop_map(Operation::Jump),
        ],
    ]
}

/// Starts anywhere, often at the ends of the time line.
fn start() -> impl Strategy<Value = u64> {
    let epoch = EPOCH.as_unix_millis();
    prop_oneof![0_u64..3, 0..=MAX_TICK, MAX_TICK - 6..=MAX_TICK].prop_map(move |tick| epoch + tick)
}

/// Compares the generator with the model.
fn compare_real(now: u64, max_wait: u64, obliging: bool, operations: &[Operation]) -> Result<(), TestCaseError> {
    let model = Model { now, max_wait, obliging, ..Model::default() };
    compare(&mut Real::new(now, max_wait, obliging), model, operations).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_generator_that_never_waits_is_the_model(start in start(), operations in vec(operation(), 1..60)) {
        compare_real(start, 0, false, &operations)?;
    }

    #[test]
    fn a_generator_that_waits_is_the_model(start in start(), operations in vec(operation(), 1..60)) {
        // So long that no pause of this thread makes the wait fail.
        compare_real(start, 10_000, true, &operations)?;
    }
}

proptest! {
    // Claims ahead of the clock wait in vain here, for a few milliseconds each, so there are fewer of them.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_generator_that_waits_in_vain_is_the_model(
        start in start(),
        max_wait in 1_u64..=3,
        operations in vec(operation(), 1..40),
    ) {
        compare_real(start, max_wait, false, &operations)?;
    }
}

/// Runs random operations on a wrong subject until they differ from the model.
fn is_caught<S: Subject>(subject: impl Fn(u64) -> S) -> bool {
    let config = ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(&(start(), vec(operation(), 1..60)), |(start, operations)| {
        let model = Model { now: start, max_wait: 3, obliging: true, ..Model::default() };
        compare(&mut subject(start), model, &operations).map_err(TestCaseError::fail)
    });
    run.is_err()
}

/// A model with one mistake, made after each operation.
struct Mutant(Model, fn(&mut Model));

impl Subject for Mutant {
    fn set_clock(&mut self, unix_millis: u64) {
        self.0.set_clock(unix_millis);
        (self.1)(&mut self.0);
    }

    fn call(&mut self, operation: Operation) -> Answer {
        self.0.call(operation)
    }
}

struct NaiveSubject(u64, Naive);

impl Subject for NaiveSubject {
    fn set_clock(&mut self, unix_millis: u64) {
        self.0 = unix_millis;
    }

    fn call(&mut self, operation: Operation) -> Answer {
        let n = if let Operation::Reserve(n) | Operation::Fill(n) = operation { n } else { 1 };
        Answer::Ids(self.1.take(self.0, n))
    }
}

#[test]
fn the_comparison_catches_mistakes() {
    let mutant = |mistake| move |now| Mutant(Model { now, max_wait: 3, obliging: true, ..Model::default() }, mistake);
    assert!(!is_caught(mutant(|_| {})), "the model differs from itself");
    assert!(is_caught(mutant(|model| model.ahead = false)), "forgets that the last claim ran ahead");
    assert!(is_caught(mutant(|model| model.ahead = true)), "never finishes a millisecond that was begun");
    assert!(is_caught(mutant(|model| model.sequence &= 4095)), "wraps the sequence in place");
    assert!(is_caught(|now| NaiveSubject(now, Naive::default())), "the naive generator");
}
