//! The events of the feature `tracing`. Without the feature, each event is a function that does
//! nothing.
//!
//! A caller of these functions holds no lock and has stored its results. So a subscriber may call
//! this library, and may be slow. No code that runs inside `fork` emits an event.

#[cfg(feature = "std")]
use core::fmt::Display;
use core::time::Duration;

use crate::error::Error;
use crate::layout::node::Node;

/// Whether events are emitted. Callers skip computations that only an event needs.
pub(crate) const ON: bool = cfg!(feature = "tracing");

/// Emits an event, unless this thread is already emitting one.
///
/// A subscriber may call this library. Events of those calls are dropped, because each would cause
/// another one without end.
#[cfg(feature = "tracing")]
fn emit(event: impl FnOnce()) {
    use core::cell::Cell;

    std::thread_local! {
        static EMITTING: Cell<bool> = const { Cell::new(false) };
    }

    /// Clears the flag, also if the subscriber panics.
    struct Emitted;

    impl Drop for Emitted {
        fn drop(&mut self) {
            EMITTING.set(false);
        }
    }

    if !EMITTING.replace(true) {
        let _emitted = Emitted;
        event();
    }
}

/// Makes a function of each event.
macro_rules! events {
    ($($(#[$attribute:meta])* $level:ident fn $name:ident($($argument:ident: $type:ty),*) { $($field:tt)* })*) => {$(
        $(#[$attribute])*
        #[cfg(feature = "tracing")]
        #[cold]
        #[inline(never)]
        pub(crate) fn $name($($argument: $type),*) {
            emit(|| tracing::event!(target: "pyflake", tracing::Level::$level, $($field)*));
        }

        $(#[$attribute])*
        #[cfg(not(feature = "tracing"))]
        #[inline]
        pub(crate) fn $name($(_: $type),*) {}
    )*};
}

events! {
    /// A caller waited, and its IDs are due.
    TRACE fn waited(node: Node, wait: Duration) {
        pid = node.pid(), seed = node.seed(), wait_us = micros(wait), "waited for a millisecond"
    }

    /// A wait failed: the clock stalled, or the wait became too long.
    TRACE fn stalled(node: Node, error: &Error) {
        pid = node.pid(), seed = node.seed(), wait_us = wait_of(error), error = %error, "the wait failed"
    }

    /// The wall clock was set back.
    #[cfg(feature = "std")]
    WARN fn wall_set_back(nanos: u64) {
        behind_ms = nanos / 1_000_000, "the wall clock was set back"
    }

    /// The clock dropped the processor's counter and reads the kernel's clock from now on.
    #[cfg(feature = "std")]
    WARN fn counter_dropped(nanos: u64) {
        off_us = nanos / 1000, "the processor's counter is wrong: the clock stopped using it"
    }

    /// A lease was acquired.
    #[cfg(feature = "std")]
    INFO fn lease_acquired(node: Node, window_ms: u64) {
        pid = node.pid(), seed = node.seed(), window_ms, "the lease is acquired"
    }

    /// The first renewal that failed after a success.
    #[cfg(feature = "std")]
    WARN fn lease_degraded(node: Node, window_ms: u64, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), window_ms, error = %error, "the lease cannot be renewed"
    }

    /// The first renewal that succeeded after a failure.
    #[cfg(feature = "std")]
    INFO fn lease_renewed(node: Node, window_ms: u64) {
        pid = node.pid(), seed = node.seed(), window_ms, "the lease is renewed after an outage"
    }

    /// The store acknowledged a renewal only after the window had ended.
    #[cfg(feature = "std")]
    WARN fn lease_renewed_late(node: Node, window_ms: u64) {
        pid = node.pid(), seed = node.seed(), window_ms,
        "the lease was renewed after its window had ended: no IDs were issued in between"
    }

    /// The window ended in an outage.
    #[cfg(feature = "std")]
    ERROR fn window_ended(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease's window has ended: no IDs are issued until it is renewed"
    }

    /// The lease is lost, and the keeper tries to acquire another one.
    #[cfg(feature = "std")]
    WARN fn lease_lost(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease is lost: no IDs are issued until another one is acquired"
    }

    /// The lease is lost, and the generator stops: `OnLost::Stop`.
    #[cfg(feature = "std")]
    ERROR fn lease_lost_for_good(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease is lost: no more IDs are issued"
    }

    /// The first attempt to acquire another lease that failed after a loss.
    #[cfg(feature = "std")]
    WARN fn lease_not_acquired(error: &dyn Display) {
        error = %error, "no other lease could be acquired yet"
    }

    /// The lease was released.
    #[cfg(feature = "std")]
    INFO fn lease_released(node: Node) {
        pid = node.pid(), seed = node.seed(), "the lease is released"
    }

    /// The store did not accept the release of a lease.
    #[cfg(feature = "std")]
    WARN fn lease_not_released(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease could not be released"
    }
}

#[cfg(feature = "tracing")]
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The time that a caller waited before this error, in microseconds.
#[cfg(feature = "tracing")]
fn wait_of(error: &Error) -> u64 {
    match error {
        Error::ClockStalled { waited } | Error::WaitTooLong { wait: waited, .. } => micros(*waited),
        _ => 0,
    }
}
