//! A sharded generator: unique over all shards, increasing in each, sorted by millisecond, and no wait while a shard has
//! IDs left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::common::{
    EPOCH, MS, NOW, Naive, check_distinct, check_increasing, check_not_early, check_rate, manual, ms, node,
};
use pyflake::{Clock, CoarseClock, Error, Generator, ManualClock, ShardedGenerator, Snowflake, Wait};

const fn shared_by_threads<T: Send + Sync + 'static>() {}
const _: () = shared_by_threads::<ShardedGenerator<CoarseClock>>();

/// The IDs of each seed, sorted.
fn by_seed(ids: &[Snowflake]) -> HashMap<u8, Vec<Snowflake>> {
    let mut seeds: HashMap<_, Vec<_>> = HashMap::new();
    for &id in ids {
        seeds.entry(id.seed()).or_default().push(id);
    }
    seeds
}

/// Takes IDs without waiting until there is none.
fn drain(generator: &ShardedGenerator<ManualClock>) -> (Vec<Snowflake>, Error) {
    let mut ids = vec![];
    loop {
        match generator.try_next_id() {
            Ok(id) => ids.push(id),
            Err(error) => return (ids, error),
        }
    }
}

#[test]
fn all_shards_are_used_up_before_anyone_waits() {
    for shards in [1, 2, 3, 31, 32] {
        let (clock, builder) = manual();
        let generator = builder.build_sharded(0..=shards - 1).unwrap();
        assert_eq!(generator.shard_count() as u64, shards);
        for _ in 0..3 {
            let (mut ids, error) = drain(&generator);
            assert_eq!(error, Error::Exhausted { retry_after: MS });
            let seeds = by_seed(&ids);
            assert_eq!(seeds.len() as u64, shards);
            for ids in seeds.values() {
                assert_eq!((ids.len(), check_increasing(ids)), (4096, Ok(())));
            }
            assert_eq!(check_distinct(&mut ids), Ok(()));
            clock.advance(1);
        }
    }
    // The control repeats where the shards do not.
    assert!(check_distinct(&mut Naive::default().take(NOW, 2 * 4096)).is_err());
}

#[test]
fn a_fill_takes_what_each_shard_has_left() {
    let (clock, builder) = manual();
    let generator = builder.max_wait(ms(1)).build_sharded(0..=3).unwrap();
    // Odd pieces, so that what is left of a shard is not what is asked for.
    let mut ids = vec![Snowflake::default(); 4 * 4096];
    for piece in ids.chunks_mut(1000) {
        generator.fill(piece).unwrap();
    }
    assert_eq!(generator.try_next_id(), Err(Error::Exhausted { retry_after: MS }));
    assert!(by_seed(&ids).values().all(|ids| ids.len() == 4096 && check_increasing(ids).is_ok()));
    assert_eq!(check_distinct(&mut ids), Ok(()));

    clock.advance(1);
    let mut ids = vec![Snowflake::default(); 2 * 4 * 4096 + 1];
    let too_long = Error::WaitTooLong { wait: ms(2), max_wait: ms(1) };
    assert_eq!(generator.fill(&mut ids), Err(too_long));
    assert!(ids.iter().all(|&id| id == Snowflake::default()), "refused before anything was claimed");
    generator.fill(&mut ids[..4 * 4096]).unwrap();
    generator.fill(&mut []).unwrap();
    assert_eq!(generator.reserve(0).map(|block| block.len()), Ok(0));
}

#[test]
fn a_block_is_a_run_of_one_shard() {
    let (_, builder) = manual();
    let generator = builder.build_sharded(0..=7).unwrap();
    // 8 shards have room for one of these each, and none for another.
    let mut seeds: Vec<_> = (0..8)
        .map(|_| {
            let block: Vec<_> = generator.reserve(3000).unwrap().collect();
            assert!(block.windows(2).all(|pair| pair[1].as_u64() == pair[0].as_u64() + 1));
            block[0].seed()
        })
        .collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (0..8).collect::<Vec<_>>());
    assert_eq!(generator.reserve(1096).unwrap().len(), 1096);
}

