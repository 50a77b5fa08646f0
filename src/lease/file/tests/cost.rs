//! The cost of a renewal, in an empty directory and in a full one. It asserts nothing:
//!
//!     cargo test --lib lease::file::tests::cost -- --ignored --nocapture

use std::time::Instant;

use cpu_time::ThreadTime;

use super::behaviour::TempDir;
use super::{NOW, request};
use crate::lease::store::{LeaseStore, Renewal};

const RENEWALS: u32 = 300;

#[test]
#[ignore = "a measurement"]
fn of_a_renewal_by_the_number_of_used_nodes() {
    for used in [0, 1023] {
        let dir = TempDir::new();
        let others = dir.store();
        for nonce in 0..used {
            others.acquire(&request(nonce, NOW)).unwrap();
        }
        let store = dir.store();
        let mut grant = store.acquire(&request(1023, NOW)).unwrap();
        let (wall, cpu) = (Instant::now(), ThreadTime::now());
        for _ in 0..RENEWALS {
            grant = store.renew(&Renewal::new(grant.clone(), grant.until + 3000)).unwrap();
        }
        let (wall, cpu) = (wall.elapsed() / RENEWALS, cpu.elapsed() / RENEWALS);
        println!("{used} used nodes: a renewal takes {cpu:?} of CPU and {wall:?}");
    }
}
