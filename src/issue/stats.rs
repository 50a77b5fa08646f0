//! Counters of a generator.

use core::time::Duration;

use crate::clock::ClockStats;
use crate::sync::Counter;

/// What a [`Generator`](crate::Generator) has gone through: plain data, for logs and metrics.
///
/// Nothing of it is counted on the path of an ID that neither waits nor races.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// How often a caller waited for a later millisecond, because this one's 4096 IDs were issued, a run was longer,
    /// or the clock was behind.
    pub waits: u64,
    /// The time that callers waited, all together.
    pub waited: Duration,
    /// How often a compare-and-swap failed, nearly always because another thread was faster: at the begin of a
    /// millisecond, and for runs.
    pub lost_races: u64,
    /// What the generator's clock says of itself.
    pub clock: ClockStats,
    /// How far the node is ahead of the generator's clock: by the IDs of callers that wait, by a burst under
    /// [`max_lead`](crate::GeneratorBuilder::max_lead), or by an ID it was told to
    /// [`resume_after`](crate::GeneratorBuilder::resume_after).
    pub lead: Duration,
    /// How much is left of the lease's window, by the generator's clock; `None` without a lease.
    pub window_left: Option<Duration>,
}

/// The numbers of one generator that only its slow paths write.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) waits: Counter,
    /// Nanoseconds.
    pub(crate) waited: Counter,
    pub(crate) lost_races: Counter,
}
