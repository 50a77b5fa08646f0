#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "std"), no_std)]
// What the parts that need std call of the others.
#![cfg_attr(not(feature = "std"), allow(dead_code))]

extern crate alloc;

#[cfg(not(target_has_atomic = "64"))]
compile_error!("pyflake keeps its state in one 64-bit atomic word, which this target does not have");

#[cfg(feature = "std")]
mod client;
mod clock;
mod docs;
mod error;
mod fork;
mod id;
mod interop;
mod issue;
pub mod layout;
#[cfg(feature = "std")]
pub mod lease;
mod sync;
#[cfg(pyflake_loom)]
#[doc(hidden)]
pub mod testing;
mod trace;

#[cfg(feature = "std")]
pub use client::{CachePolicy, Info, PyflakeClient, PyflakeClientBuilder};
pub use clock::{Clock, ClockStats, ManualClock};
#[cfg(feature = "std")]
pub use clock::{CoarseClock, SystemClock};
#[cfg(all(feature = "tracing", any(doc, doctest)))]
pub use docs::events;
#[cfg(all(feature = "std", any(doc, doctest)))]
pub use docs::guarantees;
#[cfg(any(doc, doctest))]
pub use docs::migration;
pub use error::{Error, ParseError};
#[cfg(feature = "std")]
pub use id::generate_seed;
pub use id::{Base32, Base62, Epoch, Lifetime, Node, Record, Snowflake, TimeUnit, to_timestamp};
#[cfg(feature = "serde")]
pub use interop::serde_as;
#[cfg(feature = "std")]
pub use issue::ShardedGenerator;
pub use issue::{Block, Generator, GeneratorBuilder, Records, Stats, Wait};
