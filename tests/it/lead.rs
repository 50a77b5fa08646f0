//! IDs that run ahead of the clock, where the user has asked for it.

use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{iter, mem};

use crate::common::{EPOCH, MS, NOW, check_distinct, check_increasing, drain, manual, ms, node};
use pyflake::lease::{Grant, LeaseError, LeaseStore, LeasedGenerator, Renewal, Request};
use pyflake::{Epoch, Error, Generator, GeneratorBuilder, ManualClock, Snowflake};

fn builder(max_lead: u64) -> (ManualClock, GeneratorBuilder<ManualClock>) {
    let (clock, builder) = manual();
    (clock, builder.max_lead(ms(max_lead)).allow_repeats_after_restart())
}

#[test]
fn a_lead_needs_a_lease_or_an_acknowledgement() {
    let (_, builder) = manual();
    let error = builder.clone().max_lead(MS).build().unwrap_err();
    assert_eq!(error, Error::LeadUnprotected { max_lead: MS });
    assert!(error.to_string().contains("allow_repeats_after_restart"));
    let too_long = builder.clone().max_lead(ms(10_001)).allow_repeats_after_restart().build().unwrap_err();
    assert_eq!(too_long, Error::LeadOutOfRange { max_lead: ms(10_001), limit: ms(10_000) });
    // No lead needs none, and an acknowledgement alone gives none.
    let generator = builder.allow_repeats_after_restart().max_lead(ms(0)).build().unwrap();
    assert_eq!(drain(&generator).0.len(), 4096);
}

#[test]
fn a_burst_runs_ahead_as_far_as_the_lead_and_no_further() {
    for max_lead in [1, 3, 10] {
        let (clock, builder) = builder(max_lead);
        let generator = builder.max_wait(ms(0)).build().unwrap();
        let (ids, error) = drain(&generator);
        assert_eq!(ids.len() as u64, (max_lead + 1) * 4096);
        assert_eq!(error, Error::Exhausted { retry_after: MS });
        assert_eq!(check_increasing(&ids), Ok(()));
        assert_eq!(ids[ids.len() - 1].timestamp(EPOCH), NOW + max_lead);
        assert_eq!(generator.stats().lead, ms(max_lead));
        assert_eq!(generator.next_id(), Err(Error::WaitTooLong { wait: MS, max_wait: ms(0) }));
        assert_eq!(generator.stats().waits, 0, "nobody has waited");
        // A millisecond later there is one more millisecond's worth.
        clock.advance(1);
        assert_eq!(drain(&generator).0.len(), 4096);
        // After a pause the clock has caught up.
        clock.advance(max_lead + 5);
        assert_eq!(generator.next_id().unwrap().timestamp(EPOCH), NOW + max_lead + 6);
        assert_eq!(generator.stats().lead, ms(0));
    }
    // The control: without a lead the burst ends with the millisecond.
    assert_eq!(drain(&manual().1.build().unwrap()).0.len(), 4096);
}

#[test]
fn a_run_of_ids_runs_ahead_too() {
    let (_, builder) = builder(4);
    let generator = builder.max_wait(ms(0)).build().unwrap();
    let mut ids = vec![Snowflake::default(); 5 * 4096];
    generator.fill(&mut ids).unwrap();
    assert_eq!(check_increasing(&ids), Ok(()));
    assert_eq!(generator.reserve(1).map(drop), Err(Error::WaitTooLong { wait: MS, max_wait: ms(0) }));
}

#[test]
fn past_the_lead_calls_wait_for_the_clock() {
    let builder = Generator::builder(EPOCH, node(27, 0)).max_lead(ms(20)).allow_repeats_after_restart();
    let generator = builder.build().unwrap();
    let start = Instant::now();
    // In runs, which no machine is too slow for, and then one by one.
    let mut ids = vec![Snowflake::default(); 59 * 4096];
    ids.chunks_mut(4096).for_each(|ids| generator.fill(ids).unwrap());
    ids.extend((0..4096).map(|_| generator.next_id().unwrap()));
    // 60 ms of IDs with 20 ms of lead: 40 ms less what was left of the first one must have passed, by any clock.
    assert!(start.elapsed() > ms(38), "{:?}", start.elapsed());
    assert_eq!(check_increasing(&ids), Ok(()));
    assert_eq!(check_distinct(&mut ids), Ok(()));
    assert!(generator.stats().waits > 0);
    assert!(generator.stats().lead <= ms(21));

    // A twin without the option waits for the clock, and is told how long.
    let twin = Generator::builder(EPOCH, node(27, 0)).max_wait(ms(0)).build().unwrap();
    generator.reserve(4096).unwrap();
    let (before, answer, after) = (generator.stats().lead, twin.next_id(), generator.stats().lead);
    let Err(Error::WaitTooLong { wait, .. }) = answer else { panic!("no wait") };
    // To the last millisecond, or to the next if that is full; the clock went on between the three.
    assert!(wait >= after && wait <= before + MS && wait <= ms(21), "{wait:?}, lead {before:?} to {after:?}");
}

