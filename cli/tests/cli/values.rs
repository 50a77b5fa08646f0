//! `pyflake seed`, `pyflake timestamp`, `--help` and `--version`.

use crate::{assert_error, run, stdout};

#[test]
fn a_seed_lies_in_its_range() {
    for (bits, last) in [("1", 1), ("5", 31), ("42", (1 << 42) - 1), ("64", u64::MAX)] {
        for _ in 0..20 {
            let output = run(&["seed", bits]);
            let seed: u64 = stdout(&output).trim_end().parse().unwrap();
            assert!((1..=last).contains(&seed), "{bits} bits gave {seed}");
        }
    }
}

#[test]
fn bits_out_of_range_are_refused() {
    for bits in ["0", "65", "-1", "five", "4294967297"] {
        assert_error(&run(&["seed", bits]), 2, &[&format!("'{bits}'"), "1 to 64"]);
    }
    assert_error(&run(&["seed"]), 2, &["<BITS>"]);
}

#[test]
fn the_time_of_an_id() {
    let id = "473032512445898752";
    for (args, time) in [
        (&[][..], "1668081259486"),
        (&["--unit", "ms"], "1668081259486"),
        (&["--unit", "s"], "1668081259.486"),
        (&["--unit", "s", "--epoch", "1555301520000"], "1668081259.486"),
        (&["--unit", "s", "--epoch", "514"], "112779740.000"),
        (&["--epoch", "0"], "112779739486"),
    ] {
        assert_eq!(stdout(&run(&[&["timestamp", id], args].concat())), format!("{time}\n"));
    }
}

#[test]
fn a_time_that_cannot_be_told() {
    assert_error(&run(&["timestamp", "4x"]), 2, &["\"4x\"", "0 to 18446744073709551615"]);
    assert_error(&run(&["timestamp", "4", "--unit", "h"]), 2, &["'h'", "ms, s"]);
    assert_error(&run(&["timestamp", "4", "--epoch", "x"]), 2, &["'x'", "--epoch", "249004160688897"]);
}

#[test]
fn help_and_version() {
    assert_eq!(stdout(&run(&["--version"])), format!("pyflake {}\n", env!("CARGO_PKG_VERSION")));
    for command in ["generate", "inspect", "timestamp", "lifetime"] {
        assert!(stdout(&run(&[command, "--help"])).contains(&format!("\nExamples:\n  pyflake {command} ")));
    }
    assert!(stdout(&run(&["generate", "--help"])).contains("no particular order"));
}
