//! Without std: the place of the system's clock in a builder that has no clock yet.

/// The clock of a builder that was given none. It does not implement `Clock`, so such a builder
/// builds nothing.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(());

impl SystemClock {
    pub(crate) fn new() -> Self {
        SystemClock(())
    }
}
