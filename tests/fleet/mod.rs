//! What every store for a fleet must do, with real servers, processes and networks.
//!
//! The tests that use it have a module `server`, which says what the store is and how to come by servers of it.

pub(crate) mod any_store;
mod chaos;
mod clone;
mod load;
mod outage;
pub(crate) mod proxy;
pub(crate) mod scarce;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pyflake::Epoch;
use pyflake::lease::{Owner, Request};

pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A number of its own, from 1 on.
pub(crate) fn number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A name of its own.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), number())
}

/// An epoch of its own: within a process a node of an epoch has one holder, whatever the stores say.
pub(crate) fn own_epoch() -> Epoch {
    Epoch::from_unix_millis(EPOCH.as_unix_millis() + number())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub(crate) fn request(window: u64) -> Request {
    let nonce = pyflake::generate_seed(64).unwrap();
    Request { owner: Owner { nonce, label: "test".into() }, now: now(), window, max_floor: u64::MAX }
}

/// Waits for something that happens elsewhere; how long it took.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

/// Makes a certificate for 127.0.0.1 and its key in a directory, with this `openssl`.
pub(crate) fn certify(mut openssl: Command, dir: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
    let made = openssl
        .args("req -x509 -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=test".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .current_dir("/")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}
