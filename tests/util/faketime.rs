//! Processes whose wall clocks are set, by libfaketime (Debian's package `faketime`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// libfaketime, or `None` to skip the test.
pub(crate) fn faketime() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").unwrap().flatten();
    let found = found.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("PYFLAKE_REQUIRE_FAKETIME").is_none(), "libfaketime is required and not installed");
        eprintln!("skipped: this test sets clocks with libfaketime; install Debian's package faketime to run it");
    }
    found
}

/// Sets the wall clock of a process to be off by what a file says, such as `-3s`. Its other clocks are the machine's.
pub(crate) fn set_wall_clock(command: &mut Command, faketime: &Path, offset: &Path) {
    command
        .envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")])
        .env("LD_PRELOAD", faketime)
        .env("FAKETIME_TIMESTAMP_FILE", offset);
}
