//! What the keeper and the callers of a leased generator share.

use core::fmt;
use core::time::Duration;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::clock::{Clock, whole_millis};
use crate::error::Error;
use crate::id::{Epoch, random};
use crate::issue::{Generator, GeneratorBuilder, Switch};
use crate::lease::caught::{caught, quietly};
use crate::lease::error::LeaseError;
use crate::lease::state::{LeaseState, OnLost};
use crate::lease::store::{Grant, LeaseStore, Owner, Request};
use crate::lease::tenure::Tenure;
use crate::sync::{AtomicU64, Ordering};
use crate::trace;

/// A lease of one node or, for a sharded generator, of several: each has a position in the switch.
pub(super) struct Lease<C> {
    pub(super) store: Arc<dyn LeaseStore>,
    /// The generators on the nodes that are held; none at a position whose node is lost.
    switch: Switch<C>,
    pub(super) clock: C,
    /// In milliseconds.
    pub(super) window: u64,
    max_wait: Duration,
    /// In milliseconds.
    max_lead: u64,
    pub(super) on_lost: OnLost,
    positions: usize,
    /// The Unix millisecond of the last successful call to the store, shifted by one, plus FAILING if the last call
    /// failed: one word, so that a reader never sees one without the other.
    renewed: AtomicU64,
    /// The same moment in real time: milliseconds since `start`.
    renewed_after: AtomicU64,
    start: Instant,
    /// Whether a caller has asked for a renewal and the keeper has not woken since.
    asked: AtomicBool,
    last_error: Mutex<Option<Arc<LeaseError>>>,
}

const FAILING: u64 = 1;

/// How many nodes that this process cannot use are passed over before that is the answer.
const ATTEMPTS: u32 = 9;

impl<C: Clock + Clone> Lease<C> {
    pub(super) fn new(
        store: Arc<dyn LeaseStore>,
        generator: GeneratorBuilder<C>,
        window: Duration,
        on_lost: OnLost,
        positions: usize,
    ) -> Self {
        Lease {
            store,
            window: whole_millis(window),
            max_wait: generator.longest_wait(),
            max_lead: whole_millis(generator.longest_lead()),
            clock: generator.current_clock().clone(),
            switch: Switch::new(generator),
            on_lost,
            positions,
            renewed: AtomicU64::new(0),
            renewed_after: AtomicU64::new(0),
            start: Instant::now(),
            asked: AtomicBool::new(false),
            last_error: Mutex::default(),
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.switch.epoch()
    }

    pub(super) fn positions(&self) -> usize {
        self.positions
    }

    /// The generator of the one position of a lease that is not sharded.
    #[inline]
    pub(super) fn generator(&self) -> Option<&Generator<C>> {
        self.switch.get()
    }

    #[inline]
    pub(super) fn generator_at(&self, position: usize) -> Option<&Generator<C>> {
        self.switch.get_at(position)
    }

    /// The generators on all nodes that are held.
    pub(super) fn generators(&self) -> impl Iterator<Item = &Generator<C>> {
        (0..self.positions).filter_map(|position| self.generator_at(position))
    }

    /// The switch itself, for a client that issues by it.
    pub(super) fn switch(&self) -> Switch<C> {
        self.switch.clone()
    }

    /// `Held` if all positions are, `Lost` if none is, `Expired` if no window has time left and none is being renewed.
    pub(super) fn state(&self, keeper_lives: bool) -> LeaseState {
        let now = self.clock.unix_millis();
        let (mut count, mut first_end, mut any_time_left) = (0, None, false);
        for generator in self.generators() {
            let Some(until) = generator.window_end() else { continue };
            let end = (until, generator.node());
            count += 1;
            first_end = Some(first_end.map_or(end, |first| end.min(first)));
            // With a lead the IDs may reach the end before the clock does.
            any_time_left |= generator.next_time().max(now) < until;
        }
        let Some((until, node)) = first_end else { return LeaseState::Lost };
        let renewing = keeper_lives && self.renewing();
        // Relaxed: for people.
        let since = self.renewed.load(Ordering::Relaxed) >> 1;
        if renewing && count == self.positions && now < until {
            LeaseState::Held { node, until }
        } else if renewing || any_time_left {
            // A caller that finds the window ended has it renewed, and waits for that.
            LeaseState::Degraded { node, until, since }
        } else {
            LeaseState::Expired { node, until, since }
        }
    }

    /// Whether the store answers: the last call did not fail, and the next one is not overdue, as when it hangs.
    pub(super) fn renewing(&self) -> bool {
        // Relaxed: for people.
        let overdue = self.age().saturating_sub(self.renewed_after.load(Ordering::Relaxed)) > self.window / 2;
        !self.is_failing() && !overdue
    }

    fn is_failing(&self) -> bool {
        // Relaxed: for people, and for nudges, which are advice.
        self.renewed.load(Ordering::Relaxed) & FAILING != 0
    }

    /// Whether a window can ever reach a time, in Unix milliseconds, from where the clock is.
    pub(super) fn can_reach(&self, end: u64) -> bool {
        end < self.clock.unix_millis().saturating_add(self.window)
    }

    pub(super) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    pub(super) fn last_error(&self) -> Option<Arc<LeaseError>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Milliseconds since the lease was set up.
    pub(super) fn age(&self) -> u64 {
        whole_millis(self.start.elapsed())
    }

    /// Whether the keeper is to be woken for a caller: not after a failure, and not twice.
    pub(super) fn ask(&self) -> bool {
        // Relaxed: advice. A load first, as many callers may ask at once.
        !self.is_failing() && !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Relaxed)
    }

