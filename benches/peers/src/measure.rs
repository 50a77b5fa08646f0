//! How time is taken: in fresh milliseconds, in turns, as medians.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cpu_time::ProcessTime;
use quanta::Clock;

use crate::subject::Issue;

/// The values of one subject, one a round.
#[derive(Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// How many times the other's: the median over the rounds, each by itself.
    pub(crate) fn ratio(&self, other: &Samples) -> f64 {
        self.paired(other, |a, b| a / b)
    }

    /// How much above the other's, in the same way.
    pub(crate) fn above(&self, other: &Samples) -> f64 {
        self.paired(other, |a, b| a - b)
    }

    fn paired(&self, other: &Samples, pair: impl Fn(f64, f64) -> f64) -> f64 {
        self.0.iter().zip(&other.0).map(|(&a, &b)| pair(a, b)).collect::<Samples>().median()
    }
}

/// Measures `subjects` in turn in every round, each round beginning with another one: what disturbs the machine for
/// a while disturbs all alike.
pub(crate) fn in_turns(subjects: usize, rounds: usize, mut measure: impl FnMut(usize) -> f64) -> Vec<Samples> {
    let mut samples = vec![Samples::default(); subjects];
    for round in 0..rounds {
        for turn in 0..subjects {
            let subject = (round + turn) % subjects;
            samples[subject].0.push(measure(subject));
        }
    }
    samples
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Samples(values.into_iter().collect())
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("past 1970")
}

fn unix_millis() -> u128 {
    unix_time().as_millis()
}

/// How far into a millisecond a measurement begins: clocks and tickers that lag behind the wall's have seen it too.
const SETTLED: Duration = Duration::from_micros(100);

/// Waits until a millisecond is settled; does not wait for one that has passed.
fn until(milli: u128, relax: fn()) {
    let start = Duration::from_millis(u64::try_from(milli).expect("the year is not 500 million")) + SETTLED;
    while unix_time() < start {
        relax();
    }
}

/// Times a call in nanoseconds in a fresh millisecond, after a call that warms the caches in an earlier one.
///
/// A call that ran out of its millisecond (the thread was preempted) is made again.
pub(crate) fn fresh_nanos(mut warm: impl FnMut(), mut call: impl FnMut()) -> f64 {
    loop {
        warm();
        let milli = unix_millis() + 1;
        until(milli, std::hint::spin_loop);
        let start = Instant::now();
        call();
        let time = start.elapsed();
        if unix_millis() == milli {
            return nanos(time);
        }
    }
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The time of `calls` calls that as many threads share out and begin together in a fresh millisecond, in nanoseconds
/// from the first's beginning to the last's end.
pub(crate) fn together_nanos(issue: &dyn Issue, threads: u64, calls: u64) -> f64 {
    loop {
        // Time enough to start the threads.
        let milli = unix_millis() + 2;
        let times: Vec<_> = thread::scope(|scope| {
            let run = || {
                issue.run(32 / threads);
                until(milli, std::hint::spin_loop);
                let start = Instant::now();
                issue.run(calls / threads);
                (start, Instant::now())
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic inside")).collect()
        });
        let in_time = unix_millis() == milli;
        let start = times.iter().map(|&(start, _)| start).min();
        let end = times.iter().map(|&(_, end)| end).max();
        if let (true, Some(start), Some(end)) = (in_time, start, end) {
            return nanos(end - start);
        }
    }
}

/// What threads reached that worked as fast as they could.
pub(crate) struct Run {
    /// Of each thread.
    pub(crate) ids: Vec<u64>,
    pub(crate) seconds: f64,
    /// Of the whole process.
    pub(crate) cores: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Run {
    /// IDs a second.
    pub(crate) fn rate(&self) -> f64 {
        self.ids.iter().sum::<u64>() as f64 / self.seconds
    }

    /// The slowest thread's IDs over the fastest's.
    pub(crate) fn fairness(&self) -> f64 {
        let (slowest, fastest) = (self.ids.iter().min(), self.ids.iter().max());
        slowest.copied().unwrap_or(0) as f64 / fastest.copied().unwrap_or(1) as f64
    }
}

/// Lets threads work for a while, each until it is told to stop.
pub(crate) fn flat_out(threads: usize, time: Duration, work: impl Fn(&AtomicBool) -> u64 + Sync) -> Run {
    let stop = AtomicBool::new(false);
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    let ids = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&stop))).collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("no panic inside")).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    Run { ids, seconds, cores: cpu.elapsed().as_secs_f64() / seconds }
}

/// The times of single calls in nanoseconds: median, 99 % and 99.9 %.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// Times each call of threads that share a generator below saturation: at the beginning of each of `millis`
/// milliseconds they issue `calls` IDs, shared out among them.
///
/// A thread that is late leaves the milliseconds out that it has missed, so that never more than twice `calls` fall
/// into one.
pub(crate) fn latency(issue: &dyn Issue, threads: usize, millis: u32, calls: u64) -> Latency {
    let clock = Clock::new();
    // Threads that have no core of their own must not spin on that of others.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let relax = if threads > cores { thread::yield_now } else { std::hint::spin_loop };
    let share = calls / threads as u64;
    let first = unix_millis() + 3;
    let run = || {
        let mut times = Vec::with_capacity(usize::try_from(share * u64::from(millis)).expect("a few"));
        for milli in first..first + u128::from(millis) {
            if unix_millis() <= milli {
                until(milli, relax);
                issue.time_each(share, &clock, &mut times);
            }
        }
        times
    };
    let mut times: Vec<u64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic inside")).collect()
    });
    times.sort_unstable();
    let at = |permille: usize| {
        let time = times.get(times.len() * permille / 1000).copied().unwrap_or(0);
        nanos(Duration::from_nanos(clock.delta_as_nanos(0, time)))
    };
    Latency { p50: at(500), p99: at(990), p999: at(999) }
}
