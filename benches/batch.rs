//! `fill` and `reserve` below saturation, with IDs as the throughput.

mod common;

use std::hint::black_box;

use common::{generator, in_fresh_milliseconds};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pyflake::Snowflake;

fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch below saturation");
    let generator = generator();
    let mut ids = vec![Snowflake::default(); 4096];
    for size in [16, 256, 4096] {
        group.throughput(Throughput::Elements(size as u64));
        let calls = (2048 / size as u64).max(1);
        group.bench_with_input(BenchmarkId::new("fill", size), &size, |b, &size| {
            b.iter_custom(|iters| {
                in_fresh_milliseconds(iters, calls, || {
                    _ = black_box(generator.fill(black_box(&mut ids[..size])));
                })
            });
        });
        group.bench_with_input(BenchmarkId::new("reserve", size), &size, |b, &size| {
            b.iter_custom(|iters| {
                in_fresh_milliseconds(iters, calls, || {
                    let block = generator.reserve(size).expect("within max_wait");
                    block.for_each(|id| _ = black_box(id));
                })
            });
        });
    }
}

criterion_group!(benches, batch);
criterion_main!(benches);
