//! The thread that keeps a lease: it alone calls the store, and it alone moves the windows.
//!
//! Nothing ends it but its generator's end, or a loss with [`OnLost::Stop`]. Each turn runs under `catch_unwind`: a panic in
//! the store is an unknown outcome, retried like any other; a panic in a clock fails the turn; one in a subscriber is
//! ignored. A turn may unwind at any call of foreign code, so it changes its state between such calls only, and in this
//! order: the renewal is noted, the store is called, the window is extended, the grant is replaced.

use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};

use crate::clock::{Clock, whole_millis};
use crate::id::generate_seed;
use crate::lease::caught::{caught, quietly};
use crate::lease::error::LeaseError;
use crate::lease::pace::{Pace, Pause};
use crate::lease::shared::Lease;
use crate::lease::state::OnLost;
use crate::lease::store::{Grant, Renewal};
use crate::lease::tenure::Tenure;
use crate::trace;

/// The running thread.
#[derive(Debug)]
pub(super) struct Keeper {
    /// A message asks for a renewal now; hanging up, to give the nodes back.
    nudge: SyncSender<()>,
    thread: JoinHandle<Result<(), LeaseError>>,
}

impl Keeper {
    /// Acquires a node for each position, and starts the thread.
    pub(super) fn start<C: Clock + Clone + 'static>(lease: &Arc<Lease<C>>, label: String) -> Result<Self, LeaseError> {
        let mut keep = Keep::new(Arc::clone(lease), label);
        if let Err(error) = keep.acquire_all() {
            // All or none.
            let _ = keep.release();
            return Err(error);
        }
        let (nudge, nudged) = mpsc::sync_channel(1);
        // The thread gets the tenures by a message, so that they are still here if it cannot be started.
        let (hand_over, handed_over) = mpsc::sync_channel::<Keep<C>>(1);
        let run = move || handed_over.recv().map_or_else(|_| Err(lost()), |keep| keep.run(&nudged));
        match thread::Builder::new().name("pyflake-lease".into()).spawn(run) {
            Ok(thread) => {
                // It fails only if the thread is gone, and the join says so.
                let _ = hand_over.send(keep);
                Ok(Keeper { nudge, thread })
            }
            Err(source) => {
                let _ = keep.release();
                Err(LeaseError::Unavailable { doing: "starting the lease's thread".into(), source: source.into() })
            }
        }
    }

    /// Asks for a renewal now.
    pub(super) fn nudge(&self) {
        // Full: it is asked already. Hung up: it has stopped, and the state says so.
        let _ = self.nudge.try_send(());
    }

    pub(super) fn lives(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Gives the nodes back, and waits for the store.
    pub(super) fn stop(self) -> Result<(), LeaseError> {
        let Keeper { nudge, thread } = self;
        drop(nudge);
        thread.join().unwrap_or_else(|_| {
            Err(LeaseError::Unavailable { doing: "releasing the lease".into(), source: "its thread panicked".into() })
        })
    }
}

/// What the thread knows.
struct Keep<C> {
    lease: Arc<Lease<C>>,
    label: String,
    /// By position.
    shards: Vec<Shard>,
    renewals: Schedule,
    acquisitions: Schedule,
    /// Whether the failure to acquire is reported since the last success.
    told: bool,
}

/// A node that is held, or sought.
#[derive(Default)]
struct Shard {
    tenure: Option<Tenure>,
    /// The Unix millisecond after the last ID of its lost nodes: IDs of its next node are later, so that those of a thread
    /// go on increasing.
    used_until: u64,
}

/// When one kind of call is due: milliseconds of the lease's age.
struct Schedule {
    pace: Pace,
    due: u64,
    /// Until when no caller can hurry it.
    quiet: u64,
}

impl Schedule {
    fn new(window: u64) -> Self {
        Schedule { pace: Pace::new(window), due: 0, quiet: 0 }
    }

    /// Plans the next call.
    fn plan(&mut self, age: u64) {
        // Eight bits at most, and 0 where there is no entropy.
        let random = generate_seed(8).ok().and_then(|random| u8::try_from(random).ok()).unwrap_or(0);
        let Pause { whole, quiet } = self.pace.pause(random);
        self.due = age.saturating_add(whole);
        self.quiet = age.saturating_add(quiet);
    }
}

/// Why a wait has ended.
enum Wake {
    Due { nudged: bool },
    HungUp,
}

impl<C: Clock + Clone> Keep<C> {
    fn new(lease: Arc<Lease<C>>, label: String) -> Self {
        let (renewals, acquisitions) = (Schedule::new(lease.window), Schedule::new(lease.window));
        let shards = (0..lease.positions()).map(|_| Shard::default()).collect();
        Keep { lease, label, shards, renewals, acquisitions, told: false }
    }

