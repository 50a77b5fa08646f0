//! The thread that keeps a lease: it alone talks to the store, and it alone moves the window.

use core::fmt;
use core::mem;
use core::time::Duration;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::clock::{Clock, whole_millis};
use crate::epoch::Epoch;
use crate::error::Error;
use crate::generator::{Generator, GeneratorBuilder};
use crate::lease::{Grant, LeaseError, LeaseState, LeaseStore, OnLost, Owner, Renewal, Request};
use crate::node::{generate_seed, random};
use crate::switch::Switch;
use crate::sync::{AtomicU64, Ordering};
use crate::trace;

/// What the keeper and the callers of a leased generator share.
pub(super) struct Lease<C> {
    store: Arc<dyn LeaseStore>,
    /// The generator on the node that is held; none while the lease is lost.
    switch: Switch<C>,
    clock: C,
    /// In milliseconds.
    window: u64,
    max_wait: Duration,
    /// In milliseconds.
    max_lead: u64,
    on_lost: OnLost,
    /// The Unix millisecond of the last successful call to the store, shifted by one, plus FAILING if the last call
    /// failed: one word, so that a look never sees one without the other.
    renewed: AtomicU64,
    /// The same moment in real time: milliseconds since `start`.
    renewed_after: AtomicU64,
    start: Instant,
    last_error: Mutex<Option<Arc<LeaseError>>>,
}

const FAILING: u64 = 1;

/// How many nodes that this process cannot use are passed over before that is the answer.
const ATTEMPTS: u32 = 9;

