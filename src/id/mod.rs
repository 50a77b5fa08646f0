//! The values of the crate: epochs, nodes, IDs and their texts. No file here uses atomics; only
//! `sources` reads the system.

pub(crate) mod epoch;
mod lifetime;
mod node;
mod range;
mod snowflake;
#[cfg(feature = "std")]
mod sources;
mod text;

pub use crate::layout::node::Node;
pub use epoch::Epoch;
pub use lifetime::Lifetime;
pub use snowflake::{Record, Snowflake, TimeUnit, to_timestamp};
#[cfg(feature = "std")]
pub use sources::generate_seed;
#[cfg(feature = "std")]
pub(crate) use sources::random;
pub use text::{Base32, Base62};
