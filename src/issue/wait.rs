//! `Wait`: how a caller waits for the next millisecond.

use core::time::Duration;

use crate::clock::Clock;
use crate::error::Error;
use crate::sync::{Backoff, sleep, spin_loop};

/// How a caller waits for the end of a millisecond whose 4096 IDs are issued.
///
/// The choice trades processor time for delay. The IDs are the same.
///
/// Without the feature `std` the crate can neither sleep nor read a second clock. Then every choice
/// spins and `max_wait` does not bound the wait. The call fails with
/// [`Error::ClockStalled`] when the generator's clock has not moved in
/// some 30 million reads: a second, if a read takes 30 ns. Its `waited` comes from the generator's
/// clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Sleeps until shortly before the boundary, then spins and yields: the default.
    ///
    /// It issues nearly 4096 IDs in a millisecond with a fraction of a core.
    #[default]
    Adaptive,
    /// Spins until the boundary: the shortest delay. It uses a whole core while it waits.
    Spin,
    /// Sleeps for this long, repeatedly until the boundary has passed: the least processor time.
    ///
    /// The system adds some 50 to 100 µs to each sleep on Linux, so the caller misses part of the
    /// next millisecond.
    Sleep(Duration),
}

/// How long before the boundary [`Wait::Adaptive`] wakes up.
///
/// By default Linux ends a sleep up to 50 µs late (`timer_slack_ns`), and waking takes as long
/// again. Measured: 85 µs in the median, 100 µs in 99 of 100 sleeps.
const EARLY: Duration = Duration::from_micros(110);

/// The longest single sleep of [`Wait::Adaptive`]. The clock may be set forward during a sleep.
const NAP: Duration = Duration::from_millis(10);

/// Whether a call waits for slots that lie ahead of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IfAhead {
    /// Wait, for at most `max_wait`.
    Wait,
    /// Return [`Error::Exhausted`] at once.
    Fail,
}

impl Wait {
    /// Waits until the clock reads the Unix time `until`, and returns how long that took.
    ///
    /// # Errors
    ///
    /// [`Error::ClockStalled`] if it takes `patience` longer than the clock said at the start.
    #[cold]
    #[inline(never)]
    pub(crate) fn until(self, clock: &impl Clock, until: Duration, patience: Duration) -> Result<Duration, Error> {
        let backoff = Backoff::new();
        let mut now = clock.unix_time();
        let mut watch = Watch::start(now);
        let longest = until.saturating_sub(now).min(patience).saturating_add(patience);
        loop {
            let Some(rest) = until.checked_sub(now).filter(|rest| !rest.is_zero()) else {
                return Ok(watch.waited(now));
            };
            if watch.is_over(now, longest) {
                // The slots stay claimed and are lost: they are never issued.
                return Err(Error::ClockStalled { waited: watch.waited(now) });
            }
            match self {
                Wait::Adaptive => match rest.checked_sub(EARLY) {
                    Some(nap) => sleep(nap.min(NAP)),
                    // Only with std does `snooze` yield. Without it each call spins longer.
                    None if cfg!(feature = "std") => backoff.snooze(),
                    None => spin_loop(),
                },
                Wait::Spin => spin_loop(),
                Wait::Sleep(pause) => sleep(pause.min(longest)),
            }
            now = clock.unix_time();
        }
    }
}

/// Measures a wait by std's clock, and not by the generator's.
#[cfg(feature = "std")]
struct Watch(std::time::Instant);

#[cfg(feature = "std")]
impl Watch {
    fn start(_: Duration) -> Self {
        Watch(std::time::Instant::now())
    }

    fn waited(&self, _: Duration) -> Duration {
        self.0.elapsed()
    }

    fn is_over(&mut self, now: Duration, longest: Duration) -> bool {
        self.waited(now) > longest
    }
}

/// Measures a wait by the generator's clock, and counts the reads in which that clock did not move.
#[cfg(not(feature = "std"))]
struct Watch {
    start: Duration,
    latest: Duration,
    /// Reads since the clock moved.
    reads: u32,
}

#[cfg(not(feature = "std"))]
impl Watch {
    /// About a second, at 30 ns for a read and the pause after it.
    const MAX_READS: u32 = 1 << 25;

    fn start(now: Duration) -> Self {
        Watch { start: now, latest: now, reads: 0 }
    }

    fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.start)
    }

    fn is_over(&mut self, now: Duration, _: Duration) -> bool {
        if now > self.latest {
            (self.latest, self.reads) = (now, 0);
        }
        self.reads += 1;
        self.reads > Watch::MAX_READS
    }
}
