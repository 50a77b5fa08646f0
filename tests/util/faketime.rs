//! Processes whose wall clocks are set, by libfaketime (Debian's package `faketime`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip::needed;

/// libfaketime, or `None` to skip the test.
pub(crate) fn faketime() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").unwrap().flatten();
    let found = found.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    needed(found, "PYFLAKE_REQUIRE_FAKETIME", "libfaketime, which sets clocks: install Debian's package faketime")
}

/// Sets the wall clock of a process to be off by what a file says, such as `-3s`. Its other clocks are the machine's.
pub(crate) fn set_wall_clock(command: &mut Command, faketime: &Path, offset: &Path) {
    command
        .envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")])
        .env("LD_PRELOAD", faketime)
        .env("FAKETIME_TIMESTAMP_FILE", offset);
}
