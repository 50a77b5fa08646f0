//! `Stats`: the counters of a generator.

use core::time::Duration;

use crate::clock::ClockStats;
use crate::sync::Counter;

/// Counters of a [`Generator`](crate::Generator), for logs and metrics.
///
/// An ID that neither waits nor loses a race writes no counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// How often a caller waited for a later millisecond: this one was full, a run did not fit it,
    /// or the clock was behind the issued IDs.
    pub waits: u64,
    /// The sum of those waits.
    pub waited: Duration,
    /// How often a compare-and-swap failed, nearly always because another thread was faster. Only
    /// the first IDs of a millisecond and runs use one.
    pub lost_races: u64,
    /// The counters of the generator's clock.
    pub clock: ClockStats,
    /// How far the last claimed ID is ahead of the generator's clock.
    ///
    /// Three things put it ahead: callers that wait, a burst under
    /// [`max_lead`](crate::GeneratorBuilder::max_lead), and
    /// [`resume_after`](crate::GeneratorBuilder::resume_after).
    pub lead: Duration,
    /// The rest of the lease's window, by the generator's clock; `None` without a lease.
    pub window_left: Option<Duration>,
}

/// The counters that the slow paths of one generator write.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) waits: Counter,
    /// Nanoseconds.
    pub(crate) waited: Counter,
    pub(crate) lost_races: Counter,
}
