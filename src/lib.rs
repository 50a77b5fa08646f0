#![doc = include_str!("../README.md")]
//!
//! ## Modules
//!
//! - [`guarantees`]: every hazard, the test that shows its promise, and what is not promised.
//! - [`events`]: the log events of the feature `tracing`, with their levels and fields.
//! - [`lease`]: the stores that give each process a node of its own, and the generator on a lease.
//! - [`layout`]: the widths and limits of the four fields of an ID, as constants.
//! - [`migration`]: the names and IDs of the Python package and of other libraries, beside ours.
//! - [`serde_as`]: other serde forms of an ID, for `#[serde(with = "...")]`.
//!
//! [`layout`]: crate::layout
//! [`migration`]: crate::migration
#![cfg_attr(feature = "std", doc = "[`guarantees`]: crate::guarantees")]
#![cfg_attr(feature = "std", doc = "[`lease`]: crate::lease")]
#![cfg_attr(feature = "tracing", doc = "[`events`]: crate::events")]
#![cfg_attr(feature = "serde", doc = "[`serde_as`]: crate::serde_as")]
// Without the feature the module is absent, and an intra-doc link to it would break.
#![cfg_attr(not(feature = "std"), doc = "[`guarantees`]: https://docs.rs/pyflake/latest/pyflake/guarantees/")]
#![cfg_attr(not(feature = "std"), doc = "[`lease`]: https://docs.rs/pyflake/latest/pyflake/lease/")]
#![cfg_attr(not(feature = "tracing"), doc = "[`events`]: https://docs.rs/pyflake/latest/pyflake/events/")]
#![cfg_attr(not(feature = "serde"), doc = "[`serde_as`]: https://docs.rs/pyflake/latest/pyflake/serde_as/")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "std"), no_std)]
// Some private functions have callers only in the modules that need std.
#![cfg_attr(not(feature = "std"), allow(dead_code))]

extern crate alloc;

#[cfg(not(target_has_atomic = "64"))]
compile_error!("this target has no 64-bit atomics, and pyflake needs them: use a target that has");

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
#[cfg(any(pyflake_loom, pyflake_shuttle))]
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
