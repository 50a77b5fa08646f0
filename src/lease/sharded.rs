//! Several nodes under one lease, for more than 4096 IDs a millisecond.

use core::time::Duration;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::id::{Epoch, Snowflake};
use crate::issue::{Block, Generator, Shards, Stats};
use crate::lease::error::LeaseError;
use crate::lease::hold::Hold;
use crate::lease::state::LeaseState;

/// Issues IDs on several nodes that it holds under leases: for more than 4096 IDs a millisecond.
///
/// It is to [`ShardedGenerator`](crate::ShardedGenerator) what [`LeasedGenerator`](super::LeasedGenerator) is to
/// [`Generator`]: each shard has a node of its own, any that the store has free, and one thread renews all of them, in
/// one call where the store can. Made by [`build_sharded`](super::LeasedGeneratorBuilder::build_sharded).
///
/// A node that is lost ends its shard alone: the others go on, and another node is acquired for it, or none, as
/// [`OnLost`](super::OnLost) says. When the store cannot be reached, all shards issue until their windows end.
///
/// # Order
///
/// As [`ShardedGenerator`](crate::ShardedGenerator#order) promises, also while shards come and go:
///
/// - IDs are **unique**.
/// - The IDs of one **node** increase.
/// - All IDs together are sorted by **millisecond**. Within a millisecond they are in no order, not even a thread's own.
///
/// ```
/// use pyflake::lease::{FileStore, LeaseState, LeasedGenerator};
/// use pyflake::{Epoch, Snowflake};
///
/// # let dir = std::env::temp_dir().join(format!("pyflake-sharded-doc-{}", std::process::id()));
/// let store = FileStore::open(&dir, Epoch::TWITTER)?;
/// let generator = LeasedGenerator::builder(store).build_sharded(8)?;
/// assert!(matches!(generator.state(), LeaseState::Held { .. }));
///
/// let mut ids = vec![Snowflake::default(); 100_000];
/// generator.fill(&mut ids)?;
/// ids.sort();
/// ids.dedup();
/// assert_eq!(ids.len(), 100_000);
/// generator.release()?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ShardedLeasedGenerator<C: Clock + Clone = SystemClock> {
    hold: Hold<C>,
}

// As for `LeasedGenerator`.
impl<C: Clock + Clone + RefUnwindSafe> UnwindSafe for ShardedLeasedGenerator<C> {}
impl<C: Clock + Clone + RefUnwindSafe> RefUnwindSafe for ShardedLeasedGenerator<C> {}

impl<C: Clock + Clone> Shards for Hold<C> {
    type Clock = C;

    #[inline]
    fn count(&self) -> usize {
        self.lease.positions()
    }

    #[inline]
    fn shard(&self, index: usize) -> Option<&Generator<C>> {
        self.lease.generator_at(index)
    }

    fn none(&self) -> Error {
        self.lost()
    }
}

impl<C: Clock + Clone> ShardedLeasedGenerator<C> {
    pub(super) fn new(hold: Hold<C>) -> Self {
        ShardedLeasedGenerator { hold }
    }

    /// Issues an ID, of the thread's home or of the next shard that has one; waits as [`Generator::next_id`] does when
    /// none has.
    ///
    /// If all windows have ended and the store has not failed, this has them renewed and waits for it, for at most
    /// `max_wait`.
    ///
    /// # Errors
    ///
    /// As [`Generator::next_id`]; [`Error::LeaseLost`] while every shard is lost.
    #[inline]
    pub fn next_id(&self) -> Result<Snowflake, Error> {
        match self.hold.next_id_at_home() {
            Some(id) => Ok(id),
            None => self.next_id_elsewhere(),
        }
    }

    /// The rest of [`next_id`](Self::next_id). Apart, so that the ID of a home goes through no `Result` in memory.
    #[inline(never)]
    fn next_id_elsewhere(&self) -> Result<Snowflake, Error> {
        match self.hold.next_id_elsewhere() {
            Err(error) => self.hold.when_renewed(error, || self.hold.next_id()),
            id => id,
        }
    }

    /// Issues an ID if any shard has one without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if none has, otherwise as [`next_id`](Self::next_id). [`Error::PastLease`] has the leases
    /// renewed too, so a later call may succeed.
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        let id = self.hold.try_next_id();
        if let Err(Error::PastLease { .. }) = id {
            self.hold.nudge();
        }
        id
    }

    /// Claims a run of `n` consecutive IDs of one shard, the first that has so many left in this millisecond; waits as
    /// [`Generator::reserve`] does when none has, and for a longer run. It must end within the window.
    ///
    /// # Errors
    ///
    /// As [`next_id`](Self::next_id).
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        match self.hold.reserve(n) {
            Err(error) => self.hold.when_renewed(error, || self.hold.reserve(n)),
            block => block,
        }
    }

    /// Fills a slice with IDs, in runs of consecutive ones; each run is of another shard or millisecond.
    ///
    /// It waits only when all shards are used up, each time for at most `max_wait`.
    ///
    /// # Errors
    ///
    /// [`Error::WaitTooLong`] at once if that many IDs take longer than `max_wait`, otherwise as
    /// [`next_id`](Self::next_id). The slice may then be filled in part, with IDs that are issued to nobody else.
    pub fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        match self.hold.fill(ids, self.hold.lease.max_wait()) {
            Err(error) => self.hold.when_renewed(error, || self.hold.fill(ids, self.hold.lease.max_wait())),
            done => done,
        }
    }

    /// How many shards there are, 1 to 32, with those that are lost.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.hold.lease.positions()
    }

    /// The state of all shards together.
    ///
    /// - [`Held`](LeaseState::Held): all nodes are held.
    /// - [`Degraded`](LeaseState::Degraded): some shards are lost, or renewing fails or is overdue, and IDs are issued.
    /// - [`Expired`](LeaseState::Expired): all windows have ended, and renewing fails or is overdue.
    /// - [`Lost`](LeaseState::Lost): all nodes are lost.
    ///
    /// The node and the `until` of a state are those of the window that ends first.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.hold.state()
    }

    /// Returns whether IDs can be issued, for a health check: [`LeaseState::can_issue`] of the [`state`](Self::state).
    #[must_use]
    pub fn can_issue(&self) -> bool {
        self.state().can_issue()
    }

    /// Why the store's last failing call failed, as [`LeasedGenerator::last_error`](super::LeasedGenerator::last_error).
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<LeaseError>> {
        self.hold.last_error()
    }

    /// The counters of all shards together; `lead` is the longest of theirs and `window` the shortest, zero while every
    /// shard is lost.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hold.stats().unwrap_or(Stats { window_left: Some(Duration::ZERO), ..Stats::default() })
    }

    /// The epoch the IDs count from: the store's.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.hold.lease.epoch()
    }

    /// Gives all nodes back, so that their next holders can go on at the next millisecond.
    ///
    /// Dropping does the same, but keeps the outcome to itself.
    ///
    /// # Errors
    ///
    /// The first error, as for [`LeasedGenerator::release`](super::LeasedGenerator::release); the other nodes are given
    /// back all the same.
    pub fn release(mut self) -> Result<(), LeaseError> {
        self.hold.stop()
    }
}
