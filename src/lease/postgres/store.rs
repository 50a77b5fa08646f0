//! The protocol: which statement is run when, and what an empty answer means.

use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use crate::epoch::Epoch;
use crate::lease::label::printable;
use crate::lease::postgres::link::{Link, Value};
use crate::lease::postgres::statements::{ACQUIRE, EVICT, FENCE, FOUND, HOLDER, LENGTHEN, LOOK, NODES, RELEASE, RENEW};
use crate::lease::realm::{Realm, check_window};
use crate::lease::{Grant, LeaseError, NodeStatus, Owner, Renewal, Request};
use crate::node::Node;

/// A realm on a server.
#[derive(Debug)]
pub(super) struct Store {
    link: Link,
    name: String,
    /// In milliseconds.
    max_skew: i64,
}

/// What `LOOK` has found.
struct Look {
    /// Where it was looked, for messages.
    place: String,
    found: Option<Found>,
    /// The server that answers.
    here: String,
    /// Its clock, in Unix milliseconds.
    now: i64,
    /// Whether it keeps what it acknowledges.
    syncs: bool,
}

/// The row of a realm.
struct Found {
    realm: Realm,
    server: String,
    longest_window: i64,
}

/// How often an acquire is tried: after each of the two things that it may have to put right, and when all is right.
const ATTEMPTS: u32 = 8;

use Value::{Number, Text};

impl Store {
    pub(super) fn new(link: Link, name: String, max_skew: i64) -> Self {
        Store { link, name, max_skew }
    }

    /// Makes sure of the realm, and makes it where it is missing.
    pub(super) fn open(&self, epoch: Epoch) -> Result<(), LeaseError> {
        let mut look = self.look()?;
        if look.found.is_none() {
            let realm = Realm::new(epoch);
            let values = [Text(&self.name), Number(signed(epoch.as_unix_millis())?), Text(&realm.layout)];
            self.link.query("founding the realm", FOUND, &values)?;
            // Another process may have been first, and with another epoch.
            look = self.look()?;
        }
        look.check(epoch).map(|_| ())
    }

    /// The epoch of a realm that there is.
    pub(super) fn existing(&self) -> Result<Epoch, LeaseError> {
        let look = self.look()?;
        let epoch = look.found.as_ref().map(|found| found.realm.epoch).ok_or_else(|| look.missing())?;
        look.realm(epoch).map(|_| epoch)
    }

    pub(super) fn migrate(&self) -> Result<(), LeaseError> {
        self.link.run("creating the tables", super::MIGRATION)
    }

    pub(super) fn acquire(&self, epoch: Epoch, request: &Request) -> Result<Grant, LeaseError> {
        check_window(request.window)?;
        let (realm, label) = (Realm::new(epoch), printable(&request.owner.label));
        let (now, window) = (signed(request.now)?, signed(request.window)?);
        let values = [
            Text(&self.name),
            Number(signed(epoch.as_unix_millis())?),
            Text(&realm.layout),
            Number(now),
            Number(window),
            Number(self.max_skew),
            Number(request.owner.nonce.cast_signed()),
            Text(&label),
        ];
        let mut sound = false;
        for _ in 0..ATTEMPTS {
            if let Some(row) = self.link.query("acquiring a node", ACQUIRE, &values)?.first() {
                return self.grant(row, &request.owner);
            }
            // What is looked at below may have been put right by another caller since: only an acquire tells.
            if sound {
                return Err(LeaseError::NoFreeNode { nodes: Node::COUNT });
            }
            let look = self.look()?;
            let found = look.check(epoch)?;
            if found.server != look.here {
                self.fence(&found.server)?;
            } else if now.abs_diff(look.now) > self.max_skew.unsigned_abs() {
                return Err(self.skewed(now, look.now));
            } else if found.longest_window < window {
                self.link.query("noting the window", LENGTHEN, &[Text(&self.name), Number(window)])?;
            } else {
                sound = true;
            }
        }
        Err(self.unavailable("acquiring a node", "the realm changes all the time".into()))
    }

