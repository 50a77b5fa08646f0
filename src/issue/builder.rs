//! `GeneratorBuilder`: the options of a generator.

use alloc::sync::Arc;
use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::fork::Process;
use crate::id::{Epoch, Node, Snowflake};
use crate::issue::generator::Generator;
use crate::issue::registry;
use crate::issue::stats::Counters;
use crate::issue::timeline::{Spread, Timeline};
use crate::issue::wait::Wait;
use crate::layout::SEQUENCE_BITS;

/// The largest `max_lead`.
///
/// A restart without a lease could repeat the IDs of the lead, and a twin or a successor on the
/// node waits for its end. Ten seconds keep both short enough for an operator to notice.
const MAX_LEAD: Duration = Duration::from_secs(10);

/// Builds a [`Generator`] with other options than the defaults; made by [`Generator::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct GeneratorBuilder<C = SystemClock> {
    options: Options,
    clock: C,
}

/// All options except the clock.
#[derive(Clone, Debug)]
struct Options {
    epoch: Epoch,
    node: Node,
    wait: Wait,
    max_wait: Duration,
    max_lead: Duration,
    /// Whether the user accepts that a restart may repeat IDs that were issued ahead of the clock.
    repeats_allowed: bool,
    spread_bits: u32,
    /// Whether the node is used under leases. Its timeline then begins closed.
    leased: bool,
    resume_after: Option<Snowflake>,
}

impl Generator {
    /// Makes a generator on the [`SystemClock`]. It waits adaptively, for at most a second.
    ///
    /// # Errors
    ///
    /// As [`GeneratorBuilder::build`].
    #[cfg(feature = "std")]
    pub fn new(epoch: Epoch, node: Node) -> Result<Self, Error> {
        Generator::builder(epoch, node).build()
    }

    /// Makes a builder with the defaults of `new`.
    ///
    /// Without the feature `std` there is no default clock: call
    /// [`clock`](GeneratorBuilder::clock).
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
        let options = Options {
            epoch,
            node,
            wait: Wait::default(),
            max_wait: Duration::from_secs(1),
            max_lead: Duration::ZERO,
            repeats_allowed: false,
            spread_bits: 0,
            leased: false,
            resume_after: None,
        };
        GeneratorBuilder { options, clock: SystemClock::new() }
    }
}

impl<C> GeneratorBuilder<C> {
    /// Sets the clock; [`SystemClock`] by default.
    pub fn clock<D: Clock>(self, clock: D) -> GeneratorBuilder<D> {
        GeneratorBuilder { options: self.options, clock }
    }

