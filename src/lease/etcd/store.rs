//! The protocol: what is looked at, and what is compared before it changes.
//!
//! # Why the windows of a node do not overlap
//!
//! A node is a key, `pyflake/REALM/node/INDEX`, which stays. All that changes it compares its `mod_revision` with that of
//! the value it was made from, so changes are in one order, and each starts from the last. `until` rises with each
//! acquire and renewal; the floor of a grant is the `until` of the value that its own transaction has compared. A release
//! lowers it, and a renewal raises it, only while token and nonce are the caller's, that is before the next acquire. No
//! clock has a part in it: `pyflake/REALM/live/INDEX`, which goes with its etcd lease, says only who may try.
//!
//! That needs a cluster that keeps what it has acknowledged. Every change compares the realm's key too: once another
//! cluster, or a store that went back, is noticed there, tenures of the earlier `generation` change nothing.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::epoch::Epoch;
use crate::lease::etcd::keys::{self, ALL, Keys, Record, Tenure};
use crate::lease::etcd::link::{Answer, Call, Found, Link, delete, get, number, put, unchanged};
use crate::lease::label::printable;
use crate::lease::realm::check_window;
use crate::lease::{Grant, LeaseError, NodeStatus, Renewal, Request};
use crate::node::{Node, generate_seed};

/// A realm on a cluster.
#[derive(Debug)]
pub(super) struct Store {
    link: Link,
    name: String,
    keys: Keys,
    /// In milliseconds.
    max_skew: u64,
    seen: Mutex<Seen>,
}

/// The latest state that the cluster has shown: one before it means that it went back.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Empty before the first answer.
    cluster: String,
    revision: u64,
    generation: u64,
}

/// A node as a call finds it.
struct Look {
    record: Record,
    tenure: Tenure,
    live: Option<Found>,
    /// The server's clock.
    now: u64,
}

/// How often a change is tried that others get in the way of.
const ATTEMPTS: u32 = 8;

/// How many nodes are tried before it is looked again which are free.
const TRIES: usize = 16;

/// How many nodes an acquire looks at first: all are 32 times as much to read, and rarely needed.
const FEW: u16 = 32;