    pub(super) fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        let grant = &renewal.grant;
        let until = signed(renewal.until)?;
        let [realm, node, token, nonce] = self.key(grant)?;
        let next_nonce = Number(renewal.next_nonce.cast_signed());
        let values = [realm, node, token, nonce, Number(until), Number(self.max_skew), next_nonce];
        if let Some(row) = self.link.query("renewing the lease", RENEW, &values)?.first() {
            return Ok(renewal.granted(self.unsigned(row, "until_ms")?));
        }
        let now = self.moved(grant)?;
        let window = self.holds(grant, |nonce| renewal.is_by(nonce))?;
        Err(self.skewed(until - window, now))
    }

    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        let [realm, node, token, nonce] = self.key(grant)?;
        let (used_until, floor) = (Number(signed(used_until)?), Number(signed(grant.floor)?));
        let values = [realm, node, token, nonce, used_until, floor];
        if !self.link.query("releasing the node", RELEASE, &values)?.is_empty() {
            return Ok(());
        }
        self.moved(grant)?;
        self.holds(grant, |nonce| nonce == grant.owner.nonce)?;
        Err(self.unavailable("releasing the node", "its row changes all the time".into()))
    }

    /// Ends a tenure without its holder; answers the holder's label, if there was one.
    pub(super) fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        let rows = self.link.query("evicting a holder", EVICT, &[Text(&self.name), index(node)])?;
        rows.first().map(|row| self.get(row, "owner_label")).transpose()
    }

    pub(super) fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        let status = |row: &Row| {
            Ok(NodeStatus {
                node: self.node(row)?,
                held: self.get(row, "held")?,
                until: self.unsigned(row, "until_ms")?,
                token: self.unsigned(row, "token")?,
                owner_label: self.get(row, "owner_label")?,
                acquired: self.get::<Option<i64>>(row, "acquired_ms")?.and_then(|acquired| acquired.try_into().ok()),
                problem: None,
            })
        };
        self.link.query("looking at the nodes", NODES, &[Text(&self.name)])?.iter().map(status).collect()
    }

    fn grant(&self, row: &Row, owner: &Owner) -> Result<Grant, LeaseError> {
        Ok(Grant {
            node: self.node(row)?,
            floor: self.unsigned(row, "floor_ms")?,
            until: self.unsigned(row, "until_ms")?,
            token: self.unsigned(row, "token")?,
            owner: owner.clone(),
        })
    }

    /// What tells a grant's row, and that it is still the grant's.
    fn key(&self, grant: &Grant) -> Result<[Value<'_>; 4], LeaseError> {
        let (token, nonce) = (signed(grant.token)?, grant.owner.nonce.cast_signed());
        Ok([Text(&self.name), index(grant.node), Number(token), Number(nonce)])
    }

    /// Ends a lease that another server has kept, if that is why nothing was done for it; else the server's clock.
    fn moved(&self, grant: &Grant) -> Result<i64, LeaseError> {
        let look = self.look()?;
        let Some(found) = &look.found else { return Err(lost(grant, &format!("{} is gone", look.place))) };
        if found.server == look.here {
            return Ok(look.now);
        }
        self.fence(&found.server)?;
        let (was, is) = (&found.server, &look.here);
        let how = format!(
            "it was kept by the server {was}, and {is} answers: a failover or a restore may have lost \
                           windows, so every node rests until they have passed"
        );
        Err(lost(grant, &how))
    }

    /// Ends a lease whose row is no longer the grant's; else the length of its window.
    fn holds(&self, grant: &Grant, is_by: impl Fn(u64) -> bool) -> Result<i64, LeaseError> {
        let rows = self.link.query("looking at a lost lease", HOLDER, &[Text(&self.name), index(grant.node)])?;
        let Some(row) = rows.first() else { return Err(lost(grant, "its row is gone")) };
        let token = self.unsigned(row, "token")?;
        let label: String = self.get(row, "owner_label")?;
        if token != grant.token {
            return Err(lost(grant, &format!("{label} has it, with token {token}")));
        }
        match self.get::<Option<i64>>(row, "owner_nonce")? {
            Some(nonce) if is_by(nonce.cast_unsigned()) => self.get(row, "window_ms"),
            Some(_) => Err(lost(grant, &format!("{label} has it, under the same token"))),
            None => Err(lost(grant, "it was released")),
        }
    }

    fn fence(&self, server: &str) -> Result<(), LeaseError> {
        // Twice the skew: once for each server's clock.
        let slack = self.max_skew.saturating_mul(2);
        self.link.query("fencing the realm", FENCE, &[Text(&self.name), Text(server), Number(slack)]).map(|_| ())
    }

    fn look(&self) -> Result<Look, LeaseError> {
        let rows = self.link.query("looking at the realm", LOOK, &[Text(&self.name)])?;
        let row = rows.first().ok_or_else(|| self.unavailable("looking at the realm", "it answers nothing".into()))?;
        let found = match self.get::<Option<i64>>(row, "epoch_ms")? {
            None => None,
            Some(epoch) => Some(Found {
                realm: Realm {
                    epoch: Epoch::from_unix_millis(epoch.cast_unsigned()),
                    layout: self.get(row, "layout")?,
                },
                server: self.get(row, "server")?,
                longest_window: self.get(row, "longest_window_ms")?,
            }),
        };
        Ok(Look {
            place: format!("the realm {:?} at {}", self.name, self.link.place()),
            found,
            here: self.get(row, "here")?,
            now: self.get(row, "now_ms")?,
            syncs: self.get::<String>(row, "fsync")? == "on",
        })
    }

    fn skewed(&self, host: i64, server: i64) -> LeaseError {
        LeaseError::ClockSkewed {
            host: host.cast_unsigned(),
            store: server.cast_unsigned(),
            max_skew: core::time::Duration::from_millis(self.max_skew.unsigned_abs()),
        }
    }

    fn node(&self, row: &Row) -> Result<Node, LeaseError> {
        Ok(Node::with_index(self.unsigned(row, "node")?)?)
    }

    fn unsigned(&self, row: &Row, column: &str) -> Result<u64, LeaseError> {
        let number: i64 = self.get(row, column)?;
        number.try_into().map_err(|_| self.unavailable(&format!("reading {column}"), format!("{number} is below 0")))
    }

    fn get<T: FromSqlOwned>(&self, row: &Row, column: &str) -> Result<T, LeaseError> {
        row.try_get(column).map_err(|error| self.unavailable(&format!("reading {column}"), error.to_string()))
    }

    fn unavailable(&self, doing: &str, what: String) -> LeaseError {
        LeaseError::Unavailable { doing: format!("{doing} at {}", self.link.place()), source: what.into() }
    }
}

