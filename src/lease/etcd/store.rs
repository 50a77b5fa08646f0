//! The protocol: which keys there are, and what is compared before they change.
//!
//! # Why the windows of a node do not overlap
//!
//! A node is a key, `PREFIX/node/INDEX`, which stays. All that changes it compares its `mod_revision` with that of the
//! value it was made from, so changes are in one order, and each starts from the last. `until` rises with each acquire
//! and renewal; the floor of a grant is the `until` of the value that its own transaction has compared. A release lowers
//! it, and a renewal raises it, only while token and nonce are the caller's, that is before the next acquire. No clock has
//! a part in it: `PREFIX/live/INDEX`, which goes with its etcd lease, says only who may try.
//!
//! That needs a cluster that keeps what it has acknowledged. Every change compares the realm's key too: once another
//! cluster, or a store that went back, is noticed there, tenures of the earlier `generation` change nothing.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::epoch::Epoch;
use crate::lease::etcd::link::{Answer, Found, Link, delete, get, get_all, number, put, unchanged};
use crate::lease::label::printable;
use crate::lease::realm::Realm;
use crate::lease::{Grant, LeaseError, NodeStatus, Request};
use crate::node::{Node, generate_seed};

/// A realm on a cluster.
#[derive(Debug)]
pub(super) struct Store {
    link: Link,
    name: String,
    prefix: String,
    max_skew: u64,
    seen: Mutex<Seen>,
}

/// The latest state that the cluster has shown: one before it means that it went back.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    revision: u64,
    generation: u64,
}

/// The realm's key.
#[derive(Clone, Debug)]
struct Record {
    realm: Realm,
    /// The cluster that keeps it.
    cluster: String,
    longest_window: u64,
    /// Rises when windows may have been lost: tenures of an earlier one are over.
    generation: u64,
    /// No node has an earlier floor.
    rest: u64,
    revision: u64,
    /// The revision of the cluster when it was read.
    read_at: u64,
}

/// A node's key; all zero where there is none yet.
#[derive(Clone, Debug, Default)]
struct Tenure {
    until: u64,
    token: u64,
    /// `None`: it was given back.
    nonce: Option<u64>,
    label: String,
    window: u64,
    acquired: u64,
    generation: u64,
    revision: u64,
}

/// A node as a call finds it.
struct Look {
    record: Record,
    tenure: Tenure,
    live: Option<Found>,
    now: u64,
}

/// How often a change is tried that others get in the way of.
const ATTEMPTS: u32 = 8;

/// How many nodes are tried before it is looked again which are free.
const TRIES: usize = 16;

/// How much longer than one answer an acquire may take in all: it looks, takes an etcd lease, and may find that others
/// are faster.
const PATIENCE: u32 = 4;