#[test]
fn threads_get_distinct_ids_one_by_one_in_blocks_and_in_slices() {
    for (threads, pid) in [1, 2, 8].into_iter().zip(20..) {
        let generator = ShardedGenerator::new(EPOCH, pid, 0..=31).unwrap();
        let mut ids = vec![Snowflake::default(); threads * 600_000];
        thread::scope(|scope| {
            for (n, ids) in ids.chunks_mut(600_000).enumerate() {
                let generator = &generator;
                scope.spawn(move || match n % 3 {
                    0 => ids.fill_with(|| generator.next_id().unwrap()),
                    1 => ids.chunks_mut(5000).for_each(|ids| generator.fill(ids).unwrap()),
                    _ => ids.chunks_mut(100).for_each(|ids| {
                        for (id, issued) in ids.iter_mut().zip(generator.reserve(100).unwrap()) {
                            *id = issued;
                        }
                    }),
                });
            }
        });
        assert!(ids.iter().all(|id| u64::from(id.pid()) == pid));
        assert_eq!(check_distinct(&mut ids), Ok(()));
        for ids in by_seed(&ids).values() {
            assert_eq!(check_rate(ids), Ok(()));
            assert_eq!(check_not_early(ids[ids.len() - 1]), Ok(()));
        }
    }
}

/// A call that begins after another has returned, in whatever thread, gets the same millisecond or a later one, or as much
/// earlier as the clock shows it.
fn check_sorted_by_millisecond<C: Clock>(generator: &ShardedGenerator<C>, clock_may_lag: u64, meanwhile: impl Fn()) {
    let latest = AtomicU64::new(0);
    thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            scope.spawn(|| {
                for _ in 0..300_000 {
                    let before = latest.load(Ordering::Acquire);
                    let tick = generator.next_id().unwrap().tick();
                    assert!(tick + clock_may_lag >= before, "{tick} after {before}");
                    latest.fetch_max(tick, Ordering::Release);
                }
            })
        });
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            meanwhile();
        }
    });
}

#[test]
fn ids_are_sorted_by_millisecond() {
    // One word, which shows no thread an earlier time than it has shown to one before.
    let (clock, builder) = manual();
    let exact = builder.build_sharded(0..=7).unwrap();
    check_sorted_by_millisecond(&exact, 0, || {
        clock.advance(1);
        thread::sleep(MS / 10);
    });
    // The processor's counter, which a core may read some nanoseconds before what comes earlier in the program.
    let counter = ShardedGenerator::new(EPOCH, 23, 0..=7).unwrap();
    check_sorted_by_millisecond(&counter, 1, || thread::sleep(MS));
}

#[test]
fn a_shard_and_a_generator_on_its_node_are_twins() {
    let sharded = ShardedGenerator::new(EPOCH, 24, 3..=5).unwrap();
    let single = Generator::new(EPOCH, node(24, 4)).unwrap();
    let mut ids: Vec<_> = (0..50_000).flat_map(|_| [sharded.next_id().unwrap(), single.next_id().unwrap()]).collect();
    assert!(ids.iter().all(|id| (3..=5).contains(&id.seed())));
    assert_eq!(check_distinct(&mut ids), Ok(()));
}

#[test]
fn waits_are_those_of_the_builder() {
    for wait in [Wait::Adaptive, Wait::Spin, Wait::Sleep(MS)] {
        let builder = Generator::builder(EPOCH, node(25, 0)).wait(wait);
        let generator = builder.build_sharded(0..=1).unwrap();
        let mut ids: Vec<_> = (0..30_000).map(|_| generator.next_id().unwrap()).collect();
        assert_eq!(check_distinct(&mut ids), Ok(()));
        let stats = generator.stats();
        assert!(stats.waits > 0 && !stats.waited.is_zero(), "{stats:?}");
    }
    let (_, builder) = manual();
    let generator = builder.max_wait(ms(0)).build_sharded(0..=1).unwrap();
    generator.fill(&mut vec![Snowflake::default(); 2 * 4096]).unwrap();
    assert_eq!(generator.next_id(), Err(Error::WaitTooLong { wait: MS, max_wait: ms(0) }));
    assert_eq!(generator.reserve(1).map(drop), Err(Error::WaitTooLong { wait: MS, max_wait: ms(0) }));
}

#[test]
fn seeds_out_of_range_are_errors() {
    assert_eq!(ShardedGenerator::new(EPOCH, 1, 0..=32).unwrap_err(), Error::SeedOutOfRange { seed: 32 });
    assert_eq!(ShardedGenerator::new(EPOCH, 32, 0..=1).unwrap_err(), Error::PidOutOfRange { pid: 32 });
    #[expect(clippy::reversed_empty_ranges, reason = "the point")]
    let empty = ShardedGenerator::new(EPOCH, 1, 5..=4).unwrap_err();
    assert_eq!(empty, Error::NoSeeds { first: 5, last: 4 });
    assert_eq!(empty.to_string(), "the seed range 5..=4 is empty: use a range within 0..=31");
}
