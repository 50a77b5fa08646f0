use core::iter;
use core::time::Duration;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::block::Block;
use crate::clock::{Clock, SystemClock};
use crate::epoch::Epoch;
use crate::error::Error;
use crate::fork;
use crate::generator::{Generator, GeneratorBuilder};
use crate::lease::keeper::{Keeper, Lease, lost};
use crate::lease::realm::LONGEST_WINDOW;
use crate::lease::{LeaseError, LeaseStore};
use crate::node::Node;
use crate::snowflake::{Record, Snowflake};
use crate::stats::Stats;
use crate::switch::Switch;
use crate::wait::Wait;

/// Issues IDs on a node that it holds under a lease: unique also across processes, crashes and restarts.
///
/// It has the methods of a [`Generator`] that issue, at the same cost: the lease is kept by a thread of its own, which extends
/// the window ahead of use, and the window is the limit that every generator compares with anyway. When the store
/// cannot be reached, it issues until the window ends, then answers [`Error::PastLease`]; when another owner has taken
/// the node it answers [`Error::LeaseLost`], until it has another one (see [`OnLost`]). Dropping it gives the node
/// back, and waits for the store to answer; what is not dropped, as at a `process::exit` or in a `static`, leaves its node
/// resting until the window has passed. Building and dropping it read and write the store, so in async code do both
/// on a thread that may block.
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
    lease: Arc<Lease<C>>,
    /// `None` only while it is released.
    keeper: Option<Keeper>,
    /// The process that built it (see `fork::generation`).
    generation: u64,
}

// What a panic may interrupt is the claim of an ID, which is atomic; the store, which may have any state, is called by the
// keeper's own thread.
impl<C: Clock + Clone + RefUnwindSafe> UnwindSafe for LeasedGenerator<C> {}
impl<C: Clock + Clone + RefUnwindSafe> RefUnwindSafe for LeasedGenerator<C> {}

/// Sets up a [`LeasedGenerator`] other than the default one; made by [`LeasedGenerator::builder`].
#[must_use = "a builder does nothing until build() is called"]
pub struct LeasedGeneratorBuilder<C = SystemClock> {
    store: Arc<dyn LeaseStore>,
    generator: GeneratorBuilder<C>,
    clock: C,
    max_wait: Duration,
    window: Duration,
    on_lost: OnLost,
    label: String,
}

/// What a [`LeasedGenerator`] does when its lease is lost: another owner has the node, by an operator's hand or because
/// the store took this one for dead.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// Acquires another lease, as soon as the store has one: the default.
    #[default]
    Reacquire,
    /// Stays [`Lost`](LeaseState::Lost).
    Stop,
}

/// How it stands with the lease of a [`LeasedGenerator`], for health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "state", rename_all = "lowercase"))]
pub enum LeaseState {
    /// The lease is held and was renewed when it was last due.
    Held {
        /// The node.
        node: Node,
        /// The first Unix millisecond past the window.
        until: u64,
    },
    /// The lease is held, but renewing it fails or is overdue: IDs are issued until the window ends, which is
    /// [`Stats::window`](crate::Stats::window) away. [`LeasedGenerator::last_error`] says why.
    Degraded {
        /// The Unix millisecond of the last renewal that succeeded.
        since: u64,
    },
    /// There is no lease, and no ID is issued.
    Lost,
}

impl LeasedGenerator {
    /// Acquires a node from a store, on the [`SystemClock`], with a window of ten seconds.
    ///
    /// # Errors
    ///
    /// As [`LeasedGeneratorBuilder::build`].
    pub fn new(store: impl LeaseStore + 'static) -> Result<Self, LeaseError> {
        LeasedGenerator::builder(store).build()
    }

    /// Starts from the defaults of [`new`](Self::new), to change some of them.
    pub fn builder(store: impl LeaseStore + 'static) -> LeasedGeneratorBuilder {
        // The node is the store's to choose.
        let generator = Generator::builder(store.epoch(), Node::from_index(0));
        LeasedGeneratorBuilder {
            store: Arc::new(store),
            generator,
            clock: SystemClock::new(),
            max_wait: Duration::from_secs(1),
            window: Duration::from_secs(10),
            on_lost: OnLost::default(),
            label: format!("process {}", std::process::id()),
        }
    }
}

