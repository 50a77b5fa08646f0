//! The protocol: which file is written when.
//!
//! # Why the windows of a node do not overlap
//!
//! Each tenure of a node has a token and a record of its own, `node-PP-SS.TOKEN`; it is created by a link, which fails
//! if the name exists, so no two tenures share a token. Two rules, each a write and then a look:
//!
//! - An `until` is acknowledged only once it is in the tenure's record for good, and after that no later tenure is in
//!   the directory.
//! - The floor of a tenure is the largest `until` in the records of all earlier ones, read after its own is in the
//!   directory.
//!
//! So of any two tenures, either the later finds what the earlier has written, and starts there, or the earlier finds
//! the later, and is lost. The locks have no part in this: they say who may try, and whose holder is dead. If they do
//! not work, or somebody deletes a lock file, then leases are lost, and no ID is issued twice.
//!
//! # Why that holds through a crash
//!
//! "For good" is: write another file, sync it, give it the record's name, sync the directory. A crash leaves the old
//! record or the new one, whole. A step that fails makes the outcome unknown, and the next write says it all again: no
//! write is spared because the file looks right already, as what can be read need not have reached the disk. Earlier
//! records go only when the tenure's own is there for good, and its `until` is never below theirs.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::epoch::Epoch;
use crate::fork;
use crate::lease::file::disk::Disk;
use crate::lease::file::names::{self, Files};
use crate::lease::file::realm;
use crate::lease::file::record::Record;
use crate::lease::file::text::{read, unavailable, write};
use crate::lease::label::printable;
use crate::lease::realm::Realm;
use crate::lease::{Grant, LeaseError, NodeStatus, Renewal, Request};
use crate::node::Node;

/// A directory of nodes.
#[derive(Debug)]
pub(super) struct Store<D: Disk> {
    disk: D,
    dir: PathBuf,
    epoch: Epoch,
    /// Never locked across a file operation: a fork must not find it locked for long.
    held: Mutex<HashMap<Node, Held<D::Lock>>>,
    /// The process that opened it (see `fork::generation`).
    generation: u64,
}

/// A node that was acquired here.
#[derive(Debug)]
struct Held<L> {
    token: u64,
    nonce: u64,
    floor: u64,
    /// Locked for as long as it is there.
    _lock: L,
}

/// What earlier tenures have left of a node; zeros where there were none.
#[derive(Clone, Copy, Default)]
struct Past {
    token: u64,
    until: u64,
}

impl<D: Disk> Store<D> {
    /// Opens a directory for an epoch, and makes it one where there is none.
    pub(super) fn open(disk: D, dir: &Path, epoch: Epoch) -> Result<Self, LeaseError> {
        let mut found = realm::find(&disk, dir)?;
        if found.is_none() {
            realm::found(&disk, dir, epoch)?;
            // Another process may have been first, and with another epoch.
            found = realm::find(&disk, dir)?;
        }
        let realm = found.ok_or_else(|| realm::missing(dir))?;
        let store = Store::for_realm(disk, dir, &realm, epoch)?;
        // Whoever made the realm may have been killed just then, and no node's file may outlast it.
        store.sync_dir()?;
        Ok(store)
    }

    /// Opens a directory that there is, for whatever epoch it has.
    pub(super) fn existing(disk: D, dir: &Path) -> Result<Self, LeaseError> {
        let none = || LeaseError::Unavailable {
            doing: format!("looking for leases in {:?}", dir.display()),
            source: "there are none: it has no file `realm`; give the directory that leases are taken from".into(),
        };
        let realm = realm::find(&disk, dir)?.ok_or_else(none)?;
        Store::for_realm(disk, dir, &realm, realm.epoch)
    }

