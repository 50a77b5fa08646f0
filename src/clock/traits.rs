//! The `Clock` trait.

use core::time::Duration;

use crate::clock::stats::ClockStats;

/// Tells a generator the time: the Unix time in milliseconds.
///
/// A clock may stand still, jump and step back; uniqueness never depends on it. A generator whose clock is behind the
/// IDs it has issued finishes the millisecond it is in, then waits, for at most its `max_wait`.
///
/// The default clock of a generator is [`SystemClock`]. One of your own needs one method:
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
    /// The Unix time in milliseconds. Called once per ID, so it should be fast.
    fn unix_millis(&self) -> u64;

    /// The same time as exactly as the clock knows it: what a caller is told that has to wait.
    ///
    /// It is called on slow paths alone. A clock that remembers a time must read its source here, so that waiting for
    /// the time to change cannot last forever. The default is [`unix_millis`](Self::unix_millis).
    fn unix_time(&self) -> Duration {
        Duration::from_millis(self.unix_millis())
    }

    /// Whether the time is simulated, as in tests; `false` by default.
    ///
    /// All generators of a process for one epoch and node share one timeline, so that they cannot repeat each other's
    /// IDs. A generator on a simulated clock has a timeline of its own: twin generators on it issue the same IDs.
    fn is_simulated(&self) -> bool {
        false
    }

    /// What the clock says of itself, for [`Generator::stats`](crate::Generator::stats); nothing by default.
    fn stats(&self) -> ClockStats {
        ClockStats::default()
    }
}

/// The whole milliseconds of a time.
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
