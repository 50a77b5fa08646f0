//! `ManualClock`: a clock that a test sets.

use alloc::sync::Arc;
use core::time::Duration;

use crate::clock::traits::Clock;
use crate::sync::{AtomicU64, Ordering};

/// A clock for tests and simulations: it shows the time that you set.
///
/// Clones show the same time. So give one to the generator and set the time on the other. A
/// generator on a `ManualClock` has its own timeline and shares nothing with other generators of
/// its node.
///
/// ```
/// use pyflake::{Epoch, Generator, ManualClock, Node};
///
/// let clock = ManualClock::new(1_668_081_259_486);
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// let generator = Generator::builder(epoch, Node::new(6, 6)?).clock(clock.clone()).build()?;
/// assert_eq!(generator.next_id()?.as_u64(), 473_032_512_445_898_752);
/// clock.advance(1);
/// assert_eq!(generator.next_id()?.timestamp(epoch), 1_668_081_259_487);
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Makes a clock that shows a Unix time in milliseconds.
    #[must_use]
    pub fn new(unix_millis: u64) -> Self {
        ManualClock(Arc::new(AtomicU64::new(unix_millis)))
    }

    /// Sets the Unix time in milliseconds, forward or back.
    pub fn set(&self, unix_millis: u64) {
        // Relaxed, here and below: the time is one word, and it publishes no other data.
        self.0.store(unix_millis, Ordering::Relaxed);
    }

    /// Moves the time forward by `millis` milliseconds. It wraps at `u64::MAX`.
    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    #[inline]
    fn unix_millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(self.unix_millis())
    }

    fn is_simulated(&self) -> bool {
        true
    }
}
