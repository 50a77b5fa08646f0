//! The keys of a realm, and what is in them.

use core::cmp::Ordering;
use core::ops::Range;
use core::time::Duration;

use serde_json::{Value, json};

use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::etcd::link::{Found, get_range};
use crate::lease::fleet::lost;
use crate::lease::label::printable;
use crate::lease::realm::Realm;
use crate::lease::store::Grant;

/// All nodes, by their index.
pub(super) const ALL: Range<u16> = 0..1024;

const _: () = assert!(ALL.end as usize == Node::COUNT);

/// The names of a realm's keys.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(realm: &str) -> Self {
        Keys { prefix: format!("pyflake/{realm}") }
    }

    pub(super) fn realm(&self) -> String {
        format!("{}/realm", self.prefix)
    }

    /// The key of a node.
    pub(super) fn node(&self, node: Node) -> String {
        self.of(node.index())
    }

    /// Reads the keys of some nodes.
    pub(super) fn read(&self, span: &Range<u16>) -> Value {
        get_range(&self.of(span.start), &self.of(span.end))
    }

    fn of(&self, index: u16) -> String {
        format!("{}/node/{index:04}", self.prefix)
    }
}

/// The node that a key is about.
pub(super) fn node(found: &Found) -> Option<Node> {
    Node::from_index(found.key.rsplit_once('/')?.1.parse().ok()?).ok()
}

/// The realm's key.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) realm: Realm,
    /// The cluster that keeps it.
    pub(super) cluster: String,
    pub(super) longest_window: u64,
    /// Rises when windows may have been lost: tenures of an earlier one are over.
    pub(super) generation: u64,
    /// No node has an earlier floor.
    pub(super) rest: u64,
    /// Why the nodes rest; empty if they do not.
    pub(super) cause: String,
    /// The value that is stored; `None` before there is one.
    pub(super) stored: Option<String>,
}

impl Record {
    /// The first one of a realm.
    pub(super) fn new(epoch: Epoch, cluster: String) -> Self {
        let realm = Realm::new(epoch);
        Record { realm, cluster, longest_window: 0, generation: 1, rest: 0, cause: String::new(), stored: None }
    }

    pub(super) fn read(found: &Found) -> Result<Self, LeaseError> {
        let read = || {
            let value: Value = serde_json::from_str(&found.value).ok()?;
            Some(Record {
                realm: Realm {
                    epoch: Epoch::from_unix_millis(value["epoch"].as_u64()?),
                    layout: value["layout"].as_str()?.into(),
                },
                cluster: value["cluster"].as_str()?.into(),
                longest_window: value["longest_window"].as_u64()?,
                generation: value["generation"].as_u64()?,
                rest: value["rest"].as_u64()?,
                // Earlier versions did not store it.
                cause: value["cause"].as_str().map(printable).unwrap_or_default(),
                stored: Some(found.value.clone()),
            })
        };
        read().ok_or_else(|| corrupt(found))
    }

    pub(super) fn write(&self) -> String {
        let value = json!({
            "epoch": self.realm.epoch.as_unix_millis(),
            "layout": self.realm.layout,
            "cluster": self.cluster,
            "longest_window": self.longest_window,
            "generation": self.generation,
            "rest": self.rest,
            "cause": self.cause,
        });
        value.to_string()
    }

    /// Why the nodes rest, for errors.
    pub(super) fn why(&self) -> &str {
        if self.cause.is_empty() { "the cluster is another one, or went back" } else { &self.cause }
    }
}

/// A node's key; all zero where there is none yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenure {
    pub(super) until: u64,
    pub(super) token: u64,
    /// `None`: it was given back.
    pub(super) nonce: Option<u64>,
    pub(super) label: String,
    pub(super) window: u64,
    pub(super) acquired: u64,
    /// The server's clock at the acquire or the last renewal.
    pub(super) renewed: u64,
    pub(super) generation: u64,
    /// The value that is stored; `None` before there is one.
    pub(super) stored: Option<String>,
}

/// The server's clock is rounded down to a second.
pub(super) const ROUNDING: u64 = 1000;

