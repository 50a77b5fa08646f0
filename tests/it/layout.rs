//! The bit layout: the golden vectors, every boundary, and the text and integer forms.

use crate::common::{EPOCH, NOW, Naive, manual, node, number};
use proptest::prelude::*;
use pyflake::layout::{self, MAX_PID, MAX_SEED, MAX_SEQUENCE, MAX_TICK};
use pyflake::{
    Epoch, Error, Generator, ManualClock, Node, ParseError, PyflakeClient, Snowflake, TimeUnit, generate_seed,
};

/// Epoch, Unix milliseconds, pid, seed, sequence, ID.
const GOLDEN: [(u64, u64, u64, u64, u16, u64); 6] = [
    // The example of the Python manual.
    (1_555_301_520_000, 1_668_081_259_486, 6, 6, 0, 473_032_512_445_898_752),
    (1_555_301_520_000, 1_668_081_259_486, 3, 17, 5, 473_032_512_447_328_261),
    (1_555_301_520_000, 1_555_301_520_000, 0, 0, 0, 0),
    (1_555_301_520_000, 5_953_348_031_103, 31, 31, 4095, 18_446_744_073_709_551_615),
    (0, 1_700_000_000_000, 1, 0, 4095, 7_130_316_800_000_008_191),
    // The sample of Discord's documentation.
    (1_420_070_400_000, 1_462_015_105_796, 0, 1, 7, 175_928_847_299_117_063),
];

#[test]
fn golden_vectors_are_composed() {
    for (epoch, time, pid, seed, sequence, id) in GOLDEN {
        let epoch = Epoch::from_unix_millis(epoch);
        assert_eq!(Snowflake::from_parts(epoch, time, node(pid, seed), sequence).unwrap().as_u64(), id);
    }
}

#[test]
fn golden_vectors_are_decomposed() {
    for (epoch, time, pid, seed, sequence, number) in GOLDEN {
        let id = Snowflake::from(number);
        assert_eq!((u64::from(id.pid()), u64::from(id.seed()), id.sequence()), (pid, seed, sequence), "{id}");
        assert_eq!(id.node(), node(pid, seed), "{id}");
        assert_eq!(id.tick(), time - epoch, "{id}");
        assert_eq!(id.timestamp(Epoch::from_unix_millis(epoch)), time, "{id}");
    }
}

#[test]
fn golden_vectors_are_issued() {
    for (epoch, time, pid, seed, sequence, id) in GOLDEN {
        let builder = Generator::builder(Epoch::from_unix_millis(epoch), node(pid, seed));
        let generator = builder.clock(ManualClock::new(time)).build().unwrap();
        for _ in 0..sequence {
            generator.try_next_id().unwrap();
        }
        assert_eq!(generator.try_next_id().unwrap().as_u64(), id);
    }
}

#[test]
fn the_fields_fill_64_bits_in_the_documented_order() {
    assert_eq!(layout::TICK_BITS + layout::SEED_BITS + layout::PID_BITS + layout::SEQUENCE_BITS, 64);
    assert_eq!((MAX_TICK, MAX_SEED, MAX_PID, MAX_SEQUENCE), (4_398_046_511_103, 31, 31, 4095));
    assert_eq!(layout::IDS_PER_TICK, 4096);
    assert_eq!(Node::COUNT, 1024);

    let id = |tick, seed, pid, sequence| Snowflake::from_parts(Epoch::UNIX, tick, node(pid, seed), sequence).unwrap();
    assert_eq!(id(0, 0, 0, 4095).as_u64(), 0xfff);
    assert_eq!(id(0, 0, 31, 0).as_u64(), 0x1f << 12);
    assert_eq!(id(0, 31, 0, 0).as_u64(), 0x1f << 17);
    assert_eq!(id(MAX_TICK, 0, 0, 0).as_u64(), MAX_TICK << 22);
}

#[test]
fn pid_and_seed_end_at_31() {
    assert_eq!((node(31, 31).pid(), node(31, 31).seed()), (31, 31));
    assert_eq!(Node::new(32, 0), Err(Error::PidOutOfRange { pid: 32 }));
    assert_eq!(Node::new(0, 32), Err(Error::SeedOutOfRange { seed: 32 }));
}

#[test]
fn a_sequence_ends_at_4095() {
    assert_eq!(Snowflake::from_parts(EPOCH, NOW, node(6, 6), 4095).unwrap().sequence(), 4095);
    let error = Error::SequenceOutOfRange { sequence: 4096 };
    assert_eq!(Snowflake::from_parts(EPOCH, NOW, node(6, 6), 4096), Err(error));
}