    /// Runs until the generator is gone, or has lost all nodes for good.
    fn run(mut self, nudged: &Receiver<()>) -> Result<(), LeaseError> {
        loop {
            let Wake::Due { nudged } = self.wait(nudged) else { return self.release() };
            let turn = caught("keeping the lease", "the clock", || {
                self.turn(nudged);
                Ok(())
            });
            if let Err(error) = turn {
                self.lease.note(&Arc::new(error));
                self.lease.failed();
                // It may have unwound before it planned anything.
                self.renewals.pace.failed(false);
                self.acquisitions.pace.failed(false);
                self.plan();
            }
            if self.lease.on_lost == OnLost::Stop && !self.holds_any() {
                return Err(lost());
            }
        }
    }

    fn holds_any(&self) -> bool {
        self.shards.iter().any(|shard| shard.tenure.is_some())
    }

    fn seeks_any(&self) -> bool {
        self.lease.on_lost == OnLost::Reacquire && self.shards.iter().any(|shard| shard.tenure.is_none())
    }

    fn plan(&mut self) {
        let age = self.lease.age();
        self.renewals.plan(age);
        self.acquisitions.plan(age);
    }

    /// Waits until a call is due, or a caller asks for one and may.
    fn wait(&self, nudged: &Receiver<()>) -> Wake {
        let seeking = if self.seeks_any() { self.acquisitions.due } else { u64::MAX };
        let renewing = if self.holds_any() { self.renewals.due } else { u64::MAX };
        let due = seeking.min(renewing);
        let mut asked = false;
        let hung_up = loop {
            let until = if asked && self.holds_any() { due.min(self.renewals.quiet) } else { due };
            let left = Duration::from_millis(until.saturating_sub(self.lease.age()));
            match nudged.recv_timeout(left) {
                Ok(()) => asked = true,
                Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => break true,
            }
        };
        self.lease.answer();
        // One that is due is no favour to a caller.
        if hung_up { Wake::HungUp } else { Wake::Due { nudged: asked && self.lease.age() < due } }
    }

    fn turn(&mut self, nudged: bool) {
        if self.holds_any() && (nudged || self.renewals.due <= self.lease.age()) {
            self.renew(nudged);
        }
        if self.seeks_any() && self.acquisitions.due <= self.lease.age() {
            self.seek();
        }
    }

    /// Renews all tenures, and moves the windows that the store has acknowledged.
    fn renew(&mut self, nudged: bool) {
        let now = self.lease.clock.unix_millis();
        let until = now.saturating_add(self.lease.window);
        let sent_again = self.send(now, until);
        if sent_again && !self.shards.iter().filter_map(|shard| shard.tenure.as_ref()).any(|tenure| tenure.failing) {
            // The store answers again, and an unanswered renewal asked for less than is wanted by now.
            self.send(now, until);
        }
        let mut tenures = self.shards.iter().filter_map(|shard| shard.tenure.as_ref());
        let failing = tenures.any(|tenure| tenure.failing);
        let ended = self.shards.iter().all(|shard| shard.tenure.as_ref().is_none_or(|held| held.grant().until <= now));
        if failing {
            self.renewals.pace.failed(ended);
            self.lease.failed();
        } else {
            self.renewals.pace.succeeded(nudged);
        }
        self.renewals.plan(self.lease.age());
        if !failing && self.holds_any() {
            self.lease.succeeded();
        }
    }

    /// Renews all tenures up to `until`, and takes the outcomes; returns whether it sent an unanswered renewal again.
    fn send(&mut self, now: u64, until: u64) -> bool {
        let tenures = self.shards.iter_mut().enumerate().filter_map(|(at, shard)| Some((at, shard.tenure.as_mut()?)));
        let (held, renewals): (Vec<_>, Vec<_>) = tenures.map(|(at, tenure)| (at, tenure.renewal(until))).unzip();
        for (position, outcome) in held.into_iter().zip(self.outcomes(&renewals)) {
            self.take(position, outcome, now);
        }
        renewals.iter().any(|renewal| renewal.until < until)
    }

    /// Sends renewals, and returns an outcome for each.
    fn outcomes(&self, renewals: &[Renewal]) -> Vec<Result<Grant, Arc<LeaseError>>> {
        let store = &self.lease.store;
        let called = caught("renewing the lease", "the store", || {
            Ok(if let [one] = renewals { vec![store.renew(one)] } else { store.renew_all(renewals) })
        });
        let mut outcomes: Vec<_> = match called {
            Ok(outcomes) => outcomes.into_iter().map(|outcome| outcome.map_err(Arc::new)).collect(),
            Err(error) => vec![Err(Arc::new(error)); renewals.len()],
        };
        if outcomes.len() != renewals.len() {
            let source = format!("the store returned {} outcomes for {} renewals", outcomes.len(), renewals.len());
            let error = LeaseError::Unavailable { doing: "renewing the leases".into(), source: source.into() };
            // No outcome can be told from the others.
            outcomes = vec![Err(Arc::new(error)); renewals.len()];
        }
        outcomes
    }

