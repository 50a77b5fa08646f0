//! The checks of `lease::conformance`: the directory passes them, and for each check there is a store that fails it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pyflake::lease::conformance::{Fixture, assert_conforms, checks};
use pyflake::lease::{FileStore, Grant, LeaseError, LeaseStore, Renewal, Request};
use pyflake::{Epoch, Node};

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Directory(std::env::temp_dir().join(format!("pyflake-conformance-{}-{number}", std::process::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Fixture for Directory {
    fn open(&self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, LeaseError> {
        Ok(Box::new(FileStore::open(&self.0, epoch)?))
    }

    /// Begins a later tenure, as a process does for which the lock does not work.
    fn steal(&self, node: Node) -> bool {
        let name = |token| self.0.join(format!("node-{:02}-{:02}.{token}", node.pid(), node.seed()));
        std::fs::hard_link(name(1), name(2)).unwrap();
        true
    }
}

#[test]
fn a_directory_conforms() {
    assert_conforms(Directory::new);
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Each store looks at a copy of its own.
    Apart,
    /// Looks, and takes later: two who do so at once take one node.
    Race,
    /// Starts again when every node is held.
    NeverFull,
    /// Adds to the window at each renewal.
    Adds,
    /// Takes what is asked for, also if it is earlier.
    Reverts,
    /// Looks at the token alone.
    AnyOwner,
    /// Looks at the owner alone.
    AnyToken,
    /// Looks at who asks once a lease is stolen, and at nothing before.
    Trusts,
    /// Leaves the nonce as it is at a renewal.
    SameNonce,
    /// Takes the next nonce, and refuses a renewal that is sent again.
    OnceOnly,
    /// Returns what was asked for, and not what is stored.
    Echoes,
    /// Serves any epoch.
    AnyEpoch,
    /// Believes any clock.
    AnyClock,
    /// Takes a window that starts late for a clock that is ahead.
    BlamesTheClock,
    /// Forgets what was used when a node is given back.
    Forgets,
    /// Starts a dead holder's node at once.
    Buries,
}

#[derive(Clone, Debug, Default)]
struct Row {
    token: u64,
    until: u64,
    expires: u64,
    window: u64,
    holder: Option<u64>,
}

type Rows = Arc<Mutex<BTreeMap<u16, Row>>>;

/// A place in memory, with a fault.
struct Memory {
    rows: Rows,
    epoch: Mutex<Option<Epoch>>,
    fault: Fault,
}

#[derive(Debug)]
struct MemoryStore {
    rows: Rows,
    epoch: Epoch,
    fault: Fault,
}

const NODES: u16 = 64;
const MAX_SKEW: u64 = 10_000;

impl Memory {
    fn new(fault: Fault) -> Self {
        Memory { rows: Rows::default(), epoch: Mutex::default(), fault }
    }
}

impl Fixture for Memory {
    fn open(&self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, LeaseError> {
        let stored = *self.epoch.lock().unwrap().get_or_insert(epoch);
        if stored != epoch && self.fault != Fault::AnyEpoch {
            let (stored, asked) = (stored.to_string(), epoch.to_string());
            return Err(LeaseError::RealmMismatch { store: "memory".into(), stored, asked });
        }
        let rows = if self.fault == Fault::Apart { Rows::default() } else { self.rows.clone() };
        Ok(Box::new(MemoryStore { rows, epoch, fault: self.fault }))
    }

    fn nodes(&self) -> usize {
        NODES.into()
    }

    fn steal(&self, node: Node) -> bool {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&node.index()).unwrap();
        row.token += 1;
        row.holder = Some(0);
        true
    }

    fn max_skew(&self) -> Option<Duration> {
        Some(Duration::from_millis(MAX_SKEW))
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

impl MemoryStore {
    fn admit(&self, host: u64, ahead_only: bool) -> Result<(), LeaseError> {
        let store = now();
        let off = if ahead_only { host.saturating_sub(store) } else { host.abs_diff(store) };
        if off <= MAX_SKEW || self.fault == Fault::AnyClock {
            return Ok(());
        }
        Err(LeaseError::ClockSkewed { host, store, max_skew: Duration::from_millis(MAX_SKEW) })
    }

    fn owns(&self, row: &Row, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Result<(), LeaseError> {
        let token = row.token == grant.token || self.fault == Fault::AnyToken;
        let owner = row.holder.is_some_and(is_by) || (self.fault == Fault::AnyOwner && row.holder.is_some());
        if (token && owner) || (self.fault == Fault::Trusts && row.holder == Some(0)) {
            return Ok(());
        }
        Err(LeaseError::Lost { found: "another owner".into() })
    }
}

impl LeaseStore for MemoryStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
        self.admit(request.now, false)?;
        let mut rows = self.rows.lock().unwrap();
        let free = |rows: &BTreeMap<u16, Row>, index| {
            rows.get(&index).is_none_or(|row: &Row| row.holder.is_none() || row.expires <= now())
        };
        let found = (0..NODES).find(|&index| free(&rows, index));
        let index = match found {
            Some(index) => index,
            None if self.fault == Fault::NeverFull => 0,
            None => return Err(LeaseError::NoFreeNode { nodes: NODES.into() }),
        };
        if self.fault == Fault::Race {
            drop(rows);
            thread::sleep(Duration::from_millis(1));
            rows = self.rows.lock().unwrap();
        }
        let row = rows.entry(index).or_default();
        let floor = if self.fault == Fault::Buries && row.holder.is_some() { request.now } else { row.until };
        row.token += 1;
        row.holder = Some(request.owner.nonce);
        row.window = request.window;
        row.until = request.now.max(floor) + request.window;
        row.expires = now() + request.window;
        let node = Node::from_index(index.into()).unwrap();
        Ok(Grant { node, floor, until: row.until, token: row.token, owner: request.owner.clone() })
    }

    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        let Renewal { grant, until, next_nonce } = renewal;
        let until = *until;
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&grant.node.index()).unwrap();
        self.owns(row, grant, |nonce| match self.fault {
            Fault::OnceOnly => nonce == grant.owner.nonce,
            _ => renewal.is_by(nonce),
        })?;
        if until > row.until || self.fault == Fault::BlamesTheClock {
            self.admit(until - row.window, true)?;
        }
        if self.fault != Fault::SameNonce {
            row.holder = Some(*next_nonce);
        }
        row.expires = now() + row.window;
        row.until = match self.fault {
            Fault::Reverts => until,
            Fault::Adds if until > grant.until => row.until + (until - grant.until),
            _ => row.until.max(until),
        };
        let until = if self.fault == Fault::Echoes { until.max(grant.until) } else { row.until };
        Ok(renewal.granted(until))
    }

    fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&grant.node.index()).unwrap();
        self.owns(row, grant, |nonce| nonce == grant.owner.nonce)?;
        row.holder = None;
        row.until = if self.fault == Fault::Forgets { 0 } else { used_until.max(grant.floor) };
        Ok(())
    }
}

#[test]
fn a_sound_store_conforms() {
    assert_conforms(|| Memory::new(Fault::None));
}

#[test]
fn negative_control_every_check_fails_a_store_with_its_fault() {
    let faults = [
        ("distinct", Fault::Apart),
        ("concurrent", Fault::Race),
        ("exhausted", Fault::NeverFull),
        ("idempotent", Fault::Adds),
        ("revert", Fault::Reverts),
        ("lost", Fault::AnyOwner),
        ("lost", Fault::AnyToken),
        ("stolen", Fault::Trusts),
        ("copies", Fault::SameNonce),
        ("lost answer", Fault::OnceOnly),
        ("late acknowledgement", Fault::Echoes),
        ("realm mismatch", Fault::AnyEpoch),
        ("skew", Fault::AnyClock),
        ("floor ahead", Fault::BlamesTheClock),
        ("release and reuse", Fault::Forgets),
        ("death", Fault::Buries),
    ];
    for check in checks() {
        let mut faults = faults.iter().filter(|(name, _)| *name == check.name()).peekable();
        assert!(faults.peek().is_some(), "{check:?} has no negative control");
        for (_, fault) in faults {
            let failure = check.run(&Memory::new(*fault)).expect_err(&format!("{check:?} passes {fault:?}"));
            println!("{}, {fault:?}: {failure}", check.name());
        }
    }
}

#[test]
#[should_panic(expected = "the store does not keep the contract of LeaseStore:\nlate acknowledgement: ")]
fn what_fails_is_told() {
    assert_conforms(|| Memory::new(Fault::Echoes));
}
