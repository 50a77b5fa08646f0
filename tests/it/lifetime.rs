//! When the IDs of an epoch end.

use std::time::Duration;

use proptest::prelude::*;
use pyflake::{Epoch, Error, Generator, Lifetime, ManualClock, Node, Snowflake};

const MANUAL: Epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// It can be told at compile time.
const LIFETIME: Lifetime = MANUAL.lifetime();

fn last_node() -> Node {
    Node::new(31, 31).unwrap()
}

/// The first and the last ID of a millisecond, over all nodes.
fn outermost(epoch: Epoch, unix_millis: u64) -> Result<[Snowflake; 2], Error> {
    let first = Snowflake::from_parts(epoch, unix_millis, Node::new(0, 0).unwrap(), 0)?;
    Ok([first, Snowflake::from_parts(epoch, unix_millis, last_node(), 4095)?])
}

#[test]
fn the_dates_of_known_epochs() {
    // 19 December 2088, 19:59:35.552 UTC and 27 August 2158, 11:47:11.104 UTC.
    assert_eq!((LIFETIME.i64_ends, LIFETIME.ends), (3_754_324_775_552, 5_953_348_031_104));
    // Documented for the type: September 2039.
    assert_eq!(Epoch::UNIX.lifetime().i64_ends, 2_199_023_255_552);
}

#[test]
fn the_last_millisecond_of_i64() {
    let [_, last] = outermost(MANUAL, LIFETIME.i64_ends - 1).unwrap();
    assert_eq!(i64::try_from(last), Ok(i64::MAX));
    let [first, _] = outermost(MANUAL, LIFETIME.i64_ends).unwrap();
    assert_eq!(first.as_u64(), 1 << 63);
    assert_eq!(i64::try_from(first), Err(Error::BeyondI64 { id: 1 << 63 }));
}

#[test]
fn the_last_millisecond_of_all() {
    let [_, last] = outermost(MANUAL, LIFETIME.ends - 1).unwrap();
    assert_eq!(last.as_u64(), u64::MAX);
    let end = Error::EndOfTime { epoch: MANUAL.as_unix_millis(), now: LIFETIME.ends };
    assert_eq!(outermost(MANUAL, LIFETIME.ends), Err(end));
}

#[test]
fn a_generator_issues_up_to_the_end() {
    let clock = ManualClock::new(LIFETIME.ends - 1);
    let generator = Generator::builder(MANUAL, last_node()).clock(clock.clone()).build().unwrap();
    let ids: Vec<_> = (0..4096).map(|_| generator.try_next_id().unwrap()).collect();
    assert_eq!(ids[4095].as_u64(), u64::MAX);
    clock.set(LIFETIME.ends);
    assert!(matches!(generator.next_id(), Err(Error::EndOfTime { .. })));
}

#[test]
fn what_remains_falls_to_zero() {
    let Lifetime { i64_ends, ends, .. } = LIFETIME;
    let millisecond = Duration::from_millis(1);
    for (now, i64_remaining, remaining) in [
        (0, Duration::from_millis(i64_ends), Duration::from_millis(ends)),
        (i64_ends - 1, millisecond, Duration::from_millis(ends - i64_ends) + millisecond),
        (i64_ends, Duration::ZERO, Duration::from_millis(ends - i64_ends)),
        (ends - 1, Duration::ZERO, millisecond),
        (ends, Duration::ZERO, Duration::ZERO),
        (u64::MAX, Duration::ZERO, Duration::ZERO),
    ] {
        assert_eq!(LIFETIME.i64_remaining(now), i64_remaining, "at {now}");
        assert_eq!(LIFETIME.remaining(now), remaining, "at {now}");
    }
}

#[test]
fn absurd_epochs_saturate() {
    let ends = |epoch| {
        let Lifetime { i64_ends, ends, .. } = Epoch::from_unix_millis(epoch).lifetime();
        (i64_ends, ends)
    };
    let last = u64::MAX;
    assert_eq!(ends(last - (1 << 42)), (last - (1 << 41), last));
    assert_eq!(ends(last - (1 << 42) + 1), (last - (1 << 41) + 1, last));
    assert_eq!(ends(last - (1 << 41)), (last, last));
    assert_eq!(ends(last), (last, last));
    assert_eq!(Epoch::from_unix_millis(last).lifetime().remaining(0), Duration::from_millis(last));
}

proptest! {
    #[test]
    fn the_ends_are_where_ids_end(epoch in 0..u64::MAX - (1 << 42), offset in 0..1_u64 << 43) {
        let now = epoch.saturating_add(offset);
        let epoch = Epoch::from_unix_millis(epoch);
        let lifetime = epoch.lifetime();
        let ids = outermost(epoch, now);
        prop_assert_eq!(ids.is_ok(), now < lifetime.ends);
        for id in ids.into_iter().flatten() {
            prop_assert_eq!(i64::try_from(id).is_ok(), now < lifetime.i64_ends);
        }
    }
}
