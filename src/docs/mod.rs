//! Pages of documentation, compiled where they have code.

#[cfg(all(feature = "tracing", any(doc, doctest)))]
#[doc = include_str!("events.md")]
pub mod events {}
#[cfg(any(doc, doctest))]
#[doc = include_str!("migration.md")]
pub mod migration {}
