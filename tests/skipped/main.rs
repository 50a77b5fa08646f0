//! Says at the end of `cargo test` how many tests were skipped, and why.
//!
//! It reads the notes that `tests/util/skip.rs` has left since the last time, and removes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

fn main() {
    if env::args().any(|arg| arg == "--list") {
        return;
    }
    let notes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    let mut reasons = BTreeMap::<String, usize>::new();
    for note in fs::read_dir(&notes).into_iter().flatten().flatten() {
        if let Ok(reason) = fs::read_to_string(note.path()) {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let _ = fs::remove_dir_all(&notes);
    println!("\n{} tests skipped themselves", reasons.values().sum::<usize>());
    for (reason, tests) in reasons {
        println!("  {tests} need {reason}");
    }
    println!("Tests of optional features need --all-features; ci/tests.sh runs all, with servers of its own.\n");
}