impl Look {
    /// The realm's row, if it is for this epoch.
    fn realm(&self, epoch: Epoch) -> Result<&Found, LeaseError> {
        let found = self.found.as_ref().ok_or_else(|| self.missing())?;
        found.realm.check(epoch, &self.place).map(|()| found)
    }

    /// The realm's row, if nodes may be acquired.
    fn check(&self, epoch: Epoch) -> Result<&Found, LeaseError> {
        if !self.syncs {
            return Err(LeaseError::Corrupt {
                record: self.place.clone(),
                reason: "is on a server with fsync off, which forgets windows in a crash of its machine".into(),
                remedy: "set fsync = on in its postgresql.conf, and reload it".into(),
            });
        }
        self.realm(epoch)
    }

    fn missing(&self) -> LeaseError {
        let source = "there is none; PostgresStore::open makes it".into();
        LeaseError::Unavailable { doing: format!("looking for {}", self.place), source }
    }
}

fn index(node: Node) -> Value<'static> {
    Number(node.index().into())
}

fn signed(number: u64) -> Result<i64, LeaseError> {
    let too_large = |_| LeaseError::Unavailable {
        doing: "preparing a statement".into(),
        source: format!("{number} does not fit a bigint; the largest is {}", i64::MAX).into(),
    };
    i64::try_from(number).map_err(too_large)
}

fn lost(grant: &Grant, how: &str) -> LeaseError {
    let Grant { node, token, .. } = grant;
    LeaseError::Lost { found: format!("pid {}, seed {}, token {token}: {how}", node.pid(), node.seed()) }
}
