//! How a thread chooses among shards: it issues from its home shard until that is used up.

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
    /// The index of the shard that the thread used last, in any sharded generator. It is a hint.
    static HOME: Cell<usize> = const { Cell::new(NOWHERE) };
    /// The thread's number. It spreads threads that leave their homes at the same time.
    static NUMBER: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: the numbers only have to differ.
        THREADS.fetch_add(1, Ordering::Relaxed)
    };
}

/// The home of a thread that has not chosen one.
const NOWHERE: usize = usize::MAX;

/// The IDs of one shard in one millisecond.
const IDS_PER_RUN: usize = 1 << layout::SEQUENCE_BITS;

/// Generators that issue as one. Under leases a generator may be absent for a time.
pub(crate) trait Shards {
    type Clock: Clock;

    /// How many shards there are, at least 1.
    fn count(&self) -> usize;

    /// The shard at an index; `None` past the last one, or while its lease is lost.
    fn shard(&self, index: usize) -> Option<&Generator<Self::Clock>>;

    /// The error if no shard is present.
    fn none(&self) -> Error;

    /// Issues an ID of the home or of the next shard that has one; waits if none has.
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

    /// Issues an ID, or fails at once if every shard would need a wait.
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

    /// Claims `n` consecutive IDs of one shard; waits if no shard has so many left in this
    /// millisecond.
    fn reserve(&self, n: usize) -> Result<Block, Error> {
        let wanted = Wanted::exactly(n as u64);
        let claim = |shard: &Generator<Self::Clock>, tick| shard.block_in_tick(wanted, tick);
        let block = if n == 0 { None } else { self.anywhere(claim) };
        block.map_or_else(|| self.at_first_open(|shard| shard.reserve(n)), Ok)
    }

    /// Fills a slice with runs of consecutive IDs; fails if that takes longer than `max_wait`.
    fn fill(&self, ids: &mut [Snowflake], max_wait: Duration) -> Result<(), Error> {
        // The IDs of the first millisecond need no wait.
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
                // All shards are used up. After this wait the others have a new millisecond too.
                None => self.at_first_open(|shard| shard.reserve(rest.len().min(IDS_PER_RUN)))?,
            };
            let (run, others) = rest.split_at_mut(block.len());
            block.write(run);
            rest = others;
        }
        Ok(())
    }

    /// All shards that are present.
    fn shards(&self) -> impl Iterator<Item = &Generator<Self::Clock>> {
        (0..self.count()).filter_map(|index| self.shard(index))
    }

    /// The sums of the shards' counters, the longest lead and the shortest window.
    ///
    /// `None` if no shard is present.
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

    /// Issues an ID of the thread's home, if that needs no wait.
    #[inline]
    fn next_id_at_home(&self) -> Option<Snowflake> {
        let home = self.home()?;
        match home.add() {
            Ok(slot) => Some(home.id(slot)),
            Err(tick) => home.id_in_tick(tick),
        }
    }

    /// The thread's home; `None` if no shard is present.
    #[inline]
    fn home(&self) -> Option<&Generator<Self::Clock>> {
        match self.shard(HOME.get()) {
            Some(home) => Some(home),
            None => self.first_home(),
        }
    }

    /// Chooses a home for a thread whose index names no shard of this generator.
    #[cold]
    #[inline(never)]
    fn first_home(&self) -> Option<&Generator<Self::Clock>> {
        let index = self.first_index()?;
        // Keep an index past this generator's shards: it is the home in a larger generator.
        if HOME.get() == NOWHERE || HOME.get() < self.count() {
            HOME.set(index);
        }
        self.shard(index)
    }

    /// The index of the first shard that is present, counted from the thread's number.
    fn first_index(&self) -> Option<usize> {
        self.from(NUMBER.with(|number| number % self.count())).find(|&index| self.shard(index).is_some())
    }

    /// All indexes in a circle, from `begin` on.
    fn from(&self, begin: usize) -> impl Iterator<Item = usize> + use<Self> {
        let count = self.count();
        (0..count).map(move |step| (begin % count + step) % count)
    }

    /// Claims from the home, or from another shard if the home refuses.
    fn anywhere<T>(&self, claim: impl Fn(&Generator<Self::Clock>, u64) -> Option<T>) -> Option<T> {
        let home = self.home()?;
        claim(home, home.tick()).or_else(|| self.elsewhere(claim))
    }

    /// Claims from the first other shard where `claim` succeeds, and makes it the home.
    ///
    /// It begins at a shard that the tick and the thread's number select.
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

    /// Issues from the first shard, beginning with the home, whose lease is neither lost nor at its
    /// end.
    fn at_first_open<T>(&self, issue: impl Fn(&Generator<Self::Clock>) -> Result<T, Error>) -> Result<T, Error> {
        let home = Some(HOME.get()).filter(|&home| home < self.count()).or_else(|| self.first_index()).unwrap_or(0);
        let mut refusal = None;
        for shard in self.from(home).filter_map(|index| self.shard(index)) {
            match issue(shard) {
                // Return this error rather than `LeaseLost`: a renewal may end it.
                Err(error @ Error::PastLease { .. }) => refusal = Some(error),
                Err(Error::LeaseLost) => {}
                done => return done,
            }
        }
        Err(refusal.unwrap_or_else(|| self.none()))
    }
}
