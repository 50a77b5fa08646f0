//! Feature `tokio`, on real runtimes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyflake::lease::{FileStore, LeasedGenerator};
use pyflake::{CachePolicy, Epoch, Error, Generator, ManualClock, Node, PyflakeClient, Snowflake};

const NOW: u64 = 1_668_081_259_486;

fn manual(max_wait: u64) -> (ManualClock, Generator<ManualClock>) {
    let clock = ManualClock::new(NOW);
    let generator = Generator::builder(Epoch::TWITTER, Node::new(1, 1).unwrap())
        .clock(clock.clone())
        .max_wait(Duration::from_millis(max_wait))
        .build()
        .unwrap();
    (clock, generator)
}

fn exhaust(generator: &Generator<ManualClock>) {
    while generator.try_next_id().is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_tasks_finishes_without_duplicates() {
    let generator = Arc::new(Generator::new(Epoch::TWITTER, Node::new(12, 1).unwrap()).unwrap());
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let generator = Arc::clone(&generator);
            tokio::spawn(async move {
                let mut ids = [Snowflake::default(); 50];
                generator.fill_async(&mut ids).await.map(|()| ids)
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        let ids = task.await.unwrap().unwrap();
        assert!(ids.is_sorted());
        seen.extend(ids);
    }
    assert_eq!(seen.len(), 50_000);
}

#[tokio::test]
async fn dropped_futures_lose_no_id() {
    let (clock, generator) = manual(1000);
    exhaust(&generator);
    for _ in 0..20 {
        let wait = tokio::time::timeout(Duration::from_millis(2), generator.next_id_async());
        assert!(wait.await.is_err(), "there is nothing to issue");
    }
    clock.advance(1);
    let id = generator.next_id_async().await.unwrap();
    assert_eq!((id.timestamp(Epoch::TWITTER), id.sequence()), (NOW + 1, 0));
    assert_eq!(generator.stats().waits, 0, "who has given up got nothing, and this one did not wait");
}

#[tokio::test]
async fn waits_are_counted() {
    let (clock, generator) = manual(1000);
    exhaust(&generator);
    let hand = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        clock.advance(1);
    });
    generator.next_id_async().await.unwrap();
    hand.await.unwrap();
    let stats = generator.stats();
    assert!(stats.waits == 1 && stats.waited >= Duration::from_millis(10), "{stats:?}");
}

/// The ticks of a task beside a wait of 60 ms.
fn ticks_beside(blocking: bool) -> u64 {
    let (clock, generator) = manual(1000);
    exhaust(&generator);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let ticks = Arc::new(AtomicU64::new(0));
        let heart = Arc::clone(&ticks);
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                heart.fetch_add(1, Ordering::Relaxed);
            }
        });
        let hand = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            clock.advance(1);
        });
        let id = if blocking { generator.next_id() } else { generator.next_id_async().await };
        id.unwrap();
        let ticks = ticks.load(Ordering::Relaxed);
        beat.abort();
        hand.join().unwrap();
        ticks
    })
}

#[test]
fn a_waiting_task_does_not_block_its_worker() {
    assert!(ticks_beside(false) >= 1);
    // The control: the blocking call lets nothing else run.
    assert_eq!(ticks_beside(true), 0);
}

#[tokio::test]
async fn a_batch_that_need_not_wait_gives_others_a_turn() {
    let (_, generator) = manual(1000);
    let other = tokio::spawn(async {});
    let mut ids = [Snowflake::default(); 2000];
    // The control: the blocking call does not.
    generator.fill(&mut ids).unwrap();
    assert!(!other.is_finished());
    generator.fill_async(&mut ids).await.unwrap();
    assert!(other.is_finished());
}

#[tokio::test]
async fn waits_are_bounded() {
    let (clock, generator) = manual(20);
    exhaust(&generator);
    let start = Instant::now();
    assert!(matches!(generator.next_id_async().await, Err(Error::ClockStalled { .. })));
    assert!(start.elapsed() < Duration::from_secs(5));
    clock.set(NOW - 1000);
    assert!(matches!(generator.next_id_async().await, Err(Error::WaitTooLong { .. })));
}

