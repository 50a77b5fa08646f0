//! Feature `chrono`: the times of IDs and epochs as [`chrono::DateTime`].

use core::ops::{Range, RangeInclusive};

use chrono::{DateTime, TimeZone, Utc};

use crate::error::Error;
use crate::id::{Epoch, Snowflake};
use crate::interop::instant;

impl Snowflake {
    /// The time of the ID as a [`chrono::DateTime`]; `None` after the year 262142, the last of
    /// `chrono`.
    ///
    /// `epoch` is the epoch of the generator that issued the ID.
    ///
    /// ```
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let id = Snowflake::from(175_928_847_299_117_063);
    /// let time = id.to_chrono(Epoch::DISCORD).expect("of this century");
    /// assert_eq!(time.to_string(), "2016-04-30 11:18:25.796 UTC");
    /// ```
    #[must_use]
    pub fn to_chrono(self, epoch: Epoch) -> Option<DateTime<Utc>> {
        let millis = i64::try_from(self.timestamp(epoch)).ok()?;
        DateTime::from_timestamp_millis(millis)
    }

    /// All IDs from one time up to, and without, another: [`range`](Self::range) for
    /// [`chrono::DateTime`].
    ///
    /// The range contains an ID exactly if `times` contains its [`to_chrono`](Self::to_chrono).
    /// This also holds if a bound lies between two milliseconds. A leap second, which `chrono`
    /// writes as `23:59:60`, counts to the second before it and the second after it.
    ///
    /// ```
    /// use chrono::DateTime;
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let start = DateTime::parse_from_rfc3339("2016-04-30T00:00:00+02:00")?;
    /// let end = DateTime::parse_from_rfc3339("2016-05-01T00:00:00+02:00")?;
    /// let ids = Snowflake::range_chrono(Epoch::DISCORD, start..end)?;
    /// assert!(ids.contains(&Snowflake::from(175_928_847_299_117_063)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range), and [`Error::Before1970`].
    pub fn range_chrono<Tz: TimeZone>(epoch: Epoch, times: Range<DateTime<Tz>>) -> Result<RangeInclusive<Self>, Error> {
        Snowflake::range(
            epoch,
            instant::first_milli(unix_nanos(&times.start))?..instant::first_milli(unix_nanos(&times.end))?,
        )
    }
}

impl<Tz: TimeZone> TryFrom<DateTime<Tz>> for Epoch {
    type Error = Error;

    /// Makes an epoch of a time.
    ///
    /// # Errors
    ///
    /// [`Error::Before1970`] for a time before 1970, [`Error::NotWholeMillis`] for a time that is
    /// not a whole millisecond.
    ///
    /// ```
    /// use chrono::DateTime;
    /// use pyflake::Epoch;
    ///
    /// let epoch = Epoch::try_from(DateTime::parse_from_rfc3339("2019-04-15T04:12:00Z")?)?;
    /// assert_eq!(epoch, Epoch::from_unix_millis(1_555_301_520_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn try_from(time: DateTime<Tz>) -> Result<Self, Error> {
        instant::epoch(unix_nanos(&time))
    }
}

/// The Unix time in nanoseconds. In a leap second `chrono` counts the nanoseconds of the second
/// before it up to two thousand million.
fn unix_nanos<Tz: TimeZone>(time: &DateTime<Tz>) -> i128 {
    i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos())
}
