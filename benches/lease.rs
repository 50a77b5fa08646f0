//! The cost of a lease on the path of an ID: pairs of runs, without and with a lease.
//!
//! The two differ by less than the machine's speed varies from second to second. So the table that
//! is printed first compares each run with the run beside it. Criterion's figures are for its
//! report.

mod common;

use std::hint::black_box;

use common::{EPOCH, below_saturation, generator};
use criterion::{Criterion, criterion_group, criterion_main};
use pyflake::lease::{FileStore, LeasedGenerator};

/// Pairs of runs, and IDs in a run.
const PAIRS: usize = 101;
const IDS: u64 = 20 * 2048;

fn lease(c: &mut Criterion) {
    let dir = std::env::temp_dir().join(format!("pyflake-bench-{}", std::process::id()));
    let bare = generator();
    let store = FileStore::open(&dir, EPOCH).expect("a directory for the leases");
    let leased = LeasedGenerator::new(store).expect("a free node");

    let run_bare = |ids| below_saturation(ids, || _ = black_box(bare.next_id().expect("an ID")));
    let run_leased = |ids| below_saturation(ids, || _ = black_box(leased.next_id().expect("an ID")));
    let mut ratios: Vec<f64> = (0..PAIRS)
        .map(|turn| {
            // Without and with a lease run first in turns.
            let (without, with) = if turn % 2 == 0 {
                let without = run_bare(IDS);
                (without, run_leased(IDS))
            } else {
                let with = run_leased(IDS);
                (run_bare(IDS), with)
            };
            with.as_secs_f64() / without.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!("time of next_id with a lease, divided by the time without, {PAIRS} pairs:");
    println!("median {:.3}, quartiles {:.3} to {:.3}", ratios[PAIRS / 2], ratios[PAIRS / 4], ratios[PAIRS * 3 / 4]);

    let mut group = c.benchmark_group("lease below saturation");
    group.bench_function("without", |b| b.iter_custom(run_bare));
    group.bench_function("with", |b| b.iter_custom(run_leased));
    group.finish();

    drop(leased);
    // On an error the directory stays among the system's temporary files.
    let _ = std::fs::remove_dir_all(&dir);
}

criterion_group!(benches, lease);
criterion_main!(benches);
