//! The latest state that a store has seen: a renewal is made from it, and a cluster that shows less went back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::whole_millis;
use crate::id::Node;
use crate::lease::etcd::keys::{Record, Tenure};
use crate::lease::etcd::link::Answer;

/// The latest state of a cluster; shared by all calls of a store.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    record: Option<Record>,
    /// The longest window that any realm's key had, or that this store was asked for.
    longest_window: u64,
    /// The server's clock, and when it was read.
    clock: Option<(u64, Instant)>,
    /// The tenures of this store's callers, and when each was stored.
    tenures: BTreeMap<Node, (Tenure, Instant)>,
}

/// The latest state by its numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Empty before the first answer.
    cluster: String,
    revision: u64,
    pub(super) generation: u64,
}

impl Seen {
    /// Why an answer shows that the cluster has lost changes that it had acknowledged; `None` if it
    /// does not.
    ///
    /// `self` is from before the request, as answers overtake each other.
    pub(super) fn lost(&self, answer: &Answer, record: &Record) -> Option<&'static str> {
        let moved = !self.cluster.is_empty() && answer.cluster != self.cluster;
        // A cluster that went back to a later generation was fenced since, by another process.
        let unfenced = record.generation <= self.generation;
        if answer.cluster != record.cluster || moved && unfenced {
            Some("the cluster is another one")
        } else if answer.revision < self.revision && unfenced || record.generation < self.generation {
            Some("the cluster went back to an earlier state")
        } else {
            None
        }
    }
}

/// A node as a call finds it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) record: Record,
    pub(super) tenure: Tenure,
    /// The server's clock, in Unix milliseconds.
    pub(super) now: u64,
    /// Milliseconds since this store has stored the tenure; 0 if it has not.
    pub(super) elapsed: u64,
    /// Whether it was read in this call: else it is from memory, and others may have changed it.
    pub(super) fresh: bool,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    /// Remembers an answer and the realm's key in it, unless a later one has overtaken it.
    pub(super) fn see(&self, answer: &Answer, record: &Record) {
        let mut state = self.state();
        let State { seen, longest_window, .. } = &mut *state;
        *longest_window = record.longest_window.max(*longest_window);
        let later = answer.cluster == seen.cluster && answer.revision >= seen.revision;
        let fenced = record.generation > seen.generation;
        if fenced || record.generation == seen.generation && later {
            *seen = Seen { cluster: answer.cluster.clone(), revision: answer.revision, generation: record.generation };
            state.record = Some(record.clone());
            state.clock = Some((answer.now, Instant::now()));
            if fenced {
                state.tenures.clear();
            }
        }
    }

    /// Remembers a window that was asked for; it may be stored, and lost with the cluster's last
    /// changes.
    pub(super) fn asked(&self, window: u64) {
        let mut state = self.state();
        state.longest_window = state.longest_window.max(window);
    }

    pub(super) fn longest_window(&self) -> u64 {
        self.state().longest_window
    }

    /// Remembers a tenure that was stored.
    pub(super) fn keep(&self, node: Node, tenure: Tenure) {
        let mut state = self.state();
        if tenure.nonce.is_some() {
            state.tenures.insert(node, (tenure, Instant::now()));
        } else {
            state.tenures.remove(&node);
        }
    }

    /// A node as it was when this store stored its tenure.
    pub(super) fn look(&self, node: Node) -> Option<Look> {
        let state = self.state();
        let (tenure, stored) = state.tenures.get(&node)?;
        let (now, read) = state.clock?;
        Some(Look {
            record: state.record.clone()?,
            tenure: tenure.clone(),
            now: now.saturating_add(whole_millis(read.elapsed())),
            elapsed: whole_millis(stored.elapsed()),
            fresh: false,
        })
    }

    /// Milliseconds since this store has stored a tenure of a node; 0 if it has not.
    pub(super) fn elapsed(&self, node: Node, token: u64) -> u64 {
        match self.state().tenures.get(&node) {
            Some((tenure, stored)) if tenure.token == token => whole_millis(stored.elapsed()),
            _ => 0,
        }
    }
}
