//! Models of a sharded generator that several threads share.
//!
//! The thread-local home shard is std's, so all threads of a model have the same one. That is the
//! worst case: they meet at each shard. The home is only a hint.
#![cfg(pyflake_loom)]

use std::sync::Arc;

use loom_tests::{EPOCH, TICK, assert_unique, bounded, every, join, start};
use pyflake::layout::IDS_PER_TICK;
use pyflake::{Error, Generator, ManualClock, Node, ShardedGenerator, Snowflake};

type Sharded = ShardedGenerator<ManualClock>;

/// Makes a generator with two shards, with `left` IDs left in total.
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

/// The `left` IDs are in one shard or in both.
#[test]
fn the_last_ids_of_all_shards_are_issued_once() {
    bounded(3, || {
        let generator = sharded(3);
        let other = start(&generator, attempts::<2>);
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
        let fill = start(&generator, |generator| {
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
