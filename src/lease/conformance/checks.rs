use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::id::{Epoch, Node, generate_seed};
use crate::lease::conformance::{Check, Fixture};
use crate::lease::error::LeaseError;
use crate::lease::store::{Grant, LeaseStore, Owner, Renewal, Request};

const EPOCH: Epoch = Epoch::TWITTER;

/// Long enough that no holder is taken for dead during a check.
const WINDOW: u64 = 600_000;

/// As short as a generator's shortest is, times ten: for a holder that is to be taken for dead.
const SHORT_WINDOW: u64 = 300;

/// How long a store may take to find a holder dead, or a node free, after its window.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const ALL: &[Check] = &[
    Check { name: "distinct", run: distinct },
    Check { name: "concurrent", run: concurrent },
    Check { name: "exhausted", run: exhausted },
    Check { name: "idempotent", run: idempotent },
    Check { name: "revert", run: revert },
    Check { name: "lost", run: lost },
    Check { name: "stolen", run: stolen },
    Check { name: "copies", run: copies },
    Check { name: "lost answer", run: lost_answer },
    Check { name: "late acknowledgement", run: late_acknowledgement },
    Check { name: "realm mismatch", run: realm_mismatch },
    Check { name: "skew", run: skew },
    Check { name: "floor ahead", run: floor_ahead },
    Check { name: "release and reuse", run: release_and_reuse },
    Check { name: "death", run: death },
];

type Outcome = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

fn open(fixture: &dyn Fixture) -> Result<Box<dyn LeaseStore>, String> {
    fixture.open(EPOCH).map_err(|error| format!("it cannot be opened: {error}"))
}

fn request(now: u64, window: u64) -> Request {
    // Chance keeps owners apart, as it does for generators.
    Request {
        owner: Owner { nonce: generate_seed(64).unwrap_or(1), label: "conformance".into() },
        now,
        window,
        max_floor: u64::MAX,
    }
}

fn acquire(store: &dyn LeaseStore, fixture: &dyn Fixture) -> Result<Grant, String> {
    let request = request(fixture.now(), WINDOW);
    let grant = store.acquire(&request).map_err(|error| format!("a node cannot be acquired: {error}"))?;
    sound(&grant, &request).map(|()| grant)
}

/// A grant answers its request.
fn sound(grant: &Grant, request: &Request) -> Outcome {
    let until = grant.floor.max(request.now) + request.window;
    ensure!(grant.until == until, "until is {}, not {until}, the later of floor and now plus the window", grant.until);
    ensure!(grant.owner == request.owner, "the owner is {:?}, not {:?}", grant.owner, request.owner);
    Ok(())
}

fn renew(store: &dyn LeaseStore, grant: &Grant, until: u64) -> Result<Grant, String> {
    send(store, &Renewal::new(grant.clone(), until))
}

/// Renews, and checks what the store returns.
fn send(store: &dyn LeaseStore, renewal: &Renewal) -> Result<Grant, String> {
    let renewed = store.renew(renewal).map_err(|error| format!("a held lease cannot be renewed: {error}"))?;
    let expected = Grant { floor: renewed.floor, ..renewal.granted(renewed.until) };
    ensure!(renewed == expected, "the renewal {renewal:?} returned {renewed:?}");
    Ok(renewed)
}

fn release(store: &dyn LeaseStore, grant: &Grant, used_until: u64) -> Outcome {
    store.release(grant, used_until).map_err(|error| format!("a held node cannot be released: {error}"))
}

fn is_lost<T>(what: &str, answer: Result<T, LeaseError>) -> Outcome {
    match answer {
        Err(LeaseError::Lost { .. }) => Ok(()),
        Err(error) => Err(format!("{what} was answered otherwise than Lost: {error}")),
        Ok(_) => Err(format!("{what} was done")),
    }
}

/// Takes all nodes but those that are held.
fn exhaust(store: &dyn LeaseStore, fixture: &dyn Fixture) -> Result<Vec<Grant>, String> {
    let mut grants = Vec::new();
    loop {
        match store.acquire(&request(fixture.now(), WINDOW)) {
            Ok(grant) => grants.push(grant),
            Err(LeaseError::NoFreeNode { .. }) => return Ok(grants),
            Err(error) => return Err(format!("acquiring the last free node was answered otherwise: {error}")),
        }
        ensure!(grants.len() <= fixture.nodes(), "more than {} nodes were given out", fixture.nodes());
    }
}

