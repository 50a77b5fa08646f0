//! Feature `jiff`: times as `jiff::Timestamp`.

#![cfg(feature = "jiff")]

mod common;

use common::{EPOCH, NOW, number};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use pyflake::layout::MAX_TICK;
use pyflake::{Epoch, Error, Snowflake};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nanos(nanos: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanos).unwrap()
}

const MILLI: i128 = 1_000_000;

#[test]
fn the_time_of_an_id() {
    let id = Snowflake::from(473_032_512_445_898_752);
    let time = id.to_jiff(EPOCH).unwrap();
    assert_eq!(time, at("2022-11-10T11:54:19.486Z"));
    assert_eq!(time.as_millisecond(), NOW.cast_signed());
    assert_eq!(Snowflake::from(u64::MAX).to_jiff(EPOCH), Some(at("2158-08-27T11:47:11.103Z")));
}

#[test]
fn the_named_epochs_are_what_their_docs_say() {
    assert_eq!(Epoch::try_from(Timestamp::UNIX_EPOCH), Ok(Epoch::UNIX));
    assert_eq!(Epoch::try_from(at("2010-11-04T01:42:54.657Z")), Ok(Epoch::TWITTER));
    assert_eq!(Epoch::try_from(at("2015-01-01T00:00:00Z")), Ok(Epoch::DISCORD));
    assert_eq!(Epoch::try_from(at("2019-04-15T06:12:00+02:00")), Ok(EPOCH));
}

#[test]
fn an_epoch_is_a_whole_millisecond_from_1970_on() {
    let inexact = |unix_millis, nanos| Err(Error::NotWholeMillis { unix_millis, nanos });
    assert_eq!(Epoch::try_from(nanos(1)), inexact(0, 1));
    assert_eq!(Epoch::try_from(nanos(7 * MILLI - 1)), inexact(6, 999_999));
    assert_eq!(Epoch::try_from(nanos(7 * MILLI)), Ok(Epoch::from_unix_millis(7)));
    let before = |unix_millis| Err(Error::Before1970 { unix_millis });
    assert_eq!(Epoch::try_from(nanos(-1)), before(-1));
    assert_eq!(Epoch::try_from(nanos(-MILLI)), before(-1));
    assert_eq!(Epoch::try_from(Timestamp::MIN), before(Timestamp::MIN.as_millisecond()));
    let last = Timestamp::MAX.as_millisecond().cast_unsigned();
    assert_eq!(Epoch::try_from(Timestamp::MAX), inexact(last, 999_999));
    for (error, said) in [(inexact(6, 999_999), "999999 ns"), (before(-1), "-1")] {
        let message = error.unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn no_time_after_the_year_9999() {
    let last = Timestamp::MAX.as_millisecond().cast_unsigned();
    let time = |epoch| Snowflake::from(0).to_jiff(Epoch::from_unix_millis(epoch));
    assert_eq!(time(last).unwrap().as_millisecond(), last.cast_signed());
    assert_eq!(time(last + 1), None);
    assert_eq!(time(u64::MAX), None);
}

#[test]
fn a_range_ends_before_its_end() {
    let now = nanos(i128::from(NOW) * MILLI);
    let id = Snowflake::first_at(EPOCH, NOW).unwrap();
    let within = |start, end| {
        let times = now + SignedDuration::from_nanos(start)..now + SignedDuration::from_nanos(end);
        Snowflake::range_jiff(EPOCH, times).unwrap().contains(&id)
    };
    assert!(within(0, 1));
    assert!(within(0, 1_000_000));
    assert!(within(-1, 1));
    assert!(!within(1, 1_000_000));
    assert!(!within(-1, 0));
    assert!(!within(0, 0));
    assert!(!within(1, 2));
}

#[test]
fn a_range_outside_of_the_epoch_is_an_error() {
    let start = nanos(i128::from(EPOCH.as_unix_millis()) * MILLI);
    let nano = SignedDuration::from_nanos(1);
    let range = |start, end| Snowflake::range_jiff(EPOCH, start..end);
    assert!(range(start, start + nano).is_ok());
    assert_eq!(range(Timestamp::UNIX_EPOCH - nano, start), Err(Error::Before1970 { unix_millis: -1 }));
    let epoch = EPOCH.as_unix_millis();
    let before = start - SignedDuration::from_millis(1);
    assert_eq!(range(before, start), Err(Error::EpochInFuture { epoch, now: epoch - 1 }));
    let end = nanos(i128::from(EPOCH.lifetime().ends) * MILLI);
    assert!(range(start, end).is_ok());
    assert_eq!(range(start, end + nano), Err(Error::EndOfTime { epoch, now: EPOCH.lifetime().ends + 1 }));
    assert!(matches!(range(end, start), Err(Error::ReversedRange { .. })));
}

proptest! {
    #[test]
    fn an_id_is_in_a_range_if_its_time_is(id in number(), start in -5_000_000_i128..5_000_000, length in 0..9_000_000_i128) {
        let id = Snowflake::from(id >> 1);
        prop_assume!(id.tick() > 10 && id.tick() < MAX_TICK - 10);
        let time = id.to_jiff(EPOCH).unwrap();
        let start = nanos(time.as_nanosecond() + start);
        let times = start..nanos(start.as_nanosecond() + length);
        let ids = Snowflake::range_jiff(EPOCH, times.clone()).unwrap();
        prop_assert_eq!(ids.contains(&id), times.contains(&time));
    }

    #[test]
    fn an_epoch_gives_its_time_back(millis in 0..=253_402_207_200_999_u64) {
        let epoch = Epoch::from_unix_millis(millis);
        let time = Snowflake::from(0).to_jiff(epoch).unwrap();
        prop_assert_eq!(Epoch::try_from(time), Ok(epoch));
    }
}
