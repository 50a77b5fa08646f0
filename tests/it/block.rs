//! `Block`: the runs of IDs that `reserve` gives.

use std::sync::Mutex;

use crate::common::{EPOCH, check_increasing, node};
use proptest::prelude::*;
use pyflake::layout::MAX_TICK;
use pyflake::{Block, Clock, Generator, ManualClock, Snowflake, SystemClock, Wait};

fn reserve(n: usize) -> Block {
    Generator::new(EPOCH, node(18, 0)).unwrap().reserve(n).unwrap()
}

/// The IDs follow each other without a gap, over the milliseconds.
fn check_consecutive(ids: &[Snowflake]) -> Result<(), String> {
    let place = |id: Snowflake| id.tick() * 4096 + u64::from(id.sequence());
    match ids.windows(2).find(|pair| place(pair[1]) != place(pair[0]) + 1 || pair[0].node() != pair[1].node()) {
        Some(pair) => Err(format!("{} is followed by {}", pair[0], pair[1])),
        None => Ok(()),
    }
}

#[test]
fn no_ids_are_a_block_too() {
    let mut block = reserve(0);
    assert_eq!((block.len(), block.next(), block.next_back(), block.nth(3)), (0, None, None, None));
    assert_eq!(Generator::new(EPOCH, node(18, 0)).unwrap().fill(&mut []), Ok(()));
}

#[test]
fn a_dropped_block_is_lost_and_not_issued_again() {
    let generator = Generator::new(EPOCH, node(18, 1)).unwrap();
    let mut ids = generator.reserve(100).unwrap();
    let first = ids.next().unwrap();
    let last = ids.next_back().unwrap();
    assert_eq!(check_increasing(&[first, last, generator.next_id().unwrap()]), Ok(()));
}

/// There is no number after the last ID of the last node.
#[test]
fn fill_writes_the_last_ids_of_all() {
    let clock = ManualClock::new(EPOCH.as_unix_millis() + MAX_TICK);
    let generator = Generator::builder(EPOCH, node(31, 31)).clock(clock).build().unwrap();
    let mut ids = vec![Snowflake::default(); 4096];
    assert_eq!(generator.fill(&mut ids), Ok(()));
    assert_eq!((check_consecutive(&ids), ids[4095]), (Ok(()), Snowflake::from(u64::MAX)));
}

#[test]
fn blocks_follow_each_other() {
    let generator = Generator::new(EPOCH, node(18, 2)).unwrap();
    let ids: Vec<_> = (0..20).flat_map(|n| generator.reserve(n * 500).unwrap()).collect();
    assert_eq!(check_increasing(&ids), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_block_is_an_iterator_from_both_ends(
        n in prop_oneof![0_usize..10, 4000_usize..10_000],
        steps in proptest::collection::vec((any::<bool>(), 0_usize..3000), 0..20),
    ) {
        // Twin generators on a clock that says one time, for the same run three times.
        let now = SystemClock::new().unix_millis();
        let reserve = || {
            let mut looks = 0..;
            // The later looks wait for the run's last millisecond.
            let clock = Mutex::new(move || now + looks.next().unwrap_or(0) * 10);
            let clock = move || (clock.lock().unwrap())();
            let builder = Generator::builder(EPOCH, node(18, 0)).clock(clock).wait(Wait::Spin);
            builder.build().unwrap().reserve(n).unwrap()
        };
        let mut block = reserve();
        let ids: Vec<_> = reserve().collect();
        prop_assert_eq!(ids.len(), n);
        prop_assert_eq!(check_consecutive(&ids), Ok(()));
        prop_assert!(reserve().rev().eq(ids.iter().rev().copied()));

        let mut reference = ids.into_iter();
        for (front, skipped) in steps {
            if front {
                prop_assert_eq!(block.nth(skipped), reference.nth(skipped));
            } else {
                prop_assert_eq!(block.nth_back(skipped), reference.nth_back(skipped));
            }
            prop_assert_eq!(block.len(), reference.len());
            prop_assert_eq!(block.size_hint(), reference.size_hint());
        }
        prop_assert!(block.eq(reference));
    }

    #[test]
    fn fill_writes_consecutive_ids(n in prop_oneof![0_usize..10, 4000_usize..10_000]) {
        let mut ids = vec![Snowflake::default(); n];
        Generator::new(EPOCH, node(18, 3)).unwrap().fill(&mut ids).unwrap();
        prop_assert_eq!(check_consecutive(&ids), Ok(()));
    }
}