impl Tenure {
    pub(super) fn read(found: &Found) -> Result<Self, LeaseError> {
        let read = || {
            let value: Value = serde_json::from_str(&found.value).ok()?;
            let nonce = match &value["nonce"] {
                Value::Null => None,
                nonce => Some(nonce.as_u64()?),
            };
            let until = value["until"].as_u64()?;
            Some(Tenure {
                until,
                // There is a next one.
                token: value["token"].as_u64().filter(|token| *token < u64::MAX)?,
                nonce,
                label: printable(value["label"].as_str()?),
                window: value["window"].as_u64()?,
                acquired: value["acquired"].as_u64()?,
                // Earlier versions did not store it: the latest time that it can have been, by the holder's clock.
                renewed: value["renewed"].as_u64().unwrap_or(until),
                generation: value["generation"].as_u64()?,
                stored: Some(found.value.clone()),
            })
        };
        read().ok_or_else(|| corrupt(found))
    }

    /// Sets the value that is to be stored, and returns it.
    pub(super) fn write(&mut self) -> &str {
        let value = json!({
            "until": self.until,
            "token": self.token,
            "nonce": self.nonce,
            "label": self.label,
            "window": self.window,
            "acquired": self.acquired,
            "renewed": self.renewed,
            "generation": self.generation,
        });
        self.stored.insert(value.to_string())
    }

    /// Whether it has a holder that may live: it ends for others once both clocks say that the
    /// window is over.
    ///
    /// A server's clock that is before the last renewal was set back, or is another member's; then
    /// it says nothing.
    pub(super) fn is_held(&self, record: &Record, server: u64, caller: u64, max_skew: u64) -> bool {
        let set_back =
            self.renewed.saturating_sub(server) > self.window.saturating_add(max_skew).saturating_add(ROUNDING);
        let expires = self.renewed.saturating_add(self.window).saturating_add(ROUNDING);
        self.nonce.is_some()
            && self.generation == record.generation
            && (self.until > caller || expires > server && !set_back)
    }

    /// Whether it is from before what the grant's holder was told, and no fence has come since the
    /// holder's store has seen the realm in `generation`: the cluster has lost windows.
    ///
    /// Within a tenure `until` never falls, whoever renews it. The nonce says nothing: it may be
    /// one of earlier renewals.
    pub(super) fn is_before(&self, grant: &Grant, record: &Record, generation: u64) -> bool {
        match self.token.cmp(&grant.token) {
            Ordering::Less => record.generation <= generation,
            Ordering::Equal => self.nonce.is_some() && self.until < grant.until && self.generation == record.generation,
            Ordering::Greater => false,
        }
    }

    /// Checks that it is still the grant's.
    pub(super) fn check(&self, grant: &Grant, is_by: impl Fn(u64) -> bool, record: &Record) -> Result<(), LeaseError> {
        let label = &self.label;
        let how = if self.token == 0 {
            "its key is gone".into()
        } else if self.token < grant.token {
            format!("its key is an earlier one, with token {}: the cluster went back", self.token)
        } else if self.token != grant.token {
            format!("{label} has it, with token {}", self.token)
        } else if self.generation != record.generation {
            let why = record.why();
            format!("{why}: windows may have been lost, so every node rests until they have ended")
        } else if self.nonce.is_none() {
            "it was released".into()
        } else if !self.nonce.is_some_and(is_by) {
            format!("{label} has it, under the same token")
        } else {
            return Ok(());
        };
        Err(lost(grant, &how))
    }

    /// Refuses a renewal that raises the window by more than a clock can have moved since the last
    /// one: the time that has passed, a window, and what clocks may be apart, as for a clock that
    /// is set right.
    ///
    /// `elapsed` is the time since the last renewal by the caller's own count; a server's clock
    /// that was set back counts as none. Its distance from the caller's clock does not count: it
    /// may be the wrong one.
    pub(super) fn check_growth(&self, until: u64, server: u64, elapsed: u64, max_skew: u64) -> Result<(), LeaseError> {
        let elapsed = server.saturating_sub(self.renewed).saturating_add(ROUNDING).max(elapsed);
        let most = [elapsed, self.window, max_skew].into_iter().fold(self.until, u64::saturating_add);
        if until <= most {
            return Ok(());
        }
        let max_skew = Duration::from_millis(max_skew);
        Err(LeaseError::ClockSkewed { host: until.saturating_sub(self.window), store: server, max_skew })
    }
}

fn corrupt(found: &Found) -> LeaseError {
    LeaseError::Corrupt {
        record: format!("the key {}", found.key),
        reason: "cannot be read".into(),
        remedy: "restore its value; to delete it is to say that no ID was issued under it".into(),
    }
}
