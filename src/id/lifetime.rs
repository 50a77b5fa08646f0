//! The type `Lifetime`: the dates on which an epoch runs out of IDs.

use core::time::Duration;

use crate::id::epoch::Epoch;
use crate::layout::{self, MAX_TICK};

/// The ticks that have IDs: `2^42`, 139 years.
const TICKS: u64 = MAX_TICK + 1;
/// The ticks whose IDs fit an `i64`: `2^41`, the first half.
const I64_TICKS: u64 = layout::tick(i64::MAX.cast_unsigned()) + 1;

/// The dates on which an epoch runs out of IDs, made by [`Epoch::lifetime`].
///
/// IDs stop fitting an `i64` after 69 years and end after 139.
///
/// Both dates are Unix milliseconds and exclusive: the millisecond before has all of its IDs. They
/// saturate at `u64::MAX` for an epoch within 139 years of it. No clock shows such a time.
///
/// A health check compares the remaining time with the time that a change of the epoch or the
/// column takes. Use `i64_remaining` if IDs are stored as `BIGINT` or `i64`, and `remaining` if
/// they are stored as `u64`.
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
    /// The time from a Unix millisecond until IDs stop fitting an `i64`; zero from `i64_ends` on.
    #[must_use]
    pub const fn i64_remaining(self, unix_millis: u64) -> Duration {
        Duration::from_millis(self.i64_ends.saturating_sub(unix_millis))
    }

    /// The time from a Unix millisecond until IDs end; zero from `ends` on.
    #[must_use]
    pub const fn remaining(self, unix_millis: u64) -> Duration {
        Duration::from_millis(self.ends.saturating_sub(unix_millis))
    }
}

impl Epoch {
    /// The dates on which the IDs of this epoch stop fitting an `i64`, and end.
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
