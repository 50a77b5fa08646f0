//! Feature `jiff`: times as [`jiff::Timestamp`].

use core::ops::{Range, RangeInclusive};

use jiff::Timestamp;

use crate::error::Error;
use crate::id::{Epoch, Snowflake};
use crate::interop::instant;

impl Snowflake {
    /// The instant of the ID as a [`jiff::Timestamp`], given the epoch it was made with; `None` after the year 9999,
    /// where `jiff` ends.
    ///
    /// ```
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let id = Snowflake::from(175_928_847_299_117_063);
    /// let time = id.to_jiff(Epoch::DISCORD).expect("of this century");
    /// assert_eq!(time.to_string(), "2016-04-30T11:18:25.796Z");
    /// ```
    #[must_use]
    pub fn to_jiff(self, epoch: Epoch) -> Option<Timestamp> {
        // Not `from_millisecond`, which ends one second before `jiff` does.
        Timestamp::from_nanosecond(i128::from(self.timestamp(epoch)) * instant::NANOS_PER_MILLI).ok()
    }

    /// All IDs from one instant up to, and without, another: as [`range`](Self::range), for [`jiff::Timestamp`].
    ///
    /// An ID is in it if what [`to_jiff`](Self::to_jiff) gives is, also where the bounds lie between two milliseconds.
    ///
    /// ```
    /// use jiff::Timestamp;
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let start: Timestamp = "2016-04-30T00:00:00+02:00".parse()?;
    /// let end: Timestamp = "2016-05-01T00:00:00+02:00".parse()?;
    /// let ids = Snowflake::range_jiff(Epoch::DISCORD, start..end)?;
    /// assert!(ids.contains(&Snowflake::from(175_928_847_299_117_063)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range), and [`Error::Before1970`].
    pub fn range_jiff(epoch: Epoch, times: Range<Timestamp>) -> Result<RangeInclusive<Self>, Error> {
        Snowflake::range(
            epoch,
            instant::first_milli(times.start.as_nanosecond())?..instant::first_milli(times.end.as_nanosecond())?,
        )
    }
}

impl TryFrom<Timestamp> for Epoch {
    type Error = Error;

    /// Makes an epoch of an instant; refuses one before 1970 with [`Error::Before1970`], and one that is not a whole
    /// millisecond with [`Error::NotWholeMillis`].
    ///
    /// ```
    /// use jiff::Timestamp;
    /// use pyflake::Epoch;
    ///
    /// let epoch = Epoch::try_from("2019-04-15T04:12:00Z".parse::<Timestamp>()?)?;
    /// assert_eq!(epoch, Epoch::from_unix_millis(1_555_301_520_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn try_from(time: Timestamp) -> Result<Self, Error> {
        instant::epoch(time.as_nanosecond())
    }
}
