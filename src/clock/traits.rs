//! The trait `Clock`, and its implementation for closures.

use core::time::Duration;

use crate::clock::stats::ClockStats;

/// The time source of a generator: Unix time in milliseconds.
///
/// A clock may stand still, jump and step back: uniqueness never depends on it. If the clock is
/// behind the issued IDs, the generator first uses the rest of its current millisecond. Then it
/// waits, for at most its `max_wait`.
///
/// The default clock of a generator is [`SystemClock`]. Your own clock needs one method:
///
/// ```
/// use std::time::{SystemTime, UNIX_EPOCH};
/// use pyflake::{Clock, Epoch, Generator, Node};
///
/// struct Wall;
///
/// impl Clock for Wall {
///     fn unix_millis(&self) -> u64 {
///         SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
///     }
/// }
///
/// let build = || Generator::builder(Epoch::TWITTER, Node::new(1, 2)?).clock(Wall).build();
/// let (one, two) = (build()?, build()?);
/// assert!(one.next_id()? < two.next_id()?);
/// # Ok::<(), pyflake::Error>(())
/// ```
///
/// Closures from no argument to `u64` are simulated clocks, for tests.
pub trait Clock: Send + Sync {
    /// The Unix time in milliseconds. It is called once per ID, so it should be fast.
    fn unix_millis(&self) -> u64;

    /// The current Unix time at full resolution, used to compute waits.
    ///
    /// Only slow paths call it. A clock that caches the time must read its source here; otherwise a
    /// wait for the time to change could last forever. The default is
    /// [`unix_millis`](Self::unix_millis).
    fn unix_time(&self) -> Duration {
        Duration::from_millis(self.unix_millis())
    }

    /// Whether the time is simulated, as in tests; `false` by default.
    ///
    /// All generators of a process for one epoch and node share one timeline, so they never repeat
    /// each other's IDs. A generator on a simulated clock has its own timeline: two of them on one
    /// node issue the same IDs.
    fn is_simulated(&self) -> bool {
        false
    }

    /// Counters of the clock, for [`Generator::stats`](crate::Generator::stats); all zero by
    /// default.
    fn stats(&self) -> ClockStats {
        ClockStats::default()
    }
}

/// The whole milliseconds of a duration. Saturates at `u64::MAX`.
pub(crate) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<F: Fn() -> u64 + Send + Sync> Clock for F {
    fn unix_millis(&self) -> u64 {
        self()
    }

    fn is_simulated(&self) -> bool {
        true
    }
}