impl Store {
    pub(super) fn new(link: Link, name: String, max_skew: Duration) -> Self {
        let prefix = format!("pyflake/{name}");
        let max_skew = u64::try_from(max_skew.as_millis()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        Store { link, name, prefix, max_skew, seen: Mutex::default() }
    }

    /// Makes sure of the realm, and makes it where it is missing.
    pub(super) fn open(&self, epoch: Epoch) -> Result<(), LeaseError> {
        for _ in 0..ATTEMPTS {
            let answer = self.look_at("looking for the realm", self.link.deadline(), &[])?;
            if let Some(record) = Store::record(&answer)? {
                return record.realm.check(epoch, &self.place());
            }
            let record = Record {
                realm: Realm::new(epoch),
                cluster: answer.cluster,
                longest_window: 0,
                generation: 1,
                rest: 0,
                revision: 0,
                read_at: 0,
            };
            // Another process may be first, and with another epoch.
            self.write(&record)?;
        }
        Err(self.contended("founding the realm"))
    }

    /// The epoch of a realm that there is.
    pub(super) fn existing(&self) -> Result<Epoch, LeaseError> {
        let answer = self.look_at("looking for the realm", self.link.deadline(), &[])?;
        let record = Store::record(&answer)?.ok_or_else(|| self.missing())?;
        record.realm.check(record.realm.epoch, &self.place()).map(|()| record.realm.epoch)
    }

    pub(super) fn acquire(&self, epoch: Epoch, request: &Request) -> Result<Grant, LeaseError> {
        const DOING: &str = "acquiring a node";
        let end = self.patience();
        let mut lease = None;
        let granted = self.acquire_before(DOING, end, epoch, request, &mut lease);
        if let (Err(_), Some(lease)) = (&granted, lease) {
            self.revoke(lease);
        }
        granted
    }

    fn acquire_before(
        &self,
        doing: &str,
        end: Instant,
        epoch: Epoch,
        request: &Request,
        lease: &mut Option<u64>,
    ) -> Result<Grant, LeaseError> {
        for _ in 0..ATTEMPTS {
            let seen = *self.seen();
            let ranges = [get_all(&self.key("node"), false), get_all(&self.key("live"), true)];
            let answer = self.look_at(doing, self.link.deadline().min(end), &ranges)?;
            let Some(record) = self.sound(&answer, seen)? else { continue };
            record.realm.check(epoch, &self.place())?;
            self.check_skew(request.now, answer.now, true)?;
            if record.longest_window < request.window {
                self.write(&Record { longest_window: request.window, ..record })?;
                continue;
            }
            let mut free = Store::free(&answer);
            if free.is_empty() {
                return Err(LeaseError::NoFreeNode { nodes: Node::COUNT });
            }
            let held = match *lease {
                Some(held) => held,
                None => *lease.insert(self.take_lease(self.link.deadline().min(end), request.window)?),
            };
            for turn in 0..TRIES.min(free.len()) {
                let (node, tenure) = free.remove(choose(&free, request.now, turn));
                if let Some(grant) = self.take(doing, end, request, &record, node, &tenure, held, answer.now)? {
                    return Ok(grant);
                }
            }
        }
        Err(self.contended(doing))
    }

    /// The nodes that are not held, the smallest `until` first; of those with the same one, any first, so that holders
    /// who come at once do not all try one. A node whose key cannot be read is passed over.
    fn free(answer: &Answer) -> Vec<(Node, Tenure)> {
        let mut tenures: Vec<Option<Tenure>> = vec![Some(Tenure::default()); Node::COUNT];
        for found in answer.range(1) {
            if let Some(place) = index(&found).and_then(|index| tenures.get_mut(index)) {
                *place = Tenure::read(&found);
            }
        }
        let held: BTreeSet<usize> = answer.range(2).iter().filter_map(index).collect();
        let chance = generate_seed(64).unwrap_or(1);
        let mut free: Vec<(Node, Tenure)> = (0u64..)
            .zip(tenures)
            .filter(|(index, _)| usize::try_from(*index).is_ok_and(|index| !held.contains(&index)))
            .filter_map(|(index, tenure)| Some((Node::with_index(index).ok()?, tenure?)))
            .collect();
        let mixed = |node: Node| (u64::from(node.index()) + 1).wrapping_mul(chance | 1).rotate_left(32);
        free.sort_unstable_by_key(|(node, tenure)| (tenure.until, mixed(*node)));
        free
    }

    /// Takes a node as it was found; `None` if it has changed since.
    #[expect(clippy::too_many_arguments, reason = "it is one step of acquire")]
    fn take(
        &self,
        doing: &str,
        end: Instant,
        request: &Request,
        record: &Record,
        node: Node,
        tenure: &Tenure,
        lease: u64,
        acquired: u64,
    ) -> Result<Option<Grant>, LeaseError> {
        let floor = tenure.until.max(record.rest);
        let taken = Tenure {
            until: floor.max(request.now).saturating_add(request.window),
            token: tenure.token + 1,
            nonce: Some(request.owner.nonce),
            label: printable(&request.owner.label),
            window: request.window,
            acquired,
            generation: record.generation,
            revision: 0,
        };
        let (key, live) = (self.node_key("node", node), self.node_key("live", node));
        let compare =
            [unchanged(&self.key_of_realm(), record.revision), unchanged(&key, tenure.revision), unchanged(&live, 0)];
        let then = [put(&key, &taken.write(), 0), put(&live, &json!(taken.token), lease)];
        let answer = self.link.transaction(doing, self.link.deadline().min(end), &compare, &then)?;
        let grant = Grant { node, floor, until: taken.until, token: taken.token, owner: request.owner.clone() };
        Ok(self.done(doing, &answer, record)?.then_some(grant))
    }

    pub(super) fn renew(&self, grant: &Grant, until: u64) -> Result<Grant, LeaseError> {
        const DOING: &str = "renewing the lease";
        let end = self.link.deadline();
        for _ in 0..ATTEMPTS {
            let Some(Look { record, tenure, live, now }) = self.look(DOING, end, grant.node)? else { continue };
            tenure.check(grant, &record)?;
            self.check_skew(until.saturating_sub(tenure.window), now, false)?;
            let (key, live_key) = (self.node_key("node", grant.node), self.node_key("live", grant.node));
            let until = until.max(tenure.until);
            let renewed = Tenure { until, ..tenure.clone() };
            let mut compare = vec![unchanged(&self.key_of_realm(), record.revision), unchanged(&key, tenure.revision)];
            let mut then = vec![put(&key, &renewed.write(), 0)];
            let alive = match &live {
                Some(live) => self.keep_alive(end, live.lease)?,
                None => false,
            };
            if !alive {
                // Taken for dead, but nobody has come: it is alive again. The key may be there for a moment more.
                let lease = self.take_lease(end, tenure.window)?;
                compare.push(unchanged(&live_key, live.map_or(0, |live| live.revision)));
                then.push(put(&live_key, &json!(tenure.token), lease));
            }
            let answer = self.link.transaction(DOING, end, &compare, &then)?;
            if self.done(DOING, &answer, &record)? {
                return Ok(Grant { until, ..grant.clone() });
            }
        }
        Err(self.contended(DOING))
    }

    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        const DOING: &str = "releasing the node";
        let end = self.link.deadline();
        for _ in 0..ATTEMPTS {
            let Some(Look { record, tenure, live, .. }) = self.look(DOING, end, grant.node)? else { continue };
            tenure.check(grant, &record)?;
            let until = tenure.until.min(used_until.max(grant.floor));
            if self.end(DOING, end, &record, grant.node, &Tenure { until, nonce: None, ..tenure })? {
                // With its key gone the lease is of no use; it would end by itself.
                if let Some(live) = live {
                    self.revoke(live.lease);
                }
                return Ok(());
            }
        }
        Err(self.contended(DOING))
    }

