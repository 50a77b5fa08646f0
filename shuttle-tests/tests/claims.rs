//! Four threads that claim from one timeline in all ways there are, while the time moves or they wait for it.
#![cfg(pyflake_shuttle)]

use std::sync::Arc;

use pyflake::layout::IDS_PER_TICK;
use pyflake::{Clock, Generator, ManualClock, Snowflake};
use shuttle_tests::{TICK, TicksInTheWait, assert_unique, below, builder, explore, fork, join};

/// Some IDs, by one call or another.
fn some<C: Clock>(generator: &Generator<C>) -> Vec<Snowflake> {
    let n = usize::try_from(below(4)).expect("small");
    match below(4) {
        0 => vec![generator.next_id().expect("an ID")],
        1 => generator.try_next_id().into_iter().collect(),
        2 => generator.reserve(n).expect("a block").collect(),
        _ => {
            let mut ids = vec![Snowflake::default(); n];
            generator.fill(&mut ids).expect("IDs");
            ids
        }
    }
}

/// The clock shows any of three ticks, forwards and back.
#[test]
fn four_threads_claim_while_the_clock_steps() {
    explore(|| {
        let clock = ManualClock::new(TICK);
        let generator = Arc::new(builder(clock.clone()).build().expect("a clock past the epoch"));
        let threads = [(); 4].map(|()| fork(&generator, |generator| (0..4).flat_map(|_| some(generator)).collect()));
        let stepper = shuttle::thread::spawn(move || (0..4).for_each(|_| clock.set(TICK + below(3))));
        // A tick has begun if the clock has shown it, and this one shows none twice.
        assert_unique(&join(threads));
        join([stepper]);
    });
}

/// Three slots are left of a tick; the next ticks begin while threads wait for them.
#[test]
fn four_threads_claim_across_milliseconds() {
    explore(|| {
        let generator = Arc::new(builder(TicksInTheWait::new(TICK)).build().expect("a clock past the epoch"));
        let left = usize::try_from(IDS_PER_TICK - 3).expect("small");
        assert_eq!(generator.reserve(left).map(|block| block.len()), Ok(left));
        let threads = [(); 4].map(|()| {
            fork(&generator, |generator| {
                let due = |id: &Snowflake| generator.clock().assert_due(*id);
                (0..4).flat_map(|_| some(generator)).inspect(due).collect::<Vec<_>>()
            })
        });
        assert_unique(&join(threads));
    });
}

/// Each thread takes half a tick at a time, so every claim but the first is ahead of the clock or ends a tick.
#[test]
fn four_threads_claim_runs_of_half_a_tick() {
    explore(|| {
        let generator = Arc::new(builder(TicksInTheWait::new(TICK)).build().expect("a clock past the epoch"));
        let threads = [(); 4].map(|()| {
            fork(&generator, |generator| {
                let n = usize::try_from(IDS_PER_TICK / 2 + below(3) - 1).expect("small");
                let mut block = generator.reserve(n).expect("a block");
                let (first, last) = (block.next().expect("many"), block.next_back().expect("many"));
                generator.clock().assert_due(last);
                // The run, and the ends of two single IDs.
                let [single, next] = [(); 2].map(|()| generator.next_id().expect("an ID"));
                [first..=last, single..=single, next..=next]
            })
        });
        let runs = join(threads);
        for runs in &runs {
            assert!(runs.is_sorted_by_key(|run| *run.start()), "a thread's IDs went back: {runs:?}");
        }
        let mut runs = runs.concat();
        runs.sort_by_key(|run| *run.start());
        assert!(runs.is_sorted_by(|one, next| one.end() < next.start()), "issued twice: {runs:?}");
    });
}
