//! `pyflake generate`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{assert_error, pyflake, run, stderr, stdout};
use pyflake::{Epoch, Record, Snowflake};

const NODE: [&str; 4] = ["--pid", "3", "--seed", "17"];

fn generate(args: &[&str]) -> std::process::Output {
    run(&[&["generate"], &NODE[..], args].concat())
}

fn ids(text: &str) -> Vec<Snowflake> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn one_id_by_default_of_this_moment() {
    let output = generate(&[]);
    let ids = ids(stdout(&output));
    assert_eq!(ids.len(), 1);
    assert_eq!((ids[0].pid(), ids[0].seed()), (3, 17));
    let made = UNIX_EPOCH + Duration::from_millis(ids[0].timestamp(Epoch::from_unix_millis(1_555_301_520_000)));
    let age = SystemTime::now().duration_since(made).unwrap_or_else(|ahead| ahead.duration());
    assert!(age < Duration::from_secs(60), "{age:?}");
}

#[test]
fn one_thread_prints_in_increasing_order() {
    let output = generate(&["--count", "10000"]);
    let ids = ids(stdout(&output));
    assert_eq!(ids.len(), 10_000);
    assert!(ids.is_sorted_by(|a, b| a < b));
}

#[test]
fn many_threads_print_distinct_ids() {
    // Not a multiple of the batch, and more threads than cores.
    let output = generate(&["--count", "300001", "--threads", "8"]);
    let ids = ids(stdout(&output));
    assert_eq!(ids.len(), 300_001);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 300_001);
}

#[test]
fn as_many_threads_as_allowed_wait_for_each_other_without_error() {
    let output = generate(&["--count", "1200000", "--threads", "256"]);
    assert_eq!(stdout(&output).lines().count(), 1_200_000);
}

#[test]
fn none_is_a_count_too() {
    assert_eq!(stdout(&generate(&["--count", "0", "--threads", "4"])), "");
}

#[test]
fn the_epoch_counts() {
    let output = generate(&["--epoch", "0"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let made = ids(stdout(&output))[0].timestamp(Epoch::UNIX);
    assert!(u128::from(made).abs_diff(now.as_millis()) < 60_000);
}

#[test]
fn json_lines_are_records_in_the_order_of_the_manual() {
    let output = generate(&["--format", "json"]);
    let line = stdout(&output).trim_end();
    let record: Record = serde_json::from_str(line).unwrap();
    let Record { timestamp, seed, pid, sequence, snowflake, idx } = record;
    assert_eq!(
        line,
        format!(
            r#"{{"timestamp":{timestamp},"seed":{seed},"pid":{pid},"sequence":{sequence},"snowflake":"{snowflake}","idx":{idx}}}"#
        )
    );
    assert_eq!((seed, pid, idx), (17, 3, 1));
    assert_eq!(snowflake.record(Epoch::from_unix_millis(1_555_301_520_000), 1), record);
}

#[test]
fn idx_has_no_holes_over_all_threads() {
    let output = generate(&["--count", "50000", "--threads", "8", "--format", "json"]);
    let records: Vec<Record> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut numbers: Vec<_> = records.iter().map(|record| record.idx).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=50_000));
    assert_eq!(records.iter().map(|record| record.snowflake).collect::<HashSet<_>>().len(), 50_000);
}

#[test]
fn a_drawn_node_is_said_on_stderr() {
    for args in [&["generate"][..], &["generate", "--pid", "3"], &["generate", "--seed", "17"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0));
        let id = ids(str::from_utf8(&output.stdout).unwrap())[0];
        let text = stderr(&output);
        assert!(text.contains(&format!("--pid {} --seed {};", id.pid(), id.seed())), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    for threads in ["1", "8"] {
        let args = [&["generate", "--count", "10000000", "--threads", threads], &NODE[..]].concat();
        let mut child = pyflake(&args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.trim_end().parse::<Snowflake>().is_ok(), "{line:?}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_once() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let args = [&["generate", "--count", "1000000", "--threads", "8"], &NODE[..]].concat();
    assert_error(&pyflake(&args).stdout(full).output().unwrap(), 1, &["cannot write to stdout", "No space left"]);
}

#[test]
fn bad_input_is_one_line_with_the_value_and_the_limit() {
    for (option, value, limit) in [
        ("--pid", "32", "0 to 31"),
        ("--pid", "-1", "0 to 31"),
        ("--seed", "32", "0 to 31"),
        ("--seed", "six", "0 to 31"),
        ("--count", "abc", "0 to 18446744073709551615"),
        ("--count", "18446744073709551616", "0 to 18446744073709551615"),
        ("--threads", "0", "1 to 256"),
        ("--threads", "257", "1 to 256"),
        ("--epoch", "-5", "0 to 249004160688897"),
        ("--format", "xml", "plain, json"),
    ] {
        let output = run(&["generate", option, value]);
        assert_error(&output, 2, &[&format!("'{value}'"), option, limit]);
        assert!(output.stdout.is_empty());
    }
    // An epoch to come, in the year 2100.
    assert_error(&run(&["generate", "--epoch", "4102444800000"]), 2, &["4102444800000", "use an epoch in the past"]);
    assert_error(&run(&["generate", "--cuont", "3"]), 2, &["'--cuont'", "'--count'"]);
    assert_error(&run(&[]), 2, &["[subcommands: generate, inspect"]);
}
