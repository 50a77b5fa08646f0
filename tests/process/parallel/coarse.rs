//! The coarse clock: unique IDs whose time is a little early, beside those of the true clock.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::{EPOCH, check_distinct, check_increasing, check_not_early, check_rate, ms, node, wall_millis};
use pyflake::{Clock, CoarseClock, Generator, Snowflake, SystemClock};

const fn shared_by_threads<T: Send + Sync + 'static>() {}
const _: () = shared_by_threads::<CoarseClock>();

#[test]
fn twins_on_the_true_and_the_coarse_clock_repeat_nothing() {
    const IDS: usize = 500_000;
    let node = node(29, 0);
    let coarse = Generator::builder(EPOCH, node).clock(CoarseClock::new().unwrap()).build().unwrap();
    let fine = Generator::new(EPOCH, node).unwrap();
    let mut ids = vec![Snowflake::default(); 4 * IDS];
    thread::scope(|scope| {
        for (n, ids) in ids.chunks_mut(IDS).enumerate() {
            let (coarse, fine) = (&coarse, &fine);
            scope.spawn(move || {
                ids.fill_with(|| if n % 2 == 0 { coarse.next_id().unwrap() } else { fine.next_id().unwrap() });
                assert_eq!(check_increasing(ids), Ok(()));
            });
        }
    });
    assert_eq!(check_distinct(&mut ids), Ok(()));
    assert_eq!(check_rate(&ids), Ok(()));
    assert_eq!(check_not_early(ids[ids.len() - 1]), Ok(()));
}

/// It is behind the true clock by what its thread takes to wake up, and never ahead of it, nor steps back.
#[test]
fn its_age_is_small_and_never_negative() {
    let (coarse, fine) = (CoarseClock::new().unwrap(), SystemClock::new());
    // The thread's first turn.
    thread::sleep(ms(20));
    let mut ages = vec![];
    let mut last = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        let now = coarse.unix_millis();
        assert!(now >= last, "{now} after {last}");
        last = now;
        // One word read first, the counter second: cores' counters differ by less than the tolerance.
        let fine = fine.unix_millis();
        assert!(now <= fine + 1, "{now} at {fine}");
        ages.push(fine.saturating_sub(now));
    }
    ages.sort_unstable();
    // Not a measurement, which the bench is for: on a machine that does other things too, it lives.
    let median = ages[ages.len() / 2];
    assert!(median <= 20, "the median age is {median} ms");
    assert!(wall_millis().abs_diff(last) < 1000);
}

#[test]
fn runs_and_clients_use_it() {
    let generator = Generator::builder(EPOCH, node(29, 1)).clock(CoarseClock::new().unwrap()).build().unwrap();
    let mut ids = vec![Snowflake::default(); 3 * 4096];
    generator.fill(&mut ids).unwrap();
    ids.extend(generator.reserve(5000).unwrap());
    ids.push(generator.next_id().unwrap());
    assert_eq!(check_increasing(&ids), Ok(()));
    let client = pyflake::PyflakeClient::builder(EPOCH).clock(CoarseClock::new().unwrap()).build();
    client.create_generator(29, 2).unwrap();
    client.generate().unwrap();
    client.renew_generator(29, 3).unwrap();
    assert_eq!(check_not_early(client.generate().unwrap()), Ok(()));
}
