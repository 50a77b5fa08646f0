use core::sync::atomic::{Ordering, fence};
use core::time::Duration;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::block::Block;
use crate::clock::{Clock, SystemClock};
use crate::epoch::Epoch;
use crate::error::Error;
use crate::fork;
use crate::layout;
use crate::node::Node;
use crate::registry;
use crate::snowflake::{Record, Snowflake};
use crate::stats::{Counters, Stats};
use crate::timeline::{Instant, Refusal, Timeline};
use crate::wait::Wait;

/// Issues IDs for one node: unique, and increasing for each thread that calls it.
///
/// Every method takes `&self`, so threads share one generator by reference, in an [`Arc`], or as a `static` behind a
/// `OnceLock` or `LazyLock`. There is no lock in it: an ID is one clock read and one compare-and-swap.
///
/// All generators of a process for one epoch and node issue from one timeline, so building a second one, dropping one
/// and building it again, or going back to an earlier node repeats nothing. (A generator on a made-up clock such as
/// [`ManualClock`](crate::ManualClock) is the exception: it has a timeline of its own.) What a process cannot see is
/// another process with the same node; give each one its own.
///
/// ```
/// use std::sync::Arc;
/// use pyflake::{Epoch, Generator, Node};
///
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// let generator = Arc::new(Generator::new(epoch, Node::new(6, 17)?)?);
/// let workers: Vec<_> = (0..4)
///     .map(|_| {
///         let generator = Arc::clone(&generator);
///         std::thread::spawn(move || generator.next_id())
///     })
///     .collect();
/// for worker in workers {
///     println!("{}", worker.join().expect("the worker ran")?);
/// }
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Debug)]
pub struct Generator<C = SystemClock> {
    timeline: Arc<Timeline>,
    epoch: Epoch,
    node_bits: u64,
    node: Node,
    wait: Wait,
    max_wait: Duration,
    clock: C,
    /// The process that built it (see `fork::generation`).
    generation: u64,
    leased: bool,
    /// On lines of their own: what races count must not take the fields above from the other threads.
    counters: CachePadded<Counters>,
}

/// Sets up a [`Generator`] other than the default one; made by [`Generator::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct GeneratorBuilder<C = SystemClock> {
    epoch: Epoch,
    node: Node,
    wait: Wait,
    max_wait: Duration,
    /// Whether the node is held under a lease, and the timeline closed until its window is opened.
    leased: bool,
    resume_after: Option<Snowflake>,
    clock: C,
}

impl Generator {
    /// Makes a generator on the [`SystemClock`] that waits adaptively, for at most a second.
    ///
    /// # Errors
    ///
    /// As [`GeneratorBuilder::build`].
    pub fn new(epoch: Epoch, node: Node) -> Result<Self, Error> {
        Generator::builder(epoch, node).build()
    }

    /// Starts from the defaults of [`new`](Self::new), to change some of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pyflake::{Epoch, Generator, Node, Wait};
    ///
    /// let generator = Generator::builder(Epoch::TWITTER, Node::new(1, 1)?)
    ///     .wait(Wait::Sleep(Duration::from_millis(1)))
    ///     .max_wait(Duration::from_millis(20))
    ///     .build()?;
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    pub fn builder(epoch: Epoch, node: Node) -> GeneratorBuilder {
        GeneratorBuilder {
            epoch,
            node,
            wait: Wait::default(),
            max_wait: Duration::from_secs(1),
            leased: false,
            resume_after: None,
            clock: SystemClock::new(),
        }
    }
}

impl<C: Clock> GeneratorBuilder<C> {
    /// Uses another clock than the [`SystemClock`].
    pub fn clock<D: Clock>(self, clock: D) -> GeneratorBuilder<D> {
        let GeneratorBuilder { epoch, node, wait, max_wait, leased, resume_after, clock: _ } = self;
        GeneratorBuilder { epoch, node, wait, max_wait, leased, resume_after, clock }
    }

