//! Calls one operation a number of times; `ci/callgrind.sh` counts its instructions.
//!
//! The clock is a `ManualClock` that advances a millisecond for every 2048 IDs, so each run
//! executes the same instructions. The cost of the real clock is an operation of its own.

mod common;

use std::hint::black_box;
use std::process::ExitCode;

use common::EPOCH;
use pyflake::{CachePolicy, Clock, Generator, ManualClock, Node, PyflakeClient, Snowflake, SystemClock};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    // `cargo bench` and `cargo test` run this program too, with other arguments. Then it does
    // nothing.
    let [_, operation, count] = &args[..] else { return ExitCode::SUCCESS };
    let Ok(count) = count.parse::<u64>() else { return ExitCode::SUCCESS };
    if run(operation, count) {
        ExitCode::SUCCESS
    } else {
        eprintln!("{operation} is not an operation: use one of ci/callgrind.limits");
        ExitCode::FAILURE
    }
}

/// The only function whose instructions callgrind counts.
///
/// The start of the program calibrates the real clock, and its number of instructions varies.
#[inline(never)]
fn counted(clock: &ManualClock, milliseconds: u64, calls: &mut dyn FnMut()) {
    for _ in 0..milliseconds {
        clock.advance(1);
        calls();
    }
}

fn run(operation: &str, count: u64) -> bool {
    let clock = ManualClock::new(1_668_081_259_486);
    let node = Node::new(1, 1).expect("in range");
    let builder = Generator::builder(EPOCH, node).clock(clock.clone());
    let client = |cache| {
        let client = PyflakeClient::builder(EPOCH).clock(clock.clone()).cache(cache).build();
        client.create_generator(1, 1).expect("in range");
        client
    };
    macro_rules! each {
        ($call:expr) => {
            counted(&clock, count / 2048, &mut || {
                for _ in 0..2048 {
                    black_box($call);
                }
            })
        };
    }
    match operation {
        "next_id" => {
            let generator = builder.build().expect("past the epoch");
            each!(generator.next_id().unwrap_or_default());
        }
        "try_next_id" => {
            let generator = builder.build().expect("past the epoch");
            each!(generator.try_next_id().unwrap_or_default());
        }
        "next_id/sharded" => {
            let generator = builder.build_sharded(0..=31).expect("past the epoch");
            each!(generator.next_id().unwrap_or_default());
        }
        "fill/256" => {
            let generator = builder.build().expect("past the epoch");
            let mut ids = [Snowflake::default(); 256];
            counted(&clock, count, &mut || _ = black_box(generator.fill(black_box(&mut ids))));
        }
        "generate" => {
            let client = client(CachePolicy::All);
            each!(client.generate().unwrap_or_default());
        }
        "generate/uncached" => {
            let client = client(CachePolicy::Off);
            each!(client.generate().unwrap_or_default());
        }
        "SystemClock" => {
            let clock = SystemClock::new();
            each!(clock.unix_millis());
        }
        _ => return false,
    }
    true
}
