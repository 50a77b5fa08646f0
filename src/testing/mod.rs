//! Internals of the crate that the models in `loom-tests` and `shuttle-tests` use. No other build has them.

mod wrappers;

pub use wrappers::{Line, Ticker};