/// Acquires the one node that is free, or about to be.
fn acquire_again(store: &dyn LeaseStore, fixture: &dyn Fixture, node: Node) -> Result<Grant, String> {
    let start = Instant::now();
    loop {
        match store.acquire(&request(fixture.now(), WINDOW)) {
            Ok(grant) => {
                ensure!(grant.node == node, "{:?} was given out, where only {node:?} is free", grant.node);
                return Ok(grant);
            }
            Err(LeaseError::NoFreeNode { .. }) if start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(format!("{node:?} does not become free: {error}")),
        }
    }
}

/// Holders have different nodes, whichever store they came by.
fn distinct(fixture: &dyn Fixture) -> Outcome {
    let (one, two) = (open(fixture)?, open(fixture)?);
    let mut nodes = BTreeSet::new();
    for turn in 0..8 {
        let grant = acquire(if turn % 2 == 0 { &*one } else { &*two }, fixture)?;
        ensure!(nodes.insert(grant.node), "{:?} has two holders", grant.node);
    }
    Ok(())
}

/// So they have if all acquire at once, also by one store.
fn concurrent(fixture: &dyn Fixture) -> Outcome {
    const THREADS: usize = 8;
    let stores: Vec<_> = (0..THREADS / 2).map(|_| open(fixture)).collect::<Result<_, _>>()?;
    let share = fixture.nodes() / THREADS;
    let grants = thread::scope(|scope| {
        let work = |thread: usize| {
            let store = &*stores[thread / 2];
            scope.spawn(move || (0..share).map(|_| acquire(store, fixture)).collect::<Result<Vec<_>, _>>())
        };
        let threads: Vec<_> = (0..THREADS).map(work).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or(Err("it panicked".into()));
        threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
    })?;
    let nodes: BTreeSet<Node> = grants.iter().flatten().map(|grant| grant.node).collect();
    let given = share * THREADS;
    ensure!(nodes.len() == given, "{given} acquires at once were given {} different nodes", nodes.len());
    Ok(())
}

/// Every node is given out, then none.
fn exhausted(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grants = exhaust(&*store, fixture)?;
    let nodes: BTreeSet<Node> = grants.iter().map(|grant| grant.node).collect();
    ensure!(nodes.len() == fixture.nodes(), "{} of {} nodes were given out", nodes.len(), fixture.nodes());
    match open(fixture)?.acquire(&request(fixture.now(), WINDOW)) {
        Err(LeaseError::NoFreeNode { .. }) => Ok(()),
        answer => Err(format!("with every node held an acquire was answered {answer:?}")),
    }
}

/// The same renewal twice is the same lease; the same release twice is a lost one.
fn idempotent(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    let until = grant.until + 1000;
    let renewal = Renewal::new(grant, until);
    let once = send(&*store, &renewal)?;
    ensure!(once.until == until, "a renewal to {until} was answered {}", once.until);
    let twice = send(&*store, &renewal)?;
    ensure!(once == twice, "the same renewal gave {once:?}, then {twice:?}");
    release(&*store, &twice, twice.floor)?;
    is_lost("a second release", store.release(&twice, twice.floor))
}

/// A renewal never shortens the window.
fn revert(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    let renewed = renew(&*store, &grant, grant.until - 1000)?;
    ensure!(renewed.until == grant.until, "a renewal shortened the window from {} to {}", grant.until, renewed.until);
    Ok(())
}

