//! More than one node at once, for more than 4096 IDs a millisecond.

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

/// Issues IDs on several nodes at once, one pid with up to 32 seeds: for more than 4096 IDs a millisecond, and for
/// threads that must not wait for each other.
///
/// Each seed is a shard, a [`Generator`] with a timeline on a cache line of its own. A thread issues from one shard, its
/// home, as long as that has IDs left in the millisecond; then it makes another its home, and waits only when all are
/// used up. With 32 shards that is after 131,072 IDs a millisecond
/// (fewer after a pause with [`spread_sequence`](GeneratorBuilder::spread_sequence)).
///
/// # Order
///
/// - IDs are **unique**, as always, also among shards.
/// - The IDs of one **shard** (those with one seed) increase, whichever threads they go to.
/// - All IDs together are sorted by **millisecond**: a call that begins after another has returned does not get an ID of
///   an earlier millisecond, if the clock does not show it an earlier time (as the processor's counter may by some
///   nanoseconds, and a [`CoarseClock`](crate::CoarseClock) by its age). Within a millisecond they are in no order, not
///   even a thread's own, as the thread may move. (Sorted to within `k` places, in other words, where `k` is 4096 times
///   the number of shards.)
///
/// All the seeds must be this process's own, and no lease guards them: those of a
/// [`ShardedLeasedGenerator`](crate::lease::ShardedLeasedGenerator) are.
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
    /// At least one.
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

    /// Never called, as there is at least one.
    fn none(&self) -> Error {
        Error::NoSeeds { first: 0, last: 0 }
    }
}

impl ShardedGenerator {
    /// Makes a sharded generator on the [`SystemClock`] from a pid and a range of seeds, 0 to 31 each, with the waits of
    /// [`Generator::new`].
    ///
    /// # Errors
    ///
    /// As [`GeneratorBuilder::build_sharded`], and [`Error::PidOutOfRange`].
    pub fn new(epoch: Epoch, pid: u64, seeds: RangeInclusive<u64>) -> Result<Self, Error> {
        Generator::builder(epoch, Node::new(pid, 0)?).build_sharded(seeds)
    }
}

impl<C: Clock + Clone> GeneratorBuilder<C> {
    /// Builds a [`ShardedGenerator`] of the builder's pid and a range of seeds, 0 to 31; its own seed does not matter.
    ///
    /// ```
    /// use pyflake::{CoarseClock, Epoch, Generator, Node};
    ///
    /// let builder = Generator::builder(Epoch::TWITTER, Node::new(2, 0)?).clock(CoarseClock::new()?);
    /// let generator = builder.build_sharded(0..=7)?;
    /// assert_eq!(generator.shard_count(), 8);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSeeds`] for an empty range, [`Error::SeedOutOfRange`] for one that goes past 31,
    /// [`Error::LeadOutOfRange`] with any [`max_lead`](Self::max_lead), otherwise as [`build`](Self::build).
    pub fn build_sharded(self, seeds: RangeInclusive<u64>) -> Result<ShardedGenerator<C>, Error> {
        let (first, last) = (*seeds.start(), *seeds.end());
        if first > last {
            return Err(Error::NoSeeds { first, last });
        }
        if last > u64::from(MAX_SEED) {
            return Err(Error::SeedOutOfRange { seed: last });
        }
        if !self.longest_lead().is_zero() {
            // IDs of one shard that are ahead of another's would undo the order by millisecond.
            return Err(Error::LeadOutOfRange { max_lead: self.longest_lead(), limit: Duration::ZERO });
        }
        let pid = u64::from(self.pid());
        let shards: Result<_, _> = seeds.map(|seed| self.clone().node(Node::new(pid, seed)?).build()).collect();
        Ok(ShardedGenerator { shards: shards?, max_wait: self.longest_wait() })
    }
}

impl<C: Clock> ShardedGenerator<C> {
    /// Issues an ID, of the thread's home or of the next shard that has one; waits as [`Generator::next_id`] does when
    /// none has.
    ///
    /// # Errors
    ///
    /// As [`Generator::next_id`].
    #[inline]
    pub fn next_id(&self) -> Result<Snowflake, Error> {
        self.shards.next_id()
    }

    /// Issues an ID if any shard has one without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if none has, otherwise as [`Generator::next_id`].
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        self.shards.try_next_id()
    }

    /// Claims a run of `n` consecutive IDs of one shard, the first that has so many left in this millisecond; waits as
    /// [`Generator::reserve`] does when none has, and for a longer run.
    ///
    /// # Errors
    ///
    /// As [`Generator::reserve`].
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        self.shards.reserve(n)
    }

    /// Fills a slice with IDs, in runs of consecutive ones; each run is of another shard or millisecond.
    ///
    /// It waits only when all shards are used up, each time for at most `max_wait`.
    ///
    /// # Errors
    ///
    /// [`Error::WaitTooLong`] at once if that many IDs take longer than `max_wait`, otherwise as [`Generator::next_id`].
    /// The slice may then be filled in part, with IDs that are issued to nobody else.
    pub fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        self.shards.fill(ids, self.max_wait)
    }

    /// How many shards there are, 1 to 32.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// The epoch the IDs count from.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shards[0].epoch()
    }

    /// What the shards have gone through, all together; `lead` is the longest of theirs.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shards.stats().unwrap_or_default()
    }
}
