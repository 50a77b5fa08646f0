//! A lease store in memory that fails on demand.

#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pyflake::lease::{Grant, LeaseError, LeaseStore, Renewal, Request};
use pyflake::{Epoch, Node};

/// An epoch of its own: in a process a node of an epoch has one holder, so no test without a lease uses it.
pub(crate) const EPOCH: Epoch = Epoch::from_unix_millis(1_500_000_000_000);

/// What a store keeps of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) token: u64,
    pub(crate) until: u64,
    pub(crate) holder: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    nodes: Vec<Node>,
    pub(crate) rows: Mutex<BTreeMap<Node, Row>>,
    /// Nothing answers, and nothing is done.
    pub(crate) down: AtomicBool,
    /// Everything is done, and nothing answers.
    pub(crate) deaf: AtomicBool,
    /// How many calls have been made.
    pub(crate) calls: AtomicU64,
    /// How many of them returned `Lost`.
    pub(crate) lost: AtomicU64,
    /// How many renewals each call of `renew_all` had.
    pub(crate) batches: Mutex<Vec<usize>>,
    /// `renew_all` returns an outcome less than it had renewals.
    pub(crate) short: AtomicBool,
    /// The floors of grants are forgotten: the broken store of negative controls.
    pub(crate) forgetful: AtomicBool,
    /// When calls panic.
    pub(crate) panics: Mutex<Panics>,
    /// `renew` returns `Ok` and leaves the window as it is.
    pub(crate) stuck: AtomicBool,
    /// `acquire` returns `Resting` with this many milliseconds, unless that is 0.
    pub(crate) resting: AtomicU64,
}

/// When a store panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Panics {
    #[default]
    Never,
    /// Nothing is done before.
    Before,
    /// What was asked for is done before.
    After,
}

/// A store in memory; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct MemoryStore(pub(crate) Arc<Shared>);

impl MemoryStore {
    pub(crate) fn new(nodes: &[(u64, u64)]) -> Self {
        let nodes = nodes.iter().map(|&(pid, seed)| Node::new(pid, seed).unwrap()).collect();
        MemoryStore(Arc::new(Shared { nodes, ..Shared::default() }))
    }

    pub(crate) fn row(&self, node: Node) -> Row {
        self.0.rows.lock().unwrap().entry(node).or_default().clone()
    }

    pub(crate) fn steal(&self, node: Node) {
        let mut rows = self.0.rows.lock().unwrap();
        let row = rows.entry(node).or_default();
        row.token += 1;
        row.holder = Some(0);
    }

    /// Takes a holder for dead.
    pub(crate) fn bury(&self, node: Node) {
        self.0.rows.lock().unwrap().entry(node).or_default().holder = None;
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.0.deaf.store(deaf, Ordering::SeqCst);
    }

    pub(crate) fn set_panics(&self, panics: Panics) {
        *self.0.panics.lock().unwrap() = panics;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn panic_if(&self, when: Panics) {
        let panics = *self.0.panics.lock().unwrap();
        assert!(panics != when, "a bug in the store");
    }

    fn lost(&self) -> LeaseError {
        self.0.lost.fetch_add(1, Ordering::SeqCst);
        LeaseError::Lost { found: "another owner".into() }
    }

    fn reach(&self) -> Result<(), LeaseError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.panic_if(Panics::Before);
        if self.0.down.load(Ordering::SeqCst) { Err(unavailable()) } else { Ok(()) }
    }

    fn answer<T>(&self, rows: MutexGuard<'_, BTreeMap<Node, Row>>, answer: T) -> Result<T, LeaseError> {
        // The test's own lock, which a panic would poison.
        drop(rows);
        self.panic_if(Panics::After);
        if self.0.deaf.load(Ordering::SeqCst) { Err(unavailable()) } else { Ok(answer) }
    }
}

fn unavailable() -> LeaseError {
    LeaseError::Unavailable { doing: "asking the store".into(), source: "it does not answer".into() }
}

impl LeaseStore for MemoryStore {
    fn epoch(&self) -> Epoch {
        EPOCH
    }

    fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
        self.reach()?;
        let resting = self.0.resting.load(Ordering::SeqCst);
        if resting > 0 {
            let wait = Duration::from_millis(resting);
            return Err(LeaseError::Resting { wait, cause: "the store was restored".into() });
        }
        let mut rows = self.0.rows.lock().unwrap();
        for &node in &self.0.nodes {
            let row = rows.entry(node).or_default();
            if row.holder.is_none() {
                let floor = if self.0.forgetful.load(Ordering::SeqCst) { 0 } else { row.until };
                row.token += 1;
                row.holder = Some(request.owner.nonce);
                row.until = request.now.max(floor) + request.window;
                let (token, until, owner) = (row.token, row.until, request.owner.clone());
                return self.answer(rows, Grant { node, floor, until, token, owner });
            }
        }
        Err(LeaseError::NoFreeNode { nodes: self.0.nodes.len() })
    }

    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        self.reach()?;
        let mut rows = self.0.rows.lock().unwrap();
        let row = rows.entry(renewal.grant.node).or_default();
        if row.token != renewal.grant.token || !row.holder.is_some_and(|nonce| renewal.is_by(nonce)) {
            drop(rows);
            return Err(self.lost());
        }
        if !self.0.stuck.load(Ordering::SeqCst) {
            row.until = row.until.max(renewal.until);
        }
        row.holder = Some(renewal.next_nonce);
        let granted = renewal.granted(row.until);
        self.answer(rows, granted)
    }

    fn renew_all(&self, renewals: &[Renewal]) -> Vec<Result<Grant, LeaseError>> {
        self.0.batches.lock().unwrap().push(renewals.len());
        let mut outcomes: Vec<_> = renewals.iter().map(|renewal| self.renew(renewal)).collect();
        if self.0.short.load(Ordering::SeqCst) {
            outcomes.pop();
        }
        outcomes
    }

    fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        self.reach()?;
        let mut rows = self.0.rows.lock().unwrap();
        let row = rows.entry(grant.node).or_default();
        if row.token != grant.token || row.holder != Some(grant.owner.nonce) {
            drop(rows);
            return Err(self.lost());
        }
        row.holder = None;
        row.until = used_until;
        self.answer(rows, ())
    }
}
