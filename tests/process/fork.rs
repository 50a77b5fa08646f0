//! `fork`: the child never issues from a timeline that its parent goes on with, and never hangs.

#![cfg(unix)]
#![expect(unsafe_code, reason = "std has no fork, no waitpid and no _exit")]

#[path = "../util/common.rs"]
mod common;
#[path = "../util/forked.rs"]
mod forked;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{EPOCH, Ends, MS, NOW, Naive, check_distinct, check_increasing, node};
use forked::fork;
use pyflake::lease::{FileStore, LeaseState, LeasedGenerator};
use pyflake::{
    CachePolicy, Clock, CoarseClock, Epoch, Error, Generator, PyflakeClient, ShardedGenerator, Snowflake, SystemClock,
};

/// The exit code of a child by its checks: 0 if all hold, or else the place of the first that does not, from 1.
fn first_failure(checks: &[bool]) -> i32 {
    checks.iter().position(|holds| !holds).map_or(0, |place| i32::try_from(place).unwrap() + 1)
}

/// Forks a child that takes `n` IDs from `issue` and sends them over, while the parent does something of its own.
fn ids_of_child(n: usize, mut issue: impl FnMut() -> Snowflake, meanwhile: impl FnOnce()) -> Vec<Snowflake> {
    let (mut reader, mut writer) = io::pipe().unwrap();
    let child = fork(|| {
        let bytes: Vec<u8> = (0..n).flat_map(|_| issue().as_u64().to_ne_bytes()).collect();
        i32::from(writer.write_all(&bytes).is_err())
    });
    // Only the child has the other end now, so the reading ends when the child does.
    drop(writer);
    meanwhile();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(child.wait(), Ok(0));
    let ids: Vec<_> =
        bytes.chunks_exact(8).map(|id| Snowflake::from(u64::from_ne_bytes(id.try_into().unwrap()))).collect();
    assert_eq!(ids.len(), n);
    ids
}

fn take(generator: &Generator, n: usize) -> Vec<Snowflake> {
    (0..n).map(|_| generator.next_id().unwrap()).collect()
}

#[test]
fn a_child_that_fails_or_hangs_is_noticed() {
    assert_eq!(fork(|| first_failure(&[true, false, false])).wait(), Ok(2));
    assert_eq!(fork(|| std::panic::resume_unwind(Box::new(()))).wait(), Ok(101));
    // SAFETY: the child sends itself a signal.
    assert!(fork(|| unsafe { libc::raise(libc::SIGKILL) }).wait().is_err());
}

