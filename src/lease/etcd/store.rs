//! The protocol: what is read, and what is compared before it changes.
//!
//! # Why the windows of a node do not overlap
//!
//! A node is a key, `pyflake/REALM/node/INDEX`, which stays. Each change of it compares its value
//! with the value that the change was made from, so changes are in one order, and each starts from
//! the last. `until` rises with each acquire and renewal; the floor of a grant is the `until` of
//! the value that its own transaction has compared. A release lowers `until`, and a renewal raises
//! it, only while token and nonce are the caller's, that is before the next acquire. No clock has a
//! part in it.
//!
//! Values are compared, not revisions: a cluster that was restored counts its revisions again, and
//! one of them may be that of another change. A value has the nonce of its renewal, which never
//! comes again.
//!
//! That needs a cluster that keeps what it has acknowledged. Every change compares the realm's key
//! too: once another cluster, or a store that went back, is noticed there, tenures of the earlier
//! `generation` change nothing.
//!
//! # A renewal is one request
//!
//! A store remembers the tenures that it has stored. A renewal compares the node with what is
//! remembered, and changes it; where the comparison fails the same request reads the node, and the
//! next one is made from that. Renewals of several nodes are transactions within one request, each
//! with a comparison and an outcome of its own.
//!
//! # Who is dead
//!
//! A tenure has the server's time of its last renewal, `renewed`. A holder is taken for dead when
//! two clocks agree that its window is over: the server's, against `renewed` and the length of the
//! window, and the clock of the caller that wants the node, against `until`. A wrong answer costs a
//! living holder its lease, and no ID is issued twice.
//!
//! Etcd's own leases did this before. Their time is monotonic, so no step of a clock mattered. But
//! they take a second request for each renewal, which costs the server as much as the change
//! itself, a third one for each acquire, at least two seconds, and they begin anew with each
//! election. The server's clock with its steps is bearable instead:
//!
//! - *It is set forward*: every holder looks dead to it until its next renewal. No node is lost by
//!   that, as the caller's clock has not reached the holders' `until`, and a caller whose clock is
//!   off too is refused.
//! - *It is set back*: a holder that lives writes the new time with its second renewal. A dead one
//!   whose `renewed` is ahead of the server by more than clocks may differ counts by `until` alone.
//! - *Members differ*: the same, in small.
//!
//! # How far a renewal may reach
//!
//! It may raise `until` by the time since the last renewal, by the server's clock or the holder's
//! own count, plus a window, plus what clocks may differ. A holder whose clock is years ahead is
//! refused, and so does not take its node along. The server's clock is not compared with the
//! holder's: one that was set back would end the IDs of a whole fleet.

use core::ops::Range;
use core::time::Duration;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::id::{Epoch, Node, generate_seed};
use crate::lease::error::LeaseError;
use crate::lease::etcd::keys;
use crate::lease::etcd::keys::{ALL, Keys, ROUNDING, Record, Tenure};
use crate::lease::etcd::link::{Answer, Call, Link, Part, get, put, unchanged};
use crate::lease::etcd::memory::Memory;
use crate::lease::fleet::{NOT_ENDED, check_window, skew_millis};
use crate::lease::label::printable;
use crate::lease::status::NodeStatus;
use crate::lease::store::{Grant, Request};

/// A realm on a cluster.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) link: Link,
    name: String,
    pub(super) keys: Keys,
    /// In milliseconds.
    pub(super) max_skew: u64,
    pub(super) memory: Memory,
}

/// How often a change is tried that others get in the way of.
pub(super) const ATTEMPTS: u32 = 8;

/// How many nodes are tried before the free ones are read again.
const TRIES: usize = 16;

/// How many nodes an acquire reads at first: all are 32 times as much to read, and rarely needed.
const FEW: u16 = 32;

impl Store {
    pub(super) fn new(link: Link, name: String, max_skew: Duration) -> Self {
        Store { link, keys: Keys::new(&name), name, max_skew: skew_millis(max_skew), memory: Memory::default() }
    }

    /// Makes sure of the realm, and creates it where it is missing.
    pub(super) fn open(&self, epoch: Epoch) -> Result<(), LeaseError> {
        let call = self.link.begin("opening the realm")?;
        for _ in 0..ATTEMPTS {
            let (answer, part) = self.read(call, None)?;
            if let Some(record) = record(&part)? {
                return record.realm.check(epoch, &self.place());
            }
            // Another process may be first, and with another epoch.
            self.write(call, &mut Record::new(epoch, answer.cluster))?;
        }
        Err(self.contended(call))
    }

    /// The epoch of a realm that exists.
    pub(super) fn existing(&self) -> Result<Epoch, LeaseError> {
        let (_, part) = self.read(self.link.begin("opening the realm")?, None)?;
        let realm = record(&part)?.ok_or_else(|| self.missing())?.realm;
        realm.check(realm.epoch, &self.place()).map(|()| realm.epoch)
    }

