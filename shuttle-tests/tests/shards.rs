//! Four threads on three shards that fill up.
#![cfg(pyflake_shuttle)]

use std::sync::Arc;

use pyflake::layout::IDS_PER_TICK;
use pyflake::{Clock, Error, ManualClock, ShardedGenerator, Snowflake};
use shuttle_tests::{TICK, TicksInTheWait, assert_unique, below, builder, explore, fork, join};

/// Three shards with so many IDs left of the tick, in one of them or in several.
fn sharded<C: Clock + Clone>(clock: C, left: u64) -> Arc<ShardedGenerator<C>> {
    let generator = builder(clock).build_sharded(0..=2).expect("in range");
    let mut used = 3 * IDS_PER_TICK - left;
    while used > 0 {
        let n = used.min(IDS_PER_TICK - 1);
        assert!(generator.reserve(usize::try_from(n).expect("small")).is_ok());
        used -= n;
    }
    Arc::new(generator)
}

/// No ID is issued twice, and none is left.
#[test]
fn the_last_ids_of_all_shards_are_issued_once() {
    explore(|| {
        let generator = sharded(ManualClock::new(TICK), 5);
        let tries = |generator: &ShardedGenerator<ManualClock>| [(); 2].map(|()| generator.try_next_id());
        let attempts = join([(); 4].map(|()| fork(&generator, tries))).concat();
        let (issued, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
        assert_eq!(issued.len(), 5, "{refused:?}");
        assert!(refused.iter().all(|error| matches!(error, Err(Error::Exhausted { .. }))), "{refused:?}");
        let ids: Vec<Vec<Snowflake>> = issued.into_iter().map(|id| id.into_iter().collect()).collect();
        assert_unique(&ids);
    });
}

/// Threads move to other shards, and all of them into the next tick.
#[test]
fn four_threads_use_up_the_shards() {
    explore(|| {
        let clock = TicksInTheWait::new(TICK);
        let generator = sharded(clock.clone(), 4);
        let threads = [(); 4].map(|()| {
            let clock = clock.clone();
            fork(&generator, move |generator| {
                let mut all = Vec::new();
                for _ in 0..3 {
                    let mut ids = vec![Snowflake::default(); usize::try_from(below(4)).expect("small")];
                    match below(3) {
                        0 => ids = vec![generator.next_id().expect("an ID")],
                        1 => ids = generator.reserve(ids.len()).expect("a block").collect(),
                        _ => generator.fill(&mut ids).expect("IDs"),
                    }
                    ids.iter().for_each(|id| clock.assert_due(*id));
                    all.extend(ids);
                }
                // Between shards a later ID of one tick may be the smaller one.
                assert!(all.is_sorted_by_key(|id| id.tick()), "a thread's ticks went back: {all:?}");
                all.sort();
                all
            })
        });
        assert_unique(&join(threads));
    });
}
