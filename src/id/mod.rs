//! What an ID is: epochs, nodes, IDs and their texts. Pure values, without atomics or a clock.

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