#[test]
fn a_tick_ends_at_42_bits() {
    let epoch = EPOCH.as_unix_millis();
    let last = epoch + (1 << 42) - 1;
    assert_eq!(Snowflake::from_parts(EPOCH, last, node(6, 6), 0).unwrap().tick(), MAX_TICK);
    let error = Error::EndOfTime { epoch, now: last + 1 };
    assert_eq!(Snowflake::from_parts(EPOCH, last + 1, node(6, 6), 0), Err(error.clone()));

    let at = |time| Generator::builder(EPOCH, node(6, 6)).clock(ManualClock::new(time)).build();
    assert_eq!(at(last).unwrap().try_next_id().unwrap().tick(), MAX_TICK);
    assert_eq!(at(last + 1).unwrap_err(), error);
    // What a mask would have made of it: an ID from the beginning of time.
    assert_eq!(Naive::default().next(last + 1).tick(), 0);
}

#[test]
fn a_tick_begins_at_the_epoch() {
    let epoch = EPOCH.as_unix_millis();
    assert_eq!(Snowflake::from_parts(EPOCH, epoch, node(6, 6), 0).unwrap().tick(), 0);
    let error = Error::EpochInFuture { epoch, now: epoch - 1 };
    assert_eq!(Snowflake::from_parts(EPOCH, epoch - 1, node(6, 6), 0), Err(error.clone()));

    let at = |time| Generator::builder(EPOCH, node(6, 6)).clock(ManualClock::new(time)).build();
    assert_eq!(at(epoch).unwrap().try_next_id().unwrap().tick(), 0);
    assert_eq!(at(epoch - 1).unwrap_err(), error);
    assert_eq!(Naive::default().next(epoch - 1).tick(), MAX_TICK);
}

#[test]
fn an_i64_holds_ids_up_to_63_bits() {
    let edge = 1 << 63;
    assert_eq!(i64::try_from(Snowflake::from(edge - 1)), Ok(i64::MAX));
    assert_eq!(i64::try_from(Snowflake::from(edge)), Err(Error::BeyondI64 { id: edge }));
    assert_eq!(i64::try_from(Snowflake::from(u64::MAX)), Err(Error::BeyondI64 { id: u64::MAX }));
}

#[test]
fn generate_seed_draws_1_to_64_bits() {
    assert_eq!(generate_seed(0), Err(Error::BitsOutOfRange { bits: 0 }));
    assert_eq!(generate_seed(65), Err(Error::BitsOutOfRange { bits: 65 }));
    assert_eq!(generate_seed(1), Ok(1));
    for bits in 1..=64 {
        let seed = generate_seed(bits).unwrap();
        assert!(seed >= 1 && seed.ilog2() < bits, "{seed} of {bits} bits");
    }
}

#[test]
fn error_messages_say_the_value_and_the_limit() {
    let (epoch, end) = (EPOCH.as_unix_millis(), EPOCH.as_unix_millis() + MAX_TICK);
    let from_parts = |time, sequence| Snowflake::from_parts(EPOCH, time, node(6, 6), sequence).unwrap_err();
    let parse = |text: &str| Error::from(text.parse::<Snowflake>().unwrap_err());
    let (clock, builder) = manual();
    let generator = builder.max_wait(crate::common::MS).build().unwrap();
    generator.reserve(4096).unwrap();
    let full = generator.try_next_id().unwrap_err();
    clock.set(NOW - 4);

    for (error, said) in [
        (Node::new(77, 0).unwrap_err(), vec!["77".to_owned(), "31".to_owned()]),
        (Node::new(0, 78).unwrap_err(), vec!["78".to_owned(), "31".to_owned()]),
        (from_parts(NOW, 5000), vec!["5000".to_owned(), "4095".to_owned()]),
        (generate_seed(70).unwrap_err(), vec!["70".to_owned(), "1 to 64".to_owned()]),
        (from_parts(epoch - 12, 0), vec![epoch.to_string(), (epoch - 12).to_string(), "12 ms".to_owned()]),
        (from_parts(end + 1, 0), vec![epoch.to_string(), (end + 1).to_string(), end.to_string()]),
        (full, vec!["1ms".to_owned()]),
        (generator.next_id().unwrap_err(), vec!["5ms".to_owned(), "1ms".to_owned()]),
        (parse("-1"), vec!["\"-1\"".to_owned(), u64::MAX.to_string()]),
        (i64::try_from(Snowflake::from(1 << 63)).unwrap_err(), vec![(1_u64 << 63).to_string(), i64::MAX.to_string()]),
    ] {
        let message = error.to_string();
        for part in said {
            assert!(message.contains(&part), "{message:?} does not say {part}");
        }
    }
}

