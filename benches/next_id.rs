//! One ID below saturation, and its floor: a bare clock read and a bare compare-and-swap.
//!
//! Each ID is taken out of its `Result`, as users do. Writing the whole `Result` to memory would
//! take most of the measured time.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{EPOCH, below_saturation, generator};
use criterion::{Criterion, criterion_group, criterion_main};
use pyflake::{Clock, CoarseClock, Generator, ManualClock, Node, ShardedGenerator, SystemClock};

fn next_id(c: &mut Criterion) {
    let mut group = c.benchmark_group("next_id below saturation");
    let mut bench = |name: &str, call: &mut dyn FnMut(u64) -> std::time::Duration| {
        group.bench_function(name, |b| b.iter_custom(&mut *call));
    };

    let counter = quanta::Clock::new();
    let word = AtomicU64::new(0);
    let swap = |old: u64| word.compare_exchange_weak(old, old + 1, Ordering::Relaxed, Ordering::Relaxed);
    bench("floor/clock read", &mut |iters| below_saturation(iters, || _ = black_box(counter.raw())));
    bench("floor/compare-and-swap", &mut |iters| {
        below_saturation(iters, || _ = black_box(swap(word.load(Ordering::Relaxed))))
    });
    bench("floor/both", &mut |iters| {
        below_saturation(iters, || {
            let old = word.load(Ordering::Relaxed);
            black_box(counter.raw());
            _ = black_box(swap(old));
        })
    });

    let clock = SystemClock::new();
    bench("SystemClock", &mut |iters| below_saturation(iters, || _ = black_box(clock.unix_millis())));
    let generator = generator();
    bench("next_id", &mut |iters| below_saturation(iters, || _ = black_box(generator.next_id().expect("an ID"))));
    bench("try_next_id", &mut |iters| {
        below_saturation(iters, || _ = black_box(generator.try_next_id().expect("an ID")))
    });
    let clock = CoarseClock::new().expect("a thread");
    let coarse = Generator::builder(EPOCH, Node::new(1, 2).expect("in range")).clock(clock).build().expect("built");
    bench("next_id on the CoarseClock", &mut |iters| {
        below_saturation(iters, || _ = black_box(coarse.next_id().expect("an ID")))
    });
    let sharded = ShardedGenerator::new(EPOCH, 2, 0..=31).expect("built");
    bench("next_id of 32 shards", &mut |iters| {
        below_saturation(iters, || _ = black_box(sharded.next_id().expect("an ID")))
    });

    // The cost of the claim alone, without a clock read.
    let manual = ManualClock::new(1_668_081_259_486);
    let node = Node::new(1, 1).expect("in range");
    let generator = Generator::builder(EPOCH, node).clock(manual.clone()).build().expect("past the epoch");
    let mut calls = 0_u32;
    bench("next_id on a ManualClock", &mut |iters| {
        below_saturation(iters, || {
            calls = calls.wrapping_add(1);
            if calls.is_multiple_of(2048) {
                manual.advance(1);
            }
            _ = black_box(generator.next_id().expect("an ID"));
        })
    });
}

criterion_group!(benches, next_id);
criterion_main!(benches);
