#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod block;
mod cache;
mod client;
mod clock;
mod epoch;
mod error;
mod fork;
mod generator;
pub mod layout;
pub mod lease;
mod lifetime;
#[cfg(any(doc, doctest))]
#[doc = include_str!("migration.md")]
pub mod migration {}
#[cfg(pyflake_loom)]
#[doc(hidden)]
pub mod model;
mod node;
mod registry;
#[cfg(feature = "serde")]
mod serde;
mod sharded;
mod snowflake;
mod stats;
mod switch;
mod sync;
mod timeline;
#[cfg(feature = "tokio")]
mod tokio;
mod wait;

pub use block::Block;
pub use cache::CachePolicy;
pub use client::{Info, PyflakeClient, PyflakeClientBuilder};
pub use clock::{Clock, CoarseClock, ManualClock, SystemClock};
pub use epoch::{Epoch, TimeUnit, to_timestamp};
pub use error::Error;
pub use generator::{Generator, GeneratorBuilder, Records};
pub use lifetime::Lifetime;
pub use node::{Node, generate_seed};
pub use sharded::ShardedGenerator;
pub use snowflake::{Record, Snowflake};
pub use stats::{ClockStats, Stats};
pub use wait::Wait;
