//! How the system's clock is kept fast, monotonic and true at once.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::time::Duration;

use crate::clock::stats::ClockStats;
use crate::trace;

/// What the discipline reads: three clocks of one machine.
pub(super) trait Source {
    /// The fastest counter there is, in units of its own.
    fn raw(&self) -> u64;
    /// How many nanoseconds a count of 2^36 of [`raw`](Self::raw) takes; 0 if the counter is not to be used.
    fn nanos_of_2_pow_36(&self) -> u64;
    /// A clock that is never set: nanoseconds since any fixed moment.
    fn monotonic(&self) -> u64;
    /// The wall clock: Unix nanoseconds.
    fn wall(&self) -> u64;
}

/// How often the wall clock is read.
const PERIOD: u64 = 100_000_000;
/// How much of a lead over the wall is given up in a period: 1 %.
const SLEW: u64 = PERIOD / 100;
/// A reading of all clocks that took longer than this was interrupted, and is tried again.
const BRACKET: u64 = 10_000;
/// The wall lost more than this against the monotonic clock in a period: it was set back, and did not drift.
const STEP: i64 = 5_000_000;

/// Two layers: the kernel's monotonic clock carries the time between two looks at the wall, and the counter carries it
/// between two looks at the monotonic clock.
///
/// The atomics are std's even under loom: the one of the process outlives a model. No guarantee rests on it.
pub(super) struct Discipline<S> {
    source: S,
    /// 2^-64 ms for each count; 0 where the counter is not used.
    rate: u64,
    /// How far before the sync its window begins, in units of the counter: another core's counter may lag.
    slack: u64,
    /// The counter is trusted in `window .. window + span` and looked at by the others after that.
    window: AtomicU64,
    /// Length of the window in units of the counter; 0 closes it for good.
    span: AtomicU64,
    /// What to add to the counter, so that it counts from 1970.
    counter_offset: AtomicU64,
    /// Time minus monotonic clock, in nanoseconds.
    monotonic_offset: AtomicU64,
    /// The monotonic time of the last sync: who moves it does the next one.
    last_sync: AtomicU64,
    /// How far this clock is ahead of the wall, in nanoseconds.
    lead: AtomicI64,
    /// How often the wall was read.
    syncs: AtomicU64,
    /// How often it had been set back.
    step_backs: AtomicU64,
}

/// One reading of the clocks: `before` and `after` are the monotonic clock around the other two.
struct Reading {
    before: u64,
    raw: u64,
    wall: u64,
    after: u64,
}

/// What a sync finds that people want to know, in nanoseconds.
#[derive(Default)]
struct Found {
    /// By how much the wall was set back.
    step_back: Option<u64>,
    /// How far off the counter was that is left.
    counter_error: Option<u64>,
}

impl Found {
    /// Tells it, once the words are what they should be: whoever hears of it may read this clock.
    fn tell(self) {
        self.step_back.into_iter().for_each(trace::wall_set_back);
        self.counter_error.into_iter().for_each(trace::counter_dropped);
    }
}

/// A quotient or a high half that is known to fit.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn narrow(wide: u128) -> u64 {
    wide as u64
}

impl<S: Source> Discipline<S> {
    pub(super) fn new(source: S) -> Self {
        let nanos = u128::from(source.nanos_of_2_pow_36());
        let count = |duration: u64| narrow((u128::from(duration) << 36).checked_div(nanos).unwrap_or(0));
        let slack = count(PERIOD / 64);
        // A little over a period and the slack, so that the monotonic clock finds the sync due when the window ends.
        let span = count(PERIOD + PERIOD / 32);
        let clock = Discipline {
            source,
            rate: narrow((nanos << (64 - 36)) / 1_000_000),
            slack,
            window: AtomicU64::new(0),
            span: AtomicU64::new(0),
            counter_offset: AtomicU64::new(0),
            monotonic_offset: AtomicU64::new(0),
            last_sync: AtomicU64::new(0),
            lead: AtomicI64::new(0),
            syncs: AtomicU64::new(0),
            step_backs: AtomicU64::new(0),
        };
        let reading = clock.read();
        let offset = reading.wall.wrapping_sub(reading.after);
        clock.monotonic_offset.store(offset, Ordering::Relaxed);
        clock.last_sync.store(reading.before, Ordering::Relaxed);
        if let Some(offset) = clock.counter_offset(&reading, offset) {
            clock.counter_offset.store(offset, Ordering::Relaxed);
            clock.window.store(clock.window(&reading), Ordering::Relaxed);
            clock.span.store(span, Ordering::Relaxed);
        }
        clock
    }

    #[inline]
    pub(super) fn unix_millis(&self) -> u64 {
        let raw = self.source.raw();
        // Acquire: a window comes with the offset that was stored before it.
        let window = self.window.load(Ordering::Acquire);
        // Relaxed: it is set once, and closed once.
        if raw.wrapping_sub(window) < self.span.load(Ordering::Relaxed) {
            // Relaxed: an older offset is one that the same counter had 100 ms ago.
            self.millis(raw.wrapping_add(self.counter_offset.load(Ordering::Relaxed)))
        } else {
            self.unix_millis_slow()
        }
    }