/// Neither a released grant, nor one with another token or owner, can be renewed or released.
fn lost(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    let until = grant.until + 1000;
    let stranger = Grant { owner: Owner { nonce: grant.owner.nonce ^ 1, ..grant.owner.clone() }, ..grant.clone() };
    let older = Grant { token: grant.token - 1, ..grant.clone() };
    let newer = Grant { token: grant.token + 1, ..grant.clone() };
    for (whose, other) in [("another owner's", &stranger), ("an older token's", &older)] {
        is_lost(&format!("{whose} renewal"), store.renew(&Renewal::new(other.clone(), until)))?;
        is_lost(&format!("{whose} release"), store.release(other, other.floor))?;
    }
    let renewed = renew(&*store, &grant, grant.until)?;
    ensure!(renewed.until == grant.until, "a renewal that was refused moved the window to {}", renewed.until);
    release(&*store, &renewed, grant.floor)?;
    is_lost("a renewal after the release", store.renew(&Renewal::new(grant, until)))?;
    // Last: to a store that did not give it out, it may be a sign that it has lost what it acknowledged.
    is_lost("a newer token's renewal", store.renew(&Renewal::new(newer.clone(), until)))?;
    is_lost("a newer token's release", store.release(&newer, newer.floor))
}

/// A stolen node is lost for the one it was stolen from.
fn stolen(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    if fixture.steal(grant.node) {
        is_lost("the renewal of a stolen node", store.renew(&Renewal::new(grant.clone(), grant.until + 1000)))?;
        is_lost("the release of a stolen node", store.release(&grant, grant.floor))?;
    }
    Ok(())
}

/// Of two copies of a holder, as a cloned machine has them, the first to renew goes on and the other one is lost.
fn copies(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    let until = grant.until + 1000;
    let first = renew(&*store, &grant, until)?;
    is_lost("the renewal of a copy", store.renew(&Renewal::new(grant.clone(), until)))?;
    is_lost("the release of a copy", store.release(&grant, grant.floor))?;
    // Copied again, and the other one is first.
    let second = renew(&*store, &first, until)?;
    is_lost("the renewal of a later copy", store.renew(&Renewal::new(first, until + 1000)))?;
    let renewed = renew(&*store, &second, second.until)?;
    ensure!(renewed.until == second.until, "a copy moved the window from {} to {}", second.until, renewed.until);
    release(&*store, &renewed, renewed.floor)
}

/// A renewal whose answer was lost is sent again with its nonce, whether or not the store has it; a copy is lost all the
/// same, before and after that.
fn lost_answer(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    let copy = Renewal::new(grant.clone(), grant.until + 3000);
    let sent = Renewal::new(grant.clone(), grant.until + 1000);
    send(&*store, &sent)?;
    is_lost("the renewal of a copy after an answer was lost", store.renew(&copy))?;
    let again = Renewal { until: grant.until + 2000, ..sent };
    let renewed = send(&*store, &again)?;
    ensure!(
        renewed.until == again.until,
        "a renewal to {} that was sent again returned {}",
        again.until,
        renewed.until
    );
    is_lost("the renewal of a copy after a retry", store.renew(&copy))?;
    let renewed = renew(&*store, &renewed, again.until + 1000)?;
    is_lost("a retry after the next renewal", store.renew(&again))?;
    release(&*store, &renewed, renewed.floor)
}

/// A renewal whose answer did not arrive is in the store: the next one, which knows nothing of it, is told so.
fn late_acknowledgement(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let grant = acquire(&*store, fixture)?;
    let renewal = Renewal::new(grant.clone(), grant.until + 5000);
    let stored = send(&*store, &renewal)?.until;
    let next = send(&*store, &Renewal { until: grant.until + 1000, ..renewal })?;
    ensure!(next.until == stored, "a window to {stored} was stored, and a later renewal answers {}", next.until);
    // A holder that knows only the old window gives the node back all the same.
    release(&*store, &Grant { until: grant.until, ..next }, grant.floor)
}

/// A place serves one epoch.
fn realm_mismatch(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    ensure!(store.epoch() == EPOCH, "it was opened for the epoch {EPOCH}, and says {}", store.epoch());
    match fixture.open(Epoch::DISCORD).map(|_| ()) {
        Err(LeaseError::RealmMismatch { .. }) => Ok(()),
        answer => Err(format!("opening it for another epoch was answered {answer:?}")),
    }
}

