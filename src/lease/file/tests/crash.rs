//! Every crash after every step, with everything that POSIX lets it leave, and every failure before that.

use std::path::Path;

use super::sim::{DIR, Habit, Machine, Plan, SimDisk, Tears, Trouble};
use super::{EPOCH, NOW, WINDOW, node, request};
use crate::lease::error::LeaseError;
use crate::lease::file::store::Store;
use crate::lease::store::{Grant, Renewal};

/// What a run or a restart must not do.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    /// A window begins before the end of what may have been issued.
    Overlap { floor: u64, issued: u64 },
    /// Nothing was wrong with the disk but a crash, and yet the node cannot be had.
    Refused(String),
}

/// A process that takes a node, keeps it, gives it back and takes it again, and the end of what it may have issued.
struct Life {
    disk: SimDisk,
    issued: u64,
    violation: Option<Violation>,
}

type Opened = Store<SimDisk>;

impl Life {
    fn run(machine: Machine, habit: Habit, plan: Plan) -> Life {
        let mut life = Life { disk: SimDisk::new(machine, habit, plan), issued: 0, violation: None };
        // A process that is killed is started again, once: there is one trouble in a plan.
        if life.live(1).is_err() && life.disk.restart() {
            let _ = life.live(11);
        }
        life
    }

    /// Fails where a program would end.
    fn live(&mut self, nonce: u64) -> Result<(), LeaseError> {
        let store = Store::open(self.disk.clone(), Path::new(DIR), EPOCH)?;
        let grant = self.take(&store, nonce, NOW)?;
        let grant = self.renew(&store, &grant, NOW + 12_000)?;
        // Not longer than the last: what stands in the record already must be made to stay there all the same.
        let grant = self.renew(&store, &grant, NOW + 11_000)?;
        self.issued = NOW + 11_500;
        let released = store.release(&grant, NOW + 11_500);
        // The lock is free in any case. The clock has stepped back.
        let grant = self.take(&store, nonce + 1, NOW + 5_000)?;
        self.renew(&store, &grant, NOW + 50_000)?;
        released
    }

    fn take(&mut self, store: &Opened, nonce: u64, now: u64) -> Result<Grant, LeaseError> {
        let grant = self.again(|| {
            let mut problem = None;
            let grant = store.try_take(node(3, 17), &request(nonce, now), &mut problem)?;
            grant.ok_or_else(|| problem.unwrap_or(LeaseError::NoFreeNode { nodes: 1 }))
        })?;
        self.check(grant.floor);
        self.issued = grant.until;
        Ok(grant)
    }

    fn renew(&mut self, store: &Opened, grant: &Grant, until: u64) -> Result<Grant, LeaseError> {
        let renewal = Renewal::new(grant.clone(), until);
        let grant = self.again(|| store.renew(&renewal))?;
        if grant.until < until || grant.until < self.issued {
            self.check(0);
        }
        self.issued = grant.until;
        Ok(grant)
    }

    /// Tries twice, as a keeper does.
    fn again(&self, attempt: impl Fn() -> Result<Grant, LeaseError>) -> Result<Grant, LeaseError> {
        attempt().or_else(|error| if self.disk.crashed() { Err(error) } else { attempt() })
    }

    fn check(&mut self, floor: u64) {
        if floor < self.issued {
            self.violation.get_or_insert(Violation::Overlap { floor, issued: self.issued });
        }
    }

    /// What goes wrong when the machine is started again, in the worst of the cases a crash may leave.
    fn after_a_crash(self, tears: Tears) -> Option<Violation> {
        let Life { disk, issued, violation } = self;
        let outcomes = disk.machine().crashes(tears);
        violation.or_else(|| {
            let restart = |machine| {
                let mut life =
                    Life { disk: SimDisk::new(machine, Habit::Good, Plan::default()), issued, violation: None };
                let store = Store::open(life.disk.clone(), Path::new(DIR), EPOCH);
                // An hour behind.
                match store.and_then(|store| life.take(&store, 99, NOW - 3_600_000)) {
                    Ok(_) => life.violation,
                    Err(error) => Some(Violation::Refused(error.to_string())),
                }
            };
            let violations: Vec<_> = outcomes.into_iter().filter_map(restart).collect();
            let overlap = |violation: &Violation| matches!(violation, Violation::Overlap { .. });
            let worst = violations.iter().position(overlap).unwrap_or(0);
            violations.into_iter().nth(worst)
        })
    }
}

fn steps(plan: Plan) -> usize {
    Life::run(Machine::default(), Habit::Good, plan).disk.steps()
}

