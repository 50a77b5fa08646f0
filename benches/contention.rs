//! Threads that share one generator, below saturation: the time of a round, for all its IDs.

mod common;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::generator;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pyflake::{Clock, Generator, SystemClock};

/// IDs in a round, over all threads: half of a millisecond's.
const ROUND: u64 = 2048;

/// Times rounds of `ROUND` IDs, split among the threads, each at the start of a millisecond.
fn rounds(threads: u64, rounds: u64, generator: &Generator) -> Duration {
    let clock = SystemClock::new();
    let barrier = || Barrier::new(usize::try_from(threads).expect("a few"));
    let (start, end) = (barrier(), barrier());
    let done = AtomicBool::new(false);
    let round = || {
        for _ in 0..ROUND / threads {
            _ = black_box(generator.next_id());
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                loop {
                    start.wait();
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    round();
                    end.wait();
                }
            });
        }
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let last = clock.unix_millis();
            while clock.unix_millis() == last {
                std::hint::spin_loop();
            }
            start.wait();
            let begin = Instant::now();
            round();
            end.wait();
            total += begin.elapsed();
        }
        done.store(true, Ordering::Relaxed);
        start.wait();
        total
    })
}

fn contention(c: &mut Criterion) {
    let mut group = c.benchmark_group("one generator, many threads");
    group.throughput(Throughput::Elements(ROUND));
    let generator = generator();
    for threads in [1, 2, 4, 8] {
        group.bench_with_input(BenchmarkId::from_parameter(threads), &threads, |b, &threads| {
            b.iter_custom(|iters| rounds(threads, iters, &generator));
        });
    }
}

criterion_group!(benches, contention);
criterion_main!(benches);