/// A clock far from the store's is refused, and stores nothing; one within the limit is not.
fn skew(fixture: &dyn Fixture) -> Outcome {
    let Some(max_skew) = fixture.max_skew() else { return Ok(()) };
    let max_skew = u64::try_from(max_skew.as_millis()).map_err(|error| error.to_string())?;
    let store = open(fixture)?;
    // Room for the time that a call takes.
    let (inside, outside) = (max_skew - max_skew / 4, max_skew + max_skew / 4);
    let now = fixture.now();
    for now in [now + outside, now - outside] {
        match store.acquire(&request(now, WINDOW)) {
            Err(LeaseError::ClockSkewed { .. }) => {}
            answer => return Err(format!("an acquire with a clock {outside} ms off was answered {answer:?}")),
        }
    }
    for now in [fixture.now() + inside, fixture.now() - inside] {
        let answer = store.acquire(&request(now, WINDOW));
        ensure!(answer.is_ok(), "an acquire with a clock {inside} ms off was answered {answer:?}");
    }
    let grant = acquire(&*store, fixture)?;
    // Further than a window can grow, wherever the store's own clock is.
    match store.renew(&Renewal::new(grant.clone(), grant.until + outside + 2 * WINDOW)) {
        Err(LeaseError::ClockSkewed { .. }) => {}
        answer => return Err(format!("a renewal by a clock {outside} ms ahead was answered {answer:?}")),
    }
    let renewed = renew(&*store, &grant, grant.until)?;
    ensure!(renewed.until == grant.until, "a renewal that was refused moved the window to {}", renewed.until);
    Ok(())
}

/// A window that starts ahead of the clock tells nothing of the holder's clock, and can be renewed as it is.
fn floor_ahead(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let held = exhaust(&*store, fixture)?;
    let grant = held.first().ok_or("it has no nodes")?;
    release(&*store, grant, grant.until)?;
    let next = acquire_again(&*store, fixture, grant.node)?;
    ensure!(next.floor == grant.until, "the floor after a release is {}, not {}", next.floor, grant.until);
    let renewed = renew(&*store, &next, next.until)?;
    ensure!(renewed.until == next.until, "a renewal moved the window from {} to {}", next.until, renewed.until);
    Ok(())
}

/// A node that is given back is free at once, and its next floor is what its holder has used.
fn release_and_reuse(fixture: &dyn Fixture) -> Outcome {
    let store = open(fixture)?;
    let held = exhaust(&*store, fixture)?;
    let grant = held.first().ok_or("it has no nodes")?;
    let used_until = grant.until - WINDOW + 5;
    release(&*store, grant, used_until)?;
    // By another store, as the holder's own might remember.
    let other = open(fixture)?;
    let next = other.acquire(&request(fixture.now(), WINDOW)).map_err(|error| format!("it is not free: {error}"))?;
    ensure!(next.node == grant.node, "{:?} was given out, where only {:?} is free", next.node, grant.node);
    ensure!(next.floor == used_until, "the floor after a release is {}, not {used_until}", next.floor);
    ensure!(next.token > grant.token, "the token fell from {} to {}", grant.token, next.token);
    is_lost("a renewal by the last holder", store.renew(&Renewal::new(grant.clone(), grant.until + 1000)))?;
    // Late, as after a long sleep.
    is_lost("a release by the last holder", store.release(grant, used_until))?;
    let renewed = renew(&*other, &next, next.until)?;
    ensure!(renewed.until == next.until, "the last holder moved the window to {}", renewed.until);
    Ok(())
}

/// The node of a holder that is gone becomes free, and its next floor is the end of the last window that was stored,
/// whether or not the holder learnt of it.
fn death(fixture: &dyn Fixture) -> Outcome {
    let dead = open(fixture)?;
    let request = request(fixture.now(), SHORT_WINDOW);
    let grant = dead.acquire(&request).map_err(|error| format!("a node cannot be acquired: {error}"))?;
    sound(&grant, &request)?;
    let until = renew(&*dead, &grant, grant.until + 50)?.until;
    drop(dead);
    let store = open(fixture)?;
    let mut others = exhaust(&*store, fixture)?;
    // The node itself may be among them, if it was found free at once.
    let next = match others.iter().position(|other| other.node == grant.node) {
        Some(index) => others.swap_remove(index),
        None => acquire_again(&*store, fixture, grant.node)?,
    };
    ensure!(next.floor == until, "the floor after a death is {}, not {until}", next.floor);
    ensure!(next.token > grant.token, "the token fell from {} to {}", grant.token, next.token);
    Ok(())
}
