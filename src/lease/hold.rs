//! What leased generators of one node and of several have in common: the lease, its keeper, and the waits for a renewal.

use core::mem;
use core::time::Duration;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::clock::Clock;
use crate::error::Error;
use crate::fork::Process;
use crate::lease::error::LeaseError;
use crate::lease::keeper::{Keeper, lost};
use crate::lease::shared::Lease;
use crate::lease::state::LeaseState;

/// A lease that is kept for as long as this value lives, in the process that made it.
#[derive(Debug)]
pub(super) struct Hold<C: Clock + Clone> {
    pub(super) lease: Arc<Lease<C>>,
    /// `None` only while it is released.
    keeper: Option<Keeper>,
    /// The process that built it.
    process: Process,
}

impl<C: Clock + Clone> Hold<C> {
    pub(super) fn new(lease: Arc<Lease<C>>, keeper: Keeper, process: Process) -> Self {
        Hold { lease, keeper: Some(keeper), process }
    }

    fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    pub(super) fn state(&self) -> LeaseState {
        let keeper_lives = self.keeper.as_ref().is_some_and(Keeper::lives);
        if self.is_ours() { self.lease.state(keeper_lives) } else { LeaseState::Lost }
    }

    pub(super) fn last_error(&self) -> Option<Arc<LeaseError>> {
        // The child of a fork must not wait for a lock that one of the parent's threads may have held.
        if self.is_ours() { self.lease.last_error() } else { None }
    }

    /// Why there is no generator.
    #[cold]
    pub(super) fn lost(&self) -> Error {
        if self.is_ours() { Error::LeaseLost } else { Error::Forked }
    }

    /// Has the lease renewed after an error that a renewal may mend, and tries again until `max_wait` is over.
    #[cold]
    #[inline(never)]
    pub(super) fn when_renewed<T>(
        &self,
        mut error: Error,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let mut nudged = false;
        while self.may_be_mended(&error, start.elapsed()) {
            if !nudged {
                self.nudge();
                nudged = true;
            }
            thread::sleep(Duration::from_millis(1));
            match attempt() {
                Err(again) => error = again,
                done => return done,
            }
        }
        Err(error)
    }

    /// Whether a renewal may mend an error, for a caller that has waited this long.
    pub(super) fn may_be_mended(&self, error: &Error, waited: Duration) -> bool {
        // A store that fails or hangs is not waited for, nor a window that no renewal can give.
        matches!(*error, Error::PastLease { end, .. } if self.lease.renewing() && self.lease.can_reach(end))
            && waited < self.lease.max_wait()
    }

    /// Asks the keeper to renew now. It renews at once, or when the pause after a failure or after the last request is over.
    #[cold]
    pub(super) fn nudge(&self) {
        // In the child of a fork there is no keeper, and the timeline is closed before it comes to this.
        if let Some(keeper) = self.keeper.as_ref().filter(|_| self.lease.ask()) {
            keeper.nudge();
        }
    }

    /// Gives the nodes back, if that is not done yet; for a caller that lets nobody else issue by them.
    pub(super) fn stop(&mut self) -> Result<(), LeaseError> {
        let Some(keeper) = self.keeper.take() else { return Ok(()) };
        if self.is_ours() {
            keeper.stop()
        } else {
            // The thread is the parent's, and so is the lease: the child must touch neither.
            mem::forget(keeper);
            Err(lost())
        }
    }
}

impl<C: Clock + Clone> Drop for Hold<C> {
    fn drop(&mut self) {
        // A caller that wants to know calls `release`.
        let _ = self.stop();
    }
}
