//! `CoarseClock`: a clock that a thread updates once a millisecond.

use core::fmt;
use core::time::Duration;
use std::thread;

use once_cell::race::OnceBox;

use crate::clock::stats::ClockStats;
use crate::clock::system::SystemClock;
use crate::clock::ticker::Ticker;
use crate::clock::traits::{Clock, whole_millis};
use crate::error::Error;
use crate::fork::Guard;

/// A [`SystemClock`] that a thread caches once a millisecond: cheap to read, slightly late.
///
/// It halves the time that an ID takes. The costs:
///
/// - **Age.** A new millisecond shows after the thread has woken up: some 60 µs late on an idle
///   machine, later if all cores are busy. IDs are still unique and increasing, but their time is
///   early by that delay.
/// - **Limits of the age.** A generator reads the true clock wherever it would otherwise wait, and
///   stores the result for all users. So it notices a late thread after at most 4096 IDs of a node,
///   and a saturated generator loses no IDs. The age has no limit in time: at one ID a second, or
///   after the whole process was stopped, an ID has the time at which the thread last ran. If you
///   read the clock yourself, it may be as late as its thread. It may also step back by that delay
///   when the thread starts.
/// - **A thread**, `pyflake-clock`, and about a hundredth of a core. All `CoarseClock`s of a
///   process share it. It ends with the last of them.
///
/// Without a thread, a clock reads the true time. That happens in the child of a `fork` until it
/// makes a new clock, and in a process where the thread of another clock failed to start.
///
/// ```
/// use pyflake::{CoarseClock, Epoch, Generator, Node};
///
/// let builder = Generator::builder(Epoch::TWITTER, Node::new(1, 3)?);
/// let generator = builder.clock(CoarseClock::new()?).build()?;
/// let id = generator.next_id()?;
/// # Ok::<(), pyflake::Error>(())
/// ```
pub struct CoarseClock {
    ticker: &'static Ticker,
    clock: SystemClock,
}

/// The ticker of this process. Not `OnceLock`, for the reason in [`SystemClock::new`].
static TICKER: OnceBox<Ticker> = OnceBox::new();

static GUARD: Guard = Guard::new(orphan);

impl CoarseClock {
    /// Makes a clock, and starts the thread if it does not run.
    ///
    /// # Errors
    ///
    /// [`Error::NoTicker`] if the system starts no thread, [`Error::NoForkGuard`] if the fork guard
    /// cannot be installed.
    pub fn new() -> Result<Self, Error> {
        GUARD.install()?;
        let clock = SystemClock::new();
        let ticker = TICKER.get_or_init(|| Box::new(Ticker::new()));
        if ticker.enter() {
            let started = thread::Builder::new().name("pyflake-clock".into()).spawn(move || run(ticker, clock));
            if let Err(error) = started {
                ticker.not_started();
                ticker.leave();
                return Err(Error::NoTicker { reason: error.to_string().into() });
            }
        }
        Ok(CoarseClock { ticker, clock })
    }
}

/// The thread: stores each millisecond when it begins.
fn run(ticker: &Ticker, clock: SystemClock) {
    let _on_panic = OnPanic(ticker);
    loop {
        let now = clock.unix_time();
        if !ticker.tick(whole_millis(now)) {
            return;
        }
        // Sleep until the next millisecond begins.
        thread::sleep(Duration::from_nanos(u64::from(1_000_000 - now.subsec_nanos() % 1_000_000)));
    }
}

/// Clears the time if a subscriber's panic ends the thread. The next new clock starts another.
struct OnPanic<'a>(&'a Ticker);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.orphan();
        }
    }
}

/// Clears the time in the child of a fork, which has no thread. Uses atomic operations alone.
extern "C" fn orphan() {
    if let Some(ticker) = TICKER.get() {
        ticker.orphan();
    }
}

impl Clone for CoarseClock {
    fn clone(&self) -> Self {
        self.ticker.enter_clone();
        CoarseClock { ticker: self.ticker, clock: self.clock }
    }
}

impl Drop for CoarseClock {
    fn drop(&mut self) {
        self.ticker.leave();
    }
}

impl fmt::Debug for CoarseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CoarseClock").field(&self.unix_millis()).finish()
    }
}

impl Clock for CoarseClock {
    #[inline]
    fn unix_millis(&self) -> u64 {
        self.ticker.now().unwrap_or_else(|| self.unix_millis_slow())
    }

    fn unix_time(&self) -> Duration {
        let now = self.clock.unix_time();
        self.ticker.push(whole_millis(now));
        now
    }

    fn stats(&self) -> ClockStats {
        self.clock.stats()
    }
}

impl CoarseClock {
    #[cold]
    #[inline(never)]
    fn unix_millis_slow(&self) -> u64 {
        self.clock.unix_millis()
    }
}

#[cfg(test)]
mod tests;
