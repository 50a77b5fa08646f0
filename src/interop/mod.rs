//! Other crates' types and traits, one file for each feature.

#[cfg(feature = "chrono")]
mod chrono;
#[cfg(any(feature = "chrono", feature = "jiff"))]
mod instant;
#[cfg(feature = "jiff")]
mod jiff;
#[cfg(feature = "postgres-types")]
mod postgres_types;
#[cfg(feature = "serde")]
pub mod serde_as;
#[cfg(feature = "sqlx")]
mod sqlx;
#[cfg(feature = "tokio")]
mod tokio;
