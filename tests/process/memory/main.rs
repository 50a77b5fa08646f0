//! What is allocated. A process of its own: its allocator counts.

#[path = "../../util/common.rs"]
mod common;
#[path = "../../util/counting.rs"]
mod counting;

mod cache;
mod no_alloc;
mod text;
