//! A lease in a directory, in a process that can start no thread or open no file for a while. A test binary of its own, as it
//! starts itself again as that process.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "std sets no limits of a process, and no user")]

#[path = "../util/scarce.rs"]
mod scarce_worker;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pyflake::Epoch;
use pyflake::lease::{FileStore, LeasedGenerator};
use scarce_worker::{Lack, WINDOW, serve};

const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);

/// Starts a worker for a new directory.
fn run(lack: Lack) {
    let dir: PathBuf = std::env::temp_dir().join(format!("pyflake-scarce-{}-{lack:?}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    // Root's worker is another user without threads.
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    scarce_worker::run("worker", lack, dir.to_str().unwrap());
    fs::remove_dir_all(dir).unwrap();
}

/// Not a test by itself: the others start this program again as a worker.
#[test]
fn worker() {
    serve(|dir| LeasedGenerator::builder(FileStore::open(dir, EPOCH).unwrap()).window(WINDOW).build().unwrap());
}

#[test]
fn a_directory_needs_no_thread() {
    run(Lack::NeedlessThreads);
}

#[test]
fn a_lack_of_files_is_an_outage_that_ends() {
    run(Lack::Files);
}
