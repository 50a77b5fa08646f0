//! Worker threads that share one generator:
//! `cargo run --release --package pyflake-examples --example workers`.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use pyflake::{Epoch, Error, Generator, Node, generate_seed};

const WORKERS: usize = 8;
const IDS: usize = 100_000;

fn main() -> Result<(), Error> {
    let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    // A random node is enough for an example. In production give each process its own node.
    let node = Node::new(generate_seed(5)?, generate_seed(5)?)?;
    let generator = Arc::new(Generator::new(epoch, node)?);

    let start = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let generator = Arc::clone(&generator);
            thread::spawn(move || (0..IDS).map(|_| generator.next_id()).collect::<Result<Vec<_>, _>>())
        })
        .collect();
    let mut ids = Vec::with_capacity(WORKERS * IDS);
    for worker in workers {
        ids.extend(worker.join().expect("a worker does not panic")?);
    }
    let time = start.elapsed();

    ids.sort_unstable();
    ids.dedup();
    println!("{} different IDs from {WORKERS} threads in {time:.2?}, on {node:?}", ids.len());
    if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
        println!("first {first} at {}, last {last} at {}", first.timestamp(epoch), last.timestamp(epoch));
    }
    Ok(())
}
