//! The protocol: the order of all writes and reads.
//!
//! # The steps
//!
//! Each tenure of a node has a token and a record of its own, `node-PP-SS.TOKEN`. A record is created once, by a link,
//! which fails if the name exists. It is never replaced, and nobody but a later tenure deletes it.
//!
//! - **Acquire**: list the records; link the one with the next token; sync the directory. Then list again, and read all
//!   earlier records: the floor is the latest end in them. After that make the checks B and A of a renewal. Then delete
//!   the earlier records in the order of their tokens, and stop where that fails.
//! - **Renew**: overwrite the older slot of the own record, through the file that the holder keeps open; sync the file.
//!   Then check that (B) there is no record with the next token, and after that, that (A) the own name still stands for
//!   the own file. Only then acknowledge the new `until`.
//!
//! # Why the windows of a node do not overlap
//!
//! A listing may miss a name that is created or deleted meanwhile, and never misses a name that is there all the time.
//! No name is ever replaced, so two facts follow:
//!
//! - A tenure that is linked while an earlier record is there reads that record after its second listing, or the record
//!   was deleted by a tenure that is later still. That one was linked before, and deletes the records of both in the
//!   order of their tokens. So B finds a next token; or the next token was deleted too, after the own record, and A fails.
//! - The tokens of tenures follow each other. If any later tenure was linked before check B, then the next token was
//!   linked too. Either B finds it, or it was deleted. The own record was deleted before it, so A fails.
//!
//! So if B and A pass, every later tenure is linked after B, and reads what was written before B. The order matters: with
//! A before B, both names may be deleted in between.
//!
//! The locks have no part in this: they say who may try, and whose holder is dead. If locks do not work, or somebody
//! deletes a lock file, then leases are lost, and no ID is issued twice. A renewal checks that the lock file still has
//! its name, so that such a holder is lost before another one takes the node.
//!
//! # Why that holds through a crash
//!
//! A renewal overwrites the slot that was not acknowledged last, and syncs the file. So a crash leaves the old slot, the
//! new one, or a torn one, and always the acknowledged one: see the record for how the end of a window is known then.
//! After a failed sync the outcome is unknown, and the next renewal writes the same slot again: no write is spared
//! because the file looks right already, as what can be read need not have reached the disk. Earlier records are deleted
//! only when the tenure's own is there for good, and its `until` is never below theirs; so it does not matter which
//! deletions a crash keeps.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fork::Process;
use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::file::disk::{Disk, create, read, unavailable};
use crate::lease::file::names::Files;
use crate::lease::file::record::{Record, Slots};
use crate::lease::file::text::Text;
use crate::lease::file::{names, realm};
use crate::lease::label::printable;
use crate::lease::realm::Realm;
use crate::lease::status::NodeStatus;
use crate::lease::store::{Grant, Renewal, Request};

/// A directory of nodes.
#[derive(Debug)]
pub(super) struct Store<D: Disk> {
    disk: D,
    dir: PathBuf,
    epoch: Epoch,
    /// Never locked across a file operation: a fork must not find it locked for long.
    held: Mutex<HashMap<Node, Held<D>>>,
    /// The process that opened it.
    process: Process,
}

/// A node that was acquired here.
#[derive(Debug)]
struct Held<D: Disk> {
    token: u64,
    nonce: u64,
    floor: u64,
    /// The length of the window that was asked for: the `reach` of a record is that far beyond its `until`.
    window: u64,
    /// The count of the last write that was acknowledged.
    count: u64,
    /// The record.
    file: Arc<D::File>,
    /// Locked for as long as it is there.
    lock: Arc<D::Lock>,
    /// The last time that the lock file's own time was set.
    touched: Instant,
}

impl<D: Disk> Clone for Held<D> {
    fn clone(&self) -> Self {
        Held { file: Arc::clone(&self.file), lock: Arc::clone(&self.lock), ..*self }
    }
}