    /// Sets how a caller waits when the 4096 IDs of a millisecond are issued; [`Wait::Adaptive`] by default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the longest wait a call may make, by the generator's clock; a second by default.
    ///
    /// A wait that is known to be longer is refused before it begins. Zero makes every call answer at once.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Makes the generator continue after an ID that was issued before, such as the largest in a database.
    ///
    /// No ID will be at or below it, whatever the clock says, so a restart with the wall clock set back repeats
    /// nothing that the database has seen. Its node does not matter, its epoch must be the generator's. If it lies
    /// ahead of the clock, calls wait until the clock has passed it (see [`max_wait`](Self::max_wait)).
    ///
    /// All generators of this process on the node continue after it too. An ID of a later epoch, read by this one's, may
    /// lie years ahead: then every call is refused, with the wait's length.
    ///
    /// It protects from IDs that are known, and not from those that were issued and are not stored yet; a lease
    /// protects from both.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node, Snowflake};
    ///
    /// let stored = Snowflake::from(473_032_512_445_898_752);
    /// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    /// let generator = Generator::builder(epoch, Node::new(1, 1)?).resume_after(stored).build()?;
    /// assert!(generator.next_id()? > stored);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    pub fn resume_after(mut self, id: Snowflake) -> Self {
        self.resume_after = self.resume_after.max(Some(id));
        self
    }

    /// Builds for a node that is held under a lease.
    pub(crate) fn leased(mut self) -> Self {
        self.leased = true;
        self
    }

    /// Changes the node.
    pub(crate) fn node(mut self, node: Node) -> Self {
        self.node = node;
        self
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Builds the generator.
    ///
    /// # Errors
    ///
    /// [`Error::EpochInFuture`] if the clock is before the epoch, [`Error::EndOfTime`] if it is past the 42 bits,
    /// [`Error::Forked`] if this process inherited the node's timeline through `fork`, [`Error::NodeInUse`] if it
    /// holds the node under a lease.
    pub fn build(self) -> Result<Generator<C>, Error> {
        let GeneratorBuilder { epoch, node, wait, max_wait, leased, resume_after, clock } = self;
        epoch.tick(clock.unix_millis())?;
        let timeline = match (clock.tells_machine_time(), leased) {
            (true, _) => registry::timeline(epoch, node, leased)?,
            (false, true) => Arc::new(Timeline::closed()),
            (false, false) => Arc::new(Timeline::open_ended()),
        };
        // SeqCst: as in `finish`.
        fence(Ordering::SeqCst);
        if let Some(id) = resume_after {
            // The next tick, and not the next sequence: the ID may be of another node, which the order of IDs puts
            // above this one within a tick.
            timeline.raise(layout::first_slot(id.tick() + 1));
        }
        let generator = Generator {
            timeline,
            epoch,
            node_bits: node.bits(),
            node,
            wait,
            max_wait,
            clock,
            generation: fork::generation(),
            leased,
            counters: CachePadded::default(),
        };
        if !leased {
            generator.check()?;
        }
        Ok(generator)
    }
}

impl<C: Clock> Generator<C> {
    /// Issues the next ID.
    ///
    /// When the 4096 IDs of this millisecond are issued it waits for the next one (see [`Wait`]), and as long as other
    /// callers are in front of it: at most `max_wait` by the generator's clock.
    ///
    /// # Errors
    ///
    /// - [`Error::WaitTooLong`] at once if the wait would be longer than `max_wait`: the clock is far behind the IDs
    ///   issued, or too many are reserved.
    /// - [`Error::ClockStalled`] if the clock does not keep up while this waits; after another `max_wait`.
    /// - [`Error::EpochInFuture`], [`Error::EndOfTime`] if the clock leaves the 42 bits.
    /// - [`Error::Forked`] in the child of a `fork`.
    /// - [`Error::LeaseLost`], [`Error::PastLease`] from a leased generator whose window has ended.
    #[inline]
    pub fn next_id(&self) -> Result<Snowflake, Error> {
        match self.claim(1) {
            Some(slot) => Ok(self.id(slot)),
            None => self.next_id_slow(),
        }
    }

    #[cold]
    #[inline(never)]
    fn next_id_slow(&self) -> Result<Snowflake, Error> {
        self.claim_and_wait(1).map(|slot| self.id(slot))
    }