    /// Ends a tenure without its holder; answers the holder's label, if there was one.
    pub(super) fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        const DOING: &str = "evicting a holder";
        let end = self.link.deadline();
        for _ in 0..ATTEMPTS {
            let Some(Look { record, tenure, live, .. }) = self.look(DOING, end, node)? else { continue };
            let (Some(live), Some(_)) = (live, tenure.nonce) else { return Ok(None) };
            let label = tenure.label.clone();
            if self.end(DOING, end, &record, node, &Tenure { nonce: None, ..tenure })? {
                self.revoke(live.lease);
                return Ok(Some(label));
            }
        }
        Err(self.contended(DOING))
    }

    pub(super) fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        let ranges = [get_all(&self.key("node"), false), get_all(&self.key("live"), true)];
        let answer = self.look_at("looking at the nodes", self.link.deadline(), &ranges)?;
        let live: BTreeSet<usize> = answer.range(2).iter().filter_map(index).collect();
        let status = |found: Found| {
            let index = index(&found)?;
            let (tenure, problem) = match Tenure::read(&found) {
                Some(tenure) => (tenure, None),
                None => (Tenure::default(), Some(format!("{} cannot be read: restore it, or leave it", found.key))),
            };
            Some(NodeStatus {
                node: Node::with_index(u64::try_from(index).ok()?).ok()?,
                held: live.contains(&index),
                until: tenure.until,
                token: tenure.token,
                owner_label: printable(&tenure.label),
                acquired: Some(tenure.acquired).filter(|acquired| *acquired != 0),
                problem,
            })
        };
        Ok(answer.range(1).into_iter().filter_map(status).collect())
    }

    /// Writes a tenure that is over, if its node is as it was found.
    fn end(&self, doing: &str, end: Instant, record: &Record, node: Node, tenure: &Tenure) -> Result<bool, LeaseError> {
        let key = self.node_key("node", node);
        let compare = [unchanged(&self.key_of_realm(), record.revision), unchanged(&key, tenure.revision)];
        let then = [put(&key, &tenure.write(), 0), delete(&self.node_key("live", node))];
        let answer = self.link.transaction(doing, end, &compare, &then)?;
        self.done(doing, &answer, record)
    }

    /// Whether a change was made, and on the cluster that the realm is on.
    fn done(&self, doing: &str, answer: &Answer, record: &Record) -> Result<bool, LeaseError> {
        // What a change compared was read before it, at an earlier revision.
        if answer.cluster != record.cluster || answer.revision < record.read_at {
            self.fence(record, answer)?;
            return Err(self.link.unavailable(doing, "the store has lost what it had acknowledged".into()));
        }
        let mut latest = self.seen();
        if answer.succeeded() && answer.revision > latest.revision {
            *latest = Seen { revision: answer.revision, generation: record.generation };
        }
        Ok(answer.succeeded())
    }

    /// A node; `None` if the realm had to be put right first.
    fn look(&self, doing: &str, end: Instant, node: Node) -> Result<Option<Look>, LeaseError> {
        let seen = *self.seen();
        let ranges = [get(&self.node_key("node", node)), get(&self.node_key("live", node))];
        let answer = self.look_at(doing, end, &ranges)?;
        let Some(record) = self.sound(&answer, seen)? else { return Ok(None) };
        let tenure = match answer.range(1).first() {
            None => Tenure::default(),
            Some(found) => Tenure::read(found).ok_or_else(|| corrupt(found))?,
        };
        Ok(Some(Look { record, tenure, live: answer.range(2).pop(), now: answer.now }))
    }

    /// Reads the realm's key and others, at one moment.
    fn look_at(&self, doing: &str, end: Instant, ranges: &[Value]) -> Result<Answer, LeaseError> {
        let mut then = vec![get(&self.key_of_realm())];
        then.extend_from_slice(ranges);
        self.link.transaction(doing, end, &[], &then)
    }

    fn record(answer: &Answer) -> Result<Option<Record>, LeaseError> {
        let found = answer.range(0).pop();
        found.map(|found| Record::read(&found, answer.revision).ok_or_else(|| corrupt(&found))).transpose()
    }

    /// The realm's key, if the store is the one that has kept it; else it is fenced.
    ///
    /// `seen` is from before the question, as answers overtake each other.
    fn sound(&self, answer: &Answer, seen: Seen) -> Result<Option<Record>, LeaseError> {
        let record = Store::record(answer)?.ok_or_else(|| self.missing())?;
        let now = Seen { revision: answer.revision, generation: record.generation };
        let went_back = now.revision < seen.revision;
        // One that went back to a later generation was fenced since, by another process.
        if answer.cluster != record.cluster || went_back && now.generation <= seen.generation {
            self.fence(&record, answer)?;
            return Ok(None);
        }
        let mut latest = self.seen();
        if went_back || now.revision > latest.revision {
            *latest = now;
        }
        Ok(Some(record))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every tenure, and lets every node rest until the windows have passed that may have been lost, by any clock
    /// that was admitted.
    fn fence(&self, record: &Record, answer: &Answer) -> Result<(), LeaseError> {
        // Twice the skew, once for each clock, and what the server's clock was rounded by.
        let slack = self.max_skew.saturating_mul(2).saturating_add(1000);
        let rest = answer.now.saturating_add(record.longest_window).saturating_add(slack).max(record.rest);
        let (cluster, generation) = (answer.cluster.clone(), record.generation.saturating_add(1));
        let answer = self.write(&Record { cluster, generation, rest, ..record.clone() })?;
        if answer.succeeded() {
            *self.seen() = Seen { revision: answer.revision, generation };
        }
        Ok(())
    }

    /// Writes the realm's key, unless it has changed since.
    fn write(&self, record: &Record) -> Result<Answer, LeaseError> {
        let key = self.key_of_realm();
        let compare = [unchanged(&key, record.revision)];
        let then = [put(&key, &record.write(), 0)];
        self.link.transaction("writing the realm", self.link.deadline(), &compare, &then)
    }

    /// An etcd lease for the length of a window; etcd has a shortest one.
    fn take_lease(&self, end: Instant, window: u64) -> Result<u64, LeaseError> {
        const DOING: &str = "taking an etcd lease";
        let ttl = window.div_ceil(1000).max(1);
        let (body, _) = self.link.post(DOING, end, "lease/grant", &json!({ "TTL": ttl.to_string() }))?;
        number(&body["ID"]).ok_or_else(|| self.link.unavailable(DOING, "the answer has no lease".into()))
    }

    /// Whether there still was a lease to keep alive.
    fn keep_alive(&self, end: Instant, lease: u64) -> Result<bool, LeaseError> {
        let body = json!({ "ID": lease.to_string() });
        let (body, _) = self.link.post("keeping the etcd lease alive", end, "lease/keepalive", &body)?;
        Ok(number(&body["result"]["TTL"]).is_some_and(|ttl| ttl > 0))
    }

    /// Ends an etcd lease, if it can: else it ends by itself.
    fn revoke(&self, lease: u64) {
        let body = json!({ "ID": lease.to_string() });
        let _ = self.link.post("revoking an etcd lease", self.link.deadline(), "lease/revoke", &body);
    }

    fn check_skew(&self, host: u64, server: u64, behind: bool) -> Result<(), LeaseError> {
        // The server's clock is rounded down to a second.
        let ahead = host.saturating_sub(server.saturating_add(999));
        let late = if behind { server.saturating_sub(host) } else { 0 };
        if ahead.max(late) <= self.max_skew {
            return Ok(());
        }
        Err(LeaseError::ClockSkewed { host, store: server, max_skew: Duration::from_millis(self.max_skew) })
    }

    fn patience(&self) -> Instant {
        let now = Instant::now();
        now + self.link.deadline().saturating_duration_since(now) * PATIENCE
    }

    fn key(&self, kind: &str) -> String {
        format!("{}/{kind}/", self.prefix)
    }

    fn node_key(&self, kind: &str, node: Node) -> String {
        format!("{}{:04}", self.key(kind), node.index())
    }

    fn key_of_realm(&self) -> String {
        format!("{}/realm", self.prefix)
    }

    fn place(&self) -> String {
        format!("the realm {:?} at {}", self.name, self.link.place())
    }

    fn missing(&self) -> LeaseError {
        let source = "there is none; EtcdStore::open makes it".into();
        LeaseError::Unavailable { doing: format!("looking for {}", self.place()), source }
    }

    fn contended(&self, doing: &str) -> LeaseError {
        self.link.unavailable(doing, "others have changed the keys each time".into())
    }
}

