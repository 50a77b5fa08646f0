//! Internals of the crate for the models in `loom-tests` and `shuttle-tests`. No other build has
//! them.

mod wrappers;

pub use wrappers::{Line, Ticker};
