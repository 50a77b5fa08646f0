//! `ShardedGenerator`: several nodes at once, for more than 4096 IDs in a millisecond.

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::id::{Epoch, Node, Snowflake};
use crate::issue::block::Block;
use crate::issue::builder::GeneratorBuilder;
use crate::issue::generator::Generator;
use crate::issue::stats::Stats;
use crate::issue::walk::Shards;
use crate::layout::MAX_SEED;

/// Issues IDs on several nodes at once: one pid with up to 32 seeds.
///
/// Use it for more than 4096 IDs in a millisecond, or for threads that must not wait for each
/// other.
///
/// Each seed is a shard: a [`Generator`] with its own timeline on its own cache line. A thread
/// issues from one shard, its home, until the home has no ID left in the millisecond. Then another
/// shard becomes its home. It waits only when all shards are used up: with 32 shards, after 131,072
/// IDs in a millisecond (fewer after a pause with
/// [`spread_sequence`](GeneratorBuilder::spread_sequence)).
///
/// # Order
///
/// - All IDs are **unique**, also across shards.
/// - The IDs of one **shard** (those with one seed) increase, in whichever threads.
/// - All IDs are sorted by **millisecond**: a call that begins after another call returned gets no
///   ID of an earlier millisecond, unless its clock reads an earlier time. (The processor's counter
///   may differ by some nanoseconds between cores, a [`CoarseClock`](crate::CoarseClock) by its
///   age.)
/// - Within a millisecond the IDs have no order, not even those of one thread, because the thread
///   may change its home. So the IDs are sorted to within `k` places, where `k` is 4096 times the
///   number of shards.
///
/// No other process may use these nodes, and no lease checks that. For nodes under leases, use
/// [`ShardedLeasedGenerator`](crate::lease::ShardedLeasedGenerator).
///
/// ```
/// use pyflake::{Epoch, ShardedGenerator, Snowflake};
///
/// let generator = ShardedGenerator::new(Epoch::TWITTER, 2, 0..=31)?;
/// let id = generator.next_id()?;
/// assert_eq!(id.pid(), 2);
///
/// let mut ids = vec![Snowflake::default(); 100_000];
/// generator.fill(&mut ids)?;
/// ids.sort();
/// ids.dedup();
/// assert_eq!(ids.len(), 100_000);
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Debug)]
pub struct ShardedGenerator<C = SystemClock> {
    /// At least one shard.
    shards: Box<[Generator<C>]>,
    max_wait: Duration,
}

impl<C: Clock> Shards for [Generator<C>] {
    type Clock = C;

    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn shard(&self, index: usize) -> Option<&Generator<C>> {
        self.get(index)
    }

    /// Never called: every shard is present.
    fn none(&self) -> Error {
        Error::NoSeeds { first: 0, last: 0 }
    }
}

impl ShardedGenerator {
    /// Makes a sharded generator of a pid and a range of seeds, 0 to 31 each.
    ///
    /// It uses the [`SystemClock`] and waits as a generator of [`Generator::new`].
    ///
    /// # Errors
    ///
    /// As [`GeneratorBuilder::build_sharded`], and [`Error::PidOutOfRange`].
    pub fn new(epoch: Epoch, pid: u64, seeds: RangeInclusive<u64>) -> Result<Self, Error> {
        Generator::builder(epoch, Node::new(pid, 0)?).build_sharded(seeds)
    }
}

impl<C: Clock + Clone> GeneratorBuilder<C> {
    /// Builds a [`ShardedGenerator`] of the builder's pid and a range of seeds, 0 to 31.
    ///
    /// The builder's own seed is not used.
    ///
    /// ```
    /// use pyflake::{CoarseClock, Epoch, Generator, Node};
    ///
    /// let node = Node::new(2, 0)?;
    /// let builder = Generator::builder(Epoch::TWITTER, node).clock(CoarseClock::new()?);
    /// let generator = builder.build_sharded(0..=7)?;
    /// assert_eq!(generator.shard_count(), 8);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSeeds`] for an empty range, [`Error::SeedOutOfRange`] for a seed above 31,
    /// [`Error::LeadOutOfRange`] for any [`max_lead`](Self::max_lead) above zero; otherwise as
    /// [`build`](Self::build).
    pub fn build_sharded(self, seeds: RangeInclusive<u64>) -> Result<ShardedGenerator<C>, Error> {
        let (first, last) = (*seeds.start(), *seeds.end());
        if first > last {
            return Err(Error::NoSeeds { first, last });
        }
        if last > u64::from(MAX_SEED) {
            return Err(Error::SeedOutOfRange { seed: last });
        }
        if !self.longest_lead().is_zero() {
            // A lead in one shard would break the order by millisecond across shards.
            return Err(Error::LeadOutOfRange { max_lead: self.longest_lead(), limit: Duration::ZERO });
        }
        let pid = u64::from(self.pid());
        let shards: Result<_, _> = seeds.map(|seed| self.clone().node(Node::new(pid, seed)?).build()).collect();
        Ok(ShardedGenerator { shards: shards?, max_wait: self.longest_wait() })
    }
}

impl<C: Clock> ShardedGenerator<C> {
    /// Issues an ID of the thread's home, or of another shard that has one.
    ///
    /// It waits as [`Generator::next_id`] does when all shards are used up.
    ///
    /// # Errors
    ///
    /// As [`Generator::next_id`].
    #[inline]
    pub fn next_id(&self) -> Result<Snowflake, Error> {
        self.shards.next_id()
    }

    /// Issues an ID, or fails at once if every shard would need a wait.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if all shards are used up; otherwise as [`Generator::next_id`].
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        self.shards.try_next_id()
    }

    /// Claims a run of `n` consecutive IDs of one shard.
    ///
    /// It takes the first shard with so many IDs left in this millisecond. If no shard has, it
    /// waits as [`Generator::reserve`] does.
    ///
    /// # Errors
    ///
    /// As [`Generator::reserve`].
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        self.shards.reserve(n)
    }

    /// Fills a slice with runs of consecutive IDs.
    ///
    /// Each run is of another shard or millisecond. It waits only when all shards are used up, each
    /// time for at most `max_wait`.
    ///
    /// # Errors
    ///
    /// [`Error::WaitTooLong`], at once, if that many IDs take longer than `max_wait`; otherwise as
    /// [`Generator::next_id`]. The front of the slice may then hold new IDs. They are not issued
    /// again.
    pub fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        self.shards.fill(ids, self.max_wait)
    }

    /// The number of shards, 1 to 32.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// The epoch from which IDs count.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shards[0].epoch()
    }

    /// The sums of the shards' counters; `lead` is the longest lead.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shards.stats().unwrap_or_default()
    }
}