impl<C: Clock + Clone + 'static> LeasedGeneratorBuilder<C> {
    /// Uses another clock than the [`SystemClock`].
    pub fn clock<D: Clock + Clone + 'static>(self, clock: D) -> LeasedGeneratorBuilder<D> {
        let LeasedGeneratorBuilder { store, generator, clock: _, max_wait, window, on_lost, label } = self;
        let generator = generator.clock(clock.clone());
        LeasedGeneratorBuilder { store, generator, clock, max_wait, window, on_lost, label }
    }

    /// Sets how a caller waits for the next millisecond; [`Wait::Adaptive`] by default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.generator = self.generator.wait(wait);
        self
    }

    /// Sets the longest wait a call may make; a second by default. As
    /// [`GeneratorBuilder::max_wait`](crate::GeneratorBuilder::max_wait), and also how far the clock may be behind the
    /// windows already given out.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.generator = self.generator.max_wait(max_wait);
        self.max_wait = max_wait;
        self
    }

    /// Lets IDs run ahead of the clock by up to `max_lead` instead of waiting, as
    /// [`GeneratorBuilder::max_lead`](crate::GeneratorBuilder::max_lead); within the window, so that a restart repeats
    /// nothing; at most half of the window, and ten seconds. The node's next holder waits until its clock has passed the last ID, or is
    /// refused if that is longer than its `max_wait`.
    pub fn max_lead(mut self, max_lead: Duration) -> Self {
        self.generator = self.generator.max_lead(max_lead);
        self
    }

    /// Spreads the first sequence of a millisecond over `2^bits` values, as
    /// [`GeneratorBuilder::spread_sequence`](crate::GeneratorBuilder::spread_sequence).
    pub fn spread_sequence(mut self, bits: u32) -> Self {
        self.generator = self.generator.spread_sequence(bits);
        self
    }

    /// Sets how far ahead of the clock the window reaches when it is renewed, which is three times in its length; ten
    /// seconds by default, at least 30 ms and at most a day.
    ///
    /// A longer window bridges a longer outage of the store. After a crash the node rests until the window has passed;
    /// after a release it can be used again at once.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window.clamp(Duration::from_millis(30), LONGEST_WINDOW);
        self
    }

    /// Sets what happens when the lease is lost; [`OnLost::Reacquire`] by default.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.on_lost = on_lost;
        self
    }

    /// Names the holder for people who look at the store; `process` and its number by default.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Never issues an ID at or below one that was issued before, as
    /// [`GeneratorBuilder::resume_after`](crate::GeneratorBuilder::resume_after).
    pub fn resume_after(mut self, id: Snowflake) -> Self {
        self.generator = self.generator.resume_after(id);
        self
    }

    /// Acquires the lease, and starts the thread that keeps it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Generator`] with [`Error::LeadOutOfRange`] for a lead of more than half of the window;
    /// those of [`LeaseStore::acquire`]; [`LeaseError::ClockBehind`] if the first ID would be further away than
    /// `max_wait`; [`LeaseError::Generator`] with [`Error::NodeInUse`] if this process uses each of the nodes it is
    /// given in another way, and with the errors of [`GeneratorBuilder::build`](crate::GeneratorBuilder::build). The node is then given back.
    pub fn build(self) -> Result<LeasedGenerator<C>, LeaseError> {
        let LeasedGeneratorBuilder { store, generator, clock, max_wait, window, on_lost, label } = self;
        // A lead as long as the window would use up each renewal at once, and leave nothing for an outage of the store.
        let (max_lead, limit) = (generator.longest_lead(), window / 2);
        if max_lead > limit {
            return Err(Error::LeadOutOfRange { max_lead, limit }.into());
        }
        let generator = generator.leased();
        generator.check()?;
        let lease = Arc::new(Lease::new(store, generator, clock, window, max_wait, on_lost));
        let keeper = Keeper::start(&lease, label)?;
        Ok(LeasedGenerator { lease, keeper: Some(keeper), generation: fork::generation() })
    }
}

