//! Pages of documentation, compiled where they have code.

#[cfg(all(feature = "tracing", any(doc, doctest)))]
#[doc = include_str!("events.md")]
pub mod events {}
#[cfg(all(feature = "std", any(doc, doctest)))]
#[doc = include_str!("guarantees.md")]
pub mod guarantees {}
#[cfg(any(doc, doctest))]
#[doc = include_str!("migration.md")]
pub mod migration {}
