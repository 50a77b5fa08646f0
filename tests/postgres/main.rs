//! Leases in PostgreSQL, with real servers, processes and networks.
//!
//! They need a server, which `ci/postgres.sh` starts for a command, and chaos needs Debian's package `faketime`. Without
//! them they are skipped, unless `PYFLAKE_REQUIRE_POSTGRES` and `PYFLAKE_REQUIRE_FAKETIME` are set, as `.ci/run` does.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "std has no fork, no waitpid and no _exit")]

#[path = "../util/database.rs"]
mod database;
mod failover;
#[path = "../fleet/mod.rs"]
mod fleet;
mod identity;
mod pooler;
mod postgres_store;
mod restores;
mod scarce;
#[path = "../util/scarce.rs"]
mod scarce_worker;
mod server;
#[path = "../util/skip.rs"]
mod skip;
#[path = "../util/workers.rs"]
mod workers;