    fn for_realm(disk: D, dir: &Path, realm: &Realm, epoch: Epoch) -> Result<Self, LeaseError> {
        realm.check(epoch, &dir.display())?;
        fork::guard()?;
        Ok(Store { disk, dir: dir.into(), epoch, held: Mutex::default(), generation: fork::generation() })
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Takes a node: one whose floor has passed, else the one with the lowest floor. What cannot be read is passed
    /// over, and is the answer only if nothing else is free.
    pub(super) fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
        self.not_forked()?;
        let realm = realm::find(&self.disk, &self.dir)?.ok_or_else(|| realm::missing(&self.dir))?;
        realm.check(self.epoch, &self.dir.display())?;
        let files = self.files()?;
        let mut problem = None;
        let mut later = Vec::new();
        // Owners start at places of their own, so that processes that start together do not fight for one node.
        let start = request.owner.nonce % INDICES;
        for index in (start..INDICES).chain(0..start) {
            let node = node_at(index);
            // Not under a lock: good enough to choose by.
            match files.get(&node).map_or(Ok(Some(Past::default())), |files| self.past(node, &files.tokens)) {
                Ok(Some(past)) if past.until <= request.now => {
                    if let Some(grant) = self.try_take(node, request, &mut problem)? {
                        return Ok(grant);
                    }
                }
                Ok(past) => later.push((past.map_or(u64::MAX, |past| past.until), node)),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        later.sort_unstable();
        for (_, node) in later {
            if let Some(grant) = self.try_take(node, request, &mut problem)? {
                return Ok(grant);
            }
        }
        Err(problem.unwrap_or(LeaseError::NoFreeNode { nodes: Node::COUNT }))
    }

    /// Takes a node if it is free. A lock that cannot be had is one node's problem; failing to write is everyone's.
    pub(super) fn try_take(
        &self,
        node: Node,
        request: &Request,
        problem: &mut Option<LeaseError>,
    ) -> Result<Option<Grant>, LeaseError> {
        let path = names::lock(&self.dir, node);
        match self.disk.try_lock(&path) {
            Ok(Some(lock)) => self.take(node, lock, request),
            Ok(None) => Ok(None),
            Err(error) => {
                problem.get_or_insert_with(|| unavailable("locking", &path, error));
                Ok(None)
            }
        }
    }

    /// Takes a node under its lock; `None` if that did not keep others out.
    fn take(&self, node: Node, lock: D::Lock, request: &Request) -> Result<Option<Grant>, LeaseError> {
        let Some(before) = self.past(node, &self.files_of(node)?.tokens)? else { return Ok(None) };
        let Request { owner, now, window, .. } = request;
        // At the last token there is, the name exists.
        let token = before.token.saturating_add(1);
        let until = before.until.max(*now).saturating_add(*window);
        let label = printable(&owner.label);
        let temp = self.write(&Record { epoch: self.epoch, node, token, until, nonce: owner.nonce, label })?;
        let path = names::record(&self.dir, node, token);
        let linked = self.disk.link(&temp, &path);
        self.tidy(&temp);
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            linked => linked.map_err(|error| unavailable("creating", &path, error))?,
        }
        self.sync_dir()?;

        let Files { tokens, temps } = self.files_of(node)?;
        let Some((&last, earlier)) = tokens.split_last() else { return Ok(None) };
        let Some(after) = self.past(node, earlier)? else { return Ok(None) };
        let floor = after.until.max(before.until);
        if last != token || floor > until {
            return Ok(None);
        }
        for &token in earlier {
            self.tidy(&names::record(&self.dir, node, token));
        }
        for temp in temps {
            self.tidy(&self.dir.join(temp));
        }
        self.held().insert(node, Held { token, nonce: owner.nonce, floor, _lock: lock });
        Ok(Some(Grant { node, floor, until, token, owner: owner.clone() }))
    }

    pub(super) fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        self.not_forked()?;
        let grant = &renewal.grant;
        let floor = self.floor(grant, |nonce| renewal.is_by(nonce))?;
        let record = self.own(grant, |nonce| renewal.is_by(nonce))?;
        let until = record.until.max(renewal.until);
        self.replace(&Record { until, nonce: renewal.next_nonce, ..record })?;
        self.still_last(grant)?;
        if let Some(held) = self.held().get_mut(&grant.node) {
            held.nonce = renewal.next_nonce;
        }
        Ok(Grant { floor, ..renewal.granted(until) })
    }

