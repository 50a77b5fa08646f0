//! A sequence of calls of a lease store, by holders that live, die, lag behind and are copied, against the contract of
//! `LeaseStore`. The store is a `FileStore` in a directory of its own; two processes have it open.

#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs, process};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pyflake::lease::{FileStore, Grant, LeaseError, LeaseStore, Owner, Renewal, Request};
use pyflake::{Epoch, Node};

/// A call, or what befalls a process. Grants and renewals are named by their place among all there ever were, so most of
/// them are out of date.
#[derive(Debug, Arbitrary)]
enum Step {
    /// A store looks for a free node from `start` on.
    Acquire {
        store: bool,
        start: u8,
        window: Number,
    },
    Renew {
        store: bool,
        grant: u8,
        more: Number,
    },
    /// The renewal is sent again, as after a timeout, and may ask for more.
    Resend {
        store: bool,
        renewal: u8,
        more: Number,
    },
    Release {
        store: bool,
        grant: u8,
        unused: Number,
    },
    /// The process of a store ends, and another one begins.
    Restart {
        store: bool,
    },
    /// The machine ends in the middle of a write to the record of a node.
    Tear {
        grant: u8,
        second_slot: bool,
        cut: u8,
    },
    /// The clock of all processes moves.
    Clock {
        forward: bool,
        by: Number,
    },
}

/// Mostly a few milliseconds, and at times any number.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Number {
    Small(u16),
    Any(u64),
}

impl Number {
    fn get(self) -> u64 {
        match self {
            Number::Small(number) => number.into(),
            Number::Any(number) => number,
        }
    }
}

const EPOCH: Epoch = Epoch::TWITTER;
const NOW: u64 = 1_700_000_000_000;

/// In memory where there is such a file system: nothing that is fuzzed depends on the disk.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    parent.join(format!("pyflake-fuzz-store-{}", process::id()))
});

fuzz_target!(|steps: Vec<Step>| {
    let _ = fs::remove_dir_all(&*DIR);
    let mut world = World::new();
    for step in steps.iter().take(48) {
        world.take(step);
        world.compare();
    }
    drop(world);
    fs::remove_dir_all(&*DIR).expect("it can be removed");
});

/// The state of a node by the contract.
#[derive(Debug, Default)]
struct Row {
    token: u64,
    /// The end of the last window that was acknowledged.
    until: u64,
    holder: Option<Holder>,
    /// Its record was torn, so the next floor may be later than it must.
    torn: bool,
}

#[derive(Debug)]
struct Holder {
    store: bool,
    nonce: u64,
    floor: u64,
}

struct World {
    stores: [FileStore; 2],
    rows: BTreeMap<Node, Row>,
    grants: Vec<Grant>,
    renewals: Vec<Renewal>,
    now: u64,
    /// Nonces are not drawn, so that a finding can be repeated; no two are the same.
    nonces: u64,
}

impl World {
    fn new() -> Self {
        let stores = [open(), open()];
        World { stores, rows: BTreeMap::new(), grants: vec![], renewals: vec![], now: NOW, nonces: 0 }
    }

    fn nonce(&mut self) -> u64 {
        self.nonces += 1024;
        self.nonces
    }