    #[cold]
    #[inline(never)]
    fn unix_millis_slow(&self) -> u64 {
        self.unix_nanos() / 1_000_000
    }

    /// The time by the monotonic clock, after a sync if one is due.
    pub(super) fn unix_nanos(&self) -> u64 {
        let now = self.source.monotonic();
        // Relaxed, all three: the swap elects one caller, and nothing is handed over by it.
        let last = self.last_sync.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= PERIOD
            && self.last_sync.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.sync(now - last).tell();
        }
        now.wrapping_add(self.monotonic_offset.load(Ordering::Relaxed))
    }

    pub(super) fn stats(&self) -> ClockStats {
        // Relaxed, all: for people.
        ClockStats {
            lead: Duration::from_nanos(self.lead.load(Ordering::Relaxed).max(0).cast_unsigned()),
            syncs: self.syncs.load(Ordering::Relaxed),
            step_backs: self.step_backs.load(Ordering::Relaxed),
            counter: self.span.load(Ordering::Relaxed) != 0,
        }
    }

    /// Reads the wall, and corrects both offsets, `elapsed` nanoseconds after the last time. A caller that was held up
    /// for so long that another has done the same leaves the words as they are.
    #[cold]
    #[inline(never)]
    fn sync(&self, elapsed: u64) -> Found {
        let mut found = Found::default();
        // Relaxed, all of them but the window: single words, each swapped only from what was read here.
        let offset = self.monotonic_offset.load(Ordering::Relaxed);
        let counter_offset = self.counter_offset.load(Ordering::Relaxed);
        let reading = self.read();
        // `after`, so that being interrupted can make the lead look larger, but never smaller.
        let lead = reading.after.wrapping_add(offset).wrapping_sub(reading.wall).cast_signed();
        let correction = lead.min(SLEW.cast_signed());
        let corrected = offset.wrapping_sub(correction.cast_unsigned());
        if self.monotonic_offset.compare_exchange(offset, corrected, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return found;
        }
        let step_back = lead.saturating_sub(self.lead.swap(lead - correction, Ordering::Relaxed));
        if step_back > STEP {
            self.step_backs.fetch_add(1, Ordering::Relaxed);
            found.step_back = Some(step_back.unsigned_abs());
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);

        if self.span.load(Ordering::Relaxed) == 0 {
            return found;
        }
        // What the counter made of the time since the last sync, against what the monotonic clock did.
        let by_counter = self.nanos(reading.raw.wrapping_add(counter_offset));
        let error = by_counter.abs_diff(reading.before.wrapping_add(offset));
        let Some(corrected) = self
            .counter_offset(&reading, corrected)
            .filter(|_| error <= elapsed / 100 + 2 * BRACKET + (reading.after - reading.before))
        else {
            // It stopped, jumped, or runs over 1 % off: never again. The offset stays, as a thread that has read the
            // counter and not yet the offset must not get a time from two worlds.
            found.counter_error = (self.span.swap(0, Ordering::Relaxed) != 0).then_some(error);
            return found;
        };
        if self.counter_offset.compare_exchange(counter_offset, corrected, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // Release: with the offset above.
            self.window.store(self.window(&reading), Ordering::Release);
        }
        found
    }

    /// Reads all clocks at nearly one moment, at the fourth attempt at whatever moment it is.
    fn read(&self) -> Reading {
        let mut attempts = 0;
        loop {
            let before = self.source.monotonic();
            let raw = self.source.raw();
            let wall = self.source.wall();
            let after = self.source.monotonic();
            attempts += 1;
            if after - before <= BRACKET || attempts == 4 {
                return Reading { before, raw, wall, after };
            }
        }
    }

    /// The offset that makes the counter show the time of the monotonic clock, where 64 bits count that far: up to the
    /// year 2109 at 4.2 GHz. `before`, so that being interrupted can make the counter late, but never early.
    fn counter_offset(&self, reading: &Reading, offset: u64) -> Option<u64> {
        let time = u128::from(reading.before.wrapping_add(offset));
        let counts = ((time << 64) / 1_000_000).checked_div(u128::from(self.rate))?;
        u64::try_from(counts).ok().map(|counts| counts.wrapping_sub(reading.raw))
    }

    /// The window that a reading opens.
    fn window(&self, reading: &Reading) -> u64 {
        reading.raw.wrapping_sub(self.slack)
    }

    /// Counts from 1970 in milliseconds.
    #[inline]
    fn millis(&self, counts: u64) -> u64 {
        narrow((u128::from(counts) * u128::from(self.rate)) >> 64)
    }

    /// Counts from 1970 in nanoseconds.
    fn nanos(&self, counts: u64) -> u64 {
        narrow((((u128::from(counts) * u128::from(self.rate)) >> 40) * 1_000_000) >> 24)
    }
}

#[cfg(test)]
mod tests;