    /// Issues the next ID if that is possible without waiting.
    ///
    /// It is the building block for runtimes that must not block: on [`Error::Exhausted`] let the task sleep for
    /// `retry_after`, then try again, and again if other callers were faster or the clock runs slow.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] where [`next_id`](Self::next_id) would wait, otherwise the same.
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        match self.claim(1) {
            Some(slot) => Ok(self.id(slot)),
            None => self.try_next_id_slow(),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_next_id_slow(&self) -> Result<Snowflake, Error> {
        match self.claim_within(1, Duration::ZERO)? {
            Ok(run) => Ok(self.id(run.first)),
            Err(last_tick) => Err(Error::Exhausted { retry_after: self.time_until(last_tick) }),
        }
    }

    /// Claims a run of `n` consecutive IDs with one compare-and-swap; none for 0.
    ///
    /// A run may be longer than the rest of this millisecond, or than 4096: it then continues through the following
    /// ones, and this waits until the last of them has begun, so that no ID is handed out before its time. Other
    /// callers get the IDs after it.
    ///
    /// # Errors
    ///
    /// As [`next_id`](Self::next_id). A run of about `4096 * max_wait` in milliseconds and more is refused with
    /// [`Error::WaitTooLong`], four million by default.
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        let n = n as u64;
        if n == 0 {
            return Ok(Block::new(0, 0, self.node_bits));
        }
        let first = match self.claim(n) {
            Some(first) => first,
            None => self.claim_and_wait(n)?,
        };
        Ok(Block::new(first, n, self.node_bits))
    }

