//! Threads that share a sharded generator. Its thread-local home is std's, so all threads of a model have one: no more
//! than a hint, and the worst one, as they meet at each shard.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom_tests::{EPOCH, TICK, assert_unique, bounded, every, fork, join};
use pyflake::layout::IDS_PER_TICK;
use pyflake::{Error, Generator, ManualClock, Node, ShardedGenerator, Snowflake};

type Sharded = ShardedGenerator<ManualClock>;

/// Two shards with so many IDs left in all.
fn sharded(left: usize) -> Arc<Sharded> {
    let node = Node::new(1, 0).expect("in range");
    let builder = Generator::builder(EPOCH, node).clock(ManualClock::new(TICK));
    let generator = builder.build_sharded(0..=1).expect("in range");
    let used = usize::try_from(2 * IDS_PER_TICK).unwrap() - left;
    generator.fill(&mut vec![Snowflake::default(); used]).expect("in one millisecond");
    Arc::new(generator)
}

fn attempts<const N: usize>(generator: &Sharded) -> [Result<Snowflake, Error>; N] {
    core::array::from_fn(|_| generator.try_next_id())
}

/// The fill leaves the rest in one shard, or in both.
#[test]
fn the_last_ids_of_all_shards_are_issued_once() {
    bounded(3, || {
        let generator = sharded(3);
        let other = fork(&generator, attempts::<2>);
        let mine = attempts::<2>(&generator);
        let all = [mine, join(other)].concat();
        let ids: Vec<_> = all.iter().filter_map(|attempt| attempt.as_ref().ok().map(|id| [*id])).collect();
        assert_eq!(ids.len(), 3, "{all:?}");
        assert_unique(&ids.iter().map(|id| &id[..]).collect::<Vec<_>>());
    });
}

#[test]
fn slices_and_single_ids_of_two_shards_do_not_overlap() {
    every(|| {
        let generator = sharded(5);
        let fill = fork(&generator, |generator| {
            let mut ids = [Snowflake::default(); 3];
            generator.fill(&mut ids).expect("IDs");
            ids
        });
        let single = [generator.next_id().expect("an ID")];
        let mut fill = join(fill);
        fill.sort();
        assert_unique(&[&fill, &single]);
    });
}
