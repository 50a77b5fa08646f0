//! Bounds for searches by time: the first and the last ID of an instant, and the range between two.

use core::ops::Range;

use crate::common::{EPOCH, NOW, manual, node, number};
use proptest::prelude::*;
use pyflake::layout::MAX_TICK;
use pyflake::{Epoch, Error, Snowflake};

const START: u64 = EPOCH.as_unix_millis();
const LAST: u64 = START + MAX_TICK;
const END: u64 = LAST + 1;

fn first(time: u64) -> Snowflake {
    Snowflake::from_parts(EPOCH, time, node(0, 0), 0).unwrap()
}

fn last(time: u64) -> Snowflake {
    Snowflake::from_parts(EPOCH, time, node(31, 31), 4095).unwrap()
}

#[test]
fn an_instant_has_a_first_and_a_last_id() {
    for time in [START, START + 1, NOW, LAST - 1, LAST] {
        assert_eq!(Snowflake::first_at(EPOCH, time), Ok(first(time)));
        assert_eq!(Snowflake::last_at(EPOCH, time), Ok(last(time)));
    }
    assert_eq!(first(START).as_u64(), 0);
    assert_eq!(last(LAST).as_u64(), u64::MAX);
    assert_eq!(last(NOW).as_u64() + 1, first(NOW + 1).as_u64());
}

#[test]
fn an_instant_outside_of_the_epoch_is_an_error() {
    let before = Error::EpochInFuture { epoch: START, now: START - 1 };
    let after = Error::EndOfTime { epoch: START, now: END };
    assert_eq!(Snowflake::first_at(EPOCH, START - 1), Err(before.clone()));
    assert_eq!(Snowflake::last_at(EPOCH, START - 1), Err(before));
    assert_eq!(Snowflake::first_at(EPOCH, END), Err(after.clone()));
    assert_eq!(Snowflake::last_at(EPOCH, END), Err(after));
}

#[test]
fn a_range_has_its_start_and_not_its_end() {
    for (times, ids) in [
        (START..START + 1, first(START)..=last(START)),
        (NOW..NOW + 1, first(NOW)..=last(NOW)),
        (NOW..NOW + 1000, first(NOW)..=last(NOW + 999)),
        (LAST..END, first(LAST)..=last(LAST)),
        (START..END, Snowflake::from(0)..=Snowflake::from(u64::MAX)),
    ] {
        assert_eq!(Snowflake::range(EPOCH, times), Ok(ids));
    }
}

#[test]
fn a_range_outside_of_the_epoch_is_an_error() {
    for (times, error) in [
        (START - 1..NOW, Error::EpochInFuture { epoch: START, now: START - 1 }),
        (START - 1..START - 1, Error::EpochInFuture { epoch: START, now: START - 1 }),
        (START - 1..END + 1, Error::EpochInFuture { epoch: START, now: START - 1 }),
        (NOW..END + 1, Error::EndOfTime { epoch: START, now: END + 1 }),
        (NOW..u64::MAX, Error::EndOfTime { epoch: START, now: u64::MAX }),
        (END..END, Error::EndOfTime { epoch: START, now: END }),
        (END..END + 1, Error::EndOfTime { epoch: START, now: END }),
        (Range { start: NOW, end: NOW - 1 }, Error::ReversedRange { start: NOW, end: NOW - 1 }),
        (Range { start: u64::MAX, end: 0 }, Error::ReversedRange { start: u64::MAX, end: 0 }),
    ] {
        assert_eq!(Snowflake::range(EPOCH, times.clone()), Err(error), "{times:?}");
    }
    let message = Snowflake::range(EPOCH, Range { start: 7, end: 5 }).unwrap_err().to_string();
    assert!(message.contains('7') && message.contains('5') && message.contains("swap"), "{message}");
}

#[test]
fn no_time_has_no_ids() {
    for time in [START, NOW, LAST] {
        let ids = Snowflake::range(EPOCH, time..time).unwrap();
        assert!(ids.is_empty());
        // And for SQL, where BETWEEN compares.
        assert!(ids.start() > ids.end());
    }
}

#[test]
fn the_ids_of_a_generator_are_in_the_ranges_of_their_times() {
    let (clock, builder) = manual();
    let generator = builder.build().unwrap();
    let mut ids = vec![];
    for _ in 0..3 {
        ids.extend(generator.reserve(4096).unwrap());
        clock.advance(1);
    }
    let count = |times| {
        let range = Snowflake::range(EPOCH, times).unwrap();
        ids.iter().filter(|id| range.contains(id)).count()
    };
    assert_eq!(count(NOW - 10..NOW), 0);
    assert_eq!(count(NOW..NOW + 1), 4096);
    assert_eq!(count(NOW + 1..NOW + 3), 8192);
    assert_eq!(count(NOW + 3..NOW + 10), 0);
}

proptest! {
    #[test]
    fn an_id_is_in_a_range_if_its_time_is(id in number(), start in number(), length in number(), near in any::<bool>()) {
        let epoch = EPOCH.as_unix_millis();
        let id = Snowflake::from(id);
        // Times of the epoch, often next to that of the ID.
        let base = if near { id.tick().saturating_sub(start % 3) } else { start & MAX_TICK };
        let end = base + if near { length % 5 } else { length % (MAX_TICK + 2 - base) };
        let times = epoch + base..epoch + end.min(MAX_TICK + 1);
        let ids = Snowflake::range(EPOCH, times.clone()).unwrap();
        prop_assert_eq!(ids.contains(&id), times.contains(&id.timestamp(EPOCH)));
        // As BETWEEN compares.
        let (first, last) = ids.into_inner();
        prop_assert_eq!(first <= id && id <= last, times.contains(&id.timestamp(EPOCH)));
    }

    #[test]
    fn ranges_that_follow_each_other_share_nothing_and_leave_nothing_out(
        mut ticks in prop::array::uniform3(number().prop_map(|tick| tick % (MAX_TICK + 2))),
    ) {
        ticks.sort_unstable();
        let [a, b, c] = ticks.map(|tick| EPOCH.as_unix_millis() + tick);
        prop_assume!(a < b && b < c);
        let range = |times| Snowflake::range(EPOCH, times).unwrap().into_inner();
        let ((first, middle), (next, last)) = (range(a..b), range(b..c));
        prop_assert_eq!(middle.as_u64() + 1, next.as_u64());
        prop_assert_eq!((first, last), range(a..c));
    }

    #[test]
    fn any_epoch_and_times_give_a_range_or_an_error(epoch in number(), start in number(), end in number()) {
        let ends = u128::from(epoch) + u128::from(MAX_TICK) + 1;
        let good = ends - 1 <= u128::from(u64::MAX)
            && epoch <= start && u128::from(start) < ends
            && start <= end && u128::from(end) <= ends;
        prop_assert_eq!(Snowflake::range(Epoch::from_unix_millis(epoch), start..end).is_ok(), good);
    }
}