    pub(super) fn acquire(&self, epoch: Epoch, request: &Request) -> Result<Grant, LeaseError> {
        check_window(request.window)?;
        let call = self.link.begin("acquiring a node")?;
        self.memory.asked(request.window);
        let mut span = few();
        for _ in 0..ATTEMPTS {
            let seen = self.memory.seen();
            let (answer, part) = self.read(call, Some(&span))?;
            let mut record = record(&part)?.ok_or_else(|| self.missing())?;
            if let Some(why) = seen.lost(&answer, &record) {
                self.fence(call, &record, &answer, 0, why)?;
                continue;
            }
            self.memory.see(&answer, &record);
            record.realm.check(epoch, &self.place())?;
            self.check_skew(request.now, answer.now)?;
            if record.longest_window < request.window {
                record.longest_window = request.window;
                self.write(call, &mut record)?;
                continue;
            }
            let mut free = self.free(&part, &record, &span, answer.now, request.now);
            let floor = |tenure: &Tenure| tenure.until.max(record.rest);
            let mut ready = free.partition_point(|(_, tenure)| floor(tenure) <= request.now);
            if ready == 0 && span != ALL {
                span = ALL;
                continue;
            }
            let Some((_, first)) = free.first() else { return Err(LeaseError::NoFreeNode { nodes: Node::COUNT }) };
            if floor(first) > request.max_floor {
                return Err(resting(&record, floor(first), request));
            }
            for turn in 0..TRIES.min(free.len()) {
                // The first; once others were quicker, any of those that need no wait.
                let chosen = if turn == 0 { 0 } else { chance(ready) };
                let (node, tenure) = free.remove(chosen);
                ready = ready.saturating_sub(1);
                if floor(&tenure) > request.max_floor {
                    break;
                }
                if let Some(grant) = self.take(call, request, &record, node, &tenure, answer.now)? {
                    return Ok(grant);
                }
            }
            span = ALL;
        }
        Err(self.contended(call))
    }

    /// Takes a node, if nobody else has changed it.
    fn take(
        &self,
        call: Call,
        request: &Request,
        record: &Record,
        node: Node,
        tenure: &Tenure,
        now: u64,
    ) -> Result<Option<Grant>, LeaseError> {
        let floor = tenure.until.max(record.rest);
        let mut taken = Tenure {
            until: floor.max(request.now).saturating_add(request.window),
            token: tenure.token + 1,
            nonce: Some(request.owner.nonce),
            label: printable(&request.owner.label),
            window: request.window,
            acquired: now,
            renewed: now,
            generation: record.generation,
            stored: None,
        };
        let (key, seen) = (self.keys.node(node), self.memory.seen());
        let compare =
            [unchanged(&self.keys.realm(), record.stored.as_deref()), unchanged(&key, tenure.stored.as_deref())];
        let (answer, part) =
            self.transaction(call, json!({ "compare": compare, "success": [put(&key, taken.write())] }))?;
        if let Some(why) = seen.lost(&answer, record) {
            self.fence(call, record, &answer, 0, why)?;
            return Err(self.link.unavailable(call, "the store has lost what it had acknowledged".into()));
        }
        if !part.succeeded {
            return Ok(None);
        }
        let grant = Grant { node, floor, until: taken.until, token: taken.token, owner: request.owner.clone() };
        self.memory.see(&answer, record);
        self.memory.keep(node, taken);
        Ok(Some(grant))
    }

