//! The coarse clock's thread: one for all, as long as there is a clock. A test binary of its own, as it counts threads.
#![cfg(target_os = "linux")]

#[path = "../util/common.rs"]
mod common;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use common::ms;
use pyflake::{Clock, CoarseClock};

/// How many threads of this process bear the clock's name.
fn threads() -> usize {
    let names = fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "pyflake-clock").count()
}

/// Waits for what another thread will bring about.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(ms(1));
    }
}

fn advances(clock: &CoarseClock) {
    let first = clock.unix_millis();
    eventually("the time moves", || clock.unix_millis() > first + 5);
}

#[test]
fn one_thread_runs_while_there_is_a_clock() {
    assert_eq!(threads(), 0);
    let first = CoarseClock::new().unwrap();
    let second = CoarseClock::new().unwrap();
    let third = first.clone();
    eventually("a thread runs", || threads() == 1);
    advances(&first);
    drop(first);
    drop(second);
    thread::sleep(ms(20));
    assert_eq!(threads(), 1, "a clock is left");
    advances(&third);
    drop(third);
    eventually("the thread ends with the last clock", || threads() == 0);

    // As often as one likes, and from many threads, also while the last one's thread is about to end.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let clock = CoarseClock::new().unwrap();
                    assert!(clock.unix_millis() > 0);
                    drop(clock.clone());
                }
            });
        }
    });
    let again = CoarseClock::new().unwrap();
    advances(&again);
    eventually("one thread is left", || threads() == 1);
    drop(again);
    eventually("and ends", || threads() == 0);
}
