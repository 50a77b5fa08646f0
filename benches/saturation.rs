//! A saturated generator: its share of 4096 IDs in a millisecond, and the processor time.
//!
//! Criterion's figure is the time of an ID: 244 ns at 4096 IDs in a millisecond, whatever the code.
//! The table that is printed first shows the share of that capacity, and the processor time of the
//! whole process in cores.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::EPOCH;
use cpu_time::ProcessTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pyflake::{Generator, Node, Wait, layout};

const WAITS: [(&str, Wait); 3] =
    [("adaptive", Wait::Adaptive), ("spin", Wait::Spin), ("sleep 1 ms", Wait::Sleep(Duration::from_millis(1)))];

fn generator(wait: Wait) -> Generator {
    let node = Node::new(1, 1).expect("in range");
    Generator::builder(EPOCH, node).wait(wait).build().expect("the clock is past the epoch")
}

/// Runs threads on one generator for two seconds; returns the share of its capacity and the cores
/// used.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn saturate(wait: Wait, threads: usize) -> (f64, f64) {
    let (generator, stop, issued) = (generator(wait), AtomicBool::new(false), AtomicU64::new(0));
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut ids = 0;
                while !stop.load(Ordering::Relaxed) {
                    ids += u64::from(black_box(generator.next_id()).is_ok());
                }
                issued.fetch_add(ids, Ordering::Relaxed);
            });
        }
        thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
    });
    let (time, cpu) = (start.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
    let capacity = time * 1000.0 * layout::IDS_PER_TICK as f64;
    (issued.into_inner() as f64 / capacity, cpu / time)
}

fn saturation(c: &mut Criterion) {
    println!("| wait       | threads | share of 4096 IDs/ms | cores |");
    println!("|------------|--------:|---------------------:|------:|");
    for (name, wait) in WAITS {
        for threads in [1, 2, 8] {
            let (share, cores) = saturate(wait, threads);
            println!("| {name:<10} | {threads:>7} | {share:>20.3} | {cores:>5.2} |");
        }
    }

    let mut group = c.benchmark_group("saturated");
    group.throughput(Throughput::Elements(layout::IDS_PER_TICK)).sample_size(20);
    for (name, wait) in WAITS {
        let generator = generator(wait);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                for _ in 0..layout::IDS_PER_TICK {
                    _ = black_box(generator.next_id());
                }
            });
        });
    }
}

criterion_group!(benches, saturation);
criterion_main!(benches);
