//! Windows that are renewed, lost and given back, while four threads of two holders claim.
#![cfg(pyflake_shuttle)]

use std::sync::Arc;

use pyflake::testing::Line;
use shuttle_tests::window::{Wrong, two_holders};
use shuttle_tests::{assert_unique, below, explore, fork, join};

#[test]
fn two_holders_take_a_node_from_each_other() {
    explore(|| two_holders(Wrong::default()));
}

/// One holder whose window is extended again and again: its four threads use all of it, and nothing past it.
#[test]
fn four_threads_claim_while_the_window_is_extended() {
    explore(|| {
        let line = Arc::new(Line::new());
        line.open(1, 3);
        let keeper = fork(&line, |line| (3..8).for_each(|tick| line.extend(tick)));
        let threads = [(); 4].map(|()| {
            fork(&line, |line| {
                let claim = |tick| if below(2) == 0 { line.claim(|| tick) } else { line.run(1, tick) };
                (0..6).filter_map(|_| claim(below(9))).collect::<Vec<_>>()
            })
        });
        let slots = join(threads);
        assert!(slots.iter().flatten().all(|slot| (1..7).contains(&(slot >> 12))), "outside of the window: {slots:?}");
        assert_unique(&slots);
        join([keeper]);
        // The end is 7, whatever the threads have seen meanwhile.
        assert!(line.claim(|| 6).is_some());
        assert_eq!(line.claim(|| 7), None);
    });
}

/// Whatever `close` returns is above all that four threads have claimed, and none claims after it.
#[test]
fn four_threads_claim_while_the_window_is_closed() {
    explore(|| {
        let line = Arc::new(Line::new());
        line.open(1, 6);
        let threads = [(); 4].map(|()| {
            fork(&line, |line| {
                let claim = |tick| if below(2) == 0 { line.claim(|| tick) } else { line.run(1, tick) };
                (0..5).filter_map(|_| claim(below(6))).collect::<Vec<_>>()
            })
        });
        let closer = fork(&line, |line| {
            (0..below(20)).for_each(|_| shuttle::thread::yield_now());
            line.extend(7);
            line.close()
        });
        let slots = join(threads);
        let free = join([closer])[0];
        assert!(slots.iter().flatten().all(|slot| *slot < free), "claimed after the end: {slots:?}, {free}");
        assert_unique(&slots);
        assert_eq!(line.claim(|| 5), None);
    });
}
