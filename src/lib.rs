#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "std"), no_std)]
// What the parts that need std call of the others.
#![cfg_attr(not(feature = "std"), allow(dead_code))]

extern crate alloc;

#[cfg(not(target_has_atomic = "64"))]
compile_error!("pyflake keeps its state in one 64-bit atomic word, which this target does not have");

mod block;
#[cfg(feature = "std")]
mod cache;
#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "std")]
mod client;
mod clock;
mod epoch;
mod error;
#[cfg(all(feature = "tracing", any(doc, doctest)))]
#[doc = include_str!("events.md")]
pub mod events {}
mod fork;
mod generator;
#[cfg(any(feature = "chrono", feature = "jiff"))]
mod instant;
#[cfg(feature = "jiff")]
mod jiff;
pub mod layout;
#[cfg(feature = "std")]
pub mod lease;
mod lifetime;
#[cfg(any(doc, doctest))]
#[doc = include_str!("migration.md")]
pub mod migration {}
#[cfg(any(pyflake_loom, pyflake_shuttle))]
#[doc(hidden)]
pub mod model;
mod node;
mod parse_error;
#[cfg(feature = "postgres-types")]
mod postgres_types;
mod range;
mod registry;
#[cfg(feature = "serde")]
pub mod serde;
#[cfg(feature = "std")]
mod sharded;
mod snowflake;
#[cfg(feature = "sqlx")]
mod sqlx;
mod stats;
#[cfg(feature = "std")]
mod switch;
mod sync;
mod text;
mod timeline;
#[cfg(feature = "tokio")]
mod tokio;
mod trace;
mod wait;

pub use block::Block;
#[cfg(feature = "std")]
pub use cache::CachePolicy;
#[cfg(feature = "std")]
pub use client::{Info, PyflakeClient, PyflakeClientBuilder};
pub use clock::{Clock, ManualClock};
#[cfg(feature = "std")]
pub use clock::{CoarseClock, SystemClock};
pub use epoch::{Epoch, TimeUnit, to_timestamp};
pub use error::Error;
pub use generator::{Generator, GeneratorBuilder, Records};
pub use lifetime::Lifetime;
pub use node::Node;
#[cfg(feature = "std")]
pub use node::generate_seed;
pub use parse_error::ParseError;
#[cfg(feature = "std")]
pub use sharded::ShardedGenerator;
pub use snowflake::{Record, Snowflake};
pub use stats::{ClockStats, Stats};
pub use text::{Base32, Base62};
pub use wait::Wait;