impl<C: Clock + Clone> LeasedGenerator<C> {
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

    /// How it stands with the lease.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        let keeper_lives = self.keeper.as_ref().is_some_and(Keeper::lives);
        if self.generation == fork::generation() { self.lease.state(keeper_lives) } else { LeaseState::Lost }
    }

    /// Why the store's last failing call failed, for logs: the reason behind [`Degraded`](LeaseState::Degraded) and
    /// [`Lost`](LeaseState::Lost). It stays after things have got better; `None` if nothing has failed.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<LeaseError>> {
        // The child of a fork must not wait for a lock that one of the parent's threads may have held.
        if self.generation == fork::generation() { self.lease.last_error() } else { None }
    }

    /// What the generator on the current node has gone through; its window is zero while there is no lease.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let lost = || Stats { window: Some(Duration::ZERO), ..Stats::default() };
        self.lease.generator().map_or_else(lost, Generator::stats)
    }

    /// The epoch the IDs count from: the store's.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lease.epoch()
    }

    /// Gives the node back, so that its next holder can go on at the next millisecond.
    ///
    /// Dropping does the same, but keeps the outcome to itself.
    ///
    /// # Errors
    ///
    /// Those of [`LeaseStore::release`], and [`LeaseError::Lost`] if the lease was lost before, or is the parent's in the
    /// child of a `fork`; the node is then free once the store finds its holder gone, from the end of
    /// the window.
    pub fn release(mut self) -> Result<(), LeaseError> {
        self.stop()
    }

    #[inline]
    pub(crate) fn generator(&self) -> Result<&Generator<C>, Error> {
        match self.lease.generator() {
            Some(generator) => Ok(generator),
            None => Err(self.lost()),
        }
    }

    /// The switch that it issues by.
    pub(crate) fn switch(&self) -> Switch<C> {
        self.lease.switch()
    }

    /// Why there is no generator.
    #[cold]
    pub(crate) fn lost(&self) -> Error {
        if self.generation == fork::generation() { Error::LeaseLost } else { Error::Forked }
    }

    /// Has the lease renewed after an error that a renewal may mend, and tries again until `max_wait` is over.
    #[cold]
    #[inline(never)]
    pub(crate) fn when_renewed<T>(
        &self,
        mut error: Error,
        attempt: impl Fn(&Generator<C>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let mut nudged = false;
        while self.may_be_mended(&error, start.elapsed()) {
            if !nudged {
                self.nudge();
                nudged = true;
            }
            thread::sleep(Duration::from_millis(1));
            match self.generator().and_then(&attempt) {
                Err(again) => error = again,
                done => return done,
            }
        }
        Err(error)
    }

    /// Whether a renewal may mend an error, for a caller that has waited this long.
    pub(crate) fn may_be_mended(&self, error: &Error, waited: Duration) -> bool {
        // A store that fails or hangs is not waited for, nor a window that no renewal can give.
        matches!(*error, Error::PastLease { end, .. } if self.lease.renewing() && self.lease.can_reach(end))
            && waited < self.lease.max_wait()
    }

    /// Asks the keeper to renew now.
    #[cold]
    pub(crate) fn nudge(&self) {
        // In the child of a fork there is no keeper, and the timeline is closed before it comes to this.
        if let Some(keeper) = &self.keeper {
            keeper.nudge();
        }
    }

    /// Gives the node back, if that is not done yet; for a caller that lets nobody else issue by it.
    pub(crate) fn stop(&mut self) -> Result<(), LeaseError> {
        let Some(keeper) = self.keeper.take() else { return Ok(()) };
        if self.generation == fork::generation() {
            keeper.stop()
        } else {
            // The thread is the parent's, and so is the lease: the child must touch neither.
            mem::forget(keeper);
            Err(lost())
        }
    }
}

impl<C: Clock + Clone> Drop for LeasedGenerator<C> {
    fn drop(&mut self) {
        // Who wants to know calls `release`.
        let _ = self.stop();
    }
}