impl<C: Clock + Clone> Lease<C> {
    pub(super) fn new(
        store: Arc<dyn LeaseStore>,
        generator: GeneratorBuilder<C>,
        clock: C,
        window: Duration,
        max_wait: Duration,
        on_lost: OnLost,
    ) -> Self {
        let window = whole_millis(window);
        let max_lead = whole_millis(generator.longest_lead());
        let switch = Switch::new(generator);
        Lease {
            store,
            switch,
            clock,
            window,
            max_wait,
            max_lead,
            on_lost,
            renewed: AtomicU64::new(0),
            renewed_after: AtomicU64::new(0),
            start: Instant::now(),
            last_error: Mutex::default(),
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.switch.epoch()
    }

    #[inline]
    pub(super) fn generator(&self) -> Option<&Generator<C>> {
        self.switch.get()
    }

    /// The switch itself, for a client that issues by it.
    pub(super) fn switch(&self) -> Switch<C> {
        self.switch.clone()
    }

    pub(super) fn state(&self, keeper_lives: bool) -> LeaseState {
        let (Some(node), true) = self.switch.node() else { return LeaseState::Lost };
        let Some(until) = self.generator().and_then(Generator::window_end) else { return LeaseState::Lost };
        if keeper_lives && self.renewing() && self.clock.unix_millis() < until {
            LeaseState::Held { node, until }
        } else {
            // Relaxed: a look.
            LeaseState::Degraded { since: self.renewed.load(Ordering::Relaxed) >> 1 }
        }
    }

    /// Whether the store answers: the last call did not fail, and the next one is not overdue, as when it hangs.
    pub(super) fn renewing(&self) -> bool {
        // Relaxed, both: a look.
        let overdue = self.age().saturating_sub(self.renewed_after.load(Ordering::Relaxed)) > self.window / 2;
        self.renewed.load(Ordering::Relaxed) & FAILING == 0 && !overdue
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
    fn age(&self) -> u64 {
        whole_millis(self.start.elapsed())
    }

    /// Acquires a node and opens its window; gives it back if no ID can be issued on it.
    fn acquire(&self, label: &str) -> Result<Grant, LeaseError> {
        // A nonce of its own for each attempt: stores begin their search by it, and a node that this process cannot use
        // must not be found again and again.
        let owner = Owner { nonce: random(), label: label.into() };
        let now = self.clock.unix_millis();
        let max_floor = now.saturating_add(whole_millis(self.max_wait)).saturating_add(self.max_lead);
        let grant = self.store.acquire(&Request { owner, now, window: self.window, max_floor })?;
        self.open(&grant).inspect_err(|_| {
            // Nothing was issued, so the floor stays. If this fails too, the node rests until its window has passed.
            let _ = self.store.release(&grant, grant.floor);
        })?;
        self.switch.point(grant.node);
        self.succeeded();
        trace::lease_acquired(&grant, self.left(&grant));
        Ok(grant)
    }

    /// Opens the window of a grant. What fails does so before that.
    fn open(&self, grant: &Grant) -> Result<(), LeaseError> {
        let generator = self.switch.generator(grant.node)?;
        let first = grant.floor.max(generator.next_time());
        let ahead = Duration::from_millis(first).saturating_sub(self.clock.unix_time());
        let wait = ahead.saturating_sub(generator.max_lead());
        if wait > self.max_wait {
            return Err(LeaseError::ClockBehind { wait, max_wait: self.max_wait });
        }
        Ok(generator.open(grant.floor, grant.until)?)
    }

    /// Renews the lease, and moves the window if the store has acknowledged it.
    ///
    /// `unanswered` is the last renewal if its outcome is unknown: it is sent again with its nonce, which the store may
    /// have already.
    fn renew(&self, grant: &mut Grant, unanswered: &mut Option<Renewal>) -> Result<(), LeaseError> {
        let until = self.clock.unix_millis().saturating_add(self.window).max(grant.until);
        let renewal = match unanswered.take() {
            Some(renewal) => Renewal { until: renewal.until.max(until), ..renewal },
            None => Renewal::new(grant.clone(), until),
        };
        let renewed = self.store.renew(&renewal).inspect_err(|_| *unanswered = Some(renewal))?;
        if let Some(generator) = self.generator() {
            generator.extend(renewed.until);
        }
        *grant = renewed;
        if self.succeeded() {
            trace::lease_renewed(grant, self.left(grant));
        }
        Ok(())
    }

    /// Ends issue on the node.
    fn close(&self) {
        if let Some(generator) = self.generator() {
            generator.close();
        }
        self.switch.clear();
    }

    /// Gives the node back. Only for when no caller is left that could be claiming through this lease.
    fn release(&self, grant: &Grant, unanswered: Option<&Renewal>) -> Result<(), LeaseError> {
        let used_until = self.generator().map_or(grant.until, Generator::finish);
        self.switch.clear();
        let used_until = used_until.min(grant.until).max(grant.floor);
        let released = match (self.store.release(grant, used_until), unanswered) {
            // The store may have the nonce of a renewal that it did not answer.
            (Err(LeaseError::Lost { .. }), Some(renewal)) => {
                self.store.release(&renewal.granted(grant.until), used_until)
            }
            (released, _) => released,
        };
        released.inspect(|()| trace::lease_released(grant)).inspect_err(|error| trace::lease_not_released(grant, error))
    }

    /// What is left of a window in milliseconds, for the events.
    fn left(&self, grant: &Grant) -> u64 {
        if trace::ON { grant.until.saturating_sub(self.clock.unix_millis()) } else { 0 }
    }

    /// Notes a success, and answers whether the call before had failed.
    fn succeeded(&self) -> bool {
        // Relaxed, here and below: for people; the window itself is the generator's limit.
        let before = self.renewed.swap(self.clock.unix_millis() << 1, Ordering::Relaxed);
        self.renewed_after.store(self.age(), Ordering::Relaxed);
        before & FAILING != 0
    }

    /// Notes a failure, and answers whether the call before had succeeded.
    fn failed(&self, error: &Arc<LeaseError>) -> bool {
        let before = self.renewed.fetch_or(FAILING, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(error));
        before & FAILING == 0
    }

    /// The time to the next renewal: a third of the window, or a tenth after a failure, less up to a quarter of it, so
    /// that holders that started together do not stay together.
    fn pause(&self) -> Duration {
        let failing = self.renewed.load(Ordering::Relaxed) & FAILING != 0;
        let period = if failing { self.window / 10 } else { self.window / 3 };
        // Eight bits at most, and 0 where there is no entropy.
        let random = generate_seed(8).unwrap_or(0);
        Duration::from_millis((period - period / 4 * random / 255).max(1))
    }
}

impl<C> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("window", &self.window).field("on_lost", &self.on_lost).finish_non_exhaustive()
    }
}

/// The running thread.
#[derive(Debug)]
pub(super) struct Keeper {
    /// A message asks for a renewal now; hanging up, to give the node back.
    nudge: SyncSender<()>,
    thread: JoinHandle<Result<(), LeaseError>>,
}

