//! Helpers of the benches: timing at the start of a millisecond.
#![allow(dead_code, reason = "each bench uses its part")]

use std::time::{Duration, Instant};

use pyflake::{Clock, Epoch, Generator, Node, SystemClock};

/// The manual's epoch.
pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_555_301_520_000);

/// A generator with the default options.
pub(crate) fn generator() -> Generator {
    Generator::new(EPOCH, Node::new(1, 1).expect("in range")).expect("the clock is past the epoch")
}

/// Times `iters` calls of one ID each, below saturation: 2048 at the start of each millisecond.
///
/// A plain loop would measure the 244 ns of one of 4096 IDs in a millisecond, whatever the code.
pub(crate) fn below_saturation(iters: u64, call: impl FnMut()) -> Duration {
    in_fresh_milliseconds(iters, 2048, call)
}

/// Times `iters` calls, `batch` of them at the start of each millisecond.
///
/// A batch that did not end in its millisecond, because the thread was preempted, is run again.
pub(crate) fn in_fresh_milliseconds(iters: u64, batch: u64, mut call: impl FnMut()) -> Duration {
    let clock = SystemClock::new();
    let mut total = Duration::ZERO;
    let mut rest = iters;
    while rest > 0 {
        let calls = rest.min(batch);
        let last = clock.unix_millis();
        while clock.unix_millis() == last {
            std::hint::spin_loop();
        }
        let tick = clock.unix_millis();
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        let time = start.elapsed();
        if clock.unix_millis() == tick {
            total += time;
            rest -= calls;
        }
    }
    total
}
