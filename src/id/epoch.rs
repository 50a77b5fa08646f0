//! The type `Epoch`: the Unix time of tick 0.

use core::fmt;
#[cfg(feature = "std")]
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::layout::MAX_TICK;

/// The Unix time of tick 0, in milliseconds. Ticks count from it.
///
/// All generators whose IDs are compared must share one epoch. A reader needs the epoch to compute
/// the time of an ID. The 42 bits of a tick last 139 years. IDs fit an `i64` for the first half of
/// them; [`lifetime`](Self::lifetime) returns both dates.
///
/// ```
/// use pyflake::Epoch;
///
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000); // 15 April 2019, 04:12 UTC
/// assert_eq!(epoch.as_unix_millis(), 1_555_301_520_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// 1 January 1970, 00:00:00.000 UTC. Its IDs leave the range of `i64` in September 2039.
    pub const UNIX: Epoch = Epoch(0);
    /// Twitter's epoch, 4 November 2010, 01:42:54.657 UTC (`twepoch` in the [Snowflake
    /// source](https://github.com/twitter-archive/snowflake)).
    pub const TWITTER: Epoch = Epoch(1_288_834_974_657);
    /// Discord's epoch, the first second of 2015
    /// ([Discord's reference](https://discord.com/developers/docs/reference#snowflakes)).
    pub const DISCORD: Epoch = Epoch(1_420_070_400_000);

    /// Makes an epoch from any number of Unix milliseconds. A generator rejects an epoch in its
    /// future.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Epoch(millis)
    }

    /// The Unix time of tick 0 in milliseconds.
    #[must_use]
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// The Unix time of a tick in milliseconds.
    ///
    /// Saturates for epochs within 139 years of the end of `u64`. No generator accepts such an
    /// epoch.
    pub(crate) const fn unix_millis(self, tick: u64) -> u64 {
        self.0.saturating_add(tick)
    }

    /// The tick of a Unix time in milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::EpochInFuture`] before the epoch, [`Error::EndOfTime`] past the 42 bits.
    pub(crate) const fn tick(self, unix_millis: u64) -> Result<u64, Error> {
        match unix_millis.checked_sub(self.0) {
            // The ticks of such an epoch would pass the end of `u64`. No real clock shows such a
            // time. After a wrap, subtraction could not tell a time before the epoch from one after
            // it.
            _ if self.0 > u64::MAX - MAX_TICK => Err(Error::EpochInFuture { epoch: self.0, now: unix_millis }),
            None => Err(Error::EpochInFuture { epoch: self.0, now: unix_millis }),
            Some(tick) if tick <= MAX_TICK => Ok(tick),
            Some(_) => Err(Error::EndOfTime { epoch: self.0, now: unix_millis }),
        }
    }
}

impl fmt::Display for Epoch {
    /// Writes the Unix milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The [`SystemTime`] of a Unix time in milliseconds; `None` if the platform cannot express it.
#[cfg(feature = "std")]
pub(crate) fn system_time(unix_millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_millis))
}
