//! How a caller waits for the next millisecond.

use core::time::Duration;

use crate::clock::Clock;
use crate::error::Error;
use crate::sync::{Backoff, sleep, spin_loop};

/// How a caller spends the rest of a millisecond whose 4096 IDs are issued.
///
/// The IDs are the same whichever way; this is a choice between processor time and delay.
///
/// Without the feature `std` nothing can be slept with, and no other clock can be looked at: all of them spin, and take
/// the generator's clock for stalled when it has not moved on in some 30 million looks (a second, where a look takes 30
/// ns), whatever `max_wait` is. A wait then has the length that this clock gives it, which is none if it stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Sleeps until shortly before the boundary, then spins a little and yields: the default.
    ///
    /// It reaches nearly all of 4096 IDs a millisecond with a fraction of a core.
    #[default]
    Adaptive,
    /// Spins until the boundary without giving up the core: the shortest delay, and a whole core while it waits.
    Spin,
    /// Sleeps for this long, and again until the boundary has passed: the least processor time.
    ///
    /// The system adds to each sleep (some 50 to 100 µs on Linux), so a full millisecond is seldom used at once.
    Sleep(Duration),
}

/// How long before the boundary [`Wait::Adaptive`] wakes up. Linux lets a sleep run 50 µs over by default
/// (`timer_slack_ns`), and waking takes as long again; measured: 85 µs in the median, 100 µs in 99 of 100.
const EARLY: Duration = Duration::from_micros(110);

/// The longest single sleep of [`Wait::Adaptive`]: the clock may be set forward meanwhile.
const NAP: Duration = Duration::from_millis(10);

impl Wait {
    /// Waits until the clock shows the Unix time `until`, or it has had `patience` more than it needed; answers
    /// how long that took.
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
                // The slot stays claimed and is lost, which is the safe side.
                return Err(Error::ClockStalled { waited: watch.waited(now) });
            }
            match self {
                Wait::Adaptive => match rest.checked_sub(EARLY) {
                    Some(nap) => sleep(nap.min(NAP)),
                    // Without std this would not yield, but spin for longer and longer.
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

/// How long a wait takes, by another clock than the one that is waited for.
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

/// How long a wait takes, where there is no other clock than the one that is waited for: a wait is over when that has
/// been looked at many times without moving on.
#[cfg(not(feature = "std"))]
struct Watch {
    start: Duration,
    latest: Duration,
    looks: u32,
}

#[cfg(not(feature = "std"))]
impl Watch {
    /// About a second, at 30 ns for a look and the pause after it.
    const LOOKS: u32 = 1 << 25;

    fn start(now: Duration) -> Self {
        Watch { start: now, latest: now, looks: 0 }
    }

    fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.start)
    }

    fn is_over(&mut self, now: Duration, _: Duration) -> bool {
        if now > self.latest {
            (self.latest, self.looks) = (now, 0);
        }
        self.looks += 1;
        self.looks > Watch::LOOKS
    }
}
