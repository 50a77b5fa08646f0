use core::fmt;
use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use once_cell::race::OnceBox;

use crate::clock::discipline::{Discipline, Source};
use crate::clock::stats::ClockStats;
use crate::clock::traits::Clock;

/// This machine's wall clock, read in a few nanoseconds, that never steps back: the default clock of a generator.
///
/// It reads the processor's time-stamp counter through [`quanta`], and keeps it honest against the kernel's clocks
/// every 100 ms, by whichever caller comes first after that (no thread):
///
/// - The wall clock is ahead (set forward, back from a suspend): this clock follows at once.
/// - The wall clock is behind (set back, a leap second): this clock goes on at its own rate, and lets the wall catch
///   up by running 1 % slow. IDs keep increasing, and are ahead of the wall by what remains of the step.
/// - The kernel does not use the counter itself, or the counter disagrees with the kernel's monotonic clock: this
///   clock reads the kernel's from then on, which costs some 20 ns more.
///
/// So it is within a fraction of a millisecond of the wall clock, with three exceptions. After a step forward it is
/// behind for up to 103 ms, until the next look. After a step back it is ahead by what remains of the step. And a
/// counter that stops is believed until somebody waits, so for 4096 IDs of each generator. `stats()` shows the lead, the
/// looks, the steps back, and whether the counter is in use.
///
/// All `SystemClock`s of a process are one: the first costs up to a few milliseconds to measure the counter, the
/// others nothing.
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
    /// Gives the process's clock.
    #[must_use]
    pub fn new() -> Self {
        // Not `OnceLock`: a child forked while another thread initialises would wait for that thread forever.
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

/// The clocks of this machine.
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
        // The kernel watches its clock source and leaves the counter when it finds it unstable; other systems give no
        // such word, and quanta's own check stands.
        let trusted = !cfg!(target_os = "linux")
            || std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
                .is_ok_and(|name| matches!(name.trim_end(), "tsc" | "arch_sys_counter"));
        if trusted { self.counter.delta_as_nanos(0, 1 << 36) } else { 0 }
    }

    fn monotonic(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn wall(&self) -> u64 {
        // Before 1970 the wall says 0; the epoch check refuses such a time.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
    }
}

/// A duration in nanoseconds: 64 bits of them are 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
