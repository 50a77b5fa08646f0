//! Tests that are skipped say so where it is seen, and leave a note for the summary at the end of `cargo test`.

use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io, thread};

/// Returns what a test needs, or `None` to skip the test. Panics if `required`, a variable, is set and it is missing.
pub(crate) fn needed<T>(found: Option<T>, required: &str, what: &str) -> Option<T> {
    let note = note();
    if found.is_some() {
        // A note of an earlier run no longer holds.
        let _ = fs::remove_file(note);
        return found;
    }
    assert!(env::var_os(required).is_none(), "{required} is set, and this test needs {what}");
    // libtest captures `eprintln!` and would hide it, but not a write to stderr.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "skipped: {test}: it needs {what}");
    let _ = note.parent().map(fs::create_dir_all);
    let _ = fs::write(note, what);
    None
}

/// The note of the calling test: `tests/skipped` counts them.
fn note() -> PathBuf {
    let test = thread::current().name().unwrap_or("main").replace("::", ".");
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("skipped").join(format!("{}.{test}", env!("CARGO_CRATE_NAME")))
}
