//! Leases in etcd, with real servers, processes and networks.
//!
//! They need a server, which `ci/etcd.sh` starts for a command, and chaos needs Debian's package `faketime`. Without them
//! they are skipped, unless `PYFLAKE_REQUIRE_ETCD` and `PYFLAKE_REQUIRE_FAKETIME` are set, as `.ci/run` does.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "std has no fork, no waitpid and no _exit")]

mod clock;
mod etcd_store;
#[path = "../fleet/mod.rs"]
mod fleet;
mod gateway;
mod naive;
mod requests;
mod rest;
mod scarce;
#[path = "../util/scarce.rs"]
mod scarce_worker;
mod server;
#[path = "../util/skip.rs"]
mod skip;
#[path = "../util/workers.rs"]
mod workers;