    /// Gives a node back. The lock goes in any case: the caller is done with the node, and if the record could not be
    /// written, the old one rests the node for longer than it must.
    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        self.not_forked()?;
        let floor = self.floor(grant, |nonce| nonce == grant.owner.nonce)?;
        let held = self.held().remove(&grant.node);
        let record = self.own(grant, |nonce| nonce == grant.owner.nonce)?;
        self.replace(&Record { until: used_until.max(floor), ..record })?;
        drop(held);
        Ok(())
    }

    /// Every node that was ever used.
    pub(super) fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        let files = self.files()?;
        files
            .into_iter()
            .filter(|(_, files)| !files.tokens.is_empty())
            .map(|(node, files)| self.status(node, &files))
            .collect()
    }

    fn status(&self, node: Node, files: &Files) -> Result<NodeStatus, LeaseError> {
        let lock = names::lock(&self.dir, node);
        let held = self.disk.is_locked(&lock).map_err(|error| unavailable("looking at the lock", &lock, error))?;
        let label = String::new();
        let mut status =
            NodeStatus { node, held, until: 0, token: 0, owner_label: label, acquired: None, problem: None };
        for &token in &files.tokens {
            match self.record(node, token) {
                Ok(Some(Record { until, label, .. })) => {
                    status.until = status.until.max(until);
                    status.token = token;
                    status.owner_label = label;
                }
                // A later tenure has just removed it.
                Ok(None) => {}
                Err(error) => status.problem = Some(error.to_string()),
            }
        }
        Ok(status)
    }

    /// A child's store is a copy of its parent's: its grants are the parent's to write about.
    fn not_forked(&self) -> Result<(), LeaseError> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        let source = "it was opened before this process was forked: open it again".into();
        Err(LeaseError::Unavailable { doing: format!("using {}", self.dir.display()), source })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Node, Held<D::Lock>>> {
        // Nothing panics while it is locked, and each change is a single step.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The floor of a grant that is held here.
    fn floor(&self, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Result<u64, LeaseError> {
        match self.held().get(&grant.node) {
            Some(held) if held.token == grant.token && is_by(held.nonce) => Ok(held.floor),
            _ => Err(lost(grant, "is not held here under its token and by its owner")),
        }
    }

    /// The record of a grant, which no later tenure has followed.
    fn own(&self, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Result<Record, LeaseError> {
        self.still_last(grant)?;
        // If it is gone the lock stays: whoever takes the node now knows of no window.
        match self.record(grant.node, grant.token)? {
            Some(record) if is_by(record.nonce) => Ok(record),
            Some(record) => Err(lost(grant, &format!("is held by another owner, {}", record.label))),
            None => Err(lost(grant, "has no record any more")),
        }
    }

    fn still_last(&self, grant: &Grant) -> Result<(), LeaseError> {
        match self.files_of(grant.node)?.tokens.last() {
            Some(&token) if token > grant.token => {
                self.held().remove(&grant.node);
                Err(lost(grant, &format!("has a later tenure, with token {token}")))
            }
            _ => Ok(()),
        }
    }

    /// What the tenures with these tokens have left; `None` if one went away meanwhile, so another is taking the node.
    fn past(&self, node: Node, tokens: &[u64]) -> Result<Option<Past>, LeaseError> {
        let mut past = Past::default();
        for &token in tokens {
            let Some(record) = self.record(node, token)? else { return Ok(None) };
            past = Past { token, until: past.until.max(record.until) };
        }
        Ok(Some(past))
    }

    fn record(&self, node: Node, token: u64) -> Result<Option<Record>, LeaseError> {
        let path = names::record(&self.dir, node, token);
        let corrupt = |reason| {
            let (pid, seed) = (node.pid(), node.seed());
            let remedy = format!(
                "the node is left out until the file is deleted; do that only when the clock is past the time of every \
                 ID that was issued with pid {pid} and seed {seed}, as those may be issued again otherwise"
            );
            LeaseError::Corrupt { record: path.display().to_string(), reason, remedy }
        };
        let Some(record) = read::<Record>(&self.disk, &path, corrupt)? else { return Ok(None) };
        if (record.epoch, record.node, record.token) == (self.epoch, node, token) {
            Ok(Some(record))
        } else {
            Err(corrupt(format!("is the record of epoch {}, {:?}, token {}", record.epoch, record.node, record.token)))
        }
    }

    /// Puts a record in the place of the one that is there, for good.
    fn replace(&self, record: &Record) -> Result<(), LeaseError> {
        let temp = self.write(record)?;
        let path = names::record(&self.dir, record.node, record.token);
        self.disk.rename(&temp, &path).map_err(|error| {
            self.tidy(&temp);
            unavailable("replacing", &path, error)
        })?;
        self.sync_dir()
    }

    /// Writes a record to a file that has no name to be found by yet.
    fn write(&self, record: &Record) -> Result<PathBuf, LeaseError> {
        let temp = names::record_temp(&self.dir, record.node, record.nonce);
        // Not emptied: it may be a second name of the record.
        self.tidy(&temp);
        write(&self.disk, &temp, record).map(|()| temp)
    }

    /// Removes a file that is no longer of use. If that fails it does no harm, and the next tenure tries again.
    fn tidy(&self, path: &Path) {
        let _ = self.disk.remove(path);
    }

    fn sync_dir(&self) -> Result<(), LeaseError> {
        self.disk.sync_dir(&self.dir).map_err(|error| unavailable("syncing", &self.dir, error))
    }

    fn files(&self) -> Result<BTreeMap<Node, Files>, LeaseError> {
        let names = self.disk.list(&self.dir).map_err(|error| unavailable("listing", &self.dir, error))?;
        Ok(names::sort(names.iter().map(String::as_str)))
    }

    fn files_of(&self, node: Node) -> Result<Files, LeaseError> {
        Ok(self.files()?.remove(&node).unwrap_or_default())
    }
}

const INDICES: u64 = Node::COUNT as u64;

#[expect(clippy::cast_possible_truncation, reason = "an index is below 1024")]
fn node_at(index: u64) -> Node {
    Node::from_index(index as u16)
}

fn lost(grant: &Grant, how: &str) -> LeaseError {
    let Grant { node, token, .. } = grant;
    LeaseError::Lost { found: format!("pid {}, seed {}, token {token} {how}", node.pid(), node.seed()) }
}
