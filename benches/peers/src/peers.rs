//! The peers and pyflake, each set up as its documentation recommends, with 12 bits of sequence where there is a choice.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ferroid::generator::AtomicSnowflakeGenerator;
use ferroid::id::SnowflakeTwitterId;
use ferroid::time::{MonotonicClock, TWITTER_EPOCH};
use pyflake::{CachePolicy, CoarseClock, Epoch, Generator, Node, PyflakeClient, ShardedGenerator, Snowflake};
use snowdon::{ClassicLayout, MachineId};
use snowflake::SnowflakeIdGenerator;

use crate::subject::{Issue, Sharing, Subject, Time};

pub(crate) const FLOOR: &str = "floor: clock read + compare-and-swap";
pub(crate) const NEXT_ID: &str = "pyflake `next_id`";
pub(crate) const COARSE: &str = "pyflake `next_id`, `CoarseClock`";
pub(crate) const CLIENT: &str = "pyflake `PyflakeClient::generate`, full cache";
pub(crate) const FERROID: &str = "ferroid `AtomicSnowflakeGenerator`, `MonotonicClock`";
pub(crate) const FILL: &str = "pyflake `fill`";
pub(crate) const NEXT_IDS_INTO: &str = "snowflake_me `next_ids_into`";

/// IDs of a batch: a whole millisecond.
pub(crate) const BATCH: usize = 4096;

const EPOCH: Epoch = Epoch::TWITTER;

fn node(seed: u64) -> Node {
    Node::new(1, seed).expect("in range")
}

/// The bare steps that no generator with a true clock can do without.
pub(crate) fn floors() -> Vec<Subject> {
    fn swap(word: &AtomicU64, old: u64) {
        _ = black_box(word.compare_exchange_weak(old, old + 1, Ordering::Relaxed, Ordering::Relaxed));
    }
    let word = || Arc::new(AtomicU64::new(0));
    let clock = quanta::Clock::new();
    let read = clock.clone();
    let (alone, both) = (word(), word());
    [
        Subject::new("floor: clock read (quanta, raw)", move || _ = black_box(read.raw())),
        Subject::new("floor: compare-and-swap", move || swap(&alone, alone.load(Ordering::Relaxed))),
        Subject::new(FLOOR, move || {
            let old = both.load(Ordering::Relaxed);
            black_box(clock.raw());
            swap(&both, old);
        }),
    ]
    .map(|subject| subject.time(Time::None))
    .into()
}

/// Everything that issues IDs one at a time from one generator.
pub(crate) fn generators() -> Vec<Subject> {
    let mut all = pyflake();
    all.extend([ferroid(), snowflake_me(), snowflaked(), snowdon(), snowid()]);
    all.extend(rs_snowflake());
    all.push(uuid());
    all
}

fn pyflake() -> Vec<Subject> {
    let plain = Generator::new(EPOCH, node(1)).expect("the clock is past the epoch");
    let clock = CoarseClock::new().expect("threads can be started");
    let coarse = Generator::builder(EPOCH, node(2)).clock(clock).build().expect("the clock is past the epoch");
    vec![
        Subject::new(NEXT_ID, move || _ = black_box(plain.next_id().expect("within max_wait"))),
        Subject::new(COARSE, move || _ = black_box(coarse.next_id().expect("within max_wait"))).time(Time::Late),
    ]
}

/// `PyflakeClient::generate` with the cache that keeps every ID.
pub(crate) fn client() -> Subject {
    let client = PyflakeClient::builder(EPOCH).cache(CachePolicy::All).build();
    client.create_generator(1, 3).expect("in range");
    Subject::new(CLIENT, move || _ = black_box(client.generate().expect("within max_wait")))
}

/// 32 shards of one pid.
pub(crate) fn sharded() -> Arc<ShardedGenerator> {
    Arc::new(ShardedGenerator::new(EPOCH, 2, 0..=31).expect("the clock is past the epoch"))
}

