//! `pyflake lifetime`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{assert_error, run, stdout};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// The JSON of a run, with the days it should tell at the time of the run, before and after it.
fn json(epoch: u64) -> (String, [[u64; 2]; 2]) {
    let left = || [41, 42].map(|bits| (epoch + (1 << bits)).saturating_sub(now()) / DAY);
    let before = left();
    let output = run(&["lifetime", "--epoch", &epoch.to_string(), "--format", "json"]);
    (stdout(&output).to_owned(), [before, left()])
}

#[track_caller]
fn assert_json(epoch: u64, dates: [&str; 3]) {
    let [begins, i64_ends, ends] = dates;
    let (output, days) = json(epoch);
    let expected = days.map(|[i64_left, left]| {
        format!(
            "{{\"epoch\":\"{begins}\",\"i64_ends\":\"{i64_ends}\",\"ends\":\"{ends}\",\"i64_days_left\":{i64_left},\
             \"days_left\":{left}}}\n"
        )
    });
    assert!(expected.contains(&output), "{output} is none of {expected:?}");
}

#[test]
fn the_dates_and_what_is_left() {
    let dates = ["2019-04-15T04:12:00.000Z", "2088-12-19T19:59:35.552Z", "2158-08-27T11:47:11.104Z"];
    assert_json(1_555_301_520_000, dates);
    assert_json(0, ["1970-01-01T00:00:00.000Z", "2039-09-07T15:47:35.552Z", "2109-05-15T07:35:11.104Z"]);
}

#[test]
fn every_epoch_that_is_accepted_has_its_dates() {
    let dates = ["9860-08-17T14:24:48.897Z", "9930-04-25T06:12:24.449Z", "9999-12-30T22:00:00.001Z"];
    assert_json(249_004_160_688_897, dates);
    assert_error(&run(&["lifetime", "--epoch", "249004160688898"]), 2, &["249004160688898", "0 to 249004160688897"]);
}

#[test]
fn the_table_lines_up() {
    for epoch in ["0", "1555301520000", "249004160688897"] {
        let output = run(&["lifetime", "--epoch", epoch]);
        let rows: Vec<Vec<_>> = stdout(&output).lines().map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["EVENT", "DATETIME", "DAYS_LEFT", "YEARS_LEFT"]);
        assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["EVENT", "epoch", "i64_ends", "ends"]);
        assert_eq!(rows[1][2..], ["-", "-"]);
        let width = stdout(&output).lines().next().unwrap().len();
        assert!(stdout(&output).lines().all(|row| row.len() == width));
        for row in &rows[2..] {
            let days: f64 = row[2].parse().unwrap();
            let years: f64 = row[3].parse().unwrap();
            assert!((days / 365.2425 - years).abs() < 0.1, "{row:?}");
        }
    }
    assert_eq!(run(&["lifetime"]).stdout, run(&["lifetime", "--epoch", "1555301520000"]).stdout);
}

#[test]
fn bad_arguments_are_named() {
    for epoch in ["x", "-1", "", "18446744073709551616"] {
        assert_error(&run(&["lifetime", "--epoch", epoch]), 2, &[epoch, "--epoch", "249004160688897"]);
    }
    assert_error(&run(&["lifetime", "--format", "xml"]), 2, &["'xml'", "table, json"]);
    assert_error(&run(&["lifetime", "2019"]), 2, &["'2019'"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_broken_stdout_is_a_failure_of_the_system() {
    for format in ["table", "json"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = crate::pyflake(&["lifetime", "--format", format]).stdout(full).output().unwrap();
        assert_error(&output, 1, &["cannot write to stdout"]);
    }
}
