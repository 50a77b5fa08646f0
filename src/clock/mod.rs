//! The trait `Clock`, and the clocks that implement it.

#[cfg(feature = "std")]
mod coarse;
#[cfg(feature = "std")]
mod discipline;
mod manual;
#[cfg(not(feature = "std"))]
mod missing;
mod stats;
#[cfg(feature = "std")]
mod system;
#[cfg(feature = "std")]
pub(crate) mod ticker;
mod traits;

#[cfg(feature = "std")]
pub use coarse::CoarseClock;
pub use manual::ManualClock;
#[cfg(not(feature = "std"))]
pub(crate) use missing::SystemClock;
pub use stats::ClockStats;
#[cfg(feature = "std")]
pub use system::SystemClock;
pub use traits::Clock;
pub(crate) use traits::whole_millis;
