//! Features `chrono` and `jiff`: the same questions to the times of both.

use core::fmt::Debug;
use core::ops::{Range, RangeInclusive};

use crate::common::{EPOCH, NOW, number};
use proptest::prelude::*;
use pyflake::layout::MAX_TICK;
use pyflake::{Epoch, Error, Snowflake};

const MILLI: i128 = 1_000_000;

/// A time as a crate has it.
trait Instant: Copy + PartialOrd + Debug + TryInto<Epoch, Error = Error> {
    const MIN: Self;
    const MAX: Self;

    /// Of RFC 3339.
    fn parse(text: &str) -> Self;
    /// Since 1970.
    fn nanos(nanos: i128) -> Self;
    fn as_nanos(self) -> i128;

    fn of(id: Snowflake, epoch: Epoch) -> Option<Self>;
    fn range(epoch: Epoch, times: Range<Self>) -> Result<RangeInclusive<Snowflake>, Error>;

    fn plus(self, nanos: i128) -> Self {
        Self::nanos(self.as_nanos() + nanos)
    }

    fn millis(self) -> i64 {
        self.as_nanos().div_euclid(MILLI).try_into().unwrap()
    }
}

#[cfg(feature = "chrono")]
impl Instant for chrono::DateTime<chrono::Utc> {
    const MIN: Self = Self::MIN_UTC;
    const MAX: Self = Self::MAX_UTC;

    fn parse(text: &str) -> Self {
        text.parse().unwrap()
    }

    fn nanos(nanos: i128) -> Self {
        let second = 1000 * MILLI;
        let (seconds, nanos) = (nanos.div_euclid(second), nanos.rem_euclid(second));
        Self::from_timestamp(seconds.try_into().unwrap(), nanos.try_into().unwrap()).unwrap()
    }

    fn as_nanos(self) -> i128 {
        i128::from(self.timestamp()) * 1000 * MILLI + i128::from(self.timestamp_subsec_nanos())
    }

    fn of(id: Snowflake, epoch: Epoch) -> Option<Self> {
        id.to_chrono(epoch)
    }

    fn range(epoch: Epoch, times: Range<Self>) -> Result<RangeInclusive<Snowflake>, Error> {
        Snowflake::range_chrono(epoch, times)
    }
}

#[cfg(feature = "jiff")]
impl Instant for jiff::Timestamp {
    const MIN: Self = Self::MIN;
    const MAX: Self = Self::MAX;

    fn parse(text: &str) -> Self {
        text.parse().unwrap()
    }

    fn nanos(nanos: i128) -> Self {
        Self::from_nanosecond(nanos).unwrap()
    }

    fn as_nanos(self) -> i128 {
        self.as_nanosecond()
    }

    fn of(id: Snowflake, epoch: Epoch) -> Option<Self> {
        id.to_jiff(epoch)
    }

    fn range(epoch: Epoch, times: Range<Self>) -> Result<RangeInclusive<Snowflake>, Error> {
        Snowflake::range_jiff(epoch, times)
    }
}

fn epoch<T: Instant>(time: T) -> Result<Epoch, Error> {
    time.try_into()
}

fn the_time_of_an_id<T: Instant>() {
    let time = T::of(Snowflake::from(473_032_512_445_898_752), EPOCH).unwrap();
    assert_eq!(time, T::parse("2022-11-10T11:54:19.486Z"));
    assert_eq!(time.millis(), NOW.cast_signed());
    assert_eq!(T::of(Snowflake::from(u64::MAX), EPOCH), Some(T::parse("2158-08-27T11:47:11.103Z")));
}

fn the_named_epochs_are_what_their_docs_say<T: Instant>() {
    assert_eq!(epoch(T::nanos(0)), Ok(Epoch::UNIX));
    assert_eq!(epoch(T::parse("2010-11-04T01:42:54.657Z")), Ok(Epoch::TWITTER));
    assert_eq!(epoch(T::parse("2015-01-01T00:00:00Z")), Ok(Epoch::DISCORD));
    assert_eq!(epoch(T::parse("2019-04-15T06:12:00+02:00")), Ok(EPOCH));
}

