//! `SystemClock`: the disciplined clock of this process, and the machine clocks that it reads.

use core::fmt;
use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use once_cell::race::OnceBox;

use crate::clock::discipline::{Discipline, Source};
use crate::clock::stats::ClockStats;
use crate::clock::traits::Clock;

/// The default clock of a generator: the machine's wall clock without steps back.
///
/// A read takes a few nanoseconds. The clock reads the processor's time-stamp counter through
/// [`quanta`]. Every 100 ms it compares the counter with the kernel's clocks and corrects it; the
/// first caller after that time does so, without a thread:
///
/// - The wall clock is ahead (it was set forward, or the machine resumed): this clock follows at
///   once.
/// - The wall clock is behind (it was set back, or a leap second passed): this clock runs 1 % slow
///   until the wall clock has caught up. IDs keep increasing. They are ahead of the wall clock by
///   the rest of the step.
/// - The kernel does not use the counter itself, or the counter disagrees with the kernel's
///   monotonic clock: this clock reads the kernel's clock from then on. That takes some 20 ns more.
///
/// So it stays within a fraction of a millisecond of the wall clock, with three exceptions:
///
/// - After a step forward it is behind until the next comparison, for up to 103 ms.
/// - After a step back it is ahead by the rest of the step.
/// - A counter that stops is trusted until a caller waits, so for up to 4096 IDs of each generator.
///
/// `stats()` returns the lead, the number of comparisons, the steps back, and whether the counter
/// is in use.
///
/// All `SystemClock`s of a process are one clock. The first call of `new` measures the counter for
/// up to a few milliseconds.
///
/// ```
/// use pyflake::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// assert!(clock.unix_millis() > 1_700_000_000_000);
/// ```
#[derive(Clone, Copy)]
pub struct SystemClock(&'static Discipline<Machine>);

impl SystemClock {
    /// The clock of this process.
    #[must_use]
    pub fn new() -> Self {
        // Not `OnceLock`: if another thread initialises it during a fork, the child would wait for
        // that thread forever.
        static CLOCK: OnceBox<Discipline<Machine>> = OnceBox::new();
        SystemClock(CLOCK.get_or_init(|| Box::new(Discipline::new(Machine::new()))))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SystemClock").field(&self.unix_time()).finish()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn unix_millis(&self) -> u64 {
        self.0.unix_millis()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_nanos(self.0.unix_nanos())
    }

    fn stats(&self) -> ClockStats {
        self.0.stats()
    }
}

/// The clocks of this machine: the counter, the kernel's monotonic clock and the wall clock.
struct Machine {
    counter: quanta::Clock,
    start: Instant,
}

impl Machine {
    fn new() -> Self {
        Machine { counter: quanta::Clock::new(), start: Instant::now() }
    }
}

impl Source for Machine {
    #[inline]
    fn raw(&self) -> u64 {
        self.counter.raw()
    }

    fn nanos_of_2_pow_36(&self) -> u64 {
        // Linux checks its clock source and switches away from an unstable counter. Other systems
        // do not report this, so the check of `quanta` must suffice.
        let trusted = !cfg!(target_os = "linux")
            || std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
                .is_ok_and(|name| matches!(name.trim_end(), "tsc" | "arch_sys_counter"));
        if trusted { self.counter.delta_as_nanos(0, 1 << 36) } else { 0 }
    }

    fn monotonic(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn wall(&self) -> u64 {
        // A wall clock before 1970 reads as 0. The check of the epoch rejects that time.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
    }
}

/// The nanoseconds of a duration. 64 bits hold 584 years of them.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
