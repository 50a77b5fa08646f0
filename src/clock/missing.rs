//! The placeholder for the system's clock in builds without std.

/// The clock of a builder whose clock is not set. It does not implement `Clock`, so the builder
/// cannot build.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(());

impl SystemClock {
    pub(crate) fn new() -> Self {
        SystemClock(())
    }
}