fn an_epoch_is_a_whole_millisecond_from_1970_on<T: Instant>() {
    let inexact = |unix_millis, nanos| Err(Error::NotWholeMillis { unix_millis, nanos });
    assert_eq!(epoch(T::nanos(1)), inexact(0, 1));
    assert_eq!(epoch(T::nanos(7 * MILLI - 1)), inexact(6, 999_999));
    assert_eq!(epoch(T::nanos(7 * MILLI)), Ok(Epoch::from_unix_millis(7)));
    let before = |unix_millis| Err(Error::Before1970 { unix_millis });
    assert_eq!(epoch(T::nanos(-1)), before(-1));
    assert_eq!(epoch(T::nanos(-MILLI)), before(-1));
    assert_eq!(epoch(T::MIN), before(T::MIN.millis()));
    assert_eq!(epoch(T::MAX), inexact(T::MAX.millis().cast_unsigned(), 999_999));
    for (error, said) in [(inexact(6, 999_999), "999999 ns"), (before(-1), "-1")] {
        let message = error.unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

fn no_time_after_the_last_of_the_crate<T: Instant>() {
    let last = T::MAX.millis().cast_unsigned();
    let time = |epoch| T::of(Snowflake::from(0), Epoch::from_unix_millis(epoch));
    assert_eq!(time(last).unwrap().millis(), last.cast_signed());
    assert_eq!(time(last + 1), None);
    assert_eq!(time(u64::MAX), None);
}

fn a_range_ends_before_its_end<T: Instant>() {
    let now = T::nanos(i128::from(NOW) * MILLI);
    let id = Snowflake::first_at(EPOCH, NOW).unwrap();
    let within = |start, end| T::range(EPOCH, now.plus(start)..now.plus(end)).unwrap().contains(&id);
    assert!(within(0, 1));
    assert!(within(0, 1_000_000));
    assert!(within(-1, 1));
    assert!(!within(1, 1_000_000));
    assert!(!within(-1, 0));
    assert!(!within(0, 0));
    assert!(!within(1, 2));
}

fn a_range_outside_of_the_epoch_is_an_error<T: Instant>() {
    let (epoch, ends) = (EPOCH.as_unix_millis(), EPOCH.lifetime().ends);
    let (start, end) = (T::nanos(i128::from(epoch) * MILLI), T::nanos(i128::from(ends) * MILLI));
    let range = |start, end| T::range(EPOCH, start..end);
    assert!(range(start, start.plus(1)).is_ok());
    assert_eq!(range(T::nanos(-1), start), Err(Error::Before1970 { unix_millis: -1 }));
    assert_eq!(range(start.plus(-MILLI), start), Err(Error::EpochInFuture { epoch, now: epoch - 1 }));
    assert!(range(start, end).is_ok());
    assert_eq!(range(start, end.plus(1)), Err(Error::EndOfTime { epoch, now: ends + 1 }));
    assert!(matches!(range(end, start), Err(Error::ReversedRange { .. })));
}

fn an_id_is_in_a_range_if_its_time_is<T: Instant>(id: u64, start: i128, length: i128) -> Result<(), TestCaseError> {
    let id = Snowflake::from(id >> 1);
    prop_assume!(id.tick() > 10 && id.tick() < MAX_TICK - 10);
    let time = T::of(id, EPOCH).unwrap();
    let times = time.plus(start)..time.plus(start + length);
    prop_assert_eq!(T::range(EPOCH, times.clone()).unwrap().contains(&id), times.contains(&time));
    Ok(())
}

fn an_epoch_gives_its_time_back<T: Instant>(millis: u64) -> Result<(), TestCaseError> {
    let given = Epoch::from_unix_millis(millis % (T::MAX.millis().cast_unsigned() + 1));
    prop_assert_eq!(epoch(T::of(Snowflake::from(0), given).unwrap()), Ok(given));
    Ok(())
}

macro_rules! asked {
    ($feature:literal, $module:ident, $time:ty: $($question:ident)*) => {
        #[cfg(feature = $feature)]
        mod $module {
            use super::{number, proptest};

            $(
                #[test]
                fn $question() {
                    super::$question::<$time>();
                }
            )*

            proptest! {
                #[test]
                fn an_id_is_in_a_range_if_its_time_is(
                    id in number(), start in -5_000_000_i128..5_000_000, length in 0..9_000_000_i128
                ) {
                    super::an_id_is_in_a_range_if_its_time_is::<$time>(id, start, length)?;
                }

                #[test]
                fn an_epoch_gives_its_time_back(millis in number()) {
                    super::an_epoch_gives_its_time_back::<$time>(millis)?;
                }
            }
        }
    };
    ($($question:ident)*) => {
        asked!("chrono", chrono_times, chrono::DateTime<chrono::Utc>: $($question)*);
        asked!("jiff", jiff_times, jiff::Timestamp: $($question)*);
    };
}

asked! {
    the_time_of_an_id
    the_named_epochs_are_what_their_docs_say
    an_epoch_is_a_whole_millisecond_from_1970_on
    no_time_after_the_last_of_the_crate
    a_range_ends_before_its_end
    a_range_outside_of_the_epoch_is_an_error
}

#[cfg(feature = "chrono")]
#[test]
fn chronos_leap_second_is_the_second_after_it_too() {
    // 2016 ended with one, the last so far.
    let leap = chrono::DateTime::parse("2016-12-31T23:59:60.25Z");
    assert_eq!(leap.timestamp_subsec_nanos(), 1_250_000_000);
    assert_eq!(Epoch::try_from(leap), Epoch::try_from(chrono::DateTime::parse("2017-01-01T00:00:00.25Z")));
}

#[cfg(feature = "chrono")]
#[test]
fn any_time_zone_of_chronos_will_do() {
    let at = |text| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    let (start, end) = (at("2022-11-10T12:54:19.486+01:00"), at("2022-11-10T04:54:19.487-07:00"));
    let ids = Snowflake::range_chrono(EPOCH, start..end);
    assert_eq!(ids, Snowflake::range(EPOCH, NOW..NOW + 1));
    assert_eq!(Epoch::try_from(at("2019-04-15T06:12:00+02:00")), Ok(EPOCH));
}
