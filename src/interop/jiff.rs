//! Feature `jiff`: the times of IDs and epochs as [`jiff::Timestamp`].

use core::ops::{Range, RangeInclusive};

use jiff::Timestamp;

use crate::error::Error;
use crate::id::{Epoch, Snowflake};
use crate::interop::instant;

impl Snowflake {
    /// The time of the ID as a [`jiff::Timestamp`]; `None` after the year 9999, the last of `jiff`.
    ///
    /// `epoch` is the epoch of the generator that issued the ID.
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
        // Not `from_millisecond`: its last time is one second before that of `jiff`.
        Timestamp::from_nanosecond(i128::from(self.timestamp(epoch)) * instant::NANOS_PER_MILLI).ok()
    }

    /// All IDs from one time up to, and without, another: [`range`](Self::range) for
    /// [`jiff::Timestamp`].
    ///
    /// The range contains an ID exactly if `times` contains its [`to_jiff`](Self::to_jiff). This
    /// also holds if a bound lies between two milliseconds.
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

    /// Makes an epoch of a time.
    ///
    /// # Errors
    ///
    /// [`Error::Before1970`] for a time before 1970, [`Error::NotWholeMillis`] for a time that is
    /// not a whole millisecond.
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
