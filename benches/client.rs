//! `PyflakeClient::generate` with each cache policy, below saturation.

mod common;

use std::hint::black_box;

use common::{EPOCH, below_saturation};
use criterion::{Criterion, criterion_group, criterion_main};
use pyflake::{CachePolicy, PyflakeClient};

fn client(c: &mut Criterion) {
    let mut group = c.benchmark_group("client below saturation");
    let generator = common::generator();
    group.bench_function("next_id", |b| {
        b.iter_custom(|iters| below_saturation(iters, || _ = black_box(generator.next_id().expect("an ID"))));
    });
    for (name, policy) in
        [("off", CachePolicy::Off), ("recent 10000", CachePolicy::Recent(10_000)), ("all", CachePolicy::All)]
    {
        let client = PyflakeClient::builder(EPOCH).cache(policy).build();
        client.create_generator(2, 2).expect("in range");
        group.bench_function(format!("generate/{name}"), |b| {
            b.iter_custom(|iters| below_saturation(iters, || _ = black_box(client.generate().expect("an ID"))));
        });
        // The memory stays for the next samples.
        client.clear_cache();
        group.bench_function(format!("cached/{name}"), |b| {
            let last = 10_000;
            for _ in 0..last {
                client.generate().expect("within max_wait");
            }
            let first = client.info().generated - last;
            let mut idx = 0;
            b.iter(|| {
                idx = (idx + 1) % last;
                client.cached(black_box(first + idx + 1))
            });
        });
    }
}

criterion_group!(benches, client);
criterion_main!(benches);