    /// Takes the outcome of a renewal that was sent at `now`, in Unix milliseconds.
    fn take(&mut self, position: usize, outcome: Result<Grant, Arc<LeaseError>>, now: u64) {
        let lease = &*self.lease;
        let Some(tenure) = self.shards[position].tenure.as_mut() else { return };
        match outcome.and_then(|granted| tenure.check(&granted).map(|()| granted).map_err(Arc::new)) {
            Ok(granted) => {
                let (before, failing, ended) = (tenure.grant().until, tenure.failing, tenure.ended);
                lease.extend(position, granted.until);
                tenure.renewed(granted);
                quietly(|| {
                    let grant = tenure.grant();
                    if failing {
                        trace::lease_renewed(grant.node, lease.left(grant));
                    }
                    if !ended && before <= now {
                        trace::lease_renewed_late(grant.node, lease.left(grant));
                    }
                });
            }
            Err(error) if matches!(*error, LeaseError::Lost { .. }) => self.lose(position, &error),
            // The store may or may not have the new window: the old one stands until it says so.
            Err(error) => {
                lease.note(&error);
                let degraded = !tenure.failing;
                let ended = tenure.grant().until <= now && !tenure.ended;
                tenure.failing = true;
                tenure.ended |= ended;
                quietly(|| {
                    let grant = tenure.grant();
                    if degraded {
                        trace::lease_degraded(grant.node, lease.left(grant), &error);
                    }
                    if ended {
                        trace::window_ended(grant.node, &error);
                    }
                });
            }
        }
    }

    /// Ends issue at a position, whose next node is sought as [`OnLost`] says.
    fn lose(&mut self, position: usize, error: &Arc<LeaseError>) {
        // The reason first: a caller that finds it lost can read it. IDs issued until it is closed are in its window.
        self.lease.note(error);
        let shard = &mut self.shards[position];
        shard.used_until = shard.used_until.max(self.lease.end(position));
        let tenure = shard.tenure.take();
        if !self.told {
            self.acquisitions.pace.failed(false);
            self.acquisitions.plan(self.lease.age());
        }
        quietly(|| match (tenure, self.lease.on_lost) {
            (Some(tenure), OnLost::Stop) => trace::lease_lost_for_good(tenure.grant().node, error),
            (Some(tenure), OnLost::Reacquire) => trace::lease_lost(tenure.grant().node, error),
            (None, _) => {}
        });
    }

    /// Acquires a node for each position that has none, up to the first failure.
    fn seek(&mut self) {
        match self.acquire_all() {
            Ok(()) => {
                self.told = false;
                self.acquisitions.pace.succeeded(false);
            }
            Err(error) => {
                match &error {
                    LeaseError::Resting { wait, .. } | LeaseError::ClockBehind { wait, .. } => {
                        self.acquisitions.pace.rests(whole_millis(*wait));
                    }
                    // Nothing that the keeper can do mends these. It asks once a minute, as a store may be wrong.
                    LeaseError::InvalidConfig { .. } | LeaseError::Forked { .. } => {
                        self.acquisitions.pace.rests(u64::MAX);
                    }
                    _ => self.acquisitions.pace.failed(true),
                }
                self.acquisitions.plan(self.lease.age());
                let error = Arc::new(error);
                self.lease.note(&error);
                if !self.told {
                    self.told = true;
                    quietly(|| trace::lease_not_acquired(&error));
                }
            }
        }
    }

    fn acquire_all(&mut self) -> Result<(), LeaseError> {
        for (position, shard) in self.shards.iter_mut().enumerate() {
            if shard.tenure.is_none() {
                let held = caught("acquiring a lease", "the clock", || {
                    self.lease.acquire(position, &self.label, shard.used_until)
                });
                shard.tenure = Some(Tenure::new(held?));
            }
        }
        if !self.shards.iter().any(|shard| shard.tenure.as_ref().is_some_and(|tenure| tenure.failing)) {
            // All windows are new, or were renewed when they were last due.
            self.renewals.pace.succeeded(false);
            self.renewals.plan(self.lease.age());
            self.lease.succeeded();
        }
        Ok(())
    }

    /// Gives all nodes back, and returns the first error.
    fn release(mut self) -> Result<(), LeaseError> {
        let mut outcome = Ok(());
        for (position, shard) in self.shards.iter_mut().enumerate() {
            let released = match shard.tenure.take() {
                Some(tenure) => caught("releasing the lease", "the clock", || self.lease.release(position, &tenure)),
                None => Err(lost()),
            };
            outcome = outcome.and(released);
        }
        outcome
    }
}

/// What a release returns where there is nothing left to give back.
pub(super) fn lost() -> LeaseError {
    LeaseError::Lost { found: "it was lost before it could be given back".into() }
}
