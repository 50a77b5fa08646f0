//! The measurements, one function a section of the document.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pyflake::Snowflake;

use crate::measure::{self, Latency, Run, Samples, in_turns};
use crate::peers::{self, BATCH};
use crate::subject::{Sharing, Subject, Time};

/// IDs at the beginning of a millisecond: half of what it has.
const CALLS: u64 = 2048;

/// The numbers of threads on one generator.
pub(crate) const THREADS: [usize; 3] = [1, 2, 8];

/// Everything that was measured.
pub(crate) struct Results {
    pub(crate) single: Vec<Row<Samples>>,
    pub(crate) batches: Vec<Row<Samples>>,
    pub(crate) saturated: Vec<Row<[Run; 3]>>,
    /// With 2 and 8 threads.
    pub(crate) latency: Vec<Row<[Vec<Latency>; 2]>>,
    /// From 1 and 2 threads.
    pub(crate) together: Vec<Row<[Samples; 2]>>,
    /// IDs a second from 1 and 2 threads: with `fill`, and singly.
    pub(crate) sharded: [Samples; 4],
}

/// What one subject reached.
pub(crate) struct Row<T> {
    pub(crate) name: &'static str,
    pub(crate) time: Time,
    pub(crate) sharing: Sharing,
    pub(crate) result: T,
}

impl<T> Row<T> {
    fn new(subject: &Subject, result: T) -> Self {
        let &Subject { name, time, sharing, .. } = subject;
        Row { name, time, sharing, result }
    }
}

/// The result of the row with a name.
pub(crate) fn row<'a, T>(rows: &'a [Row<T>], name: &str) -> &'a T {
    &rows.iter().find(|row| row.name == name).expect("a row of this name").result
}

/// Runs every section with the number of rounds, or the time, divided by `share`.
pub(crate) fn run(share: u32) -> Results {
    let rounds = |rounds: u32| usize::try_from(rounds.div_ceil(share)).expect("a few");
    Results {
        single: single(rounds(600)),
        batches: batches(rounds(600)),
        latency: latency(rounds(10)),
        together: together(rounds(150)),
        sharded: sharded(rounds(10)),
        // At the end: what runs ahead of its clock stays ahead.
        saturated: saturated(Duration::from_secs(2) / share),
    }
}

/// One ID at a time on one thread, below saturation: nanoseconds an ID.
fn single(rounds: usize) -> Vec<Row<Samples>> {
    let mut subjects = peers::floors();
    subjects.extend(peers::generators());
    subjects.push(peers::client());
    let samples = in_turns(subjects.len(), rounds, |turn| {
        let single = std::cell::RefCell::new(&mut subjects[turn].single);
        measure::fresh_nanos(|| single.borrow_mut()(64), || single.borrow_mut()(CALLS)) / to_f64(CALLS)
    });
    subjects.iter().zip(samples).map(|(subject, samples)| Row::new(subject, samples)).collect()
}

/// Batches of 4096: nanoseconds an ID.
fn batches(rounds: usize) -> Vec<Row<Samples>> {
    let mut batches = peers::batches();
    let samples = in_turns(batches.len(), rounds, |turn| {
        let fill = std::cell::RefCell::new(&mut batches[turn].fill);
        measure::fresh_nanos(|| fill.borrow_mut()(), || fill.borrow_mut()()) / to_f64(BATCH as u64)
    });
    let row =
        |batch: &peers::Batch, result| Row { name: batch.name, time: Time::True, sharing: Sharing::LockFree, result };
    batches.iter().zip(samples).map(|(batch, samples)| row(batch, samples)).collect()
}

/// Threads that ask for more than there is.
fn saturated(time: Duration) -> Vec<Row<[Run; 3]>> {
    let rows = peers::generators().into_iter().filter_map(|subject| {
        let issue = subject.shared.clone()?;
        let runs = THREADS.map(|threads| measure::flat_out(threads, time, |stop| issue.run_until(stop)));
        Some(Row::new(&subject, runs))
    });
    rows.collect()
}

/// Each call's time, 2 and 8 threads on one generator, below saturation.
fn latency(rounds: usize) -> Vec<Row<[Vec<Latency>; 2]>> {
    let mut subjects = vec![Subject::new("nothing (two counter reads)", || {}).time(Time::None)];
    subjects.extend(peers::generators());
    subjects.retain(|subject| subject.shared.is_some());
    let latencies = [2, 8].map(|threads| {
        let mut latencies = vec![Vec::new(); subjects.len()];
        in_turns(subjects.len(), rounds, |turn| {
            let issue = subjects[turn].shared.as_deref().expect("retained");
            let latency = measure::latency(issue, threads, 100, CALLS);
            latencies[turn].push(latency);
            latency.p999
        });
        latencies
    });
    let [two, eight] = latencies;
    let both = two.into_iter().zip(eight);
    subjects.iter().zip(both).map(|(subject, (two, eight))| Row::new(subject, [two, eight])).collect()
}

/// What 1 and 2 threads reach in total, below saturation: nanoseconds an ID.
fn together(rounds: usize) -> Vec<Row<[Samples; 2]>> {
    let mut subjects = peers::generators();
    subjects.push(peers::client());
    subjects.retain(|subject| subject.shared.is_some());
    let samples = in_turns(subjects.len() * 2, rounds, |turn| {
        let issue = subjects[turn / 2].shared.as_deref().expect("retained");
        measure::together_nanos(issue, if turn % 2 == 0 { 1 } else { 2 }, CALLS) / to_f64(CALLS)
    });
    let pairs = samples.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]);
    subjects.iter().zip(pairs).map(|(subject, pair)| Row::new(subject, pair)).collect()
}

/// 32 shards flat out: IDs a second.
fn sharded(rounds: usize) -> [Samples; 4] {
    let generator = peers::sharded();
    let fill = |stop: &AtomicBool| {
        let mut ids = vec![Snowflake::default(); BATCH];
        let mut issued = 0;
        while !stop.load(Ordering::Relaxed) {
            generator.fill(black_box(&mut ids)).expect("within max_wait");
            issued += BATCH as u64;
        }
        issued
    };
    let single = |stop: &AtomicBool| {
        let mut issued = 0;
        while !stop.load(Ordering::Relaxed) {
            _ = black_box(generator.next_id().expect("within max_wait"));
            issued += 1;
        }
        issued
    };
    let time = Duration::from_millis(200);
    let samples = in_turns(4, rounds, |turn| {
        let run = match turn {
            0 => measure::flat_out(1, time, fill),
            1 => measure::flat_out(2, time, fill),
            2 => measure::flat_out(1, time, single),
            _ => measure::flat_out(2, time, single),
        };
        // The next begins with full shards.
        thread::sleep(Duration::from_millis(2));
        run.rate()
    });
    samples.try_into().unwrap_or_else(|_| unreachable!("four turns"))
}

#[expect(clippy::cast_precision_loss, reason = "a count of calls")]
fn to_f64(n: u64) -> f64 {
    n as f64
}