    pub(super) fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        let (answer, part) = self.read(self.link.begin("reading the nodes")?, Some(&ALL))?;
        let record = record(&part)?.ok_or_else(|| self.missing())?;
        let status = |found| {
            let node = keys::node(&found)?;
            let (tenure, problem) = match Tenure::read(&found) {
                Ok(tenure) => (tenure, None),
                Err(error) => (Tenure::default(), Some(error.to_string())),
            };
            Some(NodeStatus {
                node,
                // A node whose key cannot be read is not given out.
                held: tenure.is_held(&record, answer.now, answer.now, self.max_skew) || problem.is_some(),
                until: tenure.until.max(record.rest),
                token: tenure.token,
                owner_label: tenure.label,
                acquired: Some(tenure.acquired).filter(|acquired| *acquired != 0),
                problem,
            })
        };
        Ok(part.range(1).into_iter().filter_map(status).collect())
    }

    /// Sends one transaction.
    fn transaction(&self, call: Call, transaction: Value) -> Result<(Answer, Part), LeaseError> {
        let mut answer = self.link.transactions(call, vec![transaction])?;
        match answer.parts.pop() {
            Some(part) => Ok((answer, part)),
            None => Err(self.link.unavailable(call, "the answer is empty".into())),
        }
    }

    /// Reads the realm's key and those of some nodes, at one moment.
    fn read(&self, call: Call, span: Option<&Range<u16>>) -> Result<(Answer, Part), LeaseError> {
        let mut reads = vec![get(&self.keys.realm())];
        reads.extend(span.map(|span| self.keys.read(span)));
        self.transaction(call, json!({ "success": reads }))
    }

    /// Ends every tenure, and lets every node rest until the windows have ended that may have been
    /// lost, by any clock that was admitted.
    ///
    /// They are no longer than the longest that the realm knows, or that this store has seen or was
    /// asked for; a caller's own window ends at `until`. A window that was lost and that nobody
    /// here has seen may be longer.
    pub(super) fn fence(
        &self,
        call: Call,
        record: &Record,
        answer: &Answer,
        until: u64,
        why: &str,
    ) -> Result<(), LeaseError> {
        // Twice the skew, once for each clock, and what the server's clock was rounded by.
        let slack = self.max_skew.saturating_mul(2).saturating_add(ROUNDING);
        let longest_window = record.longest_window.max(self.memory.longest_window());
        let rest = answer.now.saturating_add(longest_window).max(until).saturating_add(slack).max(record.rest);
        // Later than all that anybody here has seen, of which the store may have lost some.
        let generation = record.generation.max(self.memory.seen().generation).saturating_add(1);
        let noticed = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(answer.now));
        let cause = format!("{why} (noticed {noticed})");
        let cluster = answer.cluster.clone();
        let mut fenced = Record { cluster, longest_window, generation, rest, cause, ..record.clone() };
        let (answer, part) = self.write(call, &mut fenced)?;
        if part.succeeded {
            self.memory.see(&answer, &fenced);
        }
        Ok(())
    }

    /// Writes the realm's key, unless it has changed since it was read.
    fn write(&self, call: Call, record: &mut Record) -> Result<(Answer, Part), LeaseError> {
        let (key, value) = (self.keys.realm(), record.write());
        let compare = [unchanged(&key, record.stored.as_deref())];
        let written = self.transaction(call, json!({ "compare": compare, "success": [put(&key, &value)] }));
        record.stored = Some(value);
        written
    }

    /// Refuses a host's clock that is too far from the server's.
    fn check_skew(&self, host: u64, server: u64) -> Result<(), LeaseError> {
        let ahead = host.saturating_sub(server.saturating_add(ROUNDING - 1));
        if ahead.max(server.saturating_sub(host)) <= self.max_skew {
            return Ok(());
        }
        Err(LeaseError::ClockSkewed { host, store: server, max_skew: Duration::from_millis(self.max_skew) })
    }

    fn place(&self) -> String {
        format!("the realm {:?} at {}", self.name, self.link.place())
    }

    pub(super) fn missing(&self) -> LeaseError {
        LeaseError::NotFound { store: self.place(), remedy: "create it with EtcdStore::open".into() }
    }

    pub(super) fn contended(&self, call: Call) -> LeaseError {
        self.link.unavailable(call, "others have changed the keys each time".into())
    }

    /// The nodes of a span that are not held, the smallest `until` first; those with the same one
    /// in any order, so that callers that come at once do not all try one. A node whose key cannot
    /// be read is passed over.
    fn free(&self, part: &Part, record: &Record, span: &Range<u16>, server: u64, caller: u64) -> Vec<(Node, Tenure)> {
        let mut tenures: Vec<Option<Tenure>> = span.clone().map(|_| Some(Tenure::default())).collect();
        for found in part.range(1) {
            let place = keys::node(&found).and_then(|node| node.index().checked_sub(span.start));
            if let Some(place) = place.and_then(|place| tenures.get_mut(usize::from(place))) {
                *place = Tenure::read(&found).ok();
            }
        }
        let chance = generate_seed(64).unwrap_or(1);
        let mut free: Vec<(Node, Tenure)> = span
            .clone()
            .zip(tenures)
            .filter_map(|(index, tenure)| Some((Node::at(index), tenure?)))
            .filter(|(_, tenure)| !tenure.is_held(record, server, caller, self.max_skew))
            .collect();
        let mixed = |node: Node| (u64::from(node.index()) + 1).wrapping_mul(chance | 1).rotate_left(32);
        free.sort_unstable_by_key(|(node, tenure)| (tenure.until, mixed(*node)));
        free
    }
}

/// The realm's key, as a transaction has read it first.
pub(super) fn record(part: &Part) -> Result<Option<Record>, LeaseError> {
    part.range(0).first().map(Record::read).transpose()
}

/// Every free node starts later than the caller can wait.
fn resting(record: &Record, floor: u64, request: &Request) -> LeaseError {
    let cause = if floor > record.rest {
        NOT_ENDED.into()
    } else {
        format!("{}, and windows may have been lost that have not ended", record.why())
    };
    LeaseError::Resting { wait: Duration::from_millis(floor.saturating_sub(request.now)), cause }
}

/// Some nodes to read, by chance.
fn few() -> Range<u16> {
    let start = u16::try_from(chance(Node::COUNT)).unwrap_or(0) / FEW * FEW;
    start..start + FEW
}

/// A number below `n`; 0 where there is none, or no entropy.
fn chance(n: usize) -> usize {
    let n = u64::try_from(n).unwrap_or(0);
    usize::try_from(generate_seed(64).unwrap_or(0).checked_rem(n).unwrap_or(0)).unwrap_or(0)
}
