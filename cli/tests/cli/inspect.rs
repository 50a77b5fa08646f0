//! `pyflake inspect`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{assert_error, pyflake, run, run_with_stdin, stdout};
use pyflake::{Epoch, Node, Snowflake};

const MANUAL: &str = "473032512445898752";
const MANUAL_JSON: &str = r#"{"snowflake":"473032512445898752","timestamp":1668081259486,"pid":6,"seed":6,"sequence":0,"datetime":"2022-11-10T11:54:19.486Z"}"#;

#[test]
fn the_id_of_the_manual() {
    let output = run(&["inspect", MANUAL]);
    let lines: Vec<Vec<_>> = stdout(&output).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SNOWFLAKE", "TIMESTAMP", "PID", "SEED", "SEQUENCE", "DATETIME", "AGE"]);
    assert_eq!(lines[1][..6], [MANUAL, "1668081259486", "6", "6", "0", "2022-11-10T11:54:19.486Z"]);
    assert_eq!(lines[1][7..], ["years", "ago"]);
    assert_eq!(lines.len(), 2);

    assert_eq!(stdout(&run(&["inspect", MANUAL, "--format", "json"])), format!("{MANUAL_JSON}\n"));
}

#[test]
fn the_smallest_and_the_largest_id_line_up() {
    let output = run(&["inspect", "0", "18446744073709551615"]);
    let lines: Vec<_> = stdout(&output).lines().collect();
    for column in ["TIMESTAMP", "PID", "SEED", "SEQUENCE"] {
        let end = lines[0].find(column).unwrap() + column.len();
        assert!(lines[1..].iter().all(|line| line.as_bytes()[end] == b' ' && line.as_bytes()[end - 1] != b' '));
    }
    assert!(lines[1].contains("2019-04-15T04:12:00.000Z") && lines[1].ends_with(" years ago"), "{}", lines[1]);
    assert!(lines[2].contains("2158-08-27T11:47:11.103Z"), "{}", lines[2]);
    assert!(lines[2].ends_with(" years in the future"), "{}", lines[2]);
}

#[test]
fn ages_are_told_both_ways() {
    let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = |time: Duration| {
        let millis = time.as_millis().try_into().unwrap();
        Snowflake::from_parts(epoch, millis, Node::new(1, 2).unwrap(), 3).unwrap().to_string()
    };
    let hour = Duration::from_secs(3600);
    let output = run(&["inspect", &at(now.checked_sub(5 * hour).unwrap()), &at(now + 50 * hour)]);
    let lines: Vec<_> = stdout(&output).lines().collect();
    assert!(lines[1].ends_with("  5 hours ago"), "{}", lines[1]);
    assert!(lines[2].ends_with("  2 days in the future"), "{}", lines[2]);
}

#[test]
fn the_epoch_counts() {
    let output = run(&["inspect", "175928847299117063", "--epoch", "1420070400000", "--format", "json"]);
    assert!(stdout(&output).contains(r#""datetime":"2016-04-30T11:18:25.796Z""#));
}

#[test]
fn every_epoch_that_is_accepted_gives_dates() {
    let last = "18446744073709551615";
    let output = run(&["inspect", last, "--epoch", "249004160688897", "--format", "json"]);
    assert!(stdout(&output).contains(r#""datetime":"9999-12-30T22:00:00.000Z""#));
    for epoch in ["249004160688898", "18446744073709551615"] {
        assert_error(&run(&["inspect", last, "--epoch", epoch]), 2, &[epoch, "0 to 249004160688897"]);
    }
}

#[test]
fn stdin_of_any_make_up() {
    let output = run_with_stdin(&["inspect", "--format", "json"], format!("\n  {MANUAL}\t\r\n\r\n   \n{MANUAL}"));
    assert_eq!(stdout(&output), format!("{MANUAL_JSON}\n{MANUAL_JSON}\n"));
    assert_eq!(stdout(&run_with_stdin(&["inspect", "--format", "json"], "")), "");
}

#[test]
fn a_stream_comes_out_whole() {
    let ids = 473_032_512_445_898_752..473_032_512_445_898_752_u64 + 200_000;
    let input = ids.clone().fold(String::new(), |mut input, id| {
        writeln!(input, "{id}").unwrap();
        input
    });
    let output = run_with_stdin(&["inspect"], input);
    let rows = stdout(&output).lines().skip(1);
    assert!(rows.map(|row| row.split_whitespace().next().unwrap().parse::<u64>().unwrap()).eq(ids));
}

#[test]
fn rows_do_not_wait_for_the_end_of_the_stream() {
    let mut child = pyflake(&["inspect", "--format", "json"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        writeln!(stdin, "{MANUAL}").unwrap();
        let mut row = String::new();
        rows.read_line(&mut row).unwrap();
        assert_eq!(row.trim_end(), MANUAL_JSON);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = pyflake(&["inspect"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(format!("{MANUAL}\n").repeat(100_000).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_bad_line_is_named_after_the_good_ones_are_shown() {
    let output = run_with_stdin(&["inspect", "--format", "json"], format!("{MANUAL}\n\n12x\n{MANUAL}\n"));
    assert_error(&output, 2, &["line 3 of stdin", "\"12x\"", "0 to 18446744073709551615"]);
    assert_eq!(str::from_utf8(&output.stdout).unwrap(), format!("{MANUAL_JSON}\n"));

    let json = ["inspect", "--format", "json"];
    assert_error(&run_with_stdin(&json, "18446744073709551616\n"), 2, &["line 1", "too large"]);
    assert_error(&run_with_stdin(&json, b"\xff\xfe\n"), 2, &["line 1"]);
    assert_error(&run_with_stdin(&json, format!("\n{}", "1".repeat(1 << 20))), 2, &["line 2", "1024 bytes"]);
    assert_error(&run_with_stdin(&json, "1".repeat(1023)), 2, &["line 1", "too large"]);
}

#[test]
fn bad_arguments_show_nothing_else() {
    for id in ["12x", "-5", "", "18446744073709551616", "1.5"] {
        let output = run(&["inspect", MANUAL, id]);
        assert_error(&output, 2, &[&format!("{id:?}"), "0 to 18446744073709551615"]);
        assert!(output.stdout.is_empty());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_broken_stdin_or_stdout_is_a_failure_of_the_system() {
    let open = |path| std::fs::File::options().read(true).write(path == "/dev/full").open(path).unwrap();
    let directory = pyflake(&["inspect"]).stdin(open("/tmp")).output().unwrap();
    assert_error(&directory, 1, &["cannot read stdin"]);
    let full = pyflake(&["inspect", MANUAL]).stdout(open("/dev/full")).output().unwrap();
    assert_error(&full, 1, &["cannot write to stdout"]);
}
