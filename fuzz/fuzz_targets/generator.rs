//! A sequence of calls of a generator, on a clock that moves, jumps and stands still: the same IDs and errors as the
//! reference of `tests/util/reference.rs`.

#![no_main]

#[path = "../../tests/util/reference.rs"]
mod reference;

use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use pyflake::layout::MAX_TICK;
use reference::{EPOCH, Model, Operation, Real, compare};

/// A generator, and what is done to it.
#[derive(Debug)]
struct Run {
    model: Model,
    operations: Vec<Operation>,
}

impl<'a> Arbitrary<'a> for Run {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        // A generator can be built on no clock before the epoch, and on none past 42 bits.
        let from_start = input.int_in_range(0..=MAX_TICK)?;
        let tick = if input.arbitrary()? { MAX_TICK - from_start % 8 } else { from_start };
        // A wait is over at once: see the clock of the reference.
        let obliging = input.arbitrary()?;
        let model = Model {
            pid: input.int_in_range(0..=31)?,
            seed: input.int_in_range(0..=31)?,
            now: EPOCH.as_unix_millis() + tick,
            max_wait: if obliging { 10_000 } else { 0 },
            obliging,
            ..Model::default()
        };
        let mut operations = Vec::new();
        while !input.is_empty() && operations.len() < 64 {
            operations.push(operation(input)?);
        }
        Ok(Run { model, operations })
    }
}

fn operation(input: &mut Unstructured<'_>) -> arbitrary::Result<Operation> {
    Ok(match input.int_in_range(0..=8)? {
        0 => Operation::TryNext(input.int_in_range(1..=5000)?),
        1 => Operation::Next,
        2 => Operation::Reserve(input.int_in_range(0..=9000)?),
        3 => Operation::Fill(input.int_in_range(0..=9000)?),
        4 => Operation::Advance(input.int_in_range(1..=4)?),
        5 => Operation::StepBack(input.int_in_range(1..=6)?),
        // To either end of the timeline, just short of it or just past it.
        6 => Operation::Jump(EPOCH.as_unix_millis() + MAX_TICK - 4 + input.int_in_range(0..=6)?),
        7 => Operation::Jump(EPOCH.as_unix_millis() - 2 + input.int_in_range(0..=1000)?),
        _ => Operation::Jump(input.arbitrary()?),
    })
}

fuzz_target!(|run: Run| {
    let mut generator = Real::new(&run.model);
    if let Err(difference) = compare(&mut generator, run.model, &run.operations) {
        panic!("{difference}");
    }
});
