//! Many threads on one generator. A process of its own: these tests take all cores, which would disturb others.

#[path = "../../util/common.rs"]
mod common;

mod coarse;
mod generator;
mod sharded;
