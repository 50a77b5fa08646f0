//! Runs the binary as a user would: a real process with pipes.

mod generate;
mod inspect;
mod lease;
mod lifetime;
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
#[path = "../../../tests/util/skip.rs"]
mod skip;
mod values;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

pub(crate) fn pyflake(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyflake"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    pyflake(args).output().unwrap()
}

pub(crate) fn run_with_stdin(args: &[&str], input: impl Into<Vec<u8>>) -> Output {
    let input = input.into();
    let mut child = pyflake(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // From a thread, as the child may fill its stdout before it has read all; it may also leave early.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The stdout of a run that went well and had nothing to say besides.
pub(crate) fn stdout(output: &Output) -> &str {
    assert_eq!((output.status.code(), stderr(output)), (Some(0), ""));
    str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// Checks that a run ended with a code and one line on stderr that has all of `parts`.
#[track_caller]
pub(crate) fn assert_error(output: &Output, code: i32, parts: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.starts_with("error: ") && text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
