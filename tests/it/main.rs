//! The tests that share one process: each uses nodes of its own, or a clock that is set by hand.
//!
//! A node has one timeline in a process, so two tests on one node and epoch share it. Tests that need a process to
//! themselves are in `tests/process/`.

#[path = "../util/common.rs"]
mod common;
#[cfg(any(feature = "postgres-types", feature = "sqlx"))]
#[path = "../util/database.rs"]
mod database;
#[path = "../util/memory_store.rs"]
mod memory_store;
#[path = "../util/reference.rs"]
mod reference;
#[cfg(any(feature = "postgres-types", feature = "sqlx"))]
#[path = "../util/skip.rs"]
mod skip;

mod against_reference;
mod block;
#[cfg(feature = "lease-conformance")]
mod conformance;
mod foreign;
#[cfg(any(feature = "chrono", feature = "jiff"))]
mod instant;
mod keeper;
mod layout;
mod lead;
mod lease;
mod leased_client;
mod lifetime;
mod node;
#[cfg(feature = "postgres-types")]
mod postgres_types;
mod python_manual;
mod range;
#[cfg(feature = "serde")]
mod serde;
mod sharded_lease;
mod spread;
#[cfg(feature = "sqlx")]
mod sqlx;
mod text;
mod time;
#[cfg(feature = "tokio")]
mod tokio;
mod wait;