    /// Sets how a caller waits for the next millisecond; [`Wait::Adaptive`] by default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.options.wait = wait;
        self
    }

    /// Sets the longest wait of a call, by the generator's clock; a second by default.
    ///
    /// A call that would wait longer fails at once. With zero, every call returns at once.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.options.max_wait = max_wait;
        self
    }

    /// Lets IDs run ahead of the clock by up to `max_lead`; zero by default, at most ten seconds.
    ///
    /// A burst of more than 4096 IDs in a millisecond then takes IDs of later milliseconds at once
    /// instead of waiting for them. [`try_next_id`](Generator::try_next_id) does so too.
    /// [`Stats::lead`](crate::Stats::lead) is the distance of the last ID. Other generators of this
    /// process on the node without this option wait for the clock, or fail if the lead is longer
    /// than their `max_wait`.
    ///
    /// A process that ends while it is ahead, and starts again at once, would issue the same IDs
    /// again. So this option needs one of two things:
    ///
    /// - a lease
    ///   ([`LeasedGeneratorBuilder::max_lead`](crate::lease::LeasedGeneratorBuilder::max_lead)),
    ///   because its next holder starts after the window;
    /// - [`allow_repeats_after_restart`](Self::allow_repeats_after_restart).
    ///
    /// ```
    /// use std::time::Duration;
    /// use pyflake::{Epoch, Generator, ManualClock, Node};
    ///
    /// let generator = Generator::builder(Epoch::TWITTER, Node::new(1, 1)?)
    ///     .clock(ManualClock::new(1_700_000_000_000))
    ///     .max_lead(Duration::from_millis(2))
    ///     .allow_repeats_after_restart()
    ///     .build()?;
    /// // The IDs of this millisecond and of the next two.
    /// assert_eq!((0..).take_while(|_| generator.try_next_id().is_ok()).count(), 3 * 4096);
    /// assert_eq!(generator.stats().lead, Duration::from_millis(2));
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    pub fn max_lead(mut self, max_lead: Duration) -> Self {
        self.options.max_lead = max_lead;
        self
    }

    /// Accepts that a restart may repeat the IDs that were issued ahead of the clock.
    ///
    /// [`max_lead`](Self::max_lead) without a lease requires this. It is harmless if a restart
    /// takes longer than the lead, or if [`resume_after`](Self::resume_after) gets the last ID.
    pub fn allow_repeats_after_restart(mut self) -> Self {
        self.options.repeats_allowed = true;
        self
    }

    /// Spreads the first sequence of a millisecond over `2^bits` values, 0 to 11 bits; by default
    /// it is 0.
    ///
    /// A generator that issues less than one ID in a millisecond gives nearly all IDs the sequence
    /// 0, so they are multiples of 4096. Sharded by `id % 64`, they all go to one shard. With 6
    /// bits they go to all 64 shards evenly. The start is a fixed function of the time and the
    /// node.
    ///
    /// The cost is capacity. A millisecond that follows a pause has up to `2^bits - 1` fewer IDs,
    /// half of that on average. One that follows a full millisecond begins at 0.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, ManualClock, Node};
    ///
    /// let clock = ManualClock::new(1_700_000_000_000);
    /// let builder = Generator::builder(Epoch::TWITTER, Node::new(1, 1)?).clock(clock.clone());
    /// let generator = builder.spread_sequence(6).build()?;
    /// let mut shards = [0; 64];
    /// for _ in 0..6400 {
    ///     clock.advance(7);
    ///     shards[(generator.next_id()?.as_u64() % 64) as usize] += 1;
    /// }
    /// assert!(shards.iter().all(|&ids| (60..140).contains(&ids)));
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    pub fn spread_sequence(mut self, bits: u32) -> Self {
        self.options.spread_bits = bits;
        self
    }

    /// Makes every ID larger than `id`, such as the largest ID in a database.
    ///
    /// So a restart with the wall clock set back repeats no ID that the database holds. The epoch
    /// of `id` must be the generator's; its node does not matter. If `id` lies ahead of the clock,
    /// calls wait until the clock has passed it (see [`max_wait`](Self::max_wait)).
    ///
    /// It applies to all generators of this process on the node. An ID of another epoch may read as
    /// years ahead. Then every call fails, and its error holds the length of the wait.
    ///
    /// It does not protect IDs that were issued and are not stored yet. A lease does.
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
        self.options.resume_after = self.options.resume_after.max(Some(id));
        self
    }

    /// Builds a generator that issues only in the windows of a lease.
    pub(crate) fn leased(mut self) -> Self {
        self.options.leased = true;
        self
    }

    /// Sets the node.
    pub(crate) fn node(mut self, node: Node) -> Self {
        self.options.node = node;
        self
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.options.epoch
    }

    pub(crate) fn pid(&self) -> u8 {
        self.options.node.pid()
    }

    pub(crate) fn current_clock(&self) -> &C {
        &self.clock
    }

    pub(crate) fn longest_wait(&self) -> Duration {
        self.options.max_wait
    }

    pub(crate) fn longest_lead(&self) -> Duration {
        self.options.max_lead
    }
}

impl<C: Clock> GeneratorBuilder<C> {
    /// Builds the generator.
    ///
    /// # Errors
    ///
    /// - [`Error::SpreadOutOfRange`] for more than 11 bits.
    /// - [`Error::LeadOutOfRange`] for a lead of more than ten seconds, [`Error::LeadUnprotected`]
    ///   for a lead without a lease or an acknowledgement.
    /// - [`Error::EpochInFuture`] if the clock is before the epoch, [`Error::EndOfTime`] if it is
    ///   past the 42 bits.
    /// - [`Error::Forked`] if this process inherited the node's timeline through `fork`.
    /// - [`Error::NodeInUse`] if this process holds the node under a lease.
    pub fn build(self) -> Result<Generator<C>, Error> {
        self.check()?;
        let GeneratorBuilder { options, clock } = self;
        let Options { epoch, node, wait, max_wait, max_lead, spread_bits, leased, resume_after, .. } = options;
        epoch.tick(clock.unix_millis())?;
        let timeline = match (clock.is_simulated(), leased) {
            (false, _) => registry::timeline(epoch, node, leased)?,
            (true, true) => Arc::new(Timeline::closed()),
            (true, false) => Arc::new(Timeline::open_ended()),
        };
        if let Some(id) = resume_after {
            // The next tick, and not the next sequence: within a tick, an ID of another node may be
            // larger than every ID of this one.
            timeline.raise(id.tick() + 1);
        }
        let generator = Generator {
            timeline,
            epoch,
            node_bits: node.bits(),
            node,
            wait,
            max_wait,
            max_lead,
            spread: Spread { bits: spread_bits, node_bits: node.bits() },
            clock,
            process: Process::current()?,
            leased,
            counters: CachePadded::<Counters>::default(),
        };
        if !leased {
            generator.check()?;
        }
        Ok(generator)
    }

    /// Checks the options that do not depend on the node.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Options { max_lead, spread_bits, leased, repeats_allowed, .. } = self.options;
        if spread_bits >= SEQUENCE_BITS {
            Err(Error::SpreadOutOfRange { bits: spread_bits })
        } else if max_lead > MAX_LEAD {
            Err(Error::LeadOutOfRange { max_lead, limit: MAX_LEAD })
        } else if !max_lead.is_zero() && !leased && !repeats_allowed {
            Err(Error::LeadUnprotected { max_lead })
        } else {
            Ok(())
        }
    }
}