fn ferroid() -> Subject {
    let generator =
        AtomicSnowflakeGenerator::<SnowflakeTwitterId, _>::new(1, MonotonicClock::<1>::with_epoch(TWITTER_EPOCH));
    // Of the three answers to a full millisecond in its README, the one that its examples use.
    Subject::new(FERROID, move || _ = black_box(generator.next_id(|_| thread::yield_now()))).time(Time::Late)
}

fn snowflake_me_generator() -> snowflake_me::Snowflake {
    let builder = snowflake_me::Snowflake::builder().machine_id(&|| Ok(1)).data_center_id(&|| Ok(1));
    builder.finalize().expect("in range")
}

fn snowflake_me() -> Subject {
    let generator = snowflake_me_generator();
    Subject::new("snowflake_me `next_id`", move || _ = black_box(generator.next_id().expect("within the time limit")))
}

fn snowflaked() -> Subject {
    let generator = snowflaked::sync::Generator::new(1);
    Subject::new("snowflaked `sync::Generator`", move || _ = black_box(generator.generate::<u64>()))
}

#[derive(Debug)]
struct Machine;

impl MachineId for Machine {
    fn machine_id() -> u64 {
        1
    }
}

impl snowdon::Epoch for Machine {
    fn millis_since_unix() -> u64 {
        EPOCH.as_unix_millis()
    }
}

fn snowdon() -> Subject {
    let generator = snowdon::Generator::<ClassicLayout<Machine>, Machine>::default();
    // It does not wait: the caller tries again.
    Subject::new("snowdon `generate`, lock-free", move || {
        _ = black_box(loop {
            match generator.generate() {
                Ok(id) => break id,
                Err(_) => std::hint::spin_loop(),
            }
        });
    })
}

fn snowid() -> Subject {
    let generator = snowid::SnowID::new(1).expect("in range");
    Subject::new("snowid `generate`", move || _ = black_box(generator.generate()))
}

fn rs_snowflake() -> [Subject; 2] {
    let generator = || SnowflakeIdGenerator::new(1, 1);
    let (mut real, mut lazy, shared) = (generator(), generator(), Mutex::new(generator()));
    let real = Subject::single("rs-snowflake `real_time_generate`", move || _ = black_box(real.real_time_generate()));
    let lazy = Subject::single("rs-snowflake `lazy_generate`", move || _ = black_box(lazy.lazy_generate()));
    let shared: Arc<dyn Issue> =
        Arc::new(move || _ = black_box(shared.lock().expect("no panic inside").real_time_generate()));
    [
        Subject { sharing: Sharing::Mutex, shared: Some(shared), ..real },
        Subject { sharing: Sharing::Mutex, ..lazy.time(Time::Invented) },
    ]
}

fn uuid() -> Subject {
    let subject = Subject::new("uuid `now_v7` (128 bits)", || _ = black_box(uuid::Uuid::now_v7()));
    Subject { sharing: Sharing::LockInside, ..subject }
}

/// A batch of `BATCH` IDs at a call.
pub(crate) struct Batch {
    pub(crate) name: &'static str,
    pub(crate) fill: Box<dyn FnMut()>,
}

/// Every batch call there is.
pub(crate) fn batches() -> Vec<Batch> {
    let batch = |name, fill| Batch { name, fill };
    let generator = Generator::new(EPOCH, node(4)).expect("the clock is past the epoch");
    let mut ids = vec![Snowflake::default(); BATCH];
    let fill = Box::new(move || generator.fill(black_box(&mut ids)).expect("within max_wait"));

    let me = snowflake_me_generator();
    let mut ids_me = Vec::with_capacity(BATCH);
    let next_ids_into = Box::new(move || {
        ids_me.clear();
        me.next_ids_into(BATCH, black_box(&mut ids_me)).expect("within the time limit");
    });

    let snowid = snowid::SnowID::new(1).expect("in range");
    let mut ids_snowid = vec![0; BATCH];
    let generate_batch = Box::new(move || snowid.generate_batch(black_box(&mut ids_snowid)));
    vec![batch(FILL, fill), batch(NEXT_IDS_INTO, next_ids_into), batch("snowid `generate_batch`", generate_batch)]
}
