//! Doors to the internals for the models in `loom-tests`. No other build has them.

mod loom;

pub use loom::{Line, Ticker};
