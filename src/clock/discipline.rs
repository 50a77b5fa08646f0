//! The discipline of the system's clock: fast, monotonic and close to the wall clock.
//!
//! Two layers carry the time:
//!
//! - The kernel's monotonic clock, between two readings of the wall clock.
//! - The processor's counter, between two readings of the monotonic clock.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::time::Duration;

use crate::clock::stats::ClockStats;
use crate::trace;

/// The three clocks of one machine.
pub(super) trait Source {
    /// The fastest counter, in units of its own.
    fn raw(&self) -> u64;
    /// The nanoseconds in `2^36` counts of [`raw`](Self::raw); 0 if the counter must not be used.
    fn nanos_of_2_pow_36(&self) -> u64;
    /// The monotonic clock: nanoseconds since some fixed moment. Nothing sets it.
    fn monotonic(&self) -> u64;
    /// The wall clock: Unix nanoseconds.
    fn wall(&self) -> u64;
}

/// The period between two readings of the wall clock: 100 ms.
const PERIOD: u64 = 100_000_000;
/// The largest lead over the wall clock that one period works off: 1 % of the period.
const SLEW: u64 = PERIOD / 100;
/// The longest reading of all clocks: 10 µs. A longer one was interrupted and is repeated.
const BRACKET: u64 = 10_000;
/// The smallest step back: 5 ms in a period, against the monotonic clock. Less is drift.
const STEP: i64 = 5_000_000;

/// The state of the discipline.
///
/// The atomics are std's even under loom, because the clock of the process outlives a model. No
/// guarantee depends on them.
pub(super) struct Discipline<S> {
    source: S,
    /// The length of one count in units of `2^-64` ms; 0 if the counter is not used.
    rate: u64,
    /// The distance from the start of the window to the sync, in counts. Another core's counter may
    /// lag by that much.
    slack: u64,
    /// The start of the window, in counts. The counter is trusted in `window..window + span`; a
    /// reading outside leads to the slow path.
    window: AtomicU64,
    /// The length of the window, in counts; 0 closes it for good.
    span: AtomicU64,
    /// The offset from the counter to counts since 1970.
    counter_offset: AtomicU64,
    /// The offset from the monotonic clock to Unix time, in nanoseconds.
    monotonic_offset: AtomicU64,
    /// The monotonic time of the last sync. The caller that swaps it performs the next sync.
    last_sync: AtomicU64,
    /// The lead over the wall clock, in nanoseconds.
    lead: AtomicI64,
    /// The number of syncs.
    syncs: AtomicU64,
    /// The number of steps back that syncs found.
    step_backs: AtomicU64,
}

/// One reading of the clocks. `before` and `after` are the monotonic clock, read around the other
/// two.
struct Reading {
    before: u64,
    raw: u64,
    wall: u64,
    after: u64,
}

/// The results of a sync that become events, in nanoseconds.
#[derive(Default)]
struct Findings {
    /// The step back of the wall clock.
    step_back: Option<u64>,
    /// The error of the counter that was dropped.
    counter_error: Option<u64>,
}

impl Findings {
    /// Emits the events. The caller has stored all words, because a subscriber may read this clock.
    fn emit(self) {
        self.step_back.into_iter().for_each(trace::wall_set_back);
        self.counter_error.into_iter().for_each(trace::counter_dropped);
    }
}

/// Narrows a quotient or a high half that fits 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the callers pass values that fit")]
const fn narrow(wide: u128) -> u64 {
    wide as u64
}

