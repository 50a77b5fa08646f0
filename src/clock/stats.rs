//! The type `ClockStats`: counters of a clock.

use core::time::Duration;

/// Counters of a [`Clock`](crate::Clock); all zero for a clock without counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClockStats {
    /// The lead over the wall clock at the last comparison: the rest of a step back.
    pub lead: Duration,
    /// The number of comparisons with the wall clock.
    pub syncs: u64,
    /// The number of times that the wall clock was set back, each by more than 5 ms.
    pub step_backs: u64,
    /// Whether the clock reads the processor's counter (fast). If not, it reads the kernel's clock.
    pub counter: bool,
}
