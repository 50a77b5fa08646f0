//! The keys of a realm, and what is in them.

use core::cmp::Ordering;
use core::ops::Range;

use serde_json::{Value, json};

use crate::epoch::Epoch;
use crate::lease::etcd::link::{Found, get, get_range};
use crate::lease::label::printable;
use crate::lease::realm::Realm;
use crate::lease::{Grant, LeaseError};
use crate::node::Node;

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

    /// Where the window of a node is kept.
    pub(super) fn node(&self, node: Node) -> String {
        self.of("node", node.index())
    }

    /// What is there as long as the holder of a node lives.
    pub(super) fn live(&self, node: Node) -> String {
        self.of("live", node.index())
    }

    /// Looks at some nodes: their keys, and which of their holders live.
    pub(super) fn look(&self, span: &Range<u16>) -> [Value; 2] {
        let range = |kind, keys_only| get_range(&self.of(kind, span.start), &self.of(kind, span.end), keys_only);
        [range("node", false), range("live", true)]
    }

    /// The same of one node, with the etcd lease of its holder.
    pub(super) fn look_at(&self, node: Node) -> [Value; 2] {
        [get(&self.node(node)), get(&self.live(node))]
    }

    fn of(&self, kind: &str, index: u16) -> String {
        format!("{}/{kind}/{index:04}", self.prefix)
    }
}

/// The node that a key is about.
pub(super) fn node(found: &Found) -> Option<Node> {
    Node::with_index(found.key.rsplit_once('/')?.1.parse().ok()?).ok()
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
    pub(super) revision: u64,
    /// The revision of the cluster when it was read.
    pub(super) read_at: u64,
}

impl Record {
    /// The first one of a realm.
    pub(super) fn new(epoch: Epoch, cluster: String) -> Self {
        let realm = Realm::new(epoch);
        Record { realm, cluster, longest_window: 0, generation: 1, rest: 0, revision: 0, read_at: 0 }
    }

    pub(super) fn read(found: &Found, read_at: u64) -> Result<Self, LeaseError> {
        let read = || {
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
        };
        read().ok_or_else(|| corrupt(found))
    }

    pub(super) fn write(&self) -> Value {
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
    pub(super) generation: u64,
    pub(super) revision: u64,
}

impl Tenure {
    pub(super) fn read(found: &Found) -> Result<Self, LeaseError> {
        let read = || {
            let value: Value = serde_json::from_slice(&found.value).ok()?;
            let nonce = match &value["nonce"] {
                Value::Null => None,
                nonce => Some(nonce.as_u64()?),
            };
            Some(Tenure {
                until: value["until"].as_u64()?,
                // There is a next one.
                token: value["token"].as_u64().filter(|token| *token < u64::MAX)?,
                nonce,
                label: printable(value["label"].as_str()?),
                window: value["window"].as_u64()?,
                acquired: value["acquired"].as_u64()?,
                generation: value["generation"].as_u64()?,
                revision: found.revision,
            })
        };
        read().ok_or_else(|| corrupt(found))
    }

    pub(super) fn write(&self) -> Value {
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

    /// Whether it is from before what the grant's holder was told, and no fence has come since the holder's store has
    /// seen the realm in `generation`: the cluster has lost windows.
    pub(super) fn is_before(
        &self,
        grant: &Grant,
        is_by: impl Fn(u64) -> bool,
        record: &Record,
        generation: u64,
    ) -> bool {
        match self.token.cmp(&grant.token) {
            Ordering::Less => record.generation <= generation,
            Ordering::Equal => {
                self.nonce.is_some_and(is_by) && self.until < grant.until && self.generation == record.generation
            }
            Ordering::Greater => false,
        }
    }

    /// That it is still the grant's.
    pub(super) fn check(&self, grant: &Grant, is_by: impl Fn(u64) -> bool, record: &Record) -> Result<(), LeaseError> {
        let label = &self.label;
        let how = if self.token == 0 {
            "its key is gone".into()
        } else if self.token < grant.token {
            format!("its key is an earlier one, with token {}: the cluster went back", self.token)
        } else if self.token != grant.token {
            format!("{label} has it, with token {}", self.token)
        } else if self.nonce.is_none() {
            "it was released".into()
        } else if !self.nonce.is_some_and(is_by) {
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

fn corrupt(found: &Found) -> LeaseError {
    LeaseError::Corrupt {
        record: format!("the key {}", found.key),
        reason: "cannot be read".into(),
        remedy: "restore its value; to delete it is to say that no ID was issued under it".into(),
    }
}
