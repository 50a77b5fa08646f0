#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod block;
mod cache;
#[cfg(feature = "chrono")]
mod chrono;
mod client;
mod clock;
mod epoch;
mod error;
mod foreign;
mod fork;
mod generator;
#[cfg(any(feature = "chrono", feature = "jiff"))]
mod instant;
#[cfg(feature = "jiff")]
mod jiff;
pub mod layout;
pub mod lease;
mod lifetime;
#[cfg(pyflake_loom)]
#[doc(hidden)]
pub mod model;
mod node;
#[cfg(feature = "postgres-types")]
mod postgres_types;
mod range;
mod registry;
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub mod serde;
mod sharded;
mod snowflake;
#[cfg(feature = "sqlx")]
mod sqlx;
mod stats;
mod switch;
mod sync;
mod text;
mod timeline;
mod wait;

pub use block::Block;
pub use cache::CachePolicy;
pub use client::{Info, PyflakeClient, PyflakeClientBuilder};
pub use clock::{Clock, CoarseClock, ManualClock, SystemClock};
pub use epoch::{Epoch, TimeUnit, to_timestamp};
pub use error::Error;
pub use foreign::{DiscordRecord, TwitterRecord};
pub use generator::{Generator, GeneratorBuilder, Records};
pub use lifetime::Lifetime;
pub use node::{Node, generate_seed};
pub use sharded::ShardedGenerator;
pub use snowflake::{Record, Snowflake};
pub use stats::{ClockStats, Stats};
pub use text::{Base32, Base62};
pub use wait::Wait;