/// The first violation that a crash after some step brings out, the worst kind first.
fn search(habit: Habit, tears: Tears) -> Option<Violation> {
    let mut refused = None;
    for crash in 0..=steps(Plan::default()) {
        let plan = Plan { trouble: None, crash: Some(crash) };
        match Life::run(Machine::default(), habit, plan).after_a_crash(tears) {
            None => {}
            Some(overlap @ Violation::Overlap { .. }) => return Some(overlap),
            Some(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    refused
}

#[test]
fn every_crash_leaves_a_node_that_goes_on_above_all_that_was_issued() {
    assert!(steps(Plan::default()) > 60, "the run is cut short");
    assert_eq!(search(Habit::Good, Tears::AtEveryByte), None);
}

#[test]
fn nor_does_a_failure_before_the_crash_make_it_go_lower() {
    let mut runs = 0;
    for trouble in [Trouble::Fails, Trouble::FailsDone, Trouble::Killed, Trouble::Full] {
        for at in 0..steps(Plan::default()) {
            let plan = Plan { trouble: Some((at, trouble)), crash: None };
            for crash in at + 1..=steps(plan) {
                let plan = Plan { crash: Some(crash), ..plan };
                let violation = Life::run(Machine::default(), Habit::Good, plan).after_a_crash(Tears::AtSome);
                assert_eq!(violation, None, "{plan:?}");
                runs += 1;
            }
        }
    }
    assert!(runs > 5_000, "{runs} runs");
}

#[test]
fn a_failure_at_any_step_is_told_with_its_path_and_overcome_when_it_has_passed() {
    for trouble in [Trouble::Fails, Trouble::FailsDone, Trouble::Full] {
        for at in 0..steps(Plan::default()) {
            let plan = Plan { trouble: Some((at, trouble)), crash: None };
            let mut life =
                Life { disk: SimDisk::new(Machine::default(), Habit::Good, plan), issued: 0, violation: None };
            let lived = life.live(1);
            if let Err(error) = &lived {
                let LeaseError::Unavailable { doing, .. } = error else { panic!("{plan:?}: {error}") };
                assert!(doing.contains('/'), "{doing}");
            }
            // What has passed is forgotten: only opening and releasing are not tried again.
            let opened = life.issued > 0;
            assert!(lived.is_err() || opened, "{plan:?}");
            assert!(life.issued == NOW + 50_000 || !opened || trouble == Trouble::Full, "{plan:?}: {lived:?}");
            assert_eq!(life.violation, None, "{plan:?}");
        }
    }
}

/// Of two copies of a holder only one goes on, whichever renews first, also if one step of that renewal fails and it is
/// sent again. And no window that was acknowledged is above the next floor.
#[test]
fn a_copy_is_lost_wherever_a_renewal_fails() {
    let mut retried = 0;
    for trouble in [Trouble::Fails, Trouble::FailsDone] {
        for at in 0.. {
            let disk = SimDisk::new(Machine::default(), Habit::Good, Plan::default());
            let open = |disk| Store::open(disk, Path::new(DIR), EPOCH).unwrap();
            let failing = disk.process(None).with(Plan { trouble: Some((at, trouble)), crash: None });
            let (holder, copy) = (open(disk.process(None)), open(disk.process(None)));
            let grant = holder.try_take(node(3, 17), &request(1, NOW), &mut None).unwrap().unwrap();
            copy.copy(&holder);
            let holder = holder.on(failing.clone());
            let renewal = Renewal::new(grant.clone(), NOW + 12_000);
            let first = holder.renew(&renewal);
            let (failed, copied) = (first.is_err(), copy.renew(&Renewal::new(grant, NOW + 13_000)));
            let again = holder.renew(&Renewal { until: NOW + 14_000, ..renewal });
            retried += usize::from(failed && again.is_ok());
            let lost = |renewed: &Result<Grant, LeaseError>| matches!(renewed, Err(LeaseError::Lost { .. }));
            // If the first renewal was not written, the copy goes on instead.
            assert!(lost(&copied) != lost(&again), "{trouble:?} at {at}: {copied:?}, {again:?}");
            let issued = [&first, &copied, &again].into_iter().flatten().map(|grant| grant.until).max().unwrap();
            drop((holder, copy));
            let next = open(disk.process(None)).try_take(node(3, 17), &request(9, NOW), &mut None).unwrap().unwrap();
            assert!(next.floor >= issued, "{trouble:?} at {at}: {} is below {issued}", next.floor);
            if failing.steps() < at {
                break;
            }
        }
    }
    assert!(retried > 3, "{retried} renewals were sent again");
}

// The search finds what is wrong with protocols that leave a step out.

#[test]
fn without_syncing_names_the_search_finds_an_overlap() {
    let violation = search(Habit::NoDirSync, Tears::AtSome);
    assert!(matches!(violation, Some(Violation::Overlap { .. })), "{violation:?}");
}

#[test]
fn without_syncing_files_the_search_finds_an_overlap() {
    let violation = search(Habit::NoFileSync, Tears::AtSome);
    assert!(matches!(violation, Some(Violation::Overlap { .. })), "{violation:?}");
}

#[test]
fn a_window_is_as_long_as_it_was_asked_for() {
    let mut life =
        Life { disk: SimDisk::new(Machine::default(), Habit::Good, Plan::default()), issued: 0, violation: None };
    let store = Store::open(life.disk.clone(), Path::new(DIR), EPOCH).unwrap();
    assert_eq!(life.take(&store, 1, NOW).unwrap().until, NOW + WINDOW);
}