    /// Lets callers ask again.
    pub(super) fn answer(&self) {
        // Relaxed: as in `ask`.
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Acquires a node for a position and opens its window from `floor` on, in Unix milliseconds, or later; gives the
    /// node back if no ID can be issued on it.
    pub(super) fn acquire(&self, position: usize, label: &str, floor: u64) -> Result<Grant, LeaseError> {
        let mut attempts = 1;
        loop {
            match self.acquire_one(position, label, floor) {
                // A node that this process cannot use is no reason to give up while there are others.
                Err(LeaseError::Generator(Error::NodeInUse { .. })) if attempts < ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    fn acquire_one(&self, position: usize, label: &str, floor: u64) -> Result<Grant, LeaseError> {
        // A nonce of its own for each attempt: stores begin their search by it, and a node that this process cannot use
        // must not be found again and again.
        let owner = Owner { nonce: random(), label: label.into() };
        let now = self.clock.unix_millis();
        let max_floor = now.saturating_add(whole_millis(self.max_wait)).saturating_add(self.max_lead);
        let request = Request { owner, now, window: self.window, max_floor };
        let grant = caught("acquiring a lease", "the store", || self.store.acquire(&request))?;
        let opened = caught("opening the window", "the clock", || self.open(&grant, floor));
        if let Err(error) = opened {
            // Nothing was issued, so the floor stays. If this fails too, the node rests until its window has passed.
            let _ = caught("releasing the lease", "the store", || self.store.release(&grant, grant.floor));
            return Err(error);
        }
        self.switch.point(position, grant.node);
        quietly(|| trace::lease_acquired(grant.node, self.left(&grant)));
        Ok(grant)
    }

    /// Opens the window of a grant, from `floor` on. What fails does so before that.
    fn open(&self, grant: &Grant, floor: u64) -> Result<(), LeaseError> {
        let generator = self.switch.generator(grant.node)?;
        let floor = grant.floor.max(floor);
        let first = floor.max(generator.next_time());
        let ahead = Duration::from_millis(first).saturating_sub(self.clock.unix_time());
        let wait = ahead.saturating_sub(generator.max_lead());
        if wait > self.max_wait {
            return Err(LeaseError::ClockBehind { wait, max_wait: self.max_wait });
        }
        Ok(generator.open(floor, grant.until)?)
    }

    /// Moves the end of a position's window.
    pub(super) fn extend(&self, position: usize, until: u64) {
        if let Some(generator) = self.generator_at(position) {
            generator.extend(until);
        }
    }

    /// Ends issue at a position, and returns the Unix millisecond after the last one that an ID is issued in.
    pub(super) fn end(&self, position: usize) -> u64 {
        let used_until = self.generator_at(position).map_or(0, Generator::end);
        self.switch.clear_at(position);
        used_until
    }

    /// Gives a node back. Only for when no caller is left that could be claiming through this lease.
    pub(super) fn release(&self, position: usize, tenure: &Tenure) -> Result<(), LeaseError> {
        let grant = tenure.grant();
        let used_until = self.generator_at(position).map_or(grant.until, Generator::end);
        self.switch.clear_at(position);
        let used_until = used_until.min(grant.until).max(grant.floor);
        let release = |grant| caught("releasing the lease", "the store", || self.store.release(grant, used_until));
        let released = match (release(grant), tenure.possible()) {
            // The store may have the nonce of a renewal that it did not answer.
            (Err(LeaseError::Lost { .. }), Some(possible)) => release(&possible),
            (released, _) => released,
        };
        quietly(|| match &released {
            Ok(()) => trace::lease_released(grant.node),
            Err(error) => trace::lease_not_released(grant.node, error),
        });
        released
    }

    /// What is left of a window in milliseconds, for the events.
    pub(super) fn left(&self, grant: &Grant) -> u64 {
        if trace::ON { grant.until.saturating_sub(self.clock.unix_millis()) } else { 0 }
    }

    /// Notes that all renewals of a turn succeeded.
    pub(super) fn succeeded(&self) {
        // Relaxed, here and below: for people; the window itself is the generator's limit.
        self.renewed.store(self.clock.unix_millis() << 1, Ordering::Relaxed);
        self.renewed_after.store(self.age(), Ordering::Relaxed);
    }

    /// Notes that a renewal failed.
    pub(super) fn failed(&self) {
        self.renewed.fetch_or(FAILING, Ordering::Relaxed);
    }

    /// Keeps an error for [`last_error`](Self::last_error).
    pub(super) fn note(&self, error: &Arc<LeaseError>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(error));
    }
}

impl<C> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("window", &self.window).field("on_lost", &self.on_lost).finish_non_exhaustive()
    }
}
