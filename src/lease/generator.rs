//! The generator of a server: on a node that it holds under a lease.

use core::iter;
use core::time::Duration;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::id::{Epoch, Record, Snowflake};
use crate::issue::{Block, Generator, Stats, Switch};
use crate::lease::error::LeaseError;
use crate::lease::hold::Hold;
use crate::lease::state::LeaseState;

/// Issues IDs on a node that it holds under a lease: unique also across processes, crashes and restarts.
///
/// It has the methods of a [`Generator`] that issue, at the same cost: the lease is kept by a thread of its own, which extends
/// the window ahead of use, and the window bounds each tick that is begun. When the store
/// cannot be reached, it issues until the window ends, then answers [`Error::PastLease`]; when another owner has taken
/// the node it answers [`Error::LeaseLost`], until it has another one (see [`OnLost`](crate::lease::OnLost)). Dropping it gives the node
/// back, and waits for the store to answer; a panic in the store, the clock or a subscriber is an error that is retried (with
/// `panic = "abort"` it ends the process, as any panic); what is not dropped, as at a `process::exit` or in a `static`, leaves its node
/// resting until the window has passed. Building and dropping it read and write the store, so in async code do both
/// on a thread that may block.
///
/// A process has one copy of this crate. Two copies, as of two versions or in a plugin, are two registries of nodes: each
/// lease is unique also then, but neither copy sees the other's generators without a lease.
///
/// ```
/// use pyflake::Epoch;
/// use pyflake::lease::{FileStore, LeaseState, LeasedGenerator};
///
/// # let dir = std::env::temp_dir().join(format!("pyflake-doc-{}", std::process::id()));
/// let store = FileStore::open(&dir, Epoch::TWITTER)?;
/// let generator = LeasedGenerator::new(store)?;
/// let id = generator.next_id()?;
/// assert!(matches!(generator.state(), LeaseState::Held { node, .. } if node == id.node()));
/// # drop(generator);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LeasedGenerator<C: Clock + Clone = SystemClock> {
    hold: Hold<C>,
}

// What a panic may interrupt is the claim of an ID, which is atomic; the store, which may have any state, is called by the
// keeper's own thread.
impl<C: Clock + Clone + RefUnwindSafe> UnwindSafe for LeasedGenerator<C> {}
impl<C: Clock + Clone + RefUnwindSafe> RefUnwindSafe for LeasedGenerator<C> {}

impl<C: Clock + Clone> LeasedGenerator<C> {
    pub(super) fn with(hold: Hold<C>) -> Self {
        LeasedGenerator { hold }
    }

    /// Issues the next ID, as [`Generator::next_id`] does.
    ///
    /// If the window has ended and the store has not failed, as when the clock was set forward, this has the lease
    /// renewed and waits for it, for at most `max_wait`.
    ///
    /// # Errors
    ///
    /// As [`Generator::next_id`].
    #[inline]
    pub fn next_id(&self) -> Result<Snowflake, Error> {
        match self.generator().and_then(Generator::next_id) {
            Err(error) => self.when_renewed(error, Generator::next_id),
            id => id,
        }
    }

    /// Issues the next ID if that is possible without waiting, as [`Generator::try_next_id`] does.
    ///
    /// # Errors
    ///
    /// As [`Generator::try_next_id`].
    ///
    /// [`Error::PastLease`] has the lease renewed too, so a later call may succeed.
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        let id = self.generator()?.try_next_id();
        if let Err(Error::PastLease { .. }) = id {
            self.nudge();
        }
        id
    }

    /// Claims a run of `n` consecutive IDs, as [`Generator::reserve`] does. It must end within the window.
    ///
    /// # Errors
    ///
    /// As [`Generator::reserve`].
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        match self.generator().and_then(|generator| generator.reserve(n)) {
            Err(error) => self.when_renewed(error, |generator| generator.reserve(n)),
            block => block,
        }
    }

    /// Fills a slice with consecutive IDs, as [`Generator::fill`] does. They must end within the window.
    ///
    /// # Errors
    ///
    /// As [`Generator::fill`].
    pub fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        self.reserve(ids.len()).map(|block| block.write(ids))
    }

    /// Issues IDs as numbered [`Record`]s, as [`Generator::records`] does.
    pub fn records(&self) -> impl Iterator<Item = Result<Record, Error>> + '_ {
        let mut issued = 0;
        iter::repeat_with(move || {
            self.next_id().map(|id| {
                issued += 1;
                id.record(self.epoch(), issued)
            })
        })
    }

    /// The state of the lease.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.hold.state()
    }

    /// Returns whether IDs can be issued, for a health check: [`LeaseState::can_issue`] of the [`state`](Self::state).
    #[must_use]
    pub fn can_issue(&self) -> bool {
        self.state().can_issue()
    }

    /// Why the store's last failing call failed, for logs: the reason behind [`Degraded`](LeaseState::Degraded),
    /// [`Expired`](LeaseState::Expired) and [`Lost`](LeaseState::Lost). It stays after things have got better; `None` if nothing has failed.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<LeaseError>> {
        self.hold.last_error()
    }

    /// What the generator on the current node has gone through; its window is zero while there is no lease.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let lost = || Stats { window_left: Some(Duration::ZERO), ..Stats::default() };
        self.hold.lease.generator().map_or_else(lost, Generator::stats)
    }

    /// The epoch the IDs count from: the store's.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.hold.lease.epoch()
    }

    /// Gives the node back, so that its next holder can go on at the next millisecond.
    ///
    /// Dropping does the same, but keeps the outcome to itself.
    ///
    /// # Errors
    ///
    /// Those of [`LeaseStore::release`](crate::lease::LeaseStore::release), and [`LeaseError::Lost`] if the lease was lost before, or is the parent's in the
    /// child of a `fork`; the node is then free once the store finds its holder gone, from the end of
    /// the window.
    pub fn release(mut self) -> Result<(), LeaseError> {
        self.hold.stop()
    }

    #[inline]
    pub(crate) fn generator(&self) -> Result<&Generator<C>, Error> {
        match self.hold.lease.generator() {
            Some(generator) => Ok(generator),
            None => Err(self.lost()),
        }
    }

    /// The switch that it issues by.
    pub(crate) fn switch(&self) -> Switch<C> {
        self.hold.lease.switch()
    }

    /// Why there is no generator.
    #[cold]
    pub(crate) fn lost(&self) -> Error {
        self.hold.lost()
    }

    /// Has the lease renewed after an error that a renewal may mend, and tries again until `max_wait` is over.
    pub(crate) fn when_renewed<T>(
        &self,
        error: Error,
        attempt: impl Fn(&Generator<C>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.hold.when_renewed(error, || self.generator().and_then(&attempt))
    }

    /// Whether a renewal may mend an error, for a caller that has waited this long.
    #[cfg(feature = "tokio")]
    pub(crate) fn may_be_mended(&self, error: &Error, waited: Duration) -> bool {
        self.hold.may_be_mended(error, waited)
    }

    /// Asks the keeper to renew now.
    pub(crate) fn nudge(&self) {
        self.hold.nudge();
    }

    /// Gives the node back, if that is not done yet; for a caller that lets nobody else issue by it.
    pub(crate) fn stop(&mut self) -> Result<(), LeaseError> {
        self.hold.stop()
    }
}