impl<S: Source> Discipline<S> {
    pub(super) fn new(source: S) -> Self {
        let nanos = u128::from(source.nanos_of_2_pow_36());
        let count = |duration: u64| narrow((u128::from(duration) << 36).checked_div(nanos).unwrap_or(0));
        let slack = count(PERIOD / 64);
        // A little over a period and the slack. When the window ends, the monotonic clock finds
        // that a sync is due.
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
        // Relaxed, all stores: no other thread has the clock yet.
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
        // Acquire: pairs with the Release store in `sync`; a window is visible with its offset.
        let window = self.window.load(Ordering::Acquire);
        // Relaxed: the span is stored once at the start, and once more when it is closed.
        if raw.wrapping_sub(window) < self.span.load(Ordering::Relaxed) {
            // Relaxed: an older offset is still good, because the counter used it 100 ms ago.
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

    /// The Unix time in nanoseconds by the monotonic clock. Performs a sync if one is due.
    pub(super) fn unix_nanos(&self) -> u64 {
        let now = self.source.monotonic();
        // Relaxed, all three: the swap elects one caller, and publishes no other data.
        let last = self.last_sync.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= PERIOD
            && self.last_sync.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.sync(now - last).emit();
        }
        now.wrapping_add(self.monotonic_offset.load(Ordering::Relaxed))
    }

    pub(super) fn stats(&self) -> ClockStats {
        // Relaxed, all: these are statistics.
        ClockStats {
            lead: Duration::from_nanos(self.lead.load(Ordering::Relaxed).max(0).cast_unsigned()),
            syncs: self.syncs.load(Ordering::Relaxed),
            step_backs: self.step_backs.load(Ordering::Relaxed),
            counter: self.span.load(Ordering::Relaxed) != 0,
        }
    }

    /// Compares the clocks and corrects both offsets, `elapsed` nanoseconds after the last sync.
    ///
    /// If the caller was held up until another sync was done, it changes nothing.
    #[cold]
    #[inline(never)]
    fn sync(&self, elapsed: u64) -> Findings {
        let mut findings = Findings::default();
        // Relaxed, all but the window: each is a single word, and a swap succeeds only from the
        // value read here.
        let offset = self.monotonic_offset.load(Ordering::Relaxed);
        let counter_offset = self.counter_offset.load(Ordering::Relaxed);
        let reading = self.read();
        // Uses `after`, so that an interruption can make the lead appear larger, but never smaller.
        let lead = reading.after.wrapping_add(offset).wrapping_sub(reading.wall).cast_signed();
        let correction = lead.min(SLEW.cast_signed());
        let corrected = offset.wrapping_sub(correction.cast_unsigned());
        if self.monotonic_offset.compare_exchange(offset, corrected, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return findings;
        }
        let step_back = lead.saturating_sub(self.lead.swap(lead - correction, Ordering::Relaxed));
        if step_back > STEP {
            self.step_backs.fetch_add(1, Ordering::Relaxed);
            findings.step_back = Some(step_back.unsigned_abs());
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);

        if self.span.load(Ordering::Relaxed) == 0 {
            return findings;
        }
        // The time since the last sync by the counter, compared with the monotonic clock.
        let by_counter = self.nanos(reading.raw.wrapping_add(counter_offset));
        let error = by_counter.abs_diff(reading.before.wrapping_add(offset));
        let Some(corrected) = self
            .counter_offset(&reading, corrected)
            .filter(|_| error <= elapsed / 100 + 2 * BRACKET + (reading.after - reading.before))
        else {
            // The counter stopped, jumped, or is over 1 % wrong: drop it for good. The offset
            // stays: a thread may have read the counter and not yet the offset, and the two must
            // match.
            findings.counter_error = (self.span.swap(0, Ordering::Relaxed) != 0).then_some(error);
            return findings;
        };
        if self.counter_offset.compare_exchange(counter_offset, corrected, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // Release: pairs with the Acquire load in `unix_millis`; publishes the offset.
            self.window.store(self.window(&reading), Ordering::Release);
        }
        findings
    }

    /// Reads all clocks within [`BRACKET`]. Accepts the fourth attempt however long it took.
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

    /// The offset at which the counter shows the time of the monotonic clock.
    ///
    /// Returns `None` if 64 bits cannot count that far: at 4.2 GHz, from the year 2109. Uses
    /// `before`, so that an interruption can make the counter late, but never early.
    fn counter_offset(&self, reading: &Reading, offset: u64) -> Option<u64> {
        let time = u128::from(reading.before.wrapping_add(offset));
        let counts = ((time << 64) / 1_000_000).checked_div(u128::from(self.rate))?;
        u64::try_from(counts).ok().map(|counts| counts.wrapping_sub(reading.raw))
    }

    /// The start of the window of a reading.
    fn window(&self, reading: &Reading) -> u64 {
        reading.raw.wrapping_sub(self.slack)
    }

    /// Converts counts since 1970 to milliseconds.
    #[inline]
    fn millis(&self, counts: u64) -> u64 {
        narrow((u128::from(counts) * u128::from(self.rate)) >> 64)
    }

    /// Converts counts since 1970 to nanoseconds.
    fn nanos(&self, counts: u64) -> u64 {
        narrow((((u128::from(counts) * u128::from(self.rate)) >> 40) * 1_000_000) >> 24)
    }
}

#[cfg(test)]
mod tests;
