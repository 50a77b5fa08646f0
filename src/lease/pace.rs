//! When the keeper calls the store: the pauses, and when a caller may shorten them. Arithmetic alone: no clock, no chance.

/// The longest rest that is slept in one piece, in milliseconds: a clock that is set right meanwhile is noticed then.
const LONGEST_REST: u64 = 60_000;

/// The shortest time between two calls that callers have asked for, in milliseconds.
const BETWEEN_NUDGES: u64 = 500;

/// The rhythm of one kind of call.
#[derive(Debug)]
pub(super) struct Pace {
    /// In milliseconds.
    window: u64,
    last: Last,
}

/// The outcome of the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Success {
        /// Whether a caller had asked for it.
        nudged: bool,
    },
    Failure {
        /// How many calls failed since the window had ended.
        late: u32,
    },
    /// There is nothing to ask for, for so many milliseconds.
    Rest { wait: u64 },
}

/// The time to the next call, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) whole: u64,
    /// The part of it that no caller can shorten.
    pub(super) quiet: u64,
}

impl Pace {
    pub(super) fn new(window: u64) -> Self {
        Pace { window, last: Last::Success { nudged: false } }
    }

    /// Notes a success. `nudged` says whether a caller had asked for the call.
    pub(super) fn succeeded(&mut self, nudged: bool) {
        self.last = Last::Success { nudged };
    }

    /// Notes a failure. `ended` says whether the window has ended, so that no ID is issued until a call succeeds.
    pub(super) fn failed(&mut self, ended: bool) {
        let before = if let Last::Failure { late } = self.last { late } else { 0 };
        self.last = Last::Failure { late: before.saturating_add(u32::from(ended)) };
    }

    /// Notes that no call can succeed for `wait` milliseconds.
    pub(super) fn rests(&mut self, wait: u64) {
        self.last = Last::Rest { wait };
    }

    /// The pause before the next call.
    ///
    /// After a success it is a third of the window, after a failure a tenth, and from the end of the window on it doubles
    /// up to a third. It is shorter by up to a quarter as `random` says, so that holders that started together, or
    /// failed together, do not stay together. A rest is longer by up to a third of the window, for the same reason.
    pub(super) fn pause(&self, random: u8) -> Pause {
        let longest = self.window / 3;
        let jittered = |period: u64| (period - period / 4 * u64::from(random) / 255).max(1);
        match self.last {
            Last::Success { nudged } => {
                let whole = jittered(longest);
                Pause { whole, quiet: if nudged { whole.min(BETWEEN_NUDGES) } else { 0 } }
            }
            Last::Failure { late } => {
                let whole = jittered(((self.window / 10) << late.min(2)).min(longest));
                Pause { whole, quiet: whole }
            }
            Last::Rest { wait } => {
                let whole = wait.min(LONGEST_REST) + longest * u64::from(random) / 255;
                let whole = whole.max(jittered(self.window / 10));
                Pause { whole, quiet: whole }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(pace: &Pace) -> [u64; 3] {
        [0, 51, 255].map(|random| pace.pause(random).whole)
    }

    #[test]
    fn a_third_of_the_window_less_up_to_a_quarter() {
        let pace = Pace::new(10_000);
        assert_eq!(pauses(&pace), [3333, 3167, 2500]);
        assert_eq!(pauses(&Pace::new(30)), [10, 10, 8]);
        assert_eq!(pauses(&Pace::new(0)), [1, 1, 1], "never a loop without a pause");
    }

    #[test]
    fn failures_are_retried_after_a_tenth_and_later_after_up_to_a_third() {
        let mut pace = Pace::new(10_000);
        for _ in 0..3 {
            pace.failed(false);
            assert_eq!(pauses(&pace), [1000, 950, 750]);
        }
        for expected in [[2000, 1900, 1500], [3333, 3167, 2500], [3333, 3167, 2500]] {
            pace.failed(true);
            assert_eq!(pauses(&pace), expected);
        }
        pace.succeeded(false);
        pace.failed(true);
        assert_eq!(pauses(&pace), [2000, 1900, 1500], "counted anew");
    }

    #[test]
    fn a_rest_is_slept_through() {
        let mut pace = Pace::new(10_000);
        pace.rests(20_000);
        assert_eq!(pauses(&pace), [20_000, 20_666, 23_333]);
        pace.rests(u64::MAX);
        assert_eq!(pauses(&pace), [60_000, 60_666, 63_333]);
        pace.rests(0);
        assert_eq!(pauses(&pace), [1000, 950, 3333], "not sooner than after a failure");
        pace.failed(true);
        assert_eq!(pauses(&pace), [2000, 1900, 1500]);
    }

    #[test]
    fn callers_shorten_no_pause_after_a_failure_and_no_two_in_a_row() {
        let mut pace = Pace::new(10_000);
        assert_eq!(pace.pause(0), Pause { whole: 3333, quiet: 0 });
        pace.succeeded(true);
        assert_eq!(pace.pause(0), Pause { whole: 3333, quiet: 500 });
        pace.succeeded(false);
        assert_eq!(pace.pause(0).quiet, 0);
        pace.failed(false);
        assert_eq!(pace.pause(0), Pause { whole: 1000, quiet: 1000 });
        pace.rests(5000);
        assert_eq!(pace.pause(0), Pause { whole: 5000, quiet: 5000 });
        let mut short = Pace::new(300);
        short.succeeded(true);
        assert_eq!(short.pause(0), Pause { whole: 100, quiet: 100 });
    }

    /// Holders of a store that does not answer for a time, by a clock of its own: milliseconds since their last renewal.
    ///
    /// Returns, for each request after the store is back, how many milliseconds after that it comes.
    fn outage(holders: u64, outage: u64, jitter: bool) -> Vec<u64> {
        let mut dice = 1_u64;
        let mut random = move || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if jitter { (dice >> 56) as u8 } else { 0 }
        };
        let first_successes = (0..holders).map(|_| {
            let mut pace = Pace::new(10_000);
            let mut now = pace.pause(random()).whole;
            while now < outage {
                // The window ends 10 s after the last renewal.
                pace.failed(now >= 10_000);
                now += pace.pause(random()).whole;
            }
            now - outage
        });
        first_successes.collect()
    }

    fn in_the_first_second(requests: &[u64]) -> usize {
        requests.iter().filter(|&&after| after < 1000).count()
    }

    #[test]
    fn a_store_that_is_back_after_a_minute_is_not_overrun() {
        let requests = outage(1024, 60_000, true);
        let first = in_the_first_second(&requests);
        // 1024 requests spread over a third of a window less the jitter are 360 a second.
        assert!((250..450).contains(&first), "{first} requests in the first second");
        let busiest = (0..34).map(|tenth| requests.iter().filter(|&&after| after / 100 == tenth).count()).max();
        assert!(busiest.is_some_and(|requests| requests < 90), "{busiest:?} in a tenth of a second");
        assert!(requests.iter().all(|&after| after <= 3333), "all issue again within a renewal period");
    }

    #[test]
    fn negative_control_holders_without_jitter_come_together() {
        let requests = outage(1024, 60_000, false);
        assert!(requests.iter().all(|&after| after == requests[0]));
    }
}
