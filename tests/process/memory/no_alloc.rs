//! Issuing an ID allocates nothing, also when it waits or is refused.

use core::hint::black_box;

use crate::common::{EPOCH, MS, manual, node};
use crate::counting::count_in;
use pyflake::{CachePolicy, Error, Generator, PyflakeClient, Snowflake, Wait};

const WAITS: [Wait; 3] = [Wait::Adaptive, Wait::Spin, Wait::Sleep(MS)];

/// The number of allocations in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    count_in(work).0.allocations
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| drop(black_box(vec![0_u8; 10]))), 1);
    assert!(allocations(|| drop(black_box("x".parse::<Snowflake>()))) > 0, "the error holds the text");
}

#[test]
fn below_saturation() {
    let (clock, builder) = manual();
    let generator = builder.build().unwrap();
    let mut ids = [Snowflake::default(); 1000];
    let in_all = allocations(|| {
        for _ in 0..100 {
            clock.advance(1);
            generator.next_id().unwrap();
            generator.try_next_id().unwrap();
            generator.fill(&mut ids).unwrap();
            assert_eq!(generator.reserve(1000).unwrap().count(), 1000);
        }
    });
    assert_eq!(in_all, 0);
}

#[test]
fn on_the_system_clock_and_while_waiting() {
    for (wait, seed) in WAITS.into_iter().zip(0..) {
        let generator = Generator::builder(EPOCH, node(10, seed)).wait(wait).build().unwrap();
        let mut ids = vec![Snowflake::default(); 10_000];
        let in_all = allocations(|| {
            // 200 ms or more, in which the clock looks at the wall twice.
            for _ in 0..200 {
                for _ in 0..1024 {
                    generator.next_id().unwrap();
                    let _ = generator.try_next_id();
                }
            }
            for _ in 0..5 {
                generator.fill(&mut ids).unwrap();
            }
        });
        assert_eq!(in_all, 0, "{wait:?}");
    }
}

#[test]
fn when_refused() {
    let (clock, builder) = manual();
    let generator = builder.max_wait(MS).build().unwrap();
    generator.reserve(4096).unwrap();
    let mut ids = vec![Snowflake::default(); 10_000];
    let in_all = allocations(|| {
        assert!(matches!(generator.try_next_id(), Err(Error::Exhausted { .. })));
        assert!(matches!(generator.fill(&mut ids), Err(Error::WaitTooLong { .. })));
        assert!(matches!(generator.next_id(), Err(Error::ClockStalled { .. })));
        clock.set(0);
        assert!(matches!(generator.next_id(), Err(Error::EpochInFuture { .. })));
        clock.set(u64::MAX);
        assert!(matches!(generator.next_id(), Err(Error::EndOfTime { .. })));
    });
    assert_eq!(in_all, 0);
}

#[test]
fn by_a_client_whose_cache_is_bounded() {
    for (policy, seed) in [(CachePolicy::Recent(100), 10), (CachePolicy::Off, 11)] {
        let client = PyflakeClient::builder(EPOCH).cache(policy).build();
        client.create_generator(10, seed).unwrap();
        let in_all = allocations(|| {
            for _ in 0..10_000 {
                client.generate().unwrap();
            }
        });
        assert_eq!(in_all, 0, "{policy:?}");
    }
}
