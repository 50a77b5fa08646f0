//! Internals of the crate that the models in `loom-tests` use. No other build has them.

mod loom;

pub use loom::{Line, Ticker};
