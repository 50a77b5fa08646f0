//! When the IDs of an epoch run out.

use core::time::Duration;

use crate::id::epoch::Epoch;
use crate::layout::{self, MAX_TICK};

/// How many ticks have IDs at all: `2^42`, 139 years.
const TICKS: u64 = MAX_TICK + 1;
/// How many ticks have IDs that fit an `i64`: `2^41`, the first half.
const I64_TICKS: u64 = layout::tick(i64::MAX.cast_unsigned()) + 1;

/// When the IDs of an epoch run out: first as `i64`, after 69 years, and then altogether, after 139.
///
/// Both ends are Unix times in milliseconds, both exclusive: the millisecond before is the last good one, with all of
/// its IDs. They saturate at `u64::MAX` for an epoch within 139 years of it, which no clock shows.
///
/// [`Epoch::lifetime`] makes one. A health check compares what remains with the time it takes to change the epoch or
/// the column: with `i64_remaining` where IDs are stored as `BIGINT` or `i64`, with `remaining` where they are `u64`.
///
/// ```
/// use std::time::Duration;
/// use pyflake::{Clock, Epoch, SystemClock};
///
/// const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
///
/// let lifetime = Epoch::from_unix_millis(1_555_301_520_000).lifetime();
/// let now = SystemClock::new().unix_millis();
/// if lifetime.i64_remaining(now) < YEAR {
///     eprintln!("IDs no longer fit a BIGINT from {} ms on", lifetime.i64_ends);
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// The first Unix millisecond whose IDs do not fit an `i64`: `2^41` ms after the epoch.
    pub i64_ends: u64,
    /// The first Unix millisecond that has no IDs: `2^42` ms after the epoch.
    pub ends: u64,
}

impl Lifetime {
    /// How long from a Unix time in milliseconds until IDs no longer fit an `i64`: zero from `i64_ends` on.
    #[must_use]
    pub const fn i64_remaining(self, unix_millis: u64) -> Duration {
        Duration::from_millis(self.i64_ends.saturating_sub(unix_millis))
    }

    /// How long from a Unix time in milliseconds until there are no more IDs: zero from `ends` on.
    #[must_use]
    pub const fn remaining(self, unix_millis: u64) -> Duration {
        Duration::from_millis(self.ends.saturating_sub(unix_millis))
    }
}

impl Epoch {
    /// When the IDs of this epoch run out: as `i64`, and altogether.
    ///
    /// ```
    /// use pyflake::Epoch;
    ///
    /// let lifetime = Epoch::UNIX.lifetime();
    /// assert_eq!(lifetime.i64_ends, 1 << 41); // 7 September 2039
    /// assert_eq!(lifetime.ends, 1 << 42); // 15 May 2109
    /// ```
    #[must_use]
    pub const fn lifetime(self) -> Lifetime {
        Lifetime { i64_ends: self.unix_millis(I64_TICKS), ends: self.unix_millis(TICKS) }
    }
}