impl Keeper {
    /// Acquires the lease, and starts the thread.
    pub(super) fn start<C: Clock + Clone + 'static>(lease: &Arc<Lease<C>>, label: String) -> Result<Self, LeaseError> {
        let mut attempts = 1;
        let grant = loop {
            match lease.acquire(&label) {
                // A node that this process cannot use is no reason to give up while there are others.
                Err(LeaseError::Generator(Error::NodeInUse { .. })) if attempts < ATTEMPTS => attempts += 1,
                answer => break answer?,
            }
        };
        let (nudge, nudged) = mpsc::sync_channel(1);
        let keep = {
            let (lease, grant) = (Arc::clone(lease), grant.clone());
            move || keep(&lease, &label, grant, &nudged)
        };
        match thread::Builder::new().name("pyflake-lease".into()).spawn(keep) {
            Ok(thread) => Ok(Keeper { nudge, thread }),
            Err(source) => {
                let _ = lease.release(&grant, None);
                Err(LeaseError::Unavailable { doing: "starting the lease's thread".into(), source: source.into() })
            }
        }
    }

    /// Asks for a renewal now.
    pub(super) fn nudge(&self) {
        // Full: it has been asked already. Hung up: it has stopped, and the state says so.
        let _ = self.nudge.try_send(());
    }

    pub(super) fn lives(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Gives the node back, and waits for the store.
    pub(super) fn stop(self) -> Result<(), LeaseError> {
        let Keeper { nudge, thread } = self;
        drop(nudge);
        thread.join().unwrap_or_else(|_| {
            Err(LeaseError::Unavailable { doing: "releasing the lease".into(), source: "its thread panicked".into() })
        })
    }
}

/// The thread: renews until it is told to stop, and acquires again what is lost.
fn keep<C: Clock + Clone>(
    lease: &Lease<C>,
    label: &str,
    mut grant: Grant,
    nudged: &Receiver<()>,
) -> Result<(), LeaseError> {
    // Whether it was told that the window has ended.
    let mut ended = false;
    let mut unanswered = None;
    loop {
        if hung_up(nudged, lease.pause()) {
            return lease.release(&grant, unanswered.as_ref());
        }
        let until = grant.until;
        match lease.renew(&mut grant, &mut unanswered) {
            Ok(()) => {
                if trace::ON && !mem::take(&mut ended) && until <= lease.clock.unix_millis() {
                    trace::lease_renewed_late(&grant, lease.left(&grant));
                }
            }
            Err(error @ LeaseError::Lost { .. }) => {
                let error = Arc::new(error);
                // The reason first, for who sees it lost. What is issued until it is closed lies in its window.
                lease.failed(&error);
                lease.close();
                if lease.on_lost == OnLost::Stop {
                    trace::lease_lost_for_good(&grant, &error);
                    return Err(lost());
                }
                trace::lease_lost(&grant, &error);
                let mut told = false;
                grant = loop {
                    if hung_up(nudged, lease.pause()) {
                        return Err(lost());
                    }
                    match lease.acquire(label) {
                        Ok(grant) => break grant,
                        Err(error) => {
                            let error = Arc::new(error);
                            lease.failed(&error);
                            if !mem::replace(&mut told, true) {
                                trace::lease_not_acquired(&error);
                            }
                        }
                    }
                };
                ended = false;
                unanswered = None;
            }
            // The store may or may not have the new window: the old one stands until it says so.
            Err(error) => {
                let error = Arc::new(error);
                if lease.failed(&error) {
                    trace::lease_degraded(&grant, lease.left(&grant), &error);
                }
                if trace::ON && lease.left(&grant) == 0 && !mem::replace(&mut ended, true) {
                    trace::window_ended(&grant, &error);
                }
            }
        }
    }
}

/// What a release answers where there is nothing left to give back.
pub(super) fn lost() -> LeaseError {
    LeaseError::Lost { found: "it was lost before it could be given back".into() }
}

/// Waits for the next turn; whether the generator is gone.
fn hung_up(nudged: &Receiver<()>, pause: Duration) -> bool {
    matches!(nudged.recv_timeout(pause), Err(RecvTimeoutError::Disconnected))
}