#[tokio::test(start_paused = true)]
async fn paused_time_does_not_end_a_wait_early() {
    let generator = Generator::new(Epoch::TWITTER, Node::new(13, 1).unwrap()).unwrap();
    let mut ids = vec![Snowflake::default(); 50_000];
    generator.fill_async(&mut ids).await.unwrap();
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn a_lease_is_renewed_while_other_tasks_run() {
    let dir = std::env::temp_dir().join(format!("pyflake-tokio-{}", std::process::id()));
    let clock = ManualClock::new(NOW);
    let store = FileStore::open(&dir, Epoch::TWITTER).unwrap();
    let generator = LeasedGenerator::builder(store).clock(clock.clone()).build().unwrap();
    generator.next_id_async().await.unwrap();
    // Past the window of ten seconds: the control is the call that does not wait for the renewal.
    clock.advance(20_000);
    assert!(matches!(generator.try_next_id(), Err(Error::PastLease { .. })));
    let id = generator.next_id_async().await.unwrap();
    assert_eq!(id.timestamp(Epoch::TWITTER), NOW + 20_000);
    drop(generator);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_tasks_shares_a_client_that_remembers_all() {
    let client = Arc::new(PyflakeClient::new(Epoch::TWITTER));
    client.create_generator(12, 2).unwrap();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..50 {
                    ids.push(client.generate_async().await.unwrap());
                }
                ids
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        seen.extend(task.await.unwrap());
    }
    let numbered: HashSet<_> = (1..=50_000).map(|idx| client.cached(idx).unwrap().snowflake).collect();
    assert_eq!((seen.len(), client.info().generated), (50_000, 50_000));
    assert_eq!(seen, numbered);
}

#[tokio::test]
async fn dropped_futures_of_a_client_number_nothing() {
    let clock = ManualClock::new(NOW);
    let client = PyflakeClient::builder(Epoch::TWITTER).clock(clock.clone()).build();
    assert_eq!(client.generate_async().await, Err(Error::NoGenerator));
    client.create_generator(1, 1).unwrap();
    for _ in 0..4096 {
        client.generate_async().await.unwrap();
    }
    for _ in 0..20 {
        let wait = tokio::time::timeout(Duration::from_millis(2), client.generate_async());
        assert!(wait.await.is_err(), "there is nothing to issue");
    }
    clock.advance(1);
    let id = client.generate_async().await.unwrap();
    assert_eq!((id.timestamp(Epoch::TWITTER), id.sequence()), (NOW + 1, 0));
    assert_eq!(client.cached(4097).map(|record| record.snowflake), Some(id));
    assert_eq!(client.info().generated, 4097);
}

#[tokio::test]
async fn the_lease_of_a_client_is_renewed_while_other_tasks_run() {
    let dir = std::env::temp_dir().join(format!("pyflake-tokio-client-{}", std::process::id()));
    let clock = ManualClock::new(NOW);
    let store = FileStore::open(&dir, Epoch::TWITTER).unwrap();
    let generator = LeasedGenerator::builder(store).clock(clock.clone()).build().unwrap();
    let client = PyflakeClient::leased(generator, CachePolicy::All);
    client.generate_async().await.unwrap();
    clock.advance(20_000);
    let id = client.generate_async().await.unwrap();
    assert_eq!(id.timestamp(Epoch::TWITTER), NOW + 20_000);
    assert_eq!(client.cached(2).map(|record| record.snowflake), Some(id));
    client.release().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

fn is_send<T: Send>(_: T) {}

#[test]
fn the_futures_can_be_spawned() {
    let (_, generator) = manual(20);
    is_send(generator.next_id_async());
    is_send(generator.fill_async(&mut []));
    is_send(PyflakeClient::new(Epoch::TWITTER).generate_async());
}