/// How often the lock file's time is set: programs that remove old files let them rest for days.
const TOUCH: Duration = Duration::from_secs(3600);

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
        let realm = realm::find(&disk, dir)?.ok_or_else(|| LeaseError::NotFound {
            store: format!("the file `realm` in {:?}", dir.display()),
            remedy: "give the directory that leases are taken from, or create a store with FileStore::open".into(),
        })?;
        Store::for_realm(disk, dir, &realm, realm.epoch)
    }

    fn for_realm(disk: D, dir: &Path, realm: &Realm, epoch: Epoch) -> Result<Self, LeaseError> {
        realm.check(epoch, &dir.display())?;
        Ok(Store { disk, dir: dir.into(), epoch, held: Mutex::default(), process: Process::current()? })
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
        let record = Record {
            epoch: self.epoch,
            node,
            token,
            count: 0,
            until,
            reach: until.saturating_add(*window),
            nonce: owner.nonce,
            label,
        };
        let temp = names::record_temp(&self.dir, node, owner.nonce);
        // Not emptied: it may be a second name of a record.
        self.tidy(&temp);
        let file = create(&self.disk, &temp, &record.both())?;
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
        // Checks B and A, after the floor was read.
        if last != token || floor > until || self.has_next(node, token)?.is_some() || !self.names(&path, &file)? {
            return Ok(None);
        }
        for &token in earlier {
            // A record that stays keeps the later ones: renewals rely on the order.
            match self.disk.remove(&names::record(&self.dir, node, token)) {
                Err(error) if error.kind() != ErrorKind::NotFound => break,
                _ => {}
            }
        }
        for temp in temps {
            self.tidy(&self.dir.join(temp));
        }
        let _ = self.disk.touch(&lock);
        let held = Held {
            token,
            nonce: owner.nonce,
            floor,
            window: *window,
            count: 1,
            file: Arc::new(file),
            lock: Arc::new(lock),
            touched: Instant::now(),
        };
        self.held().insert(node, held);
        Ok(Some(Grant { node, floor, until, token, owner: owner.clone() }))
    }

    pub(super) fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        self.not_forked()?;
        let grant = &renewal.grant;
        let held = self.held_by(grant, |nonce| renewal.is_by(nonce))?;
        self.check_lock(grant, &held)?;
        let slots = self.own(grant, |nonce| renewal.is_by(nonce))?;
        let until = slots.latest.until.max(renewal.until);
        let reach = until.saturating_add(held.window);
        self.write(grant, held.clone(), &slots, until, reach, renewal.next_nonce)?;
        self.check_next(grant)?;
        let path = names::record(&self.dir, grant.node, grant.token);
        if !self.names(&path, &held.file)? {
            return Err(lost(grant, GONE));
        }
        Ok(Grant { floor: held.floor, ..renewal.granted(until) })
    }

    /// Gives a node back. The lock goes in any case: the caller is done with the node, and if the record could not be
    /// written, the old one rests the node for longer than it must.
    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        self.not_forked()?;
        let is_by = |nonce| nonce == grant.owner.nonce;
        let held = self.held_by(grant, is_by)?;
        let slots = self.own(grant, is_by);
        // The lock goes once `held` is dropped. A caller whose last renewal had no answer tries its next nonce after `Lost`.
        if !matches!(slots, Err(LeaseError::Lost { .. })) {
            self.held().remove(&grant.node);
        }
        let until = used_until.max(held.floor);
        self.write(grant, held, &slots?, until, until, grant.owner.nonce)
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
                Ok(Some(slots)) => {
                    status.until = status.until.max(slots.end());
                    status.token = token;
                    status.owner_label = slots.latest.label;
                }
                // A later tenure has just removed it.
                Ok(None) => {}
                Err(error) => status.problem = Some(error.to_string()),
            }
        }
        Ok(status)
    }

    /// Ends a tenure without its holder; returns the holder's label, if there was one.
    ///
    /// A holder whose lock file has lost its name is `Lost` at its next renewal. As everywhere, the lock has no part in
    /// what keeps windows apart.
    pub(super) fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        self.not_forked()?;
        let files = self.files_of(node)?;
        let status = self.status(node, &files)?;
        if !status.held {
            return Ok(None);
        }
        let lock = names::lock(&self.dir, node);
        match self.disk.remove(&lock) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unavailable("removing", &lock, error)),
            _ => Ok(Some(status.owner_label)),
        }
    }

    /// A child's store is a copy of its parent's: its grants are the parent's to write about.
    fn not_forked(&self) -> Result<(), LeaseError> {
        if self.process.is_current() {
            return Ok(());
        }
        Err(LeaseError::Forked { store: self.dir.display().to_string() })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Node, Held<D>>> {
        // Nothing panics while it is locked, and each change is a single step.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A grant that is held here.
    fn held_by(&self, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Result<Held<D>, LeaseError> {
        match self.held().get(&grant.node) {
            Some(held) if held.token == grant.token && is_by(held.nonce) => Ok(held.clone()),
            _ => Err(lost(grant, "is not held here under its token and by its owner")),
        }
    }

    /// Checks that the lock file still has its name, and sets its time now and then.
    fn check_lock(&self, grant: &Grant, held: &Held<D>) -> Result<(), LeaseError> {
        let path = names::lock(&self.dir, grant.node);
        let named = self.disk.names_lock(&path, &held.lock);
        if !named.map_err(|error| unavailable("reading the metadata of", &path, error))? {
            // A directory that is gone may come back, with the lock in it.
            if !self.disk.exists(&self.dir).map_err(|error| unavailable("looking for", &self.dir, error))? {
                return Err(unavailable("looking for", &self.dir, ErrorKind::NotFound.into()));
            }
            self.held().remove(&grant.node);
            return Err(lost(grant, &format!("has no lock any more: {} was deleted or replaced", path.display())));
        }
        if held.touched.elapsed() > TOUCH
            && self.disk.touch(&held.lock).is_ok()
            && let Some(held) = self.held().get_mut(&grant.node)
        {
            held.touched = Instant::now();
        }
        Ok(())
    }

    /// The record of a grant, which no later tenure has followed.
    fn own(&self, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Result<Slots, LeaseError> {
        self.check_next(grant)?;
        // If it is gone the lock stays: whoever takes the node now knows of no window.
        match self.record(grant.node, grant.token)? {
            Some(slots) if is_by(slots.latest.nonce) => Ok(slots),
            Some(slots) => Err(lost(grant, &format!("is held by another owner, {}", slots.latest.label))),
            None => Err(lost(grant, GONE)),
        }
    }

    /// Checks that there is no record of the next tenure.
    fn check_next(&self, grant: &Grant) -> Result<(), LeaseError> {
        if let Some(next) = self.has_next(grant.node, grant.token)? {
            self.held().remove(&grant.node);
            return Err(lost(grant, &format!("has a later tenure, with token {next}")));
        }
        Ok(())
    }

    /// The token of the next tenure, if there is a record of it.
    fn has_next(&self, node: Node, token: u64) -> Result<Option<u64>, LeaseError> {
        // There is no tenure after the last token.
        let Some(next) = token.checked_add(1) else { return Ok(None) };
        let path = names::record(&self.dir, node, next);
        let exists = self.disk.exists(&path).map_err(|error| unavailable("looking for", &path, error))?;
        Ok(exists.then_some(next))
    }

    /// Makes this store a copy of another one, as it is in a copy of the other one's process.
    #[cfg(test)]
    pub(super) fn copy(&self, other: &Self) {
        self.held().clone_from(&other.held());
    }

    /// The same store, on another view of its disk.
    #[cfg(test)]
    pub(super) fn on(self, disk: D) -> Self {
        Store { disk, ..self }
    }

    fn names(&self, path: &Path, file: &D::File) -> Result<bool, LeaseError> {
        self.disk.names(path, file).map_err(|error| unavailable("reading the metadata of", path, error))
    }

    /// Writes a window to the record of a grant, for good.
    fn write(
        &self,
        grant: &Grant,
        mut held: Held<D>,
        slots: &Slots,
        until: u64,
        reach: u64,
        nonce: u64,
    ) -> Result<(), LeaseError> {
        // The slot that was acknowledged last: it stays while the other one is written.
        let Some(last) = slots.counted(held.count) else {
            return Err(self.corrupt(grant.node, grant.token, "lacks the slot that was written last".into()));
        };
        if until > last.reach {
            // The last write did not allow for that much, so the first of two says how far the second may go.
            let record = Record { count: held.count + 1, reach, ..last.clone() };
            self.write_slot(grant, &mut held, &record)?;
        }
        let record = Record { count: held.count + 1, until, reach, nonce, ..last.clone() };
        self.write_slot(grant, &mut held, &record)
    }

    fn write_slot(&self, grant: &Grant, held: &mut Held<D>, record: &Record) -> Result<(), LeaseError> {
        let written = self.disk.write(&held.file, record.offset(), record.to_text().as_bytes());
        written
            .and_then(|()| self.disk.sync(&held.file))
            .map_err(|error| unavailable("writing", &names::record(&self.dir, record.node, record.token), error))?;
        (held.count, held.nonce) = (record.count, record.nonce);
        // Not there if the node is given back.
        if let Some(kept) = self.held().get_mut(&grant.node).filter(|kept| kept.token == grant.token) {
            (kept.count, kept.nonce) = (record.count, record.nonce);
        }
        Ok(())
    }

    /// What the tenures with these tokens have left; `None` if one went away meanwhile, so another is taking the node.
    fn past(&self, node: Node, tokens: &[u64]) -> Result<Option<Past>, LeaseError> {
        let mut past = Past::default();
        for &token in tokens {
            let Some(record) = self.record(node, token)? else { return Ok(None) };
            past = Past { token, until: past.until.max(record.end()) };
        }
        Ok(Some(past))
    }

    fn record(&self, node: Node, token: u64) -> Result<Option<Slots>, LeaseError> {
        let path = names::record(&self.dir, node, token);
        let corrupt = |reason| self.corrupt(node, token, reason);
        let Some(slots) = read(&self.disk, &path, Slots::parse, corrupt)? else { return Ok(None) };
        let Record { epoch, node: of, token: number, .. } = slots.latest;
        if (epoch, of, number) == (self.epoch, node, token) {
            Ok(Some(slots))
        } else {
            Err(corrupt(format!("is the record of epoch {epoch}, {of:?}, token {number}")))
        }
    }

    fn corrupt(&self, node: Node, token: u64, reason: String) -> LeaseError {
        let (pid, seed) = (node.pid(), node.seed());
        let remedy = format!(
            "the node is left out until the file is deleted; do that only when the clock is past the time of every \
             ID that was issued with pid {pid} and seed {seed}, as those may be issued again otherwise"
        );
        let path = names::record(&self.dir, node, token);
        LeaseError::Corrupt { record: path.display().to_string(), reason, remedy }
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
    Node::at(index as u16)
}

const GONE: &str = "has no record any more: it was deleted, by hand or by a later tenure";

fn lost(grant: &Grant, how: &str) -> LeaseError {
    let Grant { node, token, .. } = grant;
    LeaseError::Lost { found: format!("pid {}, seed {}, token {token} {how}", node.pid(), node.seed()) }
}
