//! 32 shards without and with leases, and the age of the coarse clock: two tables.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::EPOCH;
use pyflake::lease::{FileStore, LeasedGenerator};
use pyflake::{Clock, CoarseClock, Generator, Node, ShardedGenerator, Snowflake, SystemClock};

fn main() {
    // `cargo test` runs this program too. There is nothing to test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    println!("| 32 shards, for a second | threads | million IDs/s |");
    println!("|-------------------------|--------:|--------------:|");
    let fine = ShardedGenerator::new(EPOCH, 3, 0..=31).expect("built");
    let builder = Generator::builder(EPOCH, Node::new(4, 0).expect("in range"));
    let coarse = builder.clock(CoarseClock::new().expect("a thread")).build_sharded(0..=31).expect("built");
    let dir = std::env::temp_dir().join(format!("pyflake-bench-{}", std::process::id()));
    let store = FileStore::open(&dir, EPOCH).expect("a directory for the leases");
    let leased = LeasedGenerator::builder(store).build_sharded(32).expect("free nodes");
    for threads in [1, 2, 8] {
        row("fill of 4096", threads, &|| {
            let mut ids = [Snowflake::default(); 1024];
            // Four pieces of 8 KiB, which fit the stack of a thread.
            (0..4).for_each(|_| fine.fill(black_box(&mut ids)).expect("IDs"));
        });
        row("next_id", threads, &|| times_4096(|| fine.next_id().expect("an ID")));
        row("fill of 4096, leased", threads, &|| {
            let mut ids = [Snowflake::default(); 1024];
            (0..4).for_each(|_| leased.fill(black_box(&mut ids)).expect("IDs"));
        });
        row("next_id, leased", threads, &|| times_4096(|| leased.next_id().expect("an ID")));
        row("next_id, CoarseClock", threads, &|| times_4096(|| coarse.next_id().expect("an ID")));
    }
    drop(leased);
    let _ = std::fs::remove_dir_all(&dir);

    println!();
    println!("| the CoarseClock's age, for three seconds | idle | two busy threads |");
    println!("|------------------------------------------|-----:|-----------------:|");
    let (idle, busy) = (ages(0), ages(2));
    println!("| share of the time it is a millisecond behind | {:.3} | {:.3} |", behind(&idle, 1), behind(&busy, 1));
    println!("| share of the time it is more behind | {:.5} | {:.5} |", behind(&idle, 2), behind(&busy, 2));
    println!("| the most it was behind, in ms | {} | {} |", idle.len() - 1, busy.len() - 1);
}

fn times_4096(mut issue: impl FnMut() -> Snowflake) {
    for _ in 0..4096 {
        black_box(issue());
    }
}

/// Runs batches of 4096 IDs in threads for a second, and prints a row.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn row(name: &str, threads: usize, batch: &(dyn Fn() + Sync)) {
    let (stop, batches) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    batch();
                    batches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
    });
    let rate = batches.into_inner() as f64 * 4096.0 / start.elapsed().as_secs_f64() / 1e6;
    println!("| {name:<23} | {threads:>7} | {rate:>13.1} |");
}

/// Counts reads of the coarse clock by its age: `ages[n]` reads were `n` milliseconds old.
fn ages(busy_threads: usize) -> Vec<u64> {
    let (coarse, fine) = (CoarseClock::new().expect("a thread"), SystemClock::new());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..busy_threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let mut ages = vec![];
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            let now = coarse.unix_millis();
            let age = usize::try_from(fine.unix_millis().saturating_sub(now)).expect("small");
            if ages.len() <= age {
                ages.resize(age + 1, 0);
            }
            ages[age] += 1;
        }
        stop.store(true, Ordering::Relaxed);
        ages
    })
}

/// The share of reads that were one millisecond old (`by == 1`), or at least `by`.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn behind(ages: &[u64], by: usize) -> f64 {
    let some: u64 = if by == 1 { ages.get(1).copied().unwrap_or(0) } else { ages.iter().skip(by).sum() };
    some as f64 / ages.iter().sum::<u64>() as f64
}