#[test]
fn the_child_is_refused_what_the_parent_issues_from() {
    let generator = Generator::new(EPOCH, node(12, 0)).unwrap();
    let full = Generator::new(EPOCH, node(12, 1)).unwrap();
    full.reserve(4096).unwrap();
    let client = PyflakeClient::new(EPOCH);
    client.create_generator(12, 2).unwrap();
    client.generate().unwrap();
    let dir = std::env::temp_dir().join(format!("pyflake-fork-{}", std::process::id()));
    let lease = LeasedGenerator::new(FileStore::open(&dir, EPOCH).unwrap()).unwrap();
    let leased = PyflakeClient::leased(lease, CachePolicy::All);
    leased.generate().unwrap();

    let child = fork(|| {
        let refused = |error| error == Some(Error::Forked);
        first_failure(&[
            refused(leased.generate().err()),
            leased.lease().is_some_and(|lease| lease.state() == LeaseState::Lost),
            refused(generator.next_id().err()),
            refused(generator.try_next_id().err()),
            refused(generator.reserve(1).err()),
            refused(generator.reserve(10_000_000).err()),
            refused(generator.fill(&mut [Snowflake::default(); 1000]).err()),
            refused(generator.records().next().unwrap().err()),
            refused(full.next_id().err()),
            // Nor can it be built again.
            refused(Generator::new(EPOCH, node(12, 0)).err()),
            refused(Generator::builder(EPOCH, node(12, 0)).max_wait(MS).build().err()),
            refused(client.generate().err()),
            refused(client.renew_generator(12, 2).err()),
            refused(client.renew_generator(12, 0).err()),
            refused(PyflakeClient::new(EPOCH).create_generator(12, 0).err()),
            // What needs no ID works.
            client.info().generated == 1 && client.cached(1).is_some(),
            generator.reserve(0).is_ok(),
        ])
    });
    assert_eq!(child.wait(), Ok(0));
    assert!(generator.next_id().is_ok() && full.next_id().is_ok() && client.generate().is_ok(), "the parent goes on");
    assert!(leased.generate().is_ok());
    leased.release().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_child_works_on_a_node_of_its_own() {
    let generator = Generator::new(EPOCH, node(13, 0)).unwrap();
    let mut ids = take(&generator, 1000);
    let mut own = None;
    let issue = || own.get_or_insert_with(|| Generator::new(EPOCH, node(13, 1)).unwrap()).next_id().unwrap();
    let of_child = ids_of_child(1000, issue, || ());
    assert_eq!(check_increasing(&of_child), Ok(()));
    assert!(of_child.iter().all(|id| id.node() == node(13, 1)));

    let client = PyflakeClient::new(EPOCH);
    client.create_generator(13, 2).unwrap();
    ids.push(client.generate().unwrap());
    let mut renewed = false;
    let issue = || {
        if !renewed {
            client.renew_generator(13, 3).unwrap();
            renewed = true;
        }
        client.generate().unwrap()
    };
    let of_client = ids_of_child(1000, issue, || ());
    assert!(of_client.iter().all(|id| id.node() == node(13, 3)));

    ids.extend(take(&generator, 1000));
    ids.push(client.generate().unwrap());
    ids.extend(of_child);
    ids.extend(of_client);
    assert_eq!(check_distinct(&mut ids), Ok(()));
}

#[test]
fn a_million_ids_in_the_parent_and_in_the_child_at_once() {
    const MILLION: usize = 1_000_000;

    let generator = Generator::new(EPOCH, node(13, 8)).unwrap();
    let mut ids = take(&generator, 100);
    let mut own = None;
    let issue = || {
        let own = own.get_or_insert_with(|| {
            assert_eq!(generator.next_id(), Err(Error::Forked));
            Generator::new(EPOCH, node(13, 9)).unwrap()
        });
        own.next_id().unwrap()
    };
    let mut of_parent = Vec::new();
    let of_child = ids_of_child(MILLION, issue, || of_parent = take(&generator, MILLION));
    assert!(of_child.iter().all(|id| id.node() == node(13, 9)));
    ids.extend(of_parent);
    ids.extend(of_child);
    assert_eq!(check_distinct(&mut ids), Ok(()));
}

#[test]
fn a_generator_without_the_guard_repeats_in_the_child() {
    let mut naive = Naive::default();
    let mut ids = naive.take(NOW, 10);
    ids.extend(ids_of_child(10, || naive.next(NOW), || ()));
    ids.extend(naive.take(NOW, 10));
    assert!(check_distinct(&mut ids).is_err());
}

#[test]
fn the_childs_own_node_is_refused_to_the_grandchild() {
    let generator = Generator::new(EPOCH, node(14, 0)).unwrap();
    let child = fork(|| {
        let own = Generator::new(EPOCH, node(14, 1)).unwrap();
        let before = own.next_id().unwrap();
        let grandchild = fork(|| {
            first_failure(&[
                generator.next_id() == Err(Error::Forked),
                own.next_id() == Err(Error::Forked),
                Generator::new(EPOCH, node(14, 1)).is_err(),
                Generator::new(EPOCH, node(14, 2)).unwrap().next_id().is_ok(),
            ])
        });
        first_failure(&[
            grandchild.wait() == Ok(0),
            own.next_id().is_ok_and(|id| id > before),
            generator.next_id() == Err(Error::Forked),
        ])
    });
    assert_eq!(child.wait(), Ok(0));
}

#[test]
fn every_shard_is_refused_to_the_child() {
    let generator = ShardedGenerator::new(EPOCH, 18, 0..=3).unwrap();
    generator.next_id().unwrap();
    let child = fork(|| {
        let mut ids = [Snowflake::default(); 10];
        first_failure(&[
            (0..10).all(|_| generator.next_id() == Err(Error::Forked)),
            generator.try_next_id() == Err(Error::Forked),
            generator.reserve(10).is_err(),
            generator.fill(&mut ids) == Err(Error::Forked),
            ids.iter().all(|&id| id == Snowflake::default()),
            ShardedGenerator::new(EPOCH, 18, 3..=4).is_err(),
            ShardedGenerator::new(EPOCH, 18, 4..=5).is_ok_and(|own| own.next_id().is_ok()),
        ])
    });
    assert_eq!(child.wait(), Ok(0));
    assert!(generator.next_id().is_ok());
}

/// The child has the coarse clock's words, but not the thread that writes them.
#[test]
fn a_coarse_clock_goes_on_in_the_child() {
    /// A clock as it is often written: a thread and a word.
    static NAIVE: AtomicU64 = AtomicU64::new(0);

    let clock = CoarseClock::new().unwrap();
    let generator = Generator::builder(EPOCH, node(19, 0)).clock(clock.clone()).build().unwrap();
    generator.next_id().unwrap();
    thread::spawn(|| {
        loop {
            NAIVE.store(SystemClock::new().unix_millis(), Ordering::Relaxed);
            thread::sleep(MS);
        }
    });
    thread::sleep(50 * MS);

    let child = fork(|| {
        let (coarse, naive) = (clock.unix_millis(), NAIVE.load(Ordering::Relaxed));
        thread::sleep(100 * MS);
        let is_now = |millis: u64| millis + 50 >= SystemClock::new().unix_millis();
        let own = Generator::builder(EPOCH, node(19, 1)).clock(clock.clone()).build().unwrap();
        let first_checks = [
            generator.next_id() == Err(Error::Forked),
            clock.unix_millis() >= coarse + 90 && is_now(clock.unix_millis()),
            own.next_id().is_ok_and(|id| is_now(id.timestamp(EPOCH))),
            NAIVE.load(Ordering::Relaxed) == naive && !is_now(naive),
        ];
        // A new one has a thread again, and the inherited one with it.
        let anew = CoarseClock::new().unwrap();
        thread::sleep(100 * MS);
        let more = [
            is_now(anew.unix_millis()) && is_now(clock.unix_millis()),
            own.next_id().is_ok_and(|id| is_now(id.timestamp(EPOCH))),
        ];
        drop((anew, own));
        first_failure(&[&first_checks[..], &more].concat())
    });
    assert_eq!(child.wait(), Ok(0));
    assert!(generator.next_id().is_ok(), "the parent goes on");
}

#[test]
fn a_hundred_forks_of_a_busy_parent_never_hang() {
    const KEPT: usize = 1_000_000;

    let generator = Generator::new(EPOCH, node(15, 0)).unwrap();
    let client = PyflakeClient::new(EPOCH);
    client.create_generator(15, 1).unwrap();
    let done = AtomicBool::new(false);
    let busy = || !done.load(Ordering::Relaxed);

    let mut ids = thread::scope(|scope| {
        let singles = scope.spawn(|| {
            let mut ids = Vec::with_capacity(KEPT);
            while busy() {
                let id = generator.next_id().unwrap();
                if ids.len() < KEPT {
                    ids.push(id);
                }
            }
            ids
        });
        let runs = scope.spawn(|| {
            let mut ids = Vec::with_capacity(KEPT);
            while busy() {
                let run = generator.reserve(100).unwrap();
                if ids.len() < KEPT {
                    ids.extend(run);
                }
            }
            ids
        });
        // Inside the list of timelines at the moment of a fork: some are new, all are looked up.
        scope.spawn(|| {
            for turn in (0..1000).cycle().take_while(|_| busy()) {
                let epoch = Epoch::from_unix_millis(EPOCH.as_unix_millis() + turn);
                Generator::new(epoch, node(15, 2)).unwrap().next_id().unwrap();
            }
        });
        // Inside the cache.
        scope.spawn(|| {
            while busy() {
                for _ in 0..2000 {
                    client.generate().unwrap();
                }
                client.clear_cache();
                client.renew_generator(15, 1).unwrap();
            }
        });

        let ends = Ends(&done);
        for turn in 0..100 {
            let child = fork(|| {
                client.clear_cache();
                first_failure(&[
                    generator.next_id() == Err(Error::Forked),
                    generator.reserve(100).is_err(),
                    Generator::new(EPOCH, node(15, 0)).is_err(),
                    client.generate() == Err(Error::Forked),
                    client.renew_generator(16, turn % 32).is_ok(),
                    (0..2000).all(|_| client.generate().is_ok()),
                    Generator::new(EPOCH, node(17, turn % 32)).is_ok_and(|own| own.reserve(5000).is_ok()),
                ])
            });
            assert_eq!(child.wait(), Ok(0), "fork {turn}");
        }
        drop(ends);
        [singles.join().unwrap(), runs.join().unwrap()].concat()
    });
    assert_eq!(check_distinct(&mut ids), Ok(()));
}
