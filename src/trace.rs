//! Feature `tracing`: what happens off the path of an ID, told as events; without it, functions that do nothing.
//!
//! What calls these functions holds no lock, and has written down all that it had to: a subscriber may use this library,
//! and take its time. None is called by what runs inside `fork`.

#[cfg(feature = "std")]
use core::fmt::Display;
use core::time::Duration;

use crate::error::Error;
use crate::layout::node::Node;

/// Whether there are events, for what is worked out for them alone.
pub(crate) const ON: bool = cfg!(feature = "tracing");

/// Tells an event, unless the thread is in the middle of telling one: what a subscriber does with this library is not
/// told to it again, which would have no end.
#[cfg(feature = "tracing")]
fn tell(event: impl FnOnce()) {
    use core::cell::Cell;

    std::thread_local! {
        static TELLING: Cell<bool> = const { Cell::new(false) };
    }

    /// Also when the subscriber panics.
    struct Told;

    impl Drop for Told {
        fn drop(&mut self) {
            TELLING.set(false);
        }
    }

    if !TELLING.replace(true) {
        let _told = Told;
        event();
    }
}

/// Makes each event a function.
macro_rules! events {
    ($($(#[$attribute:meta])* $level:ident fn $name:ident($($argument:ident: $type:ty),*) { $($field:tt)* })*) => {$(
        $(#[$attribute])*
        #[cfg(feature = "tracing")]
        #[cold]
        #[inline(never)]
        pub(crate) fn $name($($argument: $type),*) {
            tell(|| tracing::event!(target: "pyflake", tracing::Level::$level, $($field)*));
        }

        $(#[$attribute])*
        #[cfg(not(feature = "tracing"))]
        #[inline]
        pub(crate) fn $name($(_: $type),*) {}
    )*};
}

events! {
    /// A caller has waited.
    TRACE fn waited(node: Node, wait: Duration) {
        pid = node.pid(), seed = node.seed(), wait_us = micros(wait), "waited for a millisecond"
    }

    /// A caller has waited in vain.
    TRACE fn stalled(node: Node, error: &Error) {
        pid = node.pid(), seed = node.seed(), wait_us = wait_of(error), error = %error, "waited in vain"
    }

    /// The wall clock was set back.
    #[cfg(feature = "std")]
    WARN fn wall_set_back(nanos: u64) {
        behind_ms = nanos / 1_000_000, "the wall clock was set back"
    }

    /// The processor's counter is left for the kernel's clock.
    #[cfg(feature = "std")]
    WARN fn counter_left(nanos: u64) {
        off_us = nanos / 1000, "the processor's counter is off, and is not used any more"
    }

    /// A node is held.
    #[cfg(feature = "std")]
    INFO fn lease_acquired(node: Node, window_ms: u64) {
        pid = node.pid(), seed = node.seed(), window_ms, "the lease is acquired"
    }

    /// The first failure after a success.
    #[cfg(feature = "std")]
    WARN fn lease_degraded(node: Node, window_ms: u64, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), window_ms, error = %error, "the lease cannot be renewed"
    }

    /// The first success after a failure.
    #[cfg(feature = "std")]
    INFO fn lease_renewed(node: Node, window_ms: u64) {
        pid = node.pid(), seed = node.seed(), window_ms, "the lease is renewed again"
    }

    /// A renewal that was answered when the window had ended.
    #[cfg(feature = "std")]
    WARN fn lease_renewed_late(node: Node, window_ms: u64) {
        pid = node.pid(), seed = node.seed(), window_ms,
        "the lease's window had ended before the store answered: there were no IDs meanwhile"
    }

    /// An outage that lasts longer than the window.
    #[cfg(feature = "std")]
    ERROR fn window_ended(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease's window has ended: there are no IDs until it is renewed"
    }

    /// The node is not held any more, and another one is sought.
    #[cfg(feature = "std")]
    WARN fn lease_lost(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease is lost: there are no IDs until there is another"
    }

    /// The node is not held any more, and that is that.
    #[cfg(feature = "std")]
    ERROR fn lease_lost_for_good(node: Node, error: &dyn Display) {
        pid = node.pid(), seed = node.seed(), error = %error,
        "the lease is lost: there are no IDs any more"
    }

    /// The first attempt to have another node that fails.
    #[cfg(feature = "std")]
    WARN fn lease_not_acquired(error: &dyn Display) {
        error = %error, "no other lease can be had so far"
    }

    /// The node was given back.
    #[cfg(feature = "std")]
    INFO fn lease_released(node: Node) {
        pid = node.pid(), seed = node.seed(), "the lease is released"
    }

    /// The store did not take the node back.
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

/// How long a caller has waited that was told this.
#[cfg(feature = "tracing")]
fn wait_of(error: &Error) -> u64 {
    match error {
        Error::ClockStalled { waited } | Error::WaitTooLong { wait: waited, .. } => micros(*waited),
        _ => 0,
    }
}