impl Store {
    pub(super) fn new(link: Link, name: String, max_skew: Duration) -> Self {
        let max_skew = u64::try_from(max_skew.as_millis()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        Store { link, keys: Keys::new(&name), name, max_skew, seen: Mutex::default() }
    }

    /// Makes sure of the realm, and makes it where it is missing.
    pub(super) fn open(&self, epoch: Epoch) -> Result<(), LeaseError> {
        let call = self.link.begin("opening the realm")?;
        for _ in 0..ATTEMPTS {
            let answer = self.look_at(call, &[])?;
            if let Some(record) = record(&answer)? {
                return record.realm.check(epoch, &self.place());
            }
            // Another process may be first, and with another epoch.
            self.write(call, &Record::new(epoch, answer.cluster))?;
        }
        Err(self.contended(call))
    }

    /// The epoch of a realm that there is.
    pub(super) fn existing(&self) -> Result<Epoch, LeaseError> {
        let answer = self.look_at(self.link.begin("opening the realm")?, &[])?;
        let realm = record(&answer)?.ok_or_else(|| self.missing())?.realm;
        realm.check(realm.epoch, &self.place()).map(|()| realm.epoch)
    }

    pub(super) fn acquire(&self, epoch: Epoch, request: &Request) -> Result<Grant, LeaseError> {
        check_window(request.window)?;
        let call = self.link.begin("acquiring a node")?;
        let mut lease = None;
        let granted = self.acquire_with(call, epoch, request, &mut lease);
        if let (Err(_), Some(lease)) = (&granted, lease) {
            self.revoke(call, lease);
        }
        granted
    }

    /// Acquires with an etcd lease, which is taken once there is a use for it.
    fn acquire_with(
        &self,
        call: Call,
        epoch: Epoch,
        request: &Request,
        lease: &mut Option<u64>,
    ) -> Result<Grant, LeaseError> {
        let mut span = few();
        for _ in 0..ATTEMPTS {
            let seen = self.seen().clone();
            let answer = self.look_at(call, &self.keys.look(&span))?;
            let Some(record) = self.sound(call, &answer, &seen)? else { continue };
            record.realm.check(epoch, &self.place())?;
            self.check_skew(request.now, answer.now, true)?;
            if record.longest_window < request.window {
                self.write(call, &Record { longest_window: request.window, ..record })?;
                continue;
            }
            let mut free = free(&answer, &span);
            let mut ready = free.partition_point(|(_, tenure)| tenure.until <= request.now);
            if ready == 0 && span != ALL {
                span = ALL;
                continue;
            }
            if free.is_empty() {
                return Err(LeaseError::NoFreeNode { nodes: Node::COUNT });
            }
            let held = match *lease {
                Some(held) => held,
                None => *lease.insert(self.take_lease(call, request.window)?),
            };
            let mut look = Look { record, tenure: Tenure::default(), live: None, now: answer.now };
            for turn in 0..TRIES.min(free.len()) {
                // The first; once others were quicker, any of those that need no wait.
                let chosen = if turn == 0 { 0 } else { chance(ready) };
                let (node, tenure) = free.remove(chosen);
                ready = ready.saturating_sub(1);
                look.tenure = tenure;
                if let Some(grant) = self.take(call, request, &look, node, held)? {
                    return Ok(grant);
                }
            }
            span = ALL;
        }
        Err(self.contended(call))
    }

    /// Takes a node as it was found; `None` if it has changed since.
    fn take(
        &self,
        call: Call,
        request: &Request,
        look: &Look,
        node: Node,
        lease: u64,
    ) -> Result<Option<Grant>, LeaseError> {
        let Look { record, tenure, now, .. } = look;
        let floor = tenure.until.max(record.rest);
        let taken = Tenure {
            until: floor.max(request.now).saturating_add(request.window),
            token: tenure.token + 1,
            nonce: Some(request.owner.nonce),
            label: printable(&request.owner.label),
            window: request.window,
            acquired: *now,
            generation: record.generation,
            revision: 0,
        };
        let (key, live) = (self.keys.node(node), self.keys.live(node));
        let compare = [unchanged(&key, tenure.revision), unchanged(&live, 0)];
        let then = [put(&key, &taken.write(), 0), put(&live, &json!(taken.token), lease)];
        let grant = Grant { node, floor, until: taken.until, token: taken.token, owner: request.owner.clone() };
        Ok(self.change(call, record, &compare, &then)?.then_some(grant))
    }

    pub(super) fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        let Renewal { grant, until, next_nonce } = renewal;
        let is_by = |nonce| renewal.is_by(nonce);
        let call = self.link.begin("renewing the lease")?;
        let known = self.seen().generation;
        for _ in 0..ATTEMPTS {
            let Some(Look { record, tenure, live, now }) = self.look_for(call, grant, is_by, known)? else { continue };
            tenure.check(grant, is_by, &record)?;
            if *until > tenure.until {
                // Only then it is from the holder's clock: a window that starts ahead of it is renewed as it is.
                self.check_skew(until.saturating_sub(tenure.window), now, false)?;
            }
            let (key, live_key) = (self.keys.node(grant.node), self.keys.live(grant.node));
            let until = tenure.until.max(*until);
            let renewed = Tenure { until, nonce: Some(*next_nonce), ..tenure.clone() };
            let mut compare = vec![unchanged(&key, tenure.revision)];
            let mut then = vec![put(&key, &renewed.write(), 0)];
            let alive = match &live {
                Some(live) => self.keep_alive(call, live.lease)?,
                None => false,
            };
            if !alive {
                // Taken for dead, but nobody has come: it is alive again. The key may be there for a moment more.
                let lease = self.take_lease(call, tenure.window)?;
                compare.push(unchanged(&live_key, live.map_or(0, |live| live.revision)));
                then.push(put(&live_key, &json!(tenure.token), lease));
            }
            if self.change(call, &record, &compare, &then)? {
                return Ok(renewal.granted(until));
            }
        }
        Err(self.contended(call))
    }

    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        let call = self.link.begin("releasing the node")?;
        let known = self.seen().generation;
        let is_by = |nonce| nonce == grant.owner.nonce;
        for _ in 0..ATTEMPTS {
            let Some(Look { record, tenure, live, .. }) = self.look_for(call, grant, is_by, known)? else { continue };
            tenure.check(grant, is_by, &record)?;
            let until = tenure.until.min(used_until.max(grant.floor));
            if self.end(call, &record, grant.node, &Tenure { until, nonce: None, ..tenure }, live)? {
                return Ok(());
            }
        }
        Err(self.contended(call))
    }

    /// Ends a tenure without its holder; answers the holder's label, if there was one.
    pub(super) fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        let call = self.link.begin("evicting a holder")?;
        let mut meant = None;
        for _ in 0..ATTEMPTS {
            let Some(Look { record, tenure, live, .. }) = self.look(call, node)? else { continue };
            // Whoever comes meanwhile is not the one that is known to be dead.
            if live.is_none() || tenure.nonce.is_none() || *meant.get_or_insert(tenure.token) != tenure.token {
                return Ok(None);
            }
            let label = tenure.label.clone();
            if self.end(call, &record, node, &Tenure { nonce: None, ..tenure }, live)? {
                return Ok(Some(label));
            }
        }
        Err(self.contended(call))
    }

    pub(super) fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        let answer = self.look_at(self.link.begin("looking at the nodes")?, &self.keys.look(&ALL))?;
        let record = record(&answer)?.ok_or_else(|| self.missing())?;
        let lives = lives(&answer);
        let status = |found: Found| {
            let node = keys::node(&found)?;
            let (tenure, problem) = match Tenure::read(&found) {
                Ok(tenure) => (tenure, None),
                Err(error) => (Tenure::default(), Some(error.to_string())),
            };
            Some(NodeStatus {
                node,
                held: lives.contains(&node) && (tenure.generation == record.generation || problem.is_some()),
                until: tenure.until.max(record.rest),
                token: tenure.token,
                owner_label: tenure.label,
                acquired: Some(tenure.acquired).filter(|acquired| *acquired != 0),
                problem,
            })
        };
        Ok(answer.range(1).into_iter().filter_map(status).collect())
    }

    /// Writes a tenure that is over, if its node is as it was found.
    fn end(
        &self,
        call: Call,
        record: &Record,
        node: Node,
        tenure: &Tenure,
        live: Option<Found>,
    ) -> Result<bool, LeaseError> {
        let key = self.keys.node(node);
        let then = [put(&key, &tenure.write(), 0), delete(&self.keys.live(node))];
        let done = self.change(call, record, &[unchanged(&key, tenure.revision)], &then)?;
        if let (true, Some(live)) = (done, live) {
            // Of no use without its key; it would end by itself.
            self.revoke(call, live.lease);
        }
        Ok(done)
    }

    /// Makes a change, if all that is compared holds, and the realm is as it was; whether it was made, and on the cluster
    /// that the realm is on.
    fn change(&self, call: Call, record: &Record, compare: &[Value], then: &[Value]) -> Result<bool, LeaseError> {
        let mut all = vec![unchanged(&self.keys.realm(), record.revision)];
        all.extend_from_slice(compare);
        let answer = self.link.transaction(call, &all, then)?;
        // What it compared was read before it, at an earlier revision.
        if answer.cluster != record.cluster || answer.revision < record.read_at {
            self.fence(call, record, &answer.cluster, answer.now)?;
            return Err(self.link.unavailable(call, "the store has lost what it had acknowledged".into()));
        }
        if answer.succeeded() {
            self.see(&answer, record.generation);
        }
        Ok(answer.succeeded())
    }

    /// A node; `None` if the realm had to be put right first.
    fn look(&self, call: Call, node: Node) -> Result<Option<Look>, LeaseError> {
        let seen = self.seen().clone();
        let answer = self.look_at(call, &self.keys.look_at(node))?;
        let Some(record) = self.sound(call, &answer, &seen)? else { return Ok(None) };
        let tenure = answer.range(1).first().map_or_else(|| Ok(Tenure::default()), Tenure::read)?;
        Ok(Some(Look { record, tenure, live: answer.range(2).pop(), now: answer.now }))
    }

    /// The same for the holder of a node, who knows what the cluster has acknowledged; `known` is the generation that the
    /// call began with.
    fn look_for(
        &self,
        call: Call,
        grant: &Grant,
        is_by: impl Fn(u64) -> bool,
        known: u64,
    ) -> Result<Option<Look>, LeaseError> {
        let Some(look) = self.look(call, grant.node)? else { return Ok(None) };
        if look.tenure.is_before(grant, is_by, &look.record, known) {
            self.fence(call, &look.record, &look.record.cluster, look.now)?;
            return Ok(None);
        }
        Ok(Some(look))
    }

    /// Reads the realm's key and others, at one moment.
    fn look_at(&self, call: Call, ranges: &[Value]) -> Result<Answer, LeaseError> {
        let mut then = vec![get(&self.keys.realm())];
        then.extend_from_slice(ranges);
        self.link.transaction(call, &[], &then)
    }

    /// The realm's key, if the store is the one that has kept it; else it is fenced.
    ///
    /// `seen` is from before the question, as answers overtake each other.
    fn sound(&self, call: Call, answer: &Answer, seen: &Seen) -> Result<Option<Record>, LeaseError> {
        let record = record(answer)?.ok_or_else(|| self.missing())?;
        let moved = !seen.cluster.is_empty() && answer.cluster != seen.cluster;
        let went_back = moved || answer.revision < seen.revision;
        // One that went back to a later generation was fenced since, by another process.
        if answer.cluster != record.cluster
            || went_back && record.generation <= seen.generation
            || record.generation < seen.generation
        {
            self.fence(call, &record, &answer.cluster, answer.now)?;
            return Ok(None);
        }
        self.see(answer, record.generation);
        Ok(Some(record))
    }

    /// Remembers an answer, unless a later one has overtaken it.
    fn see(&self, answer: &Answer, generation: u64) {
        let mut latest = self.seen();
        let later = answer.cluster == latest.cluster && answer.revision > latest.revision;
        if generation > latest.generation || generation == latest.generation && later {
            *latest = Seen { cluster: answer.cluster.clone(), revision: answer.revision, generation };
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every tenure, and lets every node rest until the windows have passed that may have been lost, by any clock
    /// that was admitted.
    fn fence(&self, call: Call, record: &Record, cluster: &str, now: u64) -> Result<(), LeaseError> {
        // Twice the skew, once for each clock, and what the server's clock was rounded by.
        let slack = self.max_skew.saturating_mul(2).saturating_add(1000);
        let rest = now.saturating_add(record.longest_window).saturating_add(slack).max(record.rest);
        // Later than all that anybody here has seen, of which the store may have lost some.
        let generation = record.generation.max(self.seen().generation).saturating_add(1);
        let answer = self.write(call, &Record { cluster: cluster.to_owned(), generation, rest, ..record.clone() })?;
        if answer.succeeded() {
            self.see(&answer, generation);
        }
        Ok(())
    }

    /// Writes the realm's key, unless it has changed since.
    fn write(&self, call: Call, record: &Record) -> Result<Answer, LeaseError> {
        let key = self.keys.realm();
        self.link.transaction(call, &[unchanged(&key, record.revision)], &[put(&key, &record.write(), 0)])
    }

    /// An etcd lease for the length of a window; etcd has a shortest one.
    fn take_lease(&self, call: Call, window: u64) -> Result<u64, LeaseError> {
        let ttl = window.div_ceil(1000).max(1);
        let (body, _) = self.link.post(call, "lease/grant", &json!({ "TTL": ttl.to_string() }))?;
        number(&body["ID"]).ok_or_else(|| self.link.unavailable(call, "the answer has no etcd lease".into()))
    }

    /// Whether there still was an etcd lease to keep alive.
    fn keep_alive(&self, call: Call, lease: u64) -> Result<bool, LeaseError> {
        let (body, _) = self.link.post(call, "lease/keepalive", &json!({ "ID": lease.to_string() }))?;
        Ok(number(&body["result"]["TTL"]).is_some_and(|ttl| ttl > 0))
    }

    /// Ends an etcd lease, if it can: else it ends by itself.
    fn revoke(&self, call: Call, lease: u64) {
        let _ = self.link.post(call, "lease/revoke", &json!({ "ID": lease.to_string() }));
    }

    /// Refuses a host's clock that is too far ahead of the server's, or, where that matters too, behind it.
    fn check_skew(&self, host: u64, server: u64, behind: bool) -> Result<(), LeaseError> {
        // The server's clock is rounded down to a second.
        let ahead = host.saturating_sub(server.saturating_add(999));
        let late = if behind { server.saturating_sub(host) } else { 0 };
        if ahead.max(late) <= self.max_skew {
            return Ok(());
        }
        Err(LeaseError::ClockSkewed { host, store: server, max_skew: Duration::from_millis(self.max_skew) })
    }

    fn place(&self) -> String {
        format!("the realm {:?} at {}", self.name, self.link.place())
    }

    fn missing(&self) -> LeaseError {
        let source = "there is none; EtcdStore::open makes it".into();
        LeaseError::Unavailable { doing: format!("looking for {}", self.place()), source }
    }

    fn contended(&self, call: Call) -> LeaseError {
        self.link.unavailable(call, "others have changed the keys each time".into())
    }
}

fn record(answer: &Answer) -> Result<Option<Record>, LeaseError> {
    answer.range(0).first().map(|found| Record::read(found, answer.revision)).transpose()
}

/// The nodes of a look whose holders live.
fn lives(answer: &Answer) -> BTreeSet<Node> {
    answer.range(2).iter().filter_map(keys::node).collect()
}

/// The nodes of a look that are not held, the smallest `until` first; of those with the same one, any first, so that
/// holders who come at once do not all try one. A node whose key cannot be read is passed over.
fn free(answer: &Answer, span: &Range<u16>) -> Vec<(Node, Tenure)> {
    let lives = lives(answer);
    let mut tenures: Vec<Option<Tenure>> = span.clone().map(|_| Some(Tenure::default())).collect();
    for found in answer.range(1) {
        let place = keys::node(&found).and_then(|node| node.index().checked_sub(span.start));
        if let Some(place) = place.and_then(|place| tenures.get_mut(usize::from(place))) {
            *place = Tenure::read(&found).ok();
        }
    }
    let chance = generate_seed(64).unwrap_or(1);
    let mut free: Vec<(Node, Tenure)> = span
        .clone()
        .zip(tenures)
        .filter_map(|(index, tenure)| Some((Node::from_index(index), tenure?)))
        .filter(|(node, _)| !lives.contains(node))
        .collect();
    let mixed = |node: Node| (u64::from(node.index()) + 1).wrapping_mul(chance | 1).rotate_left(32);
    free.sort_unstable_by_key(|(node, tenure)| (tenure.until, mixed(*node)));
    free
}

/// Some nodes to look at, by chance.
fn few() -> Range<u16> {
    let start = u16::try_from(chance(Node::COUNT)).unwrap_or(0) / FEW * FEW;
    start..start + FEW
}

/// A number below `n`; 0 where there is none, or no entropy.
fn chance(n: usize) -> usize {
    let n = u64::try_from(n).unwrap_or(0);
    usize::try_from(generate_seed(64).unwrap_or(0).checked_rem(n).unwrap_or(0)).unwrap_or(0)
}
