//! Many threads: no ID twice, however generators and clients are shared, built and renewed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use crate::common::{EPOCH, Ends, MS, NOW, Naive, check_distinct, check_increasing, check_not_early, check_rate, node};
use pyflake::{
    Block, CachePolicy, Clock, Error, Generator, ManualClock, Node, PyflakeClient, PyflakeClientBuilder, Records,
    Snowflake, SystemClock, Wait,
};
use rayon::prelude::*;

/// How many IDs each thread takes.
const MILLION: usize = 1_000_000;

const fn shared_by_threads<T: Send + Sync + 'static>() {}
const _: () = {
    shared_by_threads::<Generator>();
    shared_by_threads::<Generator<ManualClock>>();
    shared_by_threads::<PyflakeClient>();
    shared_by_threads::<PyflakeClientBuilder>();
    shared_by_threads::<Records<'static>>();
    shared_by_threads::<Block>();
    shared_by_threads::<Snowflake>();
    shared_by_threads::<Node>();
    shared_by_threads::<SystemClock>();
    shared_by_threads::<Error>();
};

/// Checks all IDs that one node has issued.
fn check_all(ids: &mut [Snowflake], node: Node) {
    assert!(ids.par_iter().all(|id| id.node() == node));
    assert_eq!(check_distinct(ids), Ok(()));
    assert_eq!(check_rate(ids), Ok(()));
    assert_eq!(check_not_early(ids[ids.len() - 1]), Ok(()));
}

#[test]
fn the_checkers_catch_a_naive_generator() {
    let mut full = Naive::default().take(NOW, 4097);
    assert!(check_increasing(&full).is_err());
    assert!(check_distinct(&mut full).is_err());
    assert!(check_rate(&full).is_err());

    let mut rebuilt = [Naive::default().next(NOW), Naive::default().next(NOW)];
    assert!(check_distinct(&mut rebuilt).is_err());

    let mut renewed_and_back = [Naive::default().take(NOW, 10), Naive::default().take(NOW, 1)].concat();
    assert!(check_distinct(&mut renewed_and_back).is_err());

    assert!(check_not_early(Naive::default().next(crate::common::wall_millis() + 10)).is_err());
}

#[test]
fn threads_share_a_generator() {
    for (threads, seed) in [1, 2, 4, 8, 32].into_iter().zip(0..) {
        let node = node(0, seed);
        let generator = Generator::new(EPOCH, node).unwrap();
        let mut ids = vec![Snowflake::default(); threads * MILLION];
        thread::scope(|scope| {
            for ids in ids.chunks_mut(MILLION) {
                let generator = &generator;
                scope.spawn(move || {
                    for id in &mut *ids {
                        *id = generator.next_id().unwrap();
                    }
                    assert_eq!(check_increasing(ids), Ok(()), "{threads} threads");
                });
            }
        });
        check_all(&mut ids, node);
    }
}

#[test]
fn a_rayon_pool_shares_a_generator() {
    for (threads, seed) in [1, 2, 4, 8, 32].into_iter().zip(0..) {
        let node = node(1, seed);
        let generator = Generator::new(EPOCH, node).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // The last ID of each thread, from task to task.
        let latest: Vec<_> = (0..threads).map(|_| AtomicU64::new(0)).collect();
        let mut ids = vec![Snowflake::default(); threads * MILLION];
        pool.install(|| {
            ids.par_chunks_mut(3000).enumerate().for_each(|(task, ids)| {
                if task % 2 == 0 {
                    generator.fill(ids).unwrap();
                } else {
                    ids.fill_with(|| generator.next_id().unwrap());
                }
                assert_eq!(check_increasing(ids), Ok(()), "{threads} threads");
                let latest = &latest[rayon::current_thread_index().unwrap()];
                let before = latest.swap(ids[ids.len() - 1].as_u64(), Ordering::Relaxed);
                assert!(before < ids[0].as_u64() || before == 0, "{threads} threads");
            });
        });
        check_all(&mut ids, node);
    }
}

