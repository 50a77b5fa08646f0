//! Counters of a clock.

use core::time::Duration;

/// What a [`Clock`](crate::Clock) says of itself; all zero for clocks that say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClockStats {
    /// How far the clock was ahead of the wall clock when it last looked: what remains of a step back.
    pub lead: Duration,
    /// How often it has looked at the wall clock.
    pub syncs: u64,
    /// How often it has found the wall clock set back, by more than 5 ms.
    pub step_backs: u64,
    /// Whether it reads the processor's counter (fast), and not the kernel's clock.
    pub counter: bool,
}
