//! The engine: issues IDs by claiming slots.

mod block;
mod builder;
mod claim;
mod generator;
pub(crate) mod registry;
#[cfg(feature = "std")]
mod sharded;
mod stats;
#[cfg(feature = "std")]
mod switch;
pub(crate) mod timeline;
mod wait;
#[cfg(feature = "std")]
mod walk;

pub use block::Block;
pub use builder::GeneratorBuilder;
pub use generator::{Generator, Records};
#[cfg(feature = "std")]
pub use sharded::ShardedGenerator;
pub use stats::Stats;
#[cfg(feature = "std")]
pub(crate) use switch::{POSITIONS, Switch};
#[cfg(feature = "std")]
pub(crate) use wait::IfAhead;
pub use wait::Wait;
#[cfg(feature = "std")]
pub(crate) use walk::Shards;