#[test]
fn a_long_text_is_cut_in_the_error() {
    let error = "é".repeat(1000).parse::<Snowflake>().unwrap_err();
    let ParseError::Id { text, .. } = error else { panic!("{error:?}") };
    assert_eq!(&*text, "é".repeat(32));
}

#[test]
fn from_str_reads_nothing_but_ascii_digits() {
    for text in [
        "",
        " ",
        "+1",
        "-1",
        "-0",
        " 1",
        "1 ",
        "1\n",
        "\t1",
        "1_000",
        "1,000",
        "1.0",
        "1e3",
        "0x1f",
        "ff",
        "one",
        "18446744073709551616",
        "99999999999999999999",
        "100000000000000000000000000000000000000000",
        "\u{661}\u{662}\u{663}", // Arabic-Indic 1, 2, 3
        "\u{ff11}\u{ff12}",      // fullwidth 1, 2
        "1\u{0}",
        "\u{feff}1",
    ] {
        let error = text.parse::<Snowflake>().unwrap_err();
        assert!(matches!(error, ParseError::Id { .. }), "{text:?}: {error:?}");
    }
    for (text, at) in [
        ("", 0),
        ("+1", 0),
        ("12x", 2),
        ("1\u{661}", 1),
        ("18446744073709551616", 19),
        ("99999999999999999999", 19),
        ("000100000000000000000000000", 23),
        ("1x0000000000000000000000", 1),
    ] {
        let error = text.parse::<Snowflake>().unwrap_err();
        assert!(matches!(error, ParseError::Id { position, .. } if position == at), "{text:?}: {error:?}");
        assert!(error.to_string().contains(&format!("at position {at} ")), "{error}");
    }
    assert_eq!("00".parse(), Ok(Snowflake::from(0)), "leading zeros are no fault");
    assert_eq!("18446744073709551615".parse(), Ok(Snowflake::from(u64::MAX)));
    assert_eq!("0".parse(), Ok(Snowflake::from(0)));
}

/// Tick, seed, pid, sequence: in the order of their places in an ID.
fn parts() -> impl Strategy<Value = (u64, u64, u64, u16)> {
    (number().prop_map(|tick| tick & MAX_TICK), 0_u64..32, 0_u64..32, 0_u16..4096)
}

/// An epoch and a time: anywhere, and next to the ends of what they may be.
fn epoch_and_time() -> impl Strategy<Value = (u64, u64)> {
    let epoch = prop_oneof![number(), (-2_i64..=2).prop_map(|off| (u64::MAX - MAX_TICK).wrapping_add_signed(off))];
    let tick = prop_oneof![number(), (MAX_TICK - 1..=MAX_TICK + 2), Just(u64::MAX)];
    (epoch, tick).prop_map(|(epoch, tick)| (epoch, epoch.wrapping_add(tick)))
}

