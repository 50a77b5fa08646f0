//! Wrappers for the models of loom and shuttle: a timeline without a lease store, a ticker without
//! a thread.

use core::convert::Infallible;

use crate::clock::ticker;
use crate::issue::timeline::{Now, Spread, Timeline, Wanted};
use crate::sync::Counter;

/// A timeline that begins closed. Windows are in ticks, claims in slots.
#[derive(Debug)]
pub struct Line(Timeline);

#[expect(missing_docs, reason = "they forward, and only the models call them")]
impl Line {
    #[expect(clippy::new_without_default, reason = "only the models call it")]
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

    pub fn free(&self) -> u64 {
        self.0.free()
    }

    /// Returns the first slot that is not claimed.
    pub fn close(&self) -> u64 {
        self.0.close()
    }

    pub fn claim(&self, tick: impl FnOnce() -> u64) -> Option<u64> {
        self.0.add(tick).or_else(|tick| self.run(1, tick).ok_or(())).ok()
    }

    /// Claims `n` slots by compare-and-swap and returns the first.
    pub fn run(&self, n: u64, tick: u64) -> Option<u64> {
        let now = || Ok::<_, Infallible>(Now::at(tick));
        let claim = self.0.claim(Wanted::exactly(n), Spread::default(), &Counter::default(), now);
        claim.unwrap_or_else(|never| match never {}).ok().map(|run| run.first)
    }
}

/// The words that the users of a coarse clock share with its thread.
#[derive(Debug)]
pub struct Ticker(ticker::Ticker);

#[expect(missing_docs, reason = "they forward, and only the models call them")]
impl Ticker {
    #[expect(clippy::new_without_default, reason = "only the models call it")]
    #[must_use]
    pub fn new() -> Self {
        Ticker(ticker::Ticker::new())
    }

    pub fn now(&self) -> Option<u64> {
        self.0.now()
    }

    pub fn push(&self, now: u64) {
        self.0.push(now);
    }

    pub fn enter(&self) -> bool {
        self.0.enter()
    }

    pub fn leave(&self) {
        self.0.leave();
    }

    pub fn tick(&self, now: u64) -> bool {
        self.0.tick(now)
    }
}