impl Record {
    fn read(found: &Found, read_at: u64) -> Option<Self> {
        let value: Value = serde_json::from_slice(&found.value).ok()?;
        Some(Record {
            realm: Realm {
                epoch: Epoch::from_unix_millis(value["epoch"].as_u64()?),
                layout: value["layout"].as_str()?.into(),
            },
            cluster: value["cluster"].as_str()?.into(),
            longest_window: value["longest_window"].as_u64()?,
            generation: value["generation"].as_u64()?,
            rest: value["rest"].as_u64()?,
            revision: found.revision,
            read_at,
        })
    }

    fn write(&self) -> Value {
        json!({
            "epoch": self.realm.epoch.as_unix_millis(),
            "layout": self.realm.layout,
            "cluster": self.cluster,
            "longest_window": self.longest_window,
            "generation": self.generation,
            "rest": self.rest,
        })
    }
}

impl Tenure {
    fn read(found: &Found) -> Option<Self> {
        let value: Value = serde_json::from_slice(&found.value).ok()?;
        let nonce = match &value["nonce"] {
            Value::Null => None,
            nonce => Some(nonce.as_u64()?),
        };
        Some(Tenure {
            until: value["until"].as_u64()?,
            token: value["token"].as_u64().filter(|token| *token < u64::MAX)?,
            nonce,
            label: value["label"].as_str()?.into(),
            window: value["window"].as_u64()?,
            acquired: value["acquired"].as_u64()?,
            generation: value["generation"].as_u64()?,
            revision: found.revision,
        })
    }

