//! Feature `chrono`: times as [`chrono::DateTime`].

use core::ops::{Range, RangeInclusive};

use chrono::{DateTime, TimeZone, Utc};

use crate::error::Error;
use crate::id::{Epoch, Snowflake};
use crate::interop::instant;

impl Snowflake {
    /// The instant of the ID as a [`chrono::DateTime`], given the epoch it was made with; `None` after the year
    /// 262142, where `chrono` ends.
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

    /// All IDs from one instant up to, and without, another: as [`range`](Self::range), for [`chrono::DateTime`].
    ///
    /// An ID is in it if what [`to_chrono`](Self::to_chrono) gives is, also where the bounds lie between two
    /// milliseconds. Of a leap second that `chrono` writes as `23:59:60`, the second before and the one after it have
    /// the IDs.
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

    /// Makes an epoch of an instant; refuses one before 1970 with [`Error::Before1970`], and one that is not a whole
    /// millisecond with [`Error::NotWholeMillis`].
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

/// Also of a leap second, in which the nanoseconds of the second before go on to two thousand million.
fn unix_nanos<Tz: TimeZone>(time: &DateTime<Tz>) -> i128 {
    i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos())
}
