//! Random operations on a generator, against a reference that issues one ID after the other.

use crate::common::{EPOCH, Naive};
use crate::reference::{Answer, Model, Operation, Real, Subject, compare};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use pyflake::layout::MAX_TICK;

const PID: u64 = 3;
const SEED: u64 = 17;

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
    let model = Model { pid: PID, seed: SEED, now, max_wait, obliging, ..Model::default() };
    compare(&mut Real::new(&model), model, operations).map_err(TestCaseError::fail)
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

/// The model of the node that the naive generator has.
fn model(now: u64) -> Model {
    Model { pid: 6, seed: 6, now, max_wait: 3, obliging: true, ..Model::default() }
}

/// Runs random operations on a wrong subject until they differ from the model.
fn is_caught<S: Subject>(subject: impl Fn(u64) -> S) -> bool {
    let config = ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(&(start(), vec(operation(), 1..60)), |(start, operations)| {
        compare(&mut subject(start), model(start), &operations).map_err(TestCaseError::fail)
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
    let mutant = |mistake| move |now| Mutant(model(now), mistake);
    assert!(!is_caught(mutant(|_| {})), "the model differs from itself");
    assert!(is_caught(mutant(|model| model.ahead = false)), "forgets that the last claim ran ahead");
    assert!(is_caught(mutant(|model| model.ahead = true)), "never finishes a millisecond that was begun");
    assert!(is_caught(mutant(|model| model.sequence &= 4095)), "wraps the sequence in place");
    assert!(is_caught(|now| NaiveSubject(now, Naive::default())), "the naive generator");
}
