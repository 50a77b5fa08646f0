//! The clock that a thread updates once a millisecond.

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

/// The [`SystemClock`] as a thread writes it down once a millisecond: reading it costs next to nothing, and it may be a
/// little late.
///
/// It halves the time that an ID takes. What it costs:
///
/// - **Age.** A new millisecond shows when the thread has woken up for it, some 60 µs late on an idle machine, and later
///   where all cores are busy. IDs are unique and increasing all the same; their time is that much too early.
/// - **Bounds on the age.** A generator reads the true clock wherever it would otherwise wait, and writes it down for all.
///   So a thread that is held up is noticed after a millisecond's 4096 IDs of a node, and a millisecond's IDs are used up
///   as by the true clock.
///   There is no bound in time: at an ID a second, or where the whole process was stopped, those IDs tell the time at
///   which the thread last ran.
///   The clock by itself, read by hand, may be as late as its thread, and step back by that when the thread starts.
/// - **A thread**, `pyflake-clock`, and about a hundredth of a core. All `CoarseClock`s of a process share it; it ends
///   with the last of them.
///
/// Where there is no thread, a clock reads the true time: in the child of a `fork` until a new clock is made there, and in
/// a process where starting it failed for another clock.
///
/// ```
/// use pyflake::{CoarseClock, Epoch, Generator, Node};
///
/// let generator = Generator::builder(Epoch::TWITTER, Node::new(1, 3)?).clock(CoarseClock::new()?).build()?;
/// let id = generator.next_id()?;
/// # Ok::<(), pyflake::Error>(())
/// ```
pub struct CoarseClock {
    ticker: &'static Ticker,
    clock: SystemClock,
}

/// The one of the process. Not `OnceLock`, as for [`SystemClock`].
static TICKER: OnceBox<Ticker> = OnceBox::new();

static GUARD: Guard = Guard::new(orphan);

impl CoarseClock {
    /// Gives a clock, and starts the thread if it does not run.
    ///
    /// # Errors
    ///
    /// [`Error::NoTicker`] if the system gives no thread, [`Error::NoForkGuard`] if the guard cannot be set up.
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

/// The thread: writes each millisecond down as it begins.
fn run(ticker: &Ticker, clock: SystemClock) {
    let _end = Unwound(ticker);
    loop {
        let now = clock.unix_time();
        if !ticker.tick(whole_millis(now)) {
            return;
        }
        // To the next millisecond.
        thread::sleep(Duration::from_nanos(u64::from(1_000_000 - now.subsec_nanos() % 1_000_000)));
    }
}

/// A thread that a subscriber's panic ends leaves no time behind that nobody moves; the next new clock starts another.
struct Unwound<'a>(&'a Ticker);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.orphan();
        }
    }
}

/// Leaves the child of a fork without a time that nobody moves. Loads and stores of atomics alone.
extern "C" fn orphan() {
    if let Some(ticker) = TICKER.get() {
        ticker.orphan();
    }
}

impl Clone for CoarseClock {
    fn clone(&self) -> Self {
        self.ticker.stay();
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
