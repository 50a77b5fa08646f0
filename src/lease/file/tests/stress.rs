//! Takeovers of a node whose lock file is deleted again and again, on a real file system.
//!
//! Where renewals replaced records by a rename, on btrfs 1 of 815 takeovers overlapped, beside 900 other nodes. The
//! directory is in `TMPDIR`, so `ci/filesystems.sh` runs this on several file systems.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::behaviour::TempDir;
use super::{NOW, node, request};
use crate::id::random;
use crate::lease::error::LeaseError;
use crate::lease::file::FileStore;
use crate::lease::store::{LeaseStore, Renewal};

/// A tenure, and the end of the last window that was acknowledged.
struct Tenure {
    token: u64,
    floor: u64,
    until: u64,
}

/// A number in the environment.
fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// Takes the node without its lock, and renews the lease until it is lost.
fn live(dir: &TempDir, store: &FileStore, nonce: u64, end: Instant) -> Option<Tenure> {
    let _ = fs::remove_file(dir.path("node-03-17.lock"));
    let mut grant = store.0.try_take(node(3, 17), &request(nonce, NOW), &mut None).ok().flatten()?;
    while Instant::now() < end {
        match store.renew(&Renewal::new(grant.clone(), grant.until + 10)) {
            Ok(renewed) => grant = renewed,
            Err(LeaseError::Lost { .. }) => break,
            // A keeper goes on with what it has, and asks again.
            Err(_) => {}
        }
    }
    Some(Tenure { token: grant.token, floor: grant.floor, until: grant.until })
}

#[test]
fn windows_are_disjoint_where_lock_files_are_deleted() {
    let dir = TempDir::new();
    // Holders of other nodes, so that listings take a while.
    let others = dir.store();
    for nonce in 0..number("PYFLAKE_STRESS_NODES", 50) {
        others.acquire(&request(1000 + nonce, NOW)).unwrap();
    }
    let (nonces, tenures) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    let end = Instant::now() + Duration::from_secs(number("PYFLAKE_STRESS_SECONDS", 2));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while Instant::now() < end {
                    let nonce = nonces.fetch_add(1, Ordering::Relaxed);
                    // Time for the holder to renew.
                    thread::sleep(Duration::from_millis(random() % 30));
                    // As another process.
                    let tenure = live(&dir, &dir.store(), nonce, end);
                    tenures.lock().unwrap().extend(tenure);
                }
            });
        }
    });
    let mut tenures = tenures.into_inner().unwrap();
    tenures.sort_unstable_by_key(|tenure| tenure.token);
    let overlaps = tenures.windows(2).filter(|pair| pair[0].token == pair[1].token || pair[0].until > pair[1].floor);
    let overlaps = overlaps.count();
    println!("{} takeovers in {}, {overlaps} overlaps", tenures.len(), dir.path("").display());
    assert!(tenures.len() > 10, "{} takeovers: the threads hardly ran", tenures.len());
    assert_eq!(overlaps, 0, "of {} takeovers", tenures.len());
}
