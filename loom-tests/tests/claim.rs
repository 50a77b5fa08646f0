//! Models of claims on one timeline while the time stands still.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom_tests::{EPOCH, TICK, assert_unique, bounded, every, generator, ids, join, leave, start};
use pyflake::layout::MAX_TICK;
use pyflake::{Error, Generator, ManualClock, Snowflake};

#[test]
fn two_threads_claim_two_each() {
    every(|| {
        let generator = generator(ManualClock::new(TICK));
        let other = start(&generator, ids::<2, _>);
        let mine = ids::<2, _>(&generator);
        assert_unique(&[&mine, &join(other)]);
        assert_eq!(generator.next_id().map(Snowflake::sequence), Ok(4), "no slot was skipped");
    });
}

#[test]
fn two_threads_claim_three_each() {
    every(|| {
        let generator = generator(ManualClock::new(TICK));
        let other = start(&generator, ids::<3, _>);
        let mine = ids::<3, _>(&generator);
        assert_unique(&[&mine, &join(other)]);
        assert_eq!(generator.next_id().map(Snowflake::sequence), Ok(6), "no slot was skipped");
    });
}

/// The millisecond has begun and is open for additions.
#[test]
fn two_threads_add_three_each() {
    every(|| {
        let generator = begun();
        let other = start(&generator, ids::<3, _>);
        let mine = ids::<3, _>(&generator);
        assert_unique(&[&mine, &join(other)]);
        assert_eq!(generator.next_id().map(Snowflake::sequence), Ok(8), "no slot was skipped");
    });
}

#[test]
fn three_threads_claim_one_each() {
    every(|| {
        let generator = generator(ManualClock::new(TICK));
        let others = [(); 2].map(|()| start(&generator, ids::<1, _>));
        let mine = ids::<1, _>(&generator);
        let [second, third] = others.map(join);
        assert_unique(&[&mine, &second, &third]);
    });
}

#[test]
fn three_threads_claim_two_each() {
    bounded(3, || {
        let generator = generator(ManualClock::new(TICK));
        let others = [(); 2].map(|()| start(&generator, ids::<2, _>));
        let mine = ids::<2, _>(&generator);
        let [second, third] = others.map(join);
        assert_unique(&[&mine, &second, &third]);
    });
}

#[test]
fn three_threads_add_two_each() {
    bounded(3, || {
        let generator = begun();
        let others = [(); 2].map(|()| start(&generator, ids::<2, _>));
        let mine = ids::<2, _>(&generator);
        let [second, third] = others.map(join);
        assert_unique(&[&mine, &second, &third]);
    });
}

/// Two slots are left, and there are four claims.
#[test]
fn the_last_ids_of_a_millisecond_are_issued_once() {
    every(|| {
        let generator = generator(ManualClock::new(TICK));
        leave(&generator, 2);
        let other = start(&generator, |generator| [generator.try_next_id(), generator.try_next_id()]);
        let mine = [generator.try_next_id(), generator.try_next_id()];
        let others = join(other);
        assert_unique(&[&issued(&mine), &issued(&others)]);
        let mut all = [mine, others].concat();
        all.sort_by_key(|attempt| attempt.as_ref().map_or(u16::MAX, |id| id.sequence()));
        let [Ok(first), Ok(second), Err(third), Err(fourth)] = &all[..] else { panic!("not two IDs: {all:?}") };
        assert_eq!([first, second].map(|id| (id.tick(), id.sequence())), [(TICK, 4094), (TICK, 4095)]);
        for error in [third, fourth] {
            assert!(matches!(error, Error::Exhausted { .. }), "{error}");
        }
    });
}

/// Two slots are left of the whole 42 bits.
#[test]
fn the_last_ids_of_all_are_issued_once() {
    every(|| {
        let generator = generator(ManualClock::new(MAX_TICK));
        leave(&generator, 2);
        let other = start(&generator, |generator| [generator.next_id(), generator.next_id()]);
        let mine = [generator.next_id(), generator.next_id()];
        let others = join(other);
        let all = [mine, others].concat();
        let ended = all.iter().filter(|attempt| matches!(attempt, Err(Error::EndOfTime { .. }))).count();
        let ids = issued(&all);
        assert_eq!((ids.len(), ended), (2, 2), "{all:?}");
        assert_ne!(ids[0], ids[1]);
        assert!(ids.iter().all(|id| id.tick() == MAX_TICK && id.sequence() >= 4094), "{all:?}");
    });
}

#[test]
fn blocks_and_single_ids_do_not_overlap() {
    every(|| {
        let generator = begun();
        let blocks = start(&generator, |generator| {
            [3, 2].map(|n| generator.reserve(n).expect("a block").collect::<Vec<_>>()).concat()
        });
        let mut slice = [Snowflake::default(); 2];
        generator.fill(&mut slice).expect("IDs");
        let single = ids::<1, _>(&generator);
        let blocks = join(blocks);
        assert_eq!(blocks.len(), 5);
        assert_unique(&[&blocks, &[&slice[..], &single].concat()]);
    });
}

/// All orderings are `Relaxed`. Still, a thread that receives an ID issues a larger one.
#[test]
fn an_id_is_larger_than_an_id_that_its_thread_received() {
    every(|| {
        let generator = begun();
        let mailbox = Arc::new(AtomicU64::new(0));
        let sender = start(&generator, {
            let mailbox = Arc::clone(&mailbox);
            move |generator| {
                let [first, second] = ids::<2, _>(generator);
                mailbox.store(second.as_u64(), Ordering::Release);
                (first, second)
            }
        });
        let received = mailbox.load(Ordering::Acquire);
        let [id] = ids::<1, _>(&generator);
        assert!(id.as_u64() > received, "{id} after {received}");
        let (first, second) = join(sender);
        assert_unique(&[&[first, second], &[id]]);
        assert_eq!(id.timestamp(EPOCH), TICK);
    });
}

/// Makes a generator that has issued two IDs of its millisecond.
fn begun() -> Arc<Generator<ManualClock>> {
    let generator = generator(ManualClock::new(TICK));
    ids::<2, _>(&generator);
    generator
}

fn issued(attempts: &[Result<Snowflake, Error>]) -> Vec<Snowflake> {
    attempts.iter().filter_map(|attempt| attempt.as_ref().ok().copied()).collect()
}