#[test]
fn twin_generators_repeat_nothing() {
    let node = node(2, 0);
    let mut ids = vec![Snowflake::default(); 4 * 200_000];
    thread::scope(|scope| {
        for (ids, wait) in ids.chunks_mut(200_000).zip([Wait::Adaptive, Wait::Spin, Wait::Sleep(MS), Wait::Adaptive]) {
            let twin = Generator::builder(EPOCH, node).wait(wait).build().unwrap();
            scope.spawn(move || {
                ids.fill_with(|| twin.next_id().unwrap());
                assert_eq!(check_increasing(ids), Ok(()));
            });
        }
    });
    check_all(&mut ids, node);
}

#[test]
fn a_generator_built_for_each_request_repeats_nothing() {
    let node = node(2, 1);
    let mut ids = vec![Snowflake::default(); 4 * 50_000];
    ids.par_chunks_mut(50_000).for_each(|ids| {
        ids.fill_with(|| Generator::new(EPOCH, node).unwrap().next_id().unwrap());
        assert_eq!(check_increasing(ids), Ok(()));
    });
    check_all(&mut ids, node);
}

#[test]
fn threads_that_meet_at_a_new_node_share_its_timeline() {
    // The race to be the first is run once for a node, so with many of them.
    for seed in 0..32 {
        for pid in 5..13 {
            let node = node(pid, seed);
            let mut ids = vec![Snowflake::default(); 2 * 40];
            thread::scope(|scope| {
                for ids in ids.chunks_mut(40) {
                    scope.spawn(move || {
                        let generator = Generator::new(EPOCH, node).unwrap();
                        ids.fill_with(|| generator.next_id().unwrap());
                    });
                }
            });
            check_all(&mut ids, node);
        }
    }
}

#[test]
fn a_generator_is_a_static() {
    static ONCE: OnceLock<Generator> = OnceLock::new();
    static LAZY: LazyLock<Generator> = LazyLock::new(|| Generator::new(EPOCH, node(2, 2)).unwrap());
    let once = || ONCE.get_or_init(|| Generator::new(EPOCH, node(2, 2)).unwrap());
    let mut ids: Vec<_> = (0..100_000)
        .into_par_iter()
        .map(|i| if i % 2 == 0 { once().next_id() } else { LAZY.next_id() }.unwrap())
        .collect();
    check_all(&mut ids, node(2, 2));
}

#[test]
fn a_block_is_sent_to_another_thread() {
    let generator = Arc::new(Generator::new(EPOCH, node(2, 3)).unwrap());
    let blocks: Vec<_> = (0..8)
        .map(|_| {
            let block = generator.reserve(5000).unwrap();
            thread::spawn(move || block.collect::<Vec<_>>())
        })
        .collect();
    let mut ids: Vec<_> = blocks.into_iter().flat_map(|block| block.join().unwrap()).collect();
    assert_eq!(check_increasing(&ids), Ok(()));
    check_all(&mut ids, node(2, 3));
}

/// Generates `n` IDs, also where the client is without a generator for a while.
fn generate<C: Clock + Clone>(client: &PyflakeClient<C>, n: usize, done: &AtomicBool) -> Vec<Snowflake> {
    let mut ids = Vec::with_capacity(n);
    while ids.len() < n {
        match client.generate() {
            Ok(id) => ids.push(id),
            Err(Error::NoGenerator) if !done.load(Ordering::Relaxed) => thread::yield_now(),
            Err(error) => panic!("{error:?}"),
        }
    }
    ids
}

/// Runs 8 threads that generate `n` IDs each, and `meddle` over and over until they have finished.
fn generate_while<C: Clock + Clone>(client: &PyflakeClient<C>, n: usize, meddle: impl Fn() + Sync) -> Vec<Snowflake> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _if_it_panics = Ends(&done);
            while !done.load(Ordering::Relaxed) {
                meddle();
            }
        });
        let _ends = Ends(&done);
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| generate(client, n, &done))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn a_client_is_renewed_and_destroyed_while_threads_generate() {
    let client = PyflakeClient::new(EPOCH);
    let mut ids = generate_while(&client, 100_000, || {
        client.renew_generator(3, 0).unwrap();
        client.renew_generator(3, 1).unwrap();
        client.renew_generator(3, 0).unwrap();
        thread::yield_now();
        assert!(client.destroy_generator());
        assert!(!client.destroy_generator());
        client.create_generator(3, 1).unwrap();
        assert_eq!(client.create_generator(3, 0), Err(Error::GeneratorExists { node: Node::new(3, 1).unwrap() }));
        thread::yield_now();
    });
    assert_eq!(check_distinct(&mut ids), Ok(()));
    assert!(ids.iter().any(|id| id.node() == node(3, 0)) && ids.iter().any(|id| id.node() == node(3, 1)));

    let generated = client.info().generated;
    assert_eq!((generated, client.cache_len()), (800_000, 800_000));
    assert_eq!(client.cached(0), None);
    assert_eq!(client.cached(generated + 1), None);
    let mut cached: Vec<_> = (1..=generated)
        .map(|idx| {
            let record = client.cached(idx).unwrap();
            assert_eq!(record, record.snowflake.record(EPOCH, idx));
            record.snowflake
        })
        .collect();
    cached.par_sort_unstable();
    assert!(cached == ids, "the cache has other IDs than were generated");
}

