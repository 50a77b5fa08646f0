//! Leases in etcd, with real servers, processes and networks.
//!
//! They need a server, which `ci/etcd.sh` starts for a command. Without it
//! they are skipped, unless `PYFLAKE_REQUIRE_ETCD` is set, as `.ci/run` does.
#![cfg(target_os = "linux")]

mod outage;
#[path = "../postgres/proxy.rs"]
mod proxy;
mod server;
mod store;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyflake::Epoch;
use pyflake::lease::{Owner, Request};

pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_620_000);

/// An epoch of its own: within a process a node of an epoch has one holder, whatever the stores say.
pub(crate) fn own_epoch() -> Epoch {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    Epoch::from_unix_millis(EPOCH.as_unix_millis() + NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub(crate) fn request(window: u64) -> Request {
    let nonce = pyflake::generate_seed(64).unwrap();
    Request { owner: Owner { nonce, label: "test".into() }, now: now(), window }
}
