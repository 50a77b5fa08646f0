//! The generator of one node.

use alloc::sync::Arc;
use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::fork::Process;
use crate::id::{Epoch, Node, Record, Snowflake};
use crate::issue::block::Block;
use crate::issue::stats::{Counters, Stats};
use crate::issue::timeline::{Spread, Timeline};
use crate::issue::wait::{IfAhead, Wait};
use crate::layout;

/// Issues the IDs of one node: unique, and increasing for each thread.
///
/// Every method takes `&self`. Threads share one generator by reference, in an [`Arc`], or as a
/// `static` in a `OnceLock` or `LazyLock`. It has no lock: an ID costs one clock read and one
/// atomic operation.
///
/// All generators of a process for one epoch and node issue from one timeline. So a second
/// generator of the node, a rebuilt one, or a return to an earlier node repeats nothing. A
/// generator on a simulated clock, such as [`ManualClock`](crate::ManualClock), is the exception:
/// it has its own timeline. A generator does not see other processes. Give each process a node of
/// its own.
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
    pub(super) timeline: Arc<Timeline>,
    pub(super) epoch: Epoch,
    pub(super) node_bits: u64,
    pub(super) node: Node,
    pub(super) wait: Wait,
    pub(super) max_wait: Duration,
    pub(super) max_lead: Duration,
    pub(super) spread: Spread,
    pub(super) clock: C,
    /// The process that built the generator.
    pub(super) process: Process,
    pub(super) leased: bool,
    /// Padded: a write to a counter must not evict the cache line of the fields above.
    pub(super) counters: CachePadded<Counters>,
}

impl<C> Generator<C> {
    /// How far IDs may be ahead of the clock.
    pub(crate) fn max_lead(&self) -> Duration {
        self.max_lead
    }
}

impl<C: Clock> Generator<C> {
    /// Issues the next ID.
    ///
    /// It waits (see [`Wait`]) when all 4096 IDs of this millisecond are issued, or when other
    /// callers wait for later ones: for at most `max_wait` by the generator's clock.
    ///
    /// # Errors
    ///
    /// - [`Error::WaitTooLong`], at once, if the wait would be longer than `max_wait`: the clock is
    ///   far behind the issued IDs, or too many IDs are reserved.
    /// - [`Error::ClockStalled`] if the clock runs too slowly during the wait; after at most
    ///   `max_wait` more than the wait needed.
    /// - [`Error::EpochInFuture`], [`Error::EndOfTime`] if the clock leaves the 42 bits.
    /// - [`Error::Forked`] in the child of a `fork`.
    /// - [`Error::LeaseLost`], [`Error::PastLease`] from a leased generator whose window has ended.
    #[inline]
    pub fn next_id(&self) -> Result<Snowflake, Error> {
        match self.add() {
            Ok(slot) => Ok(self.id(slot)),
            Err(tick) => self.claim_id(tick, IfAhead::Wait),
        }
    }