#[test]
fn readers_of_a_cache_never_see_the_id_of_another_index() {
    for policy in [CachePolicy::All, CachePolicy::Recent(500), CachePolicy::Recent(3)] {
        // Its milliseconds are microseconds: nobody waits for the next one, so that threads are interrupted anywhere.
        let start = Instant::now();
        let fast = move || NOW + u64::try_from(start.elapsed().as_micros()).unwrap();
        let client = PyflakeClient::builder(EPOCH).cache(policy).clock(fast).build();
        client.create_generator(3, 2).unwrap();
        let seen = Mutex::new(HashMap::new());
        let mut ids = generate_while(&client, 500_000, || {
            let mut seen = seen.lock().unwrap();
            // Old, new, and in between.
            let generated = client.info().generated;
            let recent = (generated.saturating_sub(700)..=generated + 2).rev();
            for idx in recent.chain((1..generated).step_by(997)) {
                if let Some(record) = client.cached(idx) {
                    // Whoever looks must see the same.
                    let first = *seen.entry(idx).or_insert(record.snowflake);
                    assert_eq!(first, record.snowflake, "index {idx} had two IDs");
                }
            }
            if policy == CachePolicy::All {
                // Its memory goes to the indices to come, while others read and write.
                client.clear_cache();
            }
        });
        assert_eq!(check_distinct(&mut ids), Ok(()));
        let mut seen: Vec<_> = seen.into_inner().unwrap().into_values().collect();
        assert_eq!(check_distinct(&mut seen), Ok(()), "an ID was at two indices");
        assert!(!seen.is_empty());
        assert!(seen.iter().all(|id| ids.binary_search(id).is_ok()), "an ID was never generated");
    }
}

#[test]
fn a_recent_cache_keeps_exactly_the_last_n() {
    for n in [1_u64, 2, 3, 4, 5, 7, 8, 63, 64, 1000] {
        let policy = CachePolicy::Recent(usize::try_from(n).unwrap());
        let client = PyflakeClient::builder(EPOCH).cache(policy).build();
        client.create_generator(4, 0).unwrap();
        let mut ids = vec![];
        for generated in 1..=2 * n + 3 {
            ids.push(client.generate().unwrap());
            assert_eq!(client.cache_len(), generated.min(n));
            for (idx, &id) in (1..).zip(&ids) {
                let expected = (idx + n > generated).then(|| id.record(EPOCH, idx));
                assert_eq!(client.cached(idx), expected, "index {idx} of {generated}, the last {n}");
            }
        }
    }
}

#[test]
fn a_recent_cache_keeps_the_last_n_of_many_threads() {
    let client = PyflakeClient::builder(EPOCH).cache(CachePolicy::Recent(1000)).build();
    client.create_generator(4, 1).unwrap();
    let ids = generate_while(&client, 20_000, thread::yield_now);
    assert_eq!((client.info().generated, client.cache_len()), (160_000, 1000));
    assert_eq!(client.cached(159_000), None);
    let mut kept: Vec<_> = (159_001..=160_000).map(|idx| client.cached(idx).unwrap().snowflake).collect();
    assert_eq!(check_distinct(&mut kept), Ok(()));
    assert!(kept.iter().all(|id| ids.contains(id)));
}

#[test]
fn a_cache_that_is_off_keeps_nothing() {
    for (policy, seed) in [(CachePolicy::Off, 2), (CachePolicy::Recent(0), 3)] {
        let client = PyflakeClient::builder(EPOCH).cache(policy).build();
        client.create_generator(4, seed).unwrap();
        for _ in 0..10 {
            client.generate().unwrap();
        }
        assert_eq!((client.info().generated, client.cache_len()), (10, 0));
        assert!((0..=11).all(|idx| client.cached(idx).is_none()));
    }
}

