//! The start of a millisecond, spread: for IDs that are sharded by their low bits.

use crate::common::{EPOCH, NOW, check_distinct, check_increasing, drain, manual, node};
use pyflake::{Error, Generator, ManualClock, PyflakeClient, Snowflake};

/// The chi-square of IDs over `2^bits` shards by their low bits.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn chi_square(ids: &[Snowflake], bits: u32) -> f64 {
    let mut shards = vec![0_u32; 1 << bits];
    for id in ids {
        shards[usize::try_from(id.as_u64() % (1 << bits)).unwrap()] += 1;
    }
    let expected = ids.len() as f64 / shards.len() as f64;
    shards.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum()
}

/// 16,000 IDs, one every `step` milliseconds.
fn at_a_low_rate(bits: u32, step: u64) -> Vec<Snowflake> {
    let (clock, builder) = manual();
    let generator = builder.spread_sequence(bits).build().unwrap();
    (0..16_000)
        .map(|_| {
            clock.advance(step);
            generator.next_id().unwrap()
        })
        .collect()
}

/// For `2^bits - 1` degrees of freedom the chi-square is about that, with a standard deviation of the root of its double;
/// five of them are passed by one even distribution in a million.
fn limit(bits: u32) -> f64 {
    let freedom = f64::from((1_u32 << bits) - 1);
    freedom + 5.0 * (2.0 * freedom).sqrt()
}

#[test]
fn ids_at_a_low_rate_go_to_all_shards_evenly() {
    // Steps of all kinds: neighbours, a second, a Fibonacci number (against which a golden ratio would fail), a power of
    // two, a minute.
    for step in [1, 2, 10, 987, 1000, 1024, 1597, 60_000] {
        for bits in [1, 4, 6, 8] {
            let ids = at_a_low_rate(bits, step);
            assert!(chi_square(&ids, bits) < limit(bits), "{bits} bits, every {step} ms: {}", chi_square(&ids, bits));
            assert_eq!(check_increasing(&ids), Ok(()));
        }
        // The control: without it all go to one shard.
        let plain = at_a_low_rate(0, step);
        assert!(chi_square(&plain, 4) > 100.0 * limit(4));
        assert!(plain.iter().all(|id| id.sequence() == 0));
    }
}

/// Many nodes that issue in the same millisecond.
#[test]
fn nodes_of_one_millisecond_go_to_all_shards_evenly() {
    let clock = ManualClock::new(NOW);
    let ids: Vec<_> = (0..1024)
        .map(|index| {
            let node = pyflake::Node::from_index(index).unwrap();
            let builder = Generator::builder(EPOCH, node).clock(clock.clone()).spread_sequence(4);
            builder.build().unwrap().next_id().unwrap()
        })
        .collect();
    assert!(chi_square(&ids, 4) < limit(4), "{}", chi_square(&ids, 4));
}

#[test]
fn the_cost_is_what_lies_below_the_start() {
    for bits in [1, 6, 11] {
        let (clock, builder) = manual();
        let generator = builder.spread_sequence(bits).build().unwrap();
        let (mut lost, mut starts) = (0, 0);
        for _ in 0..200 {
            clock.advance(2);
            let (ids, error) = drain(&generator);
            assert!(matches!(error, Error::Exhausted { .. }));
            let start = usize::from(ids[0].sequence());
            assert!(start < 1 << bits);
            assert_eq!(ids.len(), 4096 - start, "nothing is lost above the start");
            assert_eq!(check_increasing(&ids), Ok(()));
            lost += start;
            starts += usize::from(start > 0);
        }
        assert!(starts > 50);
        // Half of the range in the mean; the tolerance is five standard deviations of it.
        let mean = 200 * ((1 << bits) - 1) / 2;
        assert!(lost.abs_diff(mean) < mean / 4 + 40, "{lost} of {mean}");
    }
}

#[test]
fn a_millisecond_after_a_full_one_begins_at_0() {
    let (clock, builder) = manual();
    let generator = builder.spread_sequence(11).build().unwrap();
    drain(&generator);
    for _ in 0..20 {
        clock.advance(1);
        let (ids, _) = drain(&generator);
        assert_eq!((ids[0].sequence(), ids.len()), (0, 4096));
    }
}

#[test]
fn a_run_that_fits_a_millisecond_still_does() {
    let (clock, builder) = manual();
    let generator = builder.spread_sequence(11).max_wait(core::time::Duration::ZERO).build().unwrap();
    let mut ids = vec![];
    for n in [1, 100, 4000, 4095, 4096] {
        clock.advance(2);
        let block = generator.reserve(n).unwrap();
        assert_eq!(block.len(), n);
        ids.extend(block);
    }
    assert_eq!(check_increasing(&ids), Ok(()));
    assert_eq!(check_distinct(&mut ids), Ok(()));
}

/// Two generators of one node that disagree about the start share a timeline all the same.
#[test]
fn twins_with_other_starts_repeat_nothing() {
    let plain = Generator::new(EPOCH, node(26, 0)).unwrap();
    let spread = Generator::builder(EPOCH, node(26, 0)).spread_sequence(8).build().unwrap();
    let mut ids: Vec<_> = (0..20_000).flat_map(|_| [plain.next_id().unwrap(), spread.next_id().unwrap()]).collect();
    assert_eq!(check_increasing(&ids), Ok(()));
    assert_eq!(check_distinct(&mut ids), Ok(()));
}

#[test]
fn more_than_11_bits_are_an_error() {
    let (_, builder) = manual();
    let error = builder.clone().spread_sequence(12).build().unwrap_err();
    assert_eq!(error, Error::SpreadOutOfRange { bits: 12 });
    assert_eq!(error.to_string(), "cannot spread the sequence over 12 bits: use 0 to 11");
    assert!(builder.spread_sequence(u32::MAX).build().is_err());
    let client = PyflakeClient::builder(EPOCH).spread_sequence(12).build();
    assert_eq!(client.create_generator(1, 1), Err(Error::SpreadOutOfRange { bits: 12 }));
}
