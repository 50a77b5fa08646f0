//! Clocks that stand still, step back, jump and lie.

use core::time::Duration;
use std::time::Instant;

use crate::common::{EPOCH, MS, NOW, Naive, check_distinct, check_increasing, drain, manual, ms, node, wall_millis};
use pyflake::layout::MAX_TICK;
use pyflake::{Epoch, Error, Generator, ManualClock, PyflakeClient, Snowflake};

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

// The clock stands still.

#[test]
fn a_frozen_clock_gives_4096_and_no_more() {
    let (clock, builder) = manual();
    let generator = builder.build().unwrap();
    for tick in 0..3 {
        let (ids, error) = drain(&generator);
        assert_eq!(ids.len(), 4096);
        assert!(ids.iter().enumerate().all(|(i, id)| usize::from(id.sequence()) == i));
        assert!(ids.iter().all(|id| id.timestamp(EPOCH) == NOW + tick));
        assert_eq!(error, Error::Exhausted { retry_after: MS });
        assert_eq!(generator.try_next_id(), Err(error));
        clock.advance(1);
    }
    // The control issues without end, and repeats.
    assert!(check_distinct(&mut Naive::default().take(NOW, 4097)).is_err());
}

// The clock steps back, or jumps.

#[test]
fn a_step_back_finishes_the_begun_millisecond_and_then_waits() {
    for back in [1, SECOND, HOUR] {
        let (clock, builder) = manual();
        let generator = builder.max_wait(ms(back)).build().unwrap();
        let mut ids: Vec<_> = (0..1000).map(|_| generator.next_id().unwrap()).collect();
        clock.set(NOW - back);
        let (rest, error) = drain(&generator);
        assert_eq!(rest.len(), 3096, "{back} ms back");
        ids.extend(rest);
        assert_eq!(check_increasing(&ids), Ok(()));
        assert!(ids.iter().all(|id| id.timestamp(EPOCH) == NOW));
        assert_eq!(error, Error::Exhausted { retry_after: ms(back + 1) });

        let start = Instant::now();
        let refused = Error::WaitTooLong { wait: ms(back + 1), max_wait: ms(back) };
        assert_eq!(generator.next_id(), Err(refused.clone()));
        assert_eq!(generator.reserve(1).map(|_| ()), Err(refused.clone()));
        assert_eq!(generator.fill(&mut [Snowflake::default()]), Err(refused));
        assert!(start.elapsed() < Duration::from_secs(10), "refused at once, not after the wait");

        // The wait is measured from the clock, not from the step.
        clock.advance(1);
        assert_eq!(generator.try_next_id(), Err(Error::Exhausted { retry_after: ms(back) }));
        clock.set(NOW + 1);
        assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW + 1);

        let mut naive = Naive::default();
        let mut ids = [naive.take(NOW, 1000), naive.take(NOW - back, 10), naive.take(NOW, 10)].concat();
        assert!(check_increasing(&ids).is_err() && check_distinct(&mut ids).is_err(), "the control");
    }
}

#[test]
fn a_step_back_across_full_milliseconds_waits_at_once() {
    let (clock, builder) = manual();
    let generator = builder.max_wait(ms(5)).build().unwrap();
    generator.reserve(4096).unwrap();
    clock.set(NOW - HOUR);
    assert_eq!(generator.try_next_id(), Err(Error::Exhausted { retry_after: ms(HOUR + 1) }));
    assert_eq!(generator.next_id(), Err(Error::WaitTooLong { wait: ms(HOUR + 1), max_wait: ms(5) }));
}

#[test]
fn a_jump_forward_is_followed_and_a_jump_back_is_waited_for() {
    let (clock, builder) = manual();
    let generator = builder.build().unwrap();
    let mut ids = vec![generator.next_id().unwrap()];
    clock.advance(DAY);
    ids.push(generator.next_id().unwrap());
    assert_eq!(ids[1].timestamp(EPOCH), NOW + DAY);
    clock.set(NOW);
    let (rest, error) = drain(&generator);
    assert_eq!(rest.len(), 4095);
    assert_eq!(error, Error::Exhausted { retry_after: ms(DAY + 1) });
    assert_eq!(generator.next_id(), Err(Error::WaitTooLong { wait: ms(DAY + 1), max_wait: ms(SECOND) }));
    ids.extend(rest);
    clock.set(NOW + DAY + 1);
    ids.push(generator.next_id().unwrap());
    assert_eq!(check_increasing(&ids), Ok(()));
}

// The clock leaves the 42 bits.

#[test]
fn a_clock_before_the_epoch_is_refused() {
    let epoch = EPOCH.as_unix_millis();
    for now in [0, epoch - 1] {
        let error = Error::EpochInFuture { epoch, now };
        let builder = Generator::builder(EPOCH, node(6, 6));
        assert_eq!(builder.clock(move || now).build().map(drop).unwrap_err(), error);

        let (clock, builder) = manual();
        let generator = builder.build().unwrap();
        let before = generator.next_id().unwrap();
        clock.set(now);
        assert_eq!(generator.try_next_id(), Err(error.clone()));
        assert_eq!(generator.next_id(), Err(error.clone()));
        assert_eq!(generator.reserve(3).map(drop), Err(error.clone()));
        assert_eq!(generator.reserve(0).map(|block| block.len()), Ok(0));
        clock.set(NOW);
        assert_eq!(generator.next_id().unwrap().as_u64(), before.as_u64() + 1);

        let client = PyflakeClient::builder(EPOCH).clock(ManualClock::new(now)).build();
        assert_eq!(client.create_generator(6, 6), Err(error));
        assert!(!client.info().generator);
    }
}