    /// Issues the next ID, or fails at once if that would need a wait.
    ///
    /// For runtimes that must not block: on [`Error::Exhausted`] let the task sleep for
    /// `retry_after`, then call again. Repeat this if other callers were faster.
    ///
    /// Between two calls nothing is held, so a task may be dropped there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pyflake::{Epoch, Error, Generator, Node, Snowflake};
    ///
    /// // `sleep` is the runtime's.
    /// async fn next_id<F: Future<Output = ()>>(
    ///     generator: &Generator,
    ///     sleep: impl Fn(Duration) -> F,
    /// ) -> Result<Snowflake, Error> {
    ///     loop {
    ///         match generator.try_next_id() {
    ///             Err(Error::Exhausted { retry_after }) => sleep(retry_after).await,
    ///             done => return done,
    ///         }
    ///     }
    /// }
    ///
    /// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let generator = Generator::new(Epoch::TWITTER, Node::new(11, 2)?)?;
    /// # let sleep = |time| std::future::ready(std::thread::sleep(time));
    /// # let future = std::pin::pin!(next_id(&generator, sleep));
    /// # assert!(matches!(future.poll(&mut context), std::task::Poll::Ready(Ok(_))));
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if [`next_id`](Self::next_id) would wait; its other errors are the
    /// same.
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        match self.add() {
            Ok(slot) => Ok(self.id(slot)),
            Err(tick) => self.claim_id(tick, IfAhead::Fail),
        }
    }

    /// Claims a run of `n` consecutive IDs with one compare-and-swap. For `n = 0` it claims
    /// nothing.
    ///
    /// A run may be longer than the rest of this millisecond, and longer than 4096. It then
    /// continues in the following milliseconds, and the call waits until the last of them has
    /// begun. Other callers get the IDs after the run.
    ///
    /// # Errors
    ///
    /// As [`next_id`](Self::next_id). [`Error::WaitTooLong`] for a run of about `4096 * max_wait`
    /// IDs or more (`max_wait` in milliseconds): four million by default.
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        let n = n as u64;
        if n == 0 {
            return Ok(Block::new(0, 0, self.node_bits));
        }
        let first = self.claim(n, self.tick(), IfAhead::Wait)?;
        Ok(Block::new(first, n, self.node_bits))
    }

    /// Fills a slice with consecutive IDs, claimed with one compare-and-swap.
    ///
    /// This is the fastest way to get many IDs. It waits as [`reserve`](Self::reserve) does.
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
    /// As [`reserve`](Self::reserve); the slice is then unchanged.
    pub fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        self.reserve(ids.len()).map(|block| block.write(ids))
    }

    /// Issues IDs as [`Record`]s, numbered from 1, without end.
    ///
    /// The generator of the Python package yields the same fields. Each step waits as
    /// [`next_id`](Self::next_id) does. The iterator continues after an error. Only issued IDs get
    /// a number.
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

    /// The epoch from which IDs count.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The node whose IDs are issued.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// The clock of the generator.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// Returns whether IDs can be issued: `false` in the child of a `fork`, where the node is the parent's.
    #[must_use]
    pub fn can_issue(&self) -> bool {
        self.check().is_ok()
    }

    /// Counters of the generator: waits, lost races, the clock's lead over the wall clock.
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
            lead: self.time_until(layout::tick_of_slot(self.timeline.free().saturating_sub(1))),
            window_left: self.leased.then(|| self.window_end().map_or(Duration::ZERO, left)),
        }
    }

    /// Opens the window `floor..until` of a lease, in Unix milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::NodeInUse`] if another lease of this process owns the node's window.
    pub(crate) fn open(&self, floor: u64, until: u64) -> Result<(), Error> {
        if !self.timeline.begin_lease() {
            return Err(Error::NodeInUse { node: self.node, leased: true });
        }
        self.timeline.open(self.tick_at(floor), self.tick_at(until));
        Ok(())
    }

    /// Extends the window of a lease to the Unix millisecond `until`.
    pub(crate) fn extend(&self, until: u64) {
        self.timeline.extend(self.tick_at(until));
    }

    /// The first Unix millisecond past the window; `None` if no window is open.
    pub(crate) fn window_end(&self) -> Option<u64> {
        self.timeline.limit().map(|limit| self.epoch.unix_millis(limit))
    }

    /// Ends the window of a lease, and returns the first Unix millisecond without an issued ID.
    pub(crate) fn end(&self) -> u64 {
        self.epoch.unix_millis(layout::tick_of_slot(layout::end_of_begun_tick(self.timeline.end_lease())))
    }

    /// The first Unix millisecond that has a free slot.
    pub(crate) fn next_time(&self) -> u64 {
        self.epoch.unix_millis(layout::tick_of_slot(self.timeline.free()))
    }

    /// The tick of a Unix millisecond: 0 before the epoch, and at most the end of 42 bits.
    fn tick_at(&self, unix_millis: u64) -> u64 {
        unix_millis.saturating_sub(self.epoch.as_unix_millis()).min(layout::TICKS)
    }

    /// Fails if no window is open.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.timeline.limit().is_none() { Err(self.closed()) } else { Ok(()) }
    }

    /// The reason why no window is open. Only a fork closes the timeline of a node without a lease.
    pub(super) fn closed(&self) -> Error {
        if self.leased && self.process.is_current() { Error::LeaseLost } else { Error::Forked }
    }
}

/// The endless iterator of [`Generator::records`].
#[derive(Debug)]
#[must_use = "iterators are lazy: an ID is issued by each call of next()"]
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
