//! Feature `chrono`: times as `chrono::DateTime`.

#![cfg(feature = "chrono")]

mod common;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use common::{EPOCH, NOW, number};
use proptest::prelude::*;
use pyflake::layout::MAX_TICK;
use pyflake::{Epoch, Error, Snowflake};

fn at(text: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(text).unwrap()
}

fn nanos(nanos: i128) -> DateTime<Utc> {
    let second = 1_000_000_000;
    let (seconds, nanos) = (nanos.div_euclid(second), nanos.rem_euclid(second));
    DateTime::from_timestamp(seconds.try_into().unwrap(), nanos.try_into().unwrap()).unwrap()
}

fn as_nanos(time: DateTime<Utc>) -> i128 {
    time.timestamp_nanos_opt().unwrap().into()
}

const MILLI: i128 = 1_000_000;

#[test]
fn the_time_of_an_id() {
    let id = Snowflake::from(473_032_512_445_898_752);
    let time = id.to_chrono(EPOCH).unwrap();
    assert_eq!(time, at("2022-11-10T11:54:19.486Z"));
    assert_eq!(time.timestamp_millis(), NOW.cast_signed());
    assert_eq!(time.to_rfc3339(), "2022-11-10T11:54:19.486+00:00");
    assert_eq!(Snowflake::from(u64::MAX).to_chrono(EPOCH), Some(at("2158-08-27T11:47:11.103Z").to_utc()));
}

#[test]
fn the_named_epochs_are_what_their_docs_say() {
    assert_eq!(Epoch::try_from(DateTime::UNIX_EPOCH), Ok(Epoch::UNIX));
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
    assert_eq!(Epoch::try_from(DateTime::<Utc>::MIN_UTC), before(DateTime::<Utc>::MIN_UTC.timestamp_millis()));
    let last = DateTime::<Utc>::MAX_UTC.timestamp_millis().cast_unsigned();
    assert_eq!(Epoch::try_from(DateTime::<Utc>::MAX_UTC), inexact(last, 999_999));
    for (error, said) in [(inexact(6, 999_999), "999999 ns"), (before(-1), "-1")] {
        let message = error.unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn no_time_after_the_last_of_chronos() {
    let last = DateTime::<Utc>::MAX_UTC.timestamp_millis().cast_unsigned();
    let time = |epoch| Snowflake::from(0).to_chrono(Epoch::from_unix_millis(epoch));
    assert_eq!(time(last).unwrap().timestamp_millis(), last.cast_signed());
    assert_eq!(time(last + 1), None);
    assert_eq!(time(u64::MAX), None);
}

#[test]
fn a_range_ends_before_its_end() {
    let now = nanos(i128::from(NOW) * MILLI);
    let id = Snowflake::first_at(EPOCH, NOW).unwrap();
    let within = |start, end| {
        let times = now + TimeDelta::nanoseconds(start)..now + TimeDelta::nanoseconds(end);
        Snowflake::range_chrono(EPOCH, times).unwrap().contains(&id)
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
    let nano = TimeDelta::nanoseconds(1);
    let range = |start, end| Snowflake::range_chrono(EPOCH, start..end);
    assert!(range(start, start + nano).is_ok());
    assert_eq!(range(DateTime::UNIX_EPOCH - nano, start), Err(Error::Before1970 { unix_millis: -1 }));
    let epoch = EPOCH.as_unix_millis();
    let before = start - TimeDelta::milliseconds(1);
    assert_eq!(range(before, start), Err(Error::EpochInFuture { epoch, now: epoch - 1 }));
    let end = nanos(i128::from(EPOCH.lifetime().ends) * MILLI);
    assert!(range(start, end).is_ok());
    assert_eq!(range(start, end + nano), Err(Error::EndOfTime { epoch, now: EPOCH.lifetime().ends + 1 }));
    assert!(matches!(range(end, start), Err(Error::ReversedRange { .. })));
}

#[test]
fn a_leap_second_is_the_second_after_it_too() {
    // 2016 ended with one, the last so far.
    let leap = at("2016-12-31T23:59:60.25Z");
    assert_eq!(leap.timestamp_subsec_nanos(), 1_250_000_000);
    assert_eq!(Epoch::try_from(leap), Epoch::try_from(at("2017-01-01T00:00:00.25Z")));
}

#[test]
fn any_time_zone_will_do() {
    let (start, end) = (at("2022-11-10T12:54:19.486+01:00"), at("2022-11-10T04:54:19.487-07:00"));
    let ids = Snowflake::range_chrono(EPOCH, start..end);
    assert_eq!(ids, Snowflake::range(EPOCH, NOW..NOW + 1));
}

proptest! {
    #[test]
    fn an_id_is_in_a_range_if_its_time_is(id in number(), start in -5_000_000_i128..5_000_000, length in 0..9_000_000_i128) {
        let id = Snowflake::from(id >> 1);
        prop_assume!(id.tick() > 10 && id.tick() < MAX_TICK - 10);
        let time = id.to_chrono(EPOCH).unwrap();
        let start = nanos(as_nanos(time) + start);
        let times = start..nanos(as_nanos(start) + length);
        let ids = Snowflake::range_chrono(EPOCH, times.clone()).unwrap();
        prop_assert_eq!(ids.contains(&id), times.contains(&time));
    }

    #[test]
    fn an_epoch_gives_its_time_back(millis in 0..=8_210_266_876_799_999_u64) {
        let epoch = Epoch::from_unix_millis(millis);
        let time = Snowflake::from(0).to_chrono(epoch).unwrap();
        prop_assert_eq!(Epoch::try_from(time), Ok(epoch));
    }
}