#[test]
fn an_epoch_in_the_future_is_refused() {
    let epoch = wall_millis() + HOUR;
    let error = Generator::new(Epoch::from_unix_millis(epoch), node(6, 6)).unwrap_err();
    let Error::EpochInFuture { epoch: named, now } = error else { panic!("{error:?}") };
    assert_eq!(named, epoch);
    assert!(now.abs_diff(wall_millis()) < HOUR / 2, "{now}");
}

#[test]
fn an_epoch_whose_ticks_would_wrap_is_refused() {
    // Within 139 years of the end of u64: a clock that has wrapped past it would pass for one after the epoch.
    let epoch = u64::MAX - 5;
    let builder = Generator::builder(Epoch::from_unix_millis(epoch), node(6, 6));
    let error = builder.clock(ManualClock::new(u64::MAX - 2)).build().map(drop).unwrap_err();
    assert_eq!(error, Error::EpochInFuture { epoch, now: u64::MAX - 2 });
}

#[test]
fn a_clock_past_42_bits_is_refused() {
    let (epoch, first_past) = (EPOCH.as_unix_millis(), EPOCH.as_unix_millis() + MAX_TICK + 1);
    // By mistake: nanoseconds, and no time at all.
    for now in [first_past, NOW * 1_000_000, u64::MAX] {
        let error = Error::EndOfTime { epoch, now };
        let builder = Generator::builder(EPOCH, node(6, 6));
        assert_eq!(builder.clock(move || now).build().map(drop).unwrap_err(), error);

        let (clock, builder) = manual();
        let generator = builder.build().unwrap();
        clock.set(now);
        assert_eq!(generator.try_next_id(), Err(error.clone()));
        assert_eq!(generator.next_id(), Err(error.clone()));
        assert_eq!(generator.reserve(3).map(drop), Err(error));
        clock.set(NOW);
        assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW);
        assert!(Naive::default().next(now).tick() <= MAX_TICK, "the control masks it");
    }
}

#[test]
fn the_last_millisecond_gives_4096_ids_and_ends_in_the_largest() {
    let (epoch, last) = (EPOCH.as_unix_millis(), EPOCH.as_unix_millis() + MAX_TICK);
    let end = Error::EndOfTime { epoch, now: last + 1 };
    let build = || Generator::builder(EPOCH, node(31, 31)).clock(ManualClock::new(last)).build().unwrap();

    let generator = build();
    assert_eq!(generator.reserve(4097).map(drop), Err(end.clone()), "and nothing is claimed");
    let (ids, error) = drain(&generator);
    assert_eq!(ids.len(), 4096);
    assert_eq!(check_increasing(&ids), Ok(()));
    assert_eq!(ids[4095].as_u64(), u64::MAX);
    assert_eq!(error, end);
    assert_eq!(generator.next_id(), Err(end.clone()));
    assert_eq!(generator.fill(&mut [Snowflake::default(); 2]), Err(end));
    generator.clock().set(NOW);
    assert!(matches!(generator.try_next_id(), Err(Error::EndOfTime { .. })), "the end is the end");

    let mut block = build().reserve(4096).unwrap();
    assert_eq!(block.next_back().unwrap().as_u64(), u64::MAX);
}

#[test]
fn a_run_longer_than_time_is_refused() {
    let generator = manual().1.max_wait(Duration::MAX).build().unwrap();
    for n in [usize::MAX, usize::MAX / 2, 1 << 54] {
        assert!(matches!(generator.reserve(n), Err(Error::EndOfTime { .. })), "{n}");
    }
    assert_eq!(generator.try_next_id().unwrap().sequence(), 0);
}

#[test]
fn a_closure_is_a_clock_with_a_time_line_of_its_own() {
    let build = || Generator::builder(EPOCH, node(6, 6)).clock(|| NOW).build().unwrap();
    assert_eq!(build().next_id().unwrap().as_u64(), 473_032_512_445_898_752);
    assert_eq!(build().next_id().unwrap().as_u64(), 473_032_512_445_898_752);
}

/// -1 as an unsigned number is what a broken column holds; it must end issue, and not begin it anew.
#[test]
fn after_the_last_id_of_all_there_is_none() {
    let last = Snowflake::from(u64::MAX);
    let (_, builder) = manual();
    let generator = builder.resume_after(last).build().unwrap();
    for _ in 0..3 {
        assert!(matches!(generator.next_id(), Err(Error::EndOfTime { .. })));
        assert!(matches!(generator.try_next_id(), Err(Error::EndOfTime { .. })));
        assert!(matches!(generator.reserve(10), Err(Error::EndOfTime { .. })));
    }

    // The same for a generator that shares the timeline and was issuing.
    let node = node(31, 7);
    let running = Generator::new(EPOCH, node).unwrap();
    running.reserve(100_000).unwrap();
    let _resumed = Generator::builder(EPOCH, node).resume_after(last).build().unwrap();
    assert!(matches!(running.next_id(), Err(Error::EndOfTime { .. })));

    // One millisecond earlier there is the last one left.
    let clock = ManualClock::new(EPOCH.as_unix_millis() + MAX_TICK);
    let nearly = Snowflake::from((MAX_TICK - 1) << 22);
    let builder = Generator::builder(EPOCH, crate::common::node(6, 6)).clock(clock).resume_after(nearly);
    assert_eq!(drain(&builder.build().unwrap()).0.len(), 4096);
}
