//! Tests of a coarse clock whose thread is late. They use a ticker without a thread.

use super::*;
use crate::id::{Epoch, Node, Snowflake};
use crate::issue::Generator;
use crate::layout;

/// A clock whose thread has stored one time and has been late ever since.
fn held_up() -> CoarseClock {
    let ticker: &Ticker = Box::leak(Box::new(Ticker::new()));
    let clock = SystemClock::new();
    ticker.enter();
    ticker.tick(clock.unix_millis());
    CoarseClock { ticker, clock }
}

fn generator<C: Clock>(clock: C, seed: u64) -> Result<Generator<C>, Error> {
    Generator::builder(Epoch::TWITTER, Node::new(30, seed)?).clock(clock).build()
}

fn millis(id: Snowflake) -> u64 {
    id.timestamp(Epoch::TWITTER)
}

#[test]
fn a_thread_that_is_held_up_is_noticed_after_a_milliseconds_ids() -> Result<(), Error> {
    for issued_before in [1, 100, 4000] {
        let generator = generator(held_up(), 0)?;
        for _ in 0..issued_before {
            generator.next_id()?;
        }
        thread::sleep(Duration::from_millis(50));
        let true_time = generator.clock().clock.unix_millis();
        let mut late = 0;
        while millis(generator.next_id()?) < true_time {
            late += 1;
        }
        assert!(late <= layout::IDS_PER_TICK, "{late} IDs were late");
        // The generator has stored the true time for all users.
        assert!(generator.clock().unix_millis() >= true_time);
    }
    Ok(())
}

/// The thread that takes the last ID of the millisecond reads the true time for all.
#[test]
fn several_threads_notice_it_too() -> Result<(), Error> {
    let generator = generator(held_up(), 4)?;
    generator.next_id()?;
    thread::sleep(Duration::from_millis(50));
    let true_time = generator.clock().clock.unix_millis();
    let late = thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            scope.spawn(|| (0..2000).filter(|_| generator.next_id().is_ok_and(|id| millis(id) < true_time)).count())
        });
        threads.into_iter().map(|thread| thread.join().unwrap_or(usize::MAX)).sum::<usize>()
    });
    assert!((late as u64) < layout::IDS_PER_TICK, "{late} IDs were late");
    Ok(())
}

#[test]
fn a_millisecond_begins_by_the_true_time() -> Result<(), Error> {
    let generator = generator(held_up(), 2)?;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(3));
        // The true time is stored here, so the next ID is in a new millisecond.
        let true_time = generator.clock().unix_time();
        let id = generator.next_id()?;
        assert!(millis(id) >= crate::clock::whole_millis(true_time));
    }
    Ok(())
}

/// A generator can use all IDs of each true millisecond, however late the thread is.
#[test]
fn saturation_loses_nothing() -> Result<(), Error> {
    let generator = generator(held_up(), 3)?;
    let mut ids = vec![];
    for _ in 0..50 * layout::IDS_PER_TICK {
        ids.push(generator.next_id()?);
    }
    assert!(ids.is_sorted());
    // Every millisecond in which the test ran throughout is full. A busy machine may leave few of
    // them.
    let full = ids.chunk_by(|a, b| a.tick() == b.tick()).filter(|ids| ids.len() as u64 == layout::IDS_PER_TICK).count();
    assert!(full >= 10, "{full} milliseconds of 50 were used up");
    Ok(())
}

#[test]
fn a_cleared_time_is_read_from_the_true_clock() {
    let clock = held_up();
    clock.ticker.orphan();
    let first = clock.unix_millis();
    thread::sleep(Duration::from_millis(5));
    assert!(clock.unix_millis() >= first + 4);
    assert!(clock.ticker.now().is_none(), "only a thread stores a first time");
}

#[test]
fn a_thread_that_panics_leaves_no_time_behind() {
    let ticker: &Ticker = Box::leak(Box::new(Ticker::new()));
    assert!(ticker.enter() && ticker.tick(5));
    let thread = thread::spawn(|| {
        let _on_panic = OnPanic(ticker);
        panic!("a bug in a subscriber");
    });
    assert!(thread.join().is_err());
    assert_eq!(ticker.now(), None);
    assert!(ticker.enter(), "the next user starts a thread");
}
