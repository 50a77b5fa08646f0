//! The client: the class of the Python package, and its cache of issued IDs.

mod cache;
mod pyflake_client;

pub use cache::CachePolicy;
pub use pyflake_client::{Info, PyflakeClient, PyflakeClientBuilder};