#[test]
fn numbers_go_on_after_the_cache_is_cleared() {
    for (policy, seed) in [(CachePolicy::All, 4), (CachePolicy::Recent(600), 5)] {
        let client = PyflakeClient::builder(EPOCH).cache(policy).build();
        client.create_generator(4, seed).unwrap();
        for round in 0..5 {
            // Past the size of a segment of the cache, and not a multiple of it.
            let ids: Vec<_> = (0..550).map(|_| client.generate().unwrap()).collect();
            assert_eq!(client.cache_len(), 550);
            let before = round * 550;
            assert!((1..=before).all(|idx| client.cached(idx).is_none()));
            for (idx, id) in (before + 1..).zip(ids) {
                assert_eq!(client.cached(idx), Some(id.record(EPOCH, idx)));
            }
            client.clear_cache();
            assert_eq!((client.cache_len(), client.info().generated), (0, before + 550));
            assert!((1..=before + 550).all(|idx| client.cached(idx).is_none()));
        }
    }
}

/// A timeline lends its number to one client at a time; the others count by themselves, and nobody sees a difference.
#[test]
fn clients_on_one_node_count_apart() {
    let node = (3, 30);
    let client = || {
        let client = PyflakeClient::new(EPOCH);
        client.create_generator(node.0, node.1).unwrap();
        client
    };
    let (first, second) = (client(), client());
    let mut ids: Vec<_> = (0..1000).map(|_| first.generate().unwrap()).collect();
    ids.extend((0..10).map(|_| second.generate().unwrap()));
    assert_eq!((first.info().generated, second.info().generated), (1000, 10));
    // What the first one gives back, the third one gets, from 1.
    drop(first);
    let third = client();
    thread::scope(|scope| {
        let threads: Vec<_> = [&second, &third, &second, &third]
            .map(|client| scope.spawn(|| (0..50_000).map(|_| client.generate().unwrap()).collect::<Vec<_>>()))
            .into_iter()
            .collect();
        for thread in threads {
            ids.extend(thread.join().unwrap());
        }
    });
    assert_eq!((second.info().generated, third.info().generated), (100_010, 100_000));
    assert!((1..=100_000).all(|idx| third.cached(idx).is_some_and(|record| record.idx == idx)));
    // Elsewhere the numbers go on.
    third.renew_generator(node.0, 31).unwrap();
    ids.push(third.generate().unwrap());
    third.renew_generator(node.0, node.1).unwrap();
    ids.push(third.generate().unwrap());
    assert_eq!(third.info().generated, 100_002);
    assert_eq!(third.cached(100_001).map(|record| record.seed), Some(31));
    assert_eq!(check_distinct(&mut ids), Ok(()));
}

/// Threads that all create the first generator, each on another node: one wins, and the numbers are the client's alone.
#[test]
fn the_first_generators_of_a_client_race() {
    for turn in 0..200 {
        let client = PyflakeClient::builder(EPOCH).clock(ManualClock::new(NOW)).build();
        thread::scope(|scope| {
            for pid in 0..4 {
                let client = &client;
                scope.spawn(move || {
                    if turn % 2 == 0 {
                        client.renew_generator(pid, 1).unwrap();
                    } else {
                        let _ = client.create_generator(pid, 1);
                    }
                    for _ in 0..50 {
                        client.generate().unwrap();
                    }
                });
            }
        });
        assert_eq!(client.info().generated, 200);
        assert!((1..=200).all(|idx| client.cached(idx).is_some()));
    }
}

/// A clock of an application's own, which says nothing but the time.
struct Wall;

impl Clock for Wall {
    fn unix_millis(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_millis().try_into().unwrap()
    }
}

#[test]
fn twins_on_a_clock_that_says_nothing_of_itself_repeat_nothing() {
    let build = || Generator::builder(EPOCH, node(17, 23)).clock(Wall).build().unwrap();
    let (one, two) = (build(), build());
    let mut ids = Vec::new();
    for _ in 0..5000 {
        ids.push(one.next_id().unwrap());
        ids.push(two.next_id().unwrap());
    }
    assert_eq!(check_distinct(&mut ids), Ok(()));
}