/// What the acknowledgement is about: a second process, started in the millisecond in which the first one ended.
#[test]
fn a_restart_repeats_what_was_issued_ahead_of_the_clock() {
    let issue = |builder: GeneratorBuilder<ManualClock>| drain(&builder.build().unwrap()).0;
    let (clock, builder) = builder(3);
    let mut ids = issue(builder.clone());
    clock.advance(1);
    // A simulated clock has a timeline of its own, as a new process has.
    ids.extend(issue(builder.clone()));
    assert!(check_distinct(&mut ids).is_err(), "or the acknowledgement is not needed");
    // With the last ID from the database it repeats nothing.
    let last = ids[ids.len() - 1];
    let resumed = builder.resume_after(last).max_wait(ms(10)).build().unwrap();
    clock.advance(1);
    ids.extend(drain(&resumed).0);
    ids.dedup();
    assert_eq!(check_increasing(&ids), Ok(()));
}

/// A store of one node, which forgets its holder when it is asked for the node again.
#[derive(Debug, Default)]
struct OneNode(Mutex<u64>);

impl LeaseStore for OneNode {
    fn epoch(&self) -> Epoch {
        EPOCH
    }

    fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
        let mut until = self.0.lock().unwrap();
        let floor = *until;
        *until = floor.max(request.now) + request.window;
        Ok(Grant { node: node(28, 1), floor, until: *until, token: floor, owner: request.owner.clone() })
    }

    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        let mut stored = self.0.lock().unwrap();
        *stored = renewal.until.max(*stored);
        Ok(renewal.granted(*stored))
    }

    fn release(&self, _: &Grant, used_until: u64) -> Result<(), LeaseError> {
        *self.0.lock().unwrap() = used_until;
        Ok(())
    }
}

/// With a lease the next holder starts behind all that was issued, whether the first one ended well or was killed.
#[test]
fn with_a_lease_a_restart_repeats_nothing() {
    for killed in [false, true] {
        let store: &OneNode = Box::leak(Box::default());
        let clock = ManualClock::new(NOW);
        let start = |max_lead, max_wait| {
            let builder = LeasedGenerator::builder(store).clock(clock.clone()).max_lead(max_lead);
            builder.window(Duration::from_secs(60)).max_wait(max_wait).build()
        };
        let drain = |generator: &LeasedGenerator<ManualClock>| -> Vec<_> {
            iter::from_fn(|| generator.try_next_id().ok()).collect()
        };
        let first = start(ms(50), ms(0)).unwrap();
        let mut ids = drain(&first);
        assert_eq!(ids.len(), 51 * 4096);
        assert_eq!(first.stats().lead, ms(50));
        if killed {
            mem::forget(first);
        } else {
            first.release().unwrap();
        }
        clock.advance(1);
        // It begins after 60 s of window, or after the 51 ms that were used.
        let wait: u64 = if killed { 59_999 } else { 50 };
        let refused = start(ms(0), ms(wait - 1)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, LeaseError::ClockBehind { wait: found, .. } if found == ms(wait)), "{refused}");
        if killed {
            clock.advance(60_000);
        }
        // With a lead of its own it begins at once.
        let second = start(ms(50), ms(0)).unwrap();
        ids.extend(drain(&second));
        assert_eq!(ids.len() / 4096, if killed { 102 } else { 52 });
        assert_eq!(check_increasing(&ids), Ok(()));
    }
}

/// A longer one would use up the window with every renewal.
#[test]
fn a_lead_of_more_than_half_the_window_is_refused() {
    let store: &OneNode = Box::leak(Box::default());
    let build = |lead| {
        let builder = LeasedGenerator::builder(store).clock(ManualClock::new(NOW));
        builder.max_lead(ms(lead)).window(ms(200)).build()
    };
    let refused = build(101).map(|_| ()).unwrap_err();
    let expected = Error::LeadOutOfRange { max_lead: ms(101), limit: ms(100) };
    assert!(matches!(refused, LeaseError::Generator(ref error) if *error == expected), "{refused}");
    assert!(build(100).is_ok());
}

#[test]
fn shards_have_no_lead() {
    let refused = builder(1).1.build_sharded(0..=1).map(|_| ()).unwrap_err();
    assert_eq!(refused, Error::LeadOutOfRange { max_lead: MS, limit: ms(0) });
}
