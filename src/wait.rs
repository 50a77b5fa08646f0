use core::time::Duration;
use std::time::Instant;

use crate::clock::Clock;
use crate::error::Error;
use crate::sync::{Backoff, sleep, spin_loop};

/// How a caller spends the rest of a millisecond whose 4096 IDs are issued.
///
/// The IDs are the same whichever way; this is a choice between processor time and delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
        let start = Instant::now();
        let mut longest = None;
        loop {
            let Some(rest) = until.checked_sub(clock.unix_time()).filter(|rest| !rest.is_zero()) else {
                return Ok(start.elapsed());
            };
            let longest = *longest.get_or_insert(rest.min(patience).saturating_add(patience));
            let waited = start.elapsed();
            if waited > longest {
                // The slot stays claimed and is lost, which is the safe side.
                return Err(Error::ClockStalled { waited });
            }
            match self {
                Wait::Adaptive => match rest.checked_sub(EARLY) {
                    Some(nap) => sleep(nap.min(NAP)),
                    None => backoff.snooze(),
                },
                Wait::Spin => spin_loop(),
                Wait::Sleep(pause) => sleep(pause.min(longest)),
            }
        }
    }
}
