use core::cell::Cell;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::block::Block;
use crate::clock::{Clock, SystemClock};
use crate::epoch::Epoch;
use crate::error::Error;
use crate::generator::{Generator, GeneratorBuilder};
use crate::layout::{self, IDS_PER_TICK, MAX_SEED};
use crate::node::Node;
use crate::snowflake::Snowflake;
use crate::stats::Stats;

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
/// All the seeds must be this process's own, and no lease guards them.
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

thread_local! {
    /// The index of the shard the thread used last, of any sharded generator: where to begin, and no more than that.
    static HOME: Cell<usize> = const { Cell::new(NOWHERE) };
    /// The thread's number, so that threads which move at once do not move together.
    static NUMBER: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: any number will do, and different ones for different threads are better.
        THREADS.fetch_add(1, Ordering::Relaxed)
    };
}

const NOWHERE: usize = usize::MAX;

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
    /// assert_eq!(generator.shards(), 8);
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
        match self.next_id_at_home() {
            Some(id) => Ok(id),
            None => self.next_id_elsewhere(),
        }
    }

    #[inline(never)]
    fn next_id_elsewhere(&self) -> Result<Snowflake, Error> {
        self.elsewhere(Generator::issue_at).map_or_else(|| self.home().next_id(), Ok)
    }

    /// Issues an ID if any shard has one without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if none has, otherwise as [`Generator::next_id`].
    #[inline]
    pub fn try_next_id(&self) -> Result<Snowflake, Error> {
        match self.next_id_at_home() {
            Some(id) => Ok(id),
            None => self.try_next_id_elsewhere(),
        }
    }

    #[inline(never)]
    fn try_next_id_elsewhere(&self) -> Result<Snowflake, Error> {
        self.elsewhere(Generator::issue_at).map_or_else(|| self.home().try_next_id(), Ok)
    }

    /// Claims a run of `n` consecutive IDs of one shard, the first that has so many left in this millisecond; waits as
    /// [`Generator::reserve`] does when none has, and for a longer run.
    ///
    /// # Errors
    ///
    /// As [`Generator::reserve`].
    pub fn reserve(&self, n: usize) -> Result<Block, Error> {
        if n == 0 {
            return self.home().reserve(0);
        }
        let claim = |shard: &Generator<C>, tick| shard.reserve_at(n, tick);
        let home = self.home();
        let block = claim(home, home.tick()).or_else(|| self.elsewhere(claim));
        block.map_or_else(|| self.home().reserve(n), Ok)
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
        // The first millisecond needs no wait.
        let capacity = IDS_PER_TICK * self.shards.len() as u64;
        let wait = Duration::from_millis((ids.len() as u64).saturating_sub(1) / capacity);
        if wait > self.max_wait {
            return Err(Error::WaitTooLong { wait, max_wait: self.max_wait });
        }
        let mut rest = ids;
        while !rest.is_empty() {
            let claim = |shard: &Generator<C>, tick| shard.reserve_some_at(rest.len(), tick);
            let home = self.home();
            let block = match claim(home, home.tick()).or_else(|| self.elsewhere(claim)) {
                Some(block) => block,
                // When its millisecond has come, the others have theirs too.
                None => self.home().reserve(rest.len().min(IDS_PER_RUN))?,
            };
            let (run, others) = rest.split_at_mut(block.len());
            block.write(run);
            rest = others;
        }
        Ok(())
    }

    /// How many shards there are, 1 to 32.
    #[must_use]
    pub fn shards(&self) -> usize {
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
        let mut stats = self.shards[0].stats();
        for shard in &self.shards[1..] {
            let Stats { waits, waited, lost_races, lead, .. } = shard.stats();
            stats.waits += waits;
            stats.waited += waited;
            stats.lost_races += lost_races;
            stats.lead = stats.lead.max(lead);
        }
        stats
    }

    /// Issues an ID of the thread's home, if it has one left.
    #[inline]
    fn next_id_at_home(&self) -> Option<Snowflake> {
        let home = self.home();
        let slot = match home.add() {
            Ok(slot) => Some(slot),
            Err(tick) => home.claim_at(1, tick),
        };
        slot.map(|slot| home.id(slot))
    }

    /// The thread's home.
    #[inline]
    fn home(&self) -> &Generator<C> {
        match self.shards.get(HOME.get()) {
            Some(home) => home,
            None => self.first_home(),
        }
    }

    /// The home of a thread that has none yet, or one that this generator does not have.
    #[cold]
    #[inline(never)]
    fn first_home(&self) -> &Generator<C> {
        let index = self.first_index();
        if HOME.get() == NOWHERE {
            HOME.set(index);
        }
        &self.shards[index]
    }

    fn first_index(&self) -> usize {
        NUMBER.with(|number| number % self.shards.len())
    }

    /// Looks for a shard other than the home where a claim in the clock's tick succeeds, and makes it the home.
    ///
    /// It begins at one that the tick and the thread have picked.
    fn elsewhere<T>(&self, claim: impl Fn(&Generator<C>, u64) -> Option<T>) -> Option<T> {
        let home = Some(HOME.get()).filter(|&home| home < self.shards.len()).unwrap_or_else(|| self.first_index());
        let tick = self.shards[home].tick();
        let number = NUMBER.with(|&number| number as u64);
        let begin = usize::try_from(layout::scatter(tick, number, 31)).unwrap_or(0) ^ home;
        (begin..begin + self.shards.len())
            .map(|index| index % self.shards.len())
            .filter(|&index| index != home)
            .find_map(|index| claim(&self.shards[index], tick).inspect(|_| HOME.set(index)))
    }
}

/// What fits a millisecond of one shard.
const IDS_PER_RUN: usize = 1 << layout::SEQUENCE_BITS;