    fn store(&self, store: bool) -> &FileStore {
        &self.stores[usize::from(store)]
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Acquire { store, start, window } => self.acquire(store, start, window.get()),
            Step::Renew { store, grant, more } => {
                let Some(grant) = pick(&self.grants, grant) else { return };
                let until = grant.until.saturating_add(more.get());
                let renewal = Renewal { grant, until, next_nonce: self.nonce() };
                self.renew(store, renewal);
            }
            Step::Resend { store, renewal, more } => {
                let Some(mut renewal) = pick(&self.renewals, renewal) else { return };
                renewal.until = renewal.until.saturating_add(more.get());
                self.renew(store, renewal);
            }
            Step::Release { store, grant, unused } => {
                let Some(grant) = pick(&self.grants, grant) else { return };
                let used_until = grant.until.saturating_sub(unused.get());
                self.release(store, &grant, used_until);
            }
            Step::Restart { store } => {
                for row in self.rows.values_mut() {
                    row.holder.take_if(|holder| holder.store == store);
                }
                self.stores[usize::from(store)] = open();
            }
            Step::Tear { grant, second_slot, cut } => self.tear(grant, second_slot, cut),
            Step::Clock { forward, by } => {
                let by = by.get();
                self.now = if forward { self.now.saturating_add(by) } else { self.now.saturating_sub(by) };
            }
        }
    }

    fn acquire(&mut self, store: bool, start: u8, window: u64) {
        // A store begins its search at the nonce, by the number of nodes. Few beginnings, so that nodes come again.
        let nonce = self.nonce() + u64::from(start % 4);
        let owner = Owner { nonce, label: format!("owner {nonce}") };
        let request = Request { owner: owner.clone(), now: self.now, window, max_floor: u64::MAX };
        let grant = self.store(store).acquire(&request).expect("most nodes were never used");
        let row = self.rows.entry(grant.node).or_default();
        assert!(row.holder.is_none(), "{grant:?} is held: {row:?}");
        assert!(grant.floor == row.until || row.torn && grant.floor > row.until, "{grant:?} after {row:?}");
        assert!(grant.floor <= self.now, "{grant:?} must wait, and there are nodes that need not");
        assert!(grant.token > row.token, "{grant:?} after {row:?}");
        assert_eq!((grant.until, &grant.owner), (self.now.saturating_add(window), &owner));
        let holder = Holder { store, nonce, floor: grant.floor };
        *row = Row { token: grant.token, until: grant.until, holder: Some(holder), torn: false };
        self.grants.push(grant);
    }

    /// The row of a grant that is still its holder's; `None` if the store must say that it is lost.
    fn held(&mut self, store: bool, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Option<&mut Row> {
        let row = self.rows.get_mut(&grant.node)?;
        let holder = row.holder.as_ref()?;
        (holder.store == store && row.token == grant.token && is_by(holder.nonce)).then_some(row)
    }

    fn renew(&mut self, store: bool, renewal: Renewal) {
        let outcome = self.store(store).renew(&renewal);
        match self.held(store, &renewal.grant, |nonce| renewal.is_by(nonce)) {
            None => assert!(matches!(outcome, Err(LeaseError::Lost { .. })), "{renewal:?}: {outcome:?}"),
            Some(row) => {
                let renewed = outcome.unwrap_or_else(|error| panic!("{renewal:?} for {row:?}: {error}"));
                row.until = row.until.max(renewal.until);
                let holder = row.holder.as_mut().expect("it is held");
                holder.nonce = renewal.next_nonce;
                assert_eq!(renewed, Grant { floor: holder.floor, ..renewal.granted(row.until) });
                self.grants.push(renewed);
            }
        }
        self.renewals.push(renewal);
    }

    fn release(&mut self, store: bool, grant: &Grant, used_until: u64) {
        let outcome = self.store(store).release(grant, used_until);
        match self.held(store, grant, |nonce| nonce == grant.owner.nonce) {
            None => assert!(matches!(outcome, Err(LeaseError::Lost { .. })), "{grant:?}: {outcome:?}"),
            Some(row) => {
                outcome.unwrap_or_else(|error| panic!("{grant:?} for {row:?}: {error}"));
                let floor = row.holder.take().map_or(0, |holder| holder.floor);
                row.until = used_until.max(floor);
            }
        }
    }

    /// Overwrites a part of one slot in the record of a node that nobody holds.
    fn tear(&mut self, grant: u8, second_slot: bool, cut: u8) {
        let Some(Grant { node, .. }) = pick(&self.grants, grant) else { return };
        let Some(row) = self.rows.get_mut(&node).filter(|row| row.holder.is_none() && !row.torn) else { return };
        let path = DIR.join(format!("node-{:02}-{:02}.{}", node.pid(), node.seed(), row.token));
        let mut file = fs::read(&path).expect("the record of the last tenure is there");
        let begin = if second_slot { 4096 } else { 0 };
        file[begin + usize::from(cut) % 150..][..32].fill(0);
        fs::write(&path, file).expect("it can be written");
        row.torn = true;
    }

    /// Compares what the store says of all nodes with the contract.
    fn compare(&self) {
        let nodes = self.stores[0].nodes().expect("all records can be read");
        assert_eq!(nodes.len(), self.rows.len());
        for status in nodes {
            let row = &self.rows[&status.node];
            assert_eq!((status.token, status.held, &status.problem), (row.token, row.holder.is_some(), &None));
            assert!(status.until == row.until || row.torn && status.until > row.until, "{status:?} for {row:?}");
        }
    }
}

fn open() -> FileStore {
    FileStore::open(&*DIR, EPOCH).expect("the directory can be opened")
}

fn pick<T: Clone>(all: &[T], place: u8) -> Option<T> {
    // From the end: the latest ones are the interesting ones.
    all.iter().rev().nth(usize::from(place) % all.len().max(1)).cloned()
}
