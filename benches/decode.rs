//! Reading an ID: its fields, its time and its text.

mod common;

use std::hint::black_box;

use common::EPOCH;
use criterion::{Criterion, criterion_group, criterion_main};
use pyflake::{Snowflake, TimeUnit, to_timestamp};

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let id = Snowflake::from(473_032_512_447_328_261);
    group.bench_function("record", |b| b.iter(|| black_box(id).record(EPOCH, 1)));
    group.bench_function("timestamp", |b| b.iter(|| black_box(id).timestamp(EPOCH)));
    group.bench_function("to_timestamp/s", |b| b.iter(|| to_timestamp(EPOCH, black_box(id), TimeUnit::Seconds)));
    group.bench_function("to_string", |b| b.iter(|| black_box(id).to_string()));
    group.bench_function("parse", |b| b.iter(|| black_box("473032512447328261").parse::<Snowflake>()));
}

criterion_group!(benches, decode);
criterion_main!(benches);
