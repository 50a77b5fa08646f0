//! The timeline alone, for the loom models of what cannot be reached without a lease store.

use crate::sync::Counter;
use crate::timeline::{Spread, Timeline};

/// A closed timeline: windows in ticks, claims in slots.
#[derive(Debug)]
pub struct Line(Timeline);

#[expect(missing_docs, reason = "they pass on, and exist in models alone")]
impl Line {
    #[expect(clippy::new_without_default, reason = "as above")]
    #[must_use]
    pub fn new() -> Self {
        Line(Timeline::closed())
    }

    pub fn open(&self, floor: u64, limit: u64) {
        self.0.open(floor, limit);
    }

    pub fn extend(&self, limit: u64) {
        self.0.extend(limit);
    }

    pub fn close(&self) {
        self.0.close();
    }

    pub fn claim(&self, tick: impl FnOnce() -> u64) -> Option<u64> {
        self.0.claim(false, tick).map_or_else(
            |missed| self.0.claim_missed(missed, missed.tick, Spread::default(), &Counter::default()),
            Some,
        )
    }
}
