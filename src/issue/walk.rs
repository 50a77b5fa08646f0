//! How a thread finds its way among shards: it issues from its home, and from another one when that is used up.

use core::cell::Cell;
use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::clock::Clock;
use crate::error::Error;
use crate::id::Snowflake;
use crate::issue::block::Block;
use crate::issue::generator::Generator;
use crate::issue::stats::Stats;
use crate::issue::timeline::Wanted;
use crate::layout::{self, IDS_PER_TICK};

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

/// What fits a millisecond of one shard.
const IDS_PER_RUN: usize = 1 << layout::SEQUENCE_BITS;

/// Generators that issue as one. Under leases some of them may be missing for a time.
pub(crate) trait Shards {
    type Clock: Clock;

    /// How many shards there are, at least 1.
    fn count(&self) -> usize;

    /// The shard at an index; `None` past the last one, and while its lease is lost.
    fn shard(&self, index: usize) -> Option<&Generator<Self::Clock>>;

    /// Why no shard can issue.
    fn none(&self) -> Error;

    /// Issues an ID of the thread's home or of the next shard that has one, and waits when none has.
    #[inline]
    fn next_id(&self) -> Result<Snowflake, Error> {
        match self.next_id_at_home() {
            Some(id) => Ok(id),
            None => self.next_id_elsewhere(),
        }
    }

    #[inline(never)]
    fn next_id_elsewhere(&self) -> Result<Snowflake, Error> {
        self.elsewhere(Generator::id_in_tick).map_or_else(|| self.at_first_open(Generator::next_id), Ok)
    }

    /// Issues an ID if any shard has one without waiting.
    #[inline]
    fn try_next_id(&self) -> Result<Snowflake, Error> {
        match self.next_id_at_home() {
            Some(id) => Ok(id),
            None => self.try_next_id_elsewhere(),
        }
    }

    #[inline(never)]
    fn try_next_id_elsewhere(&self) -> Result<Snowflake, Error> {
        self.elsewhere(Generator::id_in_tick).map_or_else(|| self.at_first_open(Generator::try_next_id), Ok)
    }

    /// Claims a run of `n` consecutive IDs of one shard, and waits when none has so many left in this millisecond.
    fn reserve(&self, n: usize) -> Result<Block, Error> {
        let wanted = Wanted::exactly(n as u64);
        let claim = |shard: &Generator<Self::Clock>, tick| shard.block_in_tick(wanted, tick);
        let block = if n == 0 { None } else { self.anywhere(claim) };
        block.map_or_else(|| self.at_first_open(|shard| shard.reserve(n)), Ok)
    }

    /// Fills a slice with IDs, in runs of consecutive ones, unless that takes longer than `max_wait`.
    fn fill(&self, ids: &mut [Snowflake], max_wait: Duration) -> Result<(), Error> {
        // The first millisecond needs no wait.
        let shards = self.shards().count().max(1) as u64;
        let wait = Duration::from_millis((ids.len() as u64).saturating_sub(1) / (IDS_PER_TICK * shards));
        if wait > max_wait {
            return Err(Error::WaitTooLong { wait, max_wait });
        }
        let mut rest = ids;
        while !rest.is_empty() {
            let wanted = Wanted { least: 1, most: rest.len() as u64 };
            let block = match self.anywhere(|shard, tick| shard.block_in_tick(wanted, tick)) {
                Some(block) => block,
                // When its millisecond has come, the others have theirs too.
                None => self.at_first_open(|shard| shard.reserve(rest.len().min(IDS_PER_RUN)))?,
            };
            let (run, others) = rest.split_at_mut(block.len());
            block.write(run);
            rest = others;
        }
        Ok(())
    }

    /// All shards that are there.
    fn shards(&self) -> impl Iterator<Item = &Generator<Self::Clock>> {
        (0..self.count()).filter_map(|index| self.shard(index))
    }

    /// The counters of all shards together: the longest lead, the shortest window. `None` without a shard.
    fn stats(&self) -> Option<Stats> {
        self.shards().map(Generator::stats).reduce(|all, shard| Stats {
            waits: all.waits + shard.waits,
            waited: all.waited + shard.waited,
            lost_races: all.lost_races + shard.lost_races,
            lead: all.lead.max(shard.lead),
            window_left: all.window_left.min(shard.window_left),
            ..all
        })
    }

    /// Issues an ID of the thread's home, if it has one left.
    #[inline]
    fn next_id_at_home(&self) -> Option<Snowflake> {
        let home = self.home()?;
        match home.add() {
            Ok(slot) => Some(home.id(slot)),
            Err(tick) => home.id_in_tick(tick),
        }
    }

    /// The thread's home.
    #[inline]
    fn home(&self) -> Option<&Generator<Self::Clock>> {
        match self.shard(HOME.get()) {
            Some(home) => Some(home),
            None => self.first_home(),
        }
    }

    /// The home of a thread that has none yet, or one that is lost, or one that this generator does not have.
    #[cold]
    #[inline(never)]
    fn first_home(&self) -> Option<&Generator<Self::Clock>> {
        let index = self.first_index()?;
        // An index that is another generator's stays: it is a home there.
        if HOME.get() == NOWHERE || HOME.get() < self.count() {
            HOME.set(index);
        }
        self.shard(index)
    }

    /// The index of the first shard that is there, from the one that the thread's number picks.
    fn first_index(&self) -> Option<usize> {
        self.from(NUMBER.with(|number| number % self.count())).find(|&index| self.shard(index).is_some())
    }

    /// All indexes, beginning with one.
    fn from(&self, begin: usize) -> impl Iterator<Item = usize> + use<Self> {
        let count = self.count();
        (0..count).map(move |step| (begin % count + step) % count)
    }

    /// Claims at the home, or elsewhere.
    fn anywhere<T>(&self, claim: impl Fn(&Generator<Self::Clock>, u64) -> Option<T>) -> Option<T> {
        let home = self.home()?;
        claim(home, home.tick()).or_else(|| self.elsewhere(claim))
    }

    /// Looks for a shard other than the home where a claim in the clock's tick succeeds, and makes it the home.
    ///
    /// It begins at one that the tick and the thread have picked.
    fn elsewhere<T>(&self, claim: impl Fn(&Generator<Self::Clock>, u64) -> Option<T>) -> Option<T> {
        let reader = self.home()?;
        let home = Some(HOME.get()).filter(|&home| home < self.count()).or_else(|| self.first_index())?;
        let tick = reader.tick();
        let number = NUMBER.with(|&number| number as u64);
        let begin = usize::try_from(layout::scatter(tick, number, 31)).unwrap_or(0) ^ home;
        self.from(begin)
            .filter(|&index| index != home)
            .find_map(|index| claim(self.shard(index)?, tick).inspect(|_| HOME.set(index)))
    }

    /// Issues at the home, or at the first shard whose lease is neither lost nor at its end.
    fn at_first_open<T>(&self, issue: impl Fn(&Generator<Self::Clock>) -> Result<T, Error>) -> Result<T, Error> {
        let home = Some(HOME.get()).filter(|&home| home < self.count()).or_else(|| self.first_index()).unwrap_or(0);
        let mut refusal = None;
        for shard in self.from(home).filter_map(|index| self.shard(index)) {
            match issue(shard) {
                // A renewal may mend this one.
                Err(error @ Error::PastLease { .. }) => refusal = Some(error),
                Err(Error::LeaseLost) => {}
                done => return done,
            }
        }
        Err(refusal.unwrap_or_else(|| self.none()))
    }
}