proptest! {
    #[test]
    fn parts_make_an_id_that_gives_them_back(
        epoch in 0..=u64::MAX - MAX_TICK,
        (tick, seed, pid, sequence) in parts(),
    ) {
        let (epoch, time) = (Epoch::from_unix_millis(epoch), epoch + tick);
        let id = Snowflake::from_parts(epoch, time, node(pid, seed), sequence).unwrap();
        prop_assert_eq!((id.timestamp(epoch), id.tick()), (time, tick));
        prop_assert_eq!((u64::from(id.seed()), u64::from(id.pid()), id.sequence()), (seed, pid, sequence));

        let record = id.record(epoch, 9);
        prop_assert_eq!((record.timestamp, record.snowflake, record.idx), (time, id, 9));
        prop_assert_eq!((record.seed, record.pid, record.sequence), (id.seed(), id.pid(), id.sequence()));
    }

    #[test]
    fn an_id_makes_parts_that_give_it_back(id in number()) {
        let id = Snowflake::from(id);
        let again = Snowflake::from_parts(Epoch::UNIX, id.timestamp(Epoch::UNIX), id.node(), id.sequence());
        prop_assert_eq!(again, Ok(id));
    }

    #[test]
    fn ids_sort_as_tick_seed_pid_sequence(a in parts(), b in parts(), same in 0_usize..4) {
        // The first parts are often equal, so that the later ones decide.
        let b = (
            if same > 0 { a.0 } else { b.0 },
            if same > 1 { a.1 } else { b.1 },
            if same > 2 { a.2 } else { b.2 },
            b.3,
        );
        let id = |(tick, seed, pid, sequence)| Snowflake::from_parts(Epoch::UNIX, tick, node(pid, seed), sequence);
        prop_assert_eq!(id(a).unwrap().cmp(&id(b).unwrap()), a.cmp(&b));
    }

    #[test]
    fn display_and_from_str_agree(id in number()) {
        let text = Snowflake::from(id).to_string();
        prop_assert_eq!(&text, &id.to_string());
        prop_assert_eq!(text.parse(), Ok(Snowflake::from(id)));
    }

    #[test]
    fn from_str_reads_digits_that_fit(text in prop_oneof!["[0-9]{0,24}", "\\PC{0,24}", "[ +-]?[0-9]{1,20}[a-z ]?"]) {
        let fits = match text.parse::<u128>() {
            Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => u64::try_from(number).ok(),
            _ => None,
        };
        prop_assert_eq!(text.parse::<Snowflake>().ok(), fits.map(Snowflake::from));
    }

    #[test]
    fn an_i64_is_the_same_number_or_an_error(id in number()) {
        let expected = i64::try_from(id).map_err(|_| Error::BeyondI64 { id });
        prop_assert_eq!(i64::try_from(Snowflake::from(id)), expected);
    }

    #[test]
    fn a_pid_or_seed_out_of_range_is_an_error(pid in number(), seed in number()) {
        let expected = match (pid, seed) {
            (32.., _) => Err(Error::PidOutOfRange { pid }),
            (_, 32..) => Err(Error::SeedOutOfRange { seed }),
            _ => Ok((pid, seed)),
        };
        let node = Node::new(pid, seed).map(|node| (u64::from(node.pid()), u64::from(node.seed())));
        prop_assert_eq!(&node, &expected);
    }

    #[test]
    fn a_sequence_out_of_range_is_an_error(sequence in any::<u16>()) {
        let id = Snowflake::from_parts(EPOCH, NOW, node(6, 6), sequence);
        match id {
            Ok(id) => prop_assert_eq!(id.sequence(), sequence),
            Err(error) => {
                prop_assert!(sequence > 4095);
                prop_assert_eq!(error, Error::SequenceOutOfRange { sequence: u64::from(sequence) });
            }
        }
    }

    #[test]
    fn a_time_out_of_range_is_an_error((epoch, time) in epoch_and_time()) {
        let expected = match i128::from(time) - i128::from(epoch) {
            // An epoch whose last tick would pass the end of u64.
            _ if epoch > u64::MAX - MAX_TICK => Err(Error::EpochInFuture { epoch, now: time }),
            ..0 => Err(Error::EpochInFuture { epoch, now: time }),
            tick if tick >> 42 == 0 => Ok(time - epoch),
            _ => Err(Error::EndOfTime { epoch, now: time }),
        };
        let epoch = Epoch::from_unix_millis(epoch);
        let composed = Snowflake::from_parts(epoch, time, node(6, 6), 0);
        prop_assert_eq!(composed.map(Snowflake::tick), expected.clone());

        let built = Generator::builder(epoch, node(6, 6)).clock(ManualClock::new(time)).build();
        prop_assert_eq!(built.and_then(|generator| generator.try_next_id()).map(Snowflake::tick), expected);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "the times are below 2^53, so exact")]
    fn to_timestamp_is_the_time((tick, seed, pid, sequence) in parts()) {
        let time = EPOCH.as_unix_millis() + tick;
        let id = Snowflake::from_parts(EPOCH, time, node(pid, seed), sequence).unwrap();
        prop_assert_eq!(pyflake::to_timestamp(EPOCH, id, TimeUnit::Millis), time as f64);
        prop_assert_eq!(pyflake::to_timestamp(EPOCH, id, TimeUnit::Seconds), time as f64 / 1000.0);
    }
}

proptest! {
    // A client has room for 1024 generators, so a case is slower than the others.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_client_refuses_a_pid_or_seed_out_of_range(pid in number(), seed in number()) {
        let client = PyflakeClient::builder(EPOCH).clock(ManualClock::new(NOW)).build();
        let node = Node::new(pid, seed).map(drop);
        prop_assert_eq!(client.create_generator(pid, seed), node.clone());
        prop_assert_eq!(client.info().generator, node.is_ok());
        prop_assert_eq!(client.renew_generator(pid, seed), node);
    }
}