    /// Fills a slice with consecutive IDs, claimed with one compare-and-swap.
    ///
    /// It waits as [`reserve`](Self::reserve) does, and is the cheapest way to many IDs.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node, Snowflake};
    ///
    /// let generator = Generator::new(Epoch::TWITTER, Node::new(5, 6)?)?;
    /// let mut ids = [Snowflake::default(); 256];
    /// generator.fill(&mut ids)?;
    /// assert!(ids.is_sorted());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve); the slice is then as it was.
    pub fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        self.reserve(ids.len()).map(|block| block.write(ids))
    }

    /// Issues IDs as [`Record`]s, taken apart and numbered from 1, without end: what the Python package's generator
    /// yields.
    ///
    /// Each step waits as [`next_id`](Self::next_id) does. After an error the iterator can be asked again; only issued
    /// IDs are numbered.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node};
    ///
    /// let generator = Generator::new(Epoch::TWITTER, Node::new(7, 8)?)?;
    /// for (record, idx) in generator.records().take(3).zip(1..) {
    ///     let record = record?;
    ///     assert_eq!((record.pid, record.seed, record.idx), (7, 8, idx));
    /// }
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    pub fn records(&self) -> Records<'_, C> {
        Records { generator: self, issued: 0 }
    }

    /// The epoch the IDs count from.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The node that issues.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    /// The clock it reads.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// What the generator has gone through: waits, lost races, the clock's lead over the wall.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node};
    ///
    /// let generator = Generator::new(Epoch::TWITTER, Node::new(9, 9)?)?;
    /// for _ in 0..5000 {
    ///     generator.next_id()?;
    /// }
    /// println!("{:?}", generator.stats());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let left = |until| Duration::from_millis(until).saturating_sub(self.clock.unix_time());
        Stats {
            waits: self.counters.waits.get(),
            waited: Duration::from_nanos(self.counters.waited.get()),
            lost_races: self.counters.lost_races.get(),
            clock: self.clock.stats(),
            window: self.leased.then(|| self.window_end().map_or(Duration::ZERO, left)),
        }
    }

    /// Opens the window of a lease, in Unix milliseconds, unless another lease of this process governs the node's.
    pub(crate) fn open(&self, floor: u64, until: u64) -> Result<(), Error> {
        if !self.timeline.govern() {
            let (pid, seed) = (self.node.pid(), self.node.seed());
            return Err(Error::NodeInUse { pid, seed, leased: true });
        }
        self.timeline.open(self.slot_at(floor), self.slot_at(until));
        Ok(())
    }

    /// Extends the window of a lease, in Unix milliseconds.
    pub(crate) fn extend(&self, until: u64) {
        self.timeline.extend(self.slot_at(until));
    }

    /// The first Unix millisecond past the window; `None` where issue is closed.
    pub(crate) fn window_end(&self) -> Option<u64> {
        match self.timeline.limit() {
            0 => None,
            limit => Some(self.epoch.unix_millis(layout::tick_of_slot(limit))),
        }
    }

    /// Ends the window of a lease that is lost.
    pub(crate) fn close(&self) {
        self.timeline.abandon();
    }

    /// Ends the window of a lease, and answers the Unix millisecond after the last one that an ID was or will be issued
    /// in: for a caller that lets nobody else use this generator. `None` if other generators of this process have the
    /// same timeline, as somebody may be in the middle of a claim by the limit of before.
    pub(crate) fn finish(&self) -> Option<u64> {
        self.timeline.close();
        // SeqCst, with the fence in `build`: either the other generator is counted here, or it finds the end above.
        fence(Ordering::SeqCst);
        let alone = Arc::strong_count(&self.timeline) <= 1 + usize::from(self.clock.tells_machine_time());
        let free = self.timeline.free();
        self.timeline.abandon();
        alone.then(|| self.epoch.unix_millis(layout::tick_of_slot(layout::end_of_begun_tick(free))))
    }

    /// The first Unix millisecond that has an ID left.
    pub(crate) fn next_time(&self) -> u64 {
        self.epoch.unix_millis(layout::tick_of_slot(self.timeline.free()))
    }

    /// The first slot of a Unix millisecond; at most the end of 42 bits, and 0 before the epoch.
    fn slot_at(&self, unix_millis: u64) -> u64 {
        layout::first_slot(unix_millis.saturating_sub(self.epoch.as_unix_millis()).min(layout::MAX_TICK + 1))
    }

    /// Refuses where the generator can issue no more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.timeline.limit() == 0 { Err(self.closed()) } else { Ok(()) }
    }

    /// Why the timeline is closed: a node without a lease is closed by a fork alone.
    fn closed(&self) -> Error {
        if self.leased && self.generation == fork::generation() { Error::LeaseLost } else { Error::Forked }
    }

    #[inline]
    fn claim(&self, n: u64) -> Option<u64> {
        // Before the epoch this wraps to a tick far past 42 bits, which the timeline leaves to the slow path.
        self.timeline
            .claim(n, &self.counters.lost_races, || self.clock.unix_millis().wrapping_sub(self.epoch.as_unix_millis()))
    }

    #[inline]
    fn id(&self, slot: u64) -> Snowflake {
        Snowflake::from(layout::id(slot, self.node_bits))
    }

    /// Claims `n` slots and waits for the last one's tick.
    #[cold]
    #[inline(never)]
    fn claim_and_wait(&self, n: u64) -> Result<u64, Error> {
        match self.claim_within(n, self.max_wait)? {
            Ok(run) => {
                if run.ahead {
                    let last = layout::tick_of_slot(run.first + n - 1);
                    let waited = self.wait.until(&self.clock, self.epoch.unix_millis(last), self.max_wait)?;
                    self.counters.waits.add(1);
                    self.counters.waited.add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
                }
                Ok(run.first)
            }
            Err(last_tick) => Err(Error::WaitTooLong { wait: self.time_until(last_tick), max_wait: self.max_wait }),
        }
    }

    /// Claims `n` slots that end at most `patience` ahead of the clock, or says the tick they would end in.
    fn claim_within(&self, n: u64, patience: Duration) -> Result<Result<crate::timeline::Run, u64>, Error> {
        let claim = self.timeline.claim_within(n, &self.counters.lost_races, || {
            let now = self.clock.unix_time();
            let tick = self.epoch.tick(whole_millis(now))?;
            // Past the end of time the limit refuses, so the reach need not.
            let latest = whole_millis(now.saturating_add(patience));
            Ok::<_, Error>(Instant { tick, reach: latest - self.epoch.as_unix_millis() })
        })?;
        match claim {
            Ok(run) => Ok(Ok(run)),
            Err(Refusal::Ahead { last_tick }) => Ok(Err(last_tick)),
            Err(Refusal::Limit { limit: 0, .. }) => Err(self.closed()),
            Err(Refusal::Limit { end, limit }) => {
                let end = self.epoch.unix_millis(layout::tick_of_slot(end - 1));
                Err(if limit == layout::SLOTS {
                    Error::EndOfTime { epoch: self.epoch.as_unix_millis(), now: end }
                } else {
                    Error::PastLease { end, until: self.epoch.unix_millis(layout::tick_of_slot(limit)) }
                })
            }
        }
    }

    /// The time until a tick, by the generator's clock.
    fn time_until(&self, tick: u64) -> Duration {
        Duration::from_millis(self.epoch.unix_millis(tick)).saturating_sub(self.clock.unix_time())
    }
}

/// The whole milliseconds of a time.
fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The endless iterator of [`Generator::records`].
#[derive(Debug)]
#[must_use = "iterators are lazy: nothing is issued until it is asked"]
pub struct Records<'a, C = SystemClock> {
    generator: &'a Generator<C>,
    issued: u64,
}

impl<C: Clock> Iterator for Records<'_, C> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.generator.next_id().map(|id| {
            self.issued += 1;
            id.record(self.generator.epoch, self.issued)
        }))
    }
}