    fn write(&self) -> Value {
        json!({
            "until": self.until,
            "token": self.token,
            "nonce": self.nonce,
            "label": self.label,
            "window": self.window,
            "acquired": self.acquired,
            "generation": self.generation,
        })
    }

    /// That it is still the grant's.
    fn check(&self, grant: &Grant, record: &Record) -> Result<(), LeaseError> {
        let label = &self.label;
        let how = if self.token != grant.token {
            format!("{label} has it, with token {}", self.token)
        } else if self.nonce.is_none() {
            "it was released".into()
        } else if self.nonce != Some(grant.owner.nonce) {
            format!("{label} has it, under the same token")
        } else if self.generation != record.generation {
            "the cluster is another one, or went back, and may have lost windows: every node rests until they have passed"
                .into()
        } else {
            return Ok(());
        };
        let Grant { node, token, .. } = grant;
        Err(LeaseError::Lost { found: format!("pid {}, seed {}, token {token}: {how}", node.pid(), node.seed()) })
    }
}

/// Which of the free nodes is tried: the first; once others were quicker, any of those that need no wait.
fn choose(free: &[(Node, Tenure)], now: u64, turn: usize) -> usize {
    let ready = u64::try_from(free.partition_point(|(_, tenure)| tenure.until <= now)).unwrap_or(0);
    match ready {
        0 => 0,
        _ if turn == 0 => 0,
        _ => usize::try_from(generate_seed(64).unwrap_or(0) % ready).unwrap_or(0),
    }
}

/// The index of the node that a key is about.
fn index(found: &Found) -> Option<usize> {
    found.key.rsplit_once('/')?.1.parse().ok()
}

fn corrupt(found: &Found) -> LeaseError {
    LeaseError::Corrupt {
        record: format!("the key {}", found.key),
        reason: "cannot be read".into(),
        remedy: "restore its value; to delete it is to say that no ID was issued under it".into(),
    }
}
