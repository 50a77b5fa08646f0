//! The protocol: which statement is run when, and what an empty answer means.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, PgLsn};

use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::label::printable;
use crate::lease::postgres::identity::{Identity, file_of, words};
use crate::lease::postgres::link::{Link, Value};
use crate::lease::postgres::statements::Statements;
use crate::lease::realm::{Realm, check_window};
use crate::lease::status::NodeStatus;
use crate::lease::store::{Grant, Owner, Renewal, Request};

/// A realm on a server.
#[derive(Debug)]
pub(super) struct Store {
    link: Link,
    name: String,
    statements: Statements,
    identity: Identity,
    /// In milliseconds.
    max_skew: i64,
    seen: Mutex<Seen>,
    /// The longest window that was requested here, in milliseconds.
    longest_window: AtomicI64,
}

/// The latest state that the server has shown: one before it means that the server went back.
#[derive(Clone, Debug)]
struct Seen {
    generation: i64,
    /// The flushed WAL position within that generation.
    position: PgLsn,
    /// The run of the server on which its identity was read. Of another run nothing is known but the rest.
    run: Arc<str>,
}

/// The realm as the server has it, and the row of one node.
struct Look {
    /// The realm and its server, for messages.
    place: String,
    record: Option<Record>,
    /// The server that answers.
    here: String,
    position: PgLsn,
    run: String,
    /// Its clock, in Unix milliseconds.
    now: i64,
    /// Whether it keeps what it acknowledges.
    syncs: bool,
    row: Option<Tenure>,
}

/// The row of a realm.
struct Record {
    realm: Realm,
    server: String,
    generation: i64,
    longest_window: i64,
}

/// The row of a node.
struct Tenure {
    token: u64,
    /// `None`: it was given back.
    nonce: Option<u64>,
    label: String,
    window: i64,
    until: u64,
    /// Whether its holder's nonce proves it: if not, a later tenure may have been lost before the server started.
    proves: bool,
}

/// How often a call is tried: after each of the things that it may have to put right, and when all is right.
const ATTEMPTS: u32 = 8;

/// The index of no node.
const NO_NODE: i64 = -1;

use Value::{Number, Numbers, Position, Text};

impl Store {
    pub(super) fn new(
        link: Link,
        name: String,
        schema: &str,
        identity: Identity,
        max_skew: i64,
    ) -> Result<Self, LeaseError> {
        let statements = Statements::new(schema, &identity)?;
        let seen = Mutex::new(Seen { generation: 0, position: PgLsn::from(0), run: "".into() });
        let longest_window = AtomicI64::new(0);
        Ok(Store { link, name, statements, identity, max_skew, seen, longest_window })
    }

    /// Makes sure of the realm, and creates it where it is missing.
    pub(super) fn open(&self, epoch: Epoch) -> Result<(), LeaseError> {
        for _ in 0..ATTEMPTS {
            let (seen, look) = (self.seen(), self.look(NO_NODE)?);
            if look.record.is_none() {
                let realm = Realm::new(epoch);
                let values = [Text(&self.name), Number(signed(epoch.as_unix_millis())?), Text(&realm.layout)];
                self.link.query("creating the realm", &self.statements.create, &values)?;
                // Another process may have been first, and with another epoch.
                continue;
            }
            look.check(epoch)?;
            if self.sound(&look, &seen, None)? {
                return Ok(());
            }
        }
        Err(self.contended("opening the realm"))
    }

    /// The epoch of a realm that exists.
    pub(super) fn existing(&self) -> Result<Epoch, LeaseError> {
        let look = self.look(NO_NODE)?;
        let record = look.record.as_ref().ok_or_else(|| look.missing())?;
        record.realm.check(record.realm.epoch, &look.place)?;
        self.check_identity(&look, record)?;
        self.see(record.generation, look.position, Some(&look.run));
        Ok(record.realm.epoch)
    }

    pub(super) fn migrate(&self) -> Result<(), LeaseError> {
        self.link.run("creating the tables", &self.statements.migration)
    }

    pub(super) fn acquire(&self, epoch: Epoch, request: &Request) -> Result<Grant, LeaseError> {
        const DOING: &str = "acquiring a node";
        check_window(request.window)?;
        let (realm, label) = (Realm::new(epoch), printable(&request.owner.label));
        let (now, window) = (signed(request.now)?, signed(request.window)?);
        let max_floor = i64::try_from(request.max_floor).unwrap_or(i64::MAX);
        // Relaxed: a number by itself.
        self.longest_window.fetch_max(window, Ordering::Relaxed);
        let mut checked = false;
        for _ in 0..ATTEMPTS {
            let seen = self.seen();
            let values = [
                Text(&self.name),
                Number(signed(epoch.as_unix_millis())?),
                Text(&realm.layout),
                Number(now),
                Number(window),
                Number(self.max_skew),
                Number(request.owner.nonce.cast_signed()),
                Text(&label),
                Number((request.owner.nonce % 1024).cast_signed()),
                Number(max_floor),
                Number(seen.generation),
                Position(seen.position),
                Text(&seen.run),
            ];
            if let Some(row) = self.link.query(DOING, &self.statements.acquire, &values)?.first() {
                self.see(seen.generation, self.get(row, "position")?, None);
                return self.grant(row, &request.owner);
            }
            let look = self.look(NO_NODE)?;
            let record = look.check(epoch)?;
            if !self.sound(&look, &seen, None)? {
                continue;
            }
            if now.abs_diff(look.now) > self.max_skew.unsigned_abs() {
                return Err(self.skewed(now, look.now));
            } else if record.longest_window < window {
                self.link.query("noting the window", &self.statements.lengthen, &[Text(&self.name), Number(window)])?;
            } else if checked {
                // All was right before the acquire as well. A node that is free now became so since, or is being taken.
                self.check_free(now, max_floor)?;
            } else {
                checked = true;
            }
        }
        Err(self.contended(DOING))
    }

    /// Returns the error if no node is free, or none that needs no longer wait.
    fn check_free(&self, now: i64, max_floor: i64) -> Result<(), LeaseError> {
        let values = [Text(&self.name), Number(self.max_skew)];
        let rows = self.link.query("reading the free nodes", &self.statements.rest, &values)?;
        let Some(row) = rows.first() else { return Err(LeaseError::NoFreeNode { nodes: Node::COUNT }) };
        let get = |column| self.get::<i64>(row, column);
        let (floor, until) = (get("floor_ms")?, get("until_ms")?);
        if floor <= max_floor {
            return Ok(());
        }
        let cause = if floor > until {
            "the server was started a short time ago, and may have been restored from a backup that lacks the last windows"
                .into()
        } else if until <= get("rest_ms")? {
            self.get(row, "rest_cause")?
        } else {
            "the windows of their last holders have not ended".into()
        };
        let wait = u64::try_from(floor.saturating_sub(now)).unwrap_or(0);
        Err(LeaseError::Resting { wait: core::time::Duration::from_millis(wait), cause })
    }

    pub(super) fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        const DOING: &str = "renewing the lease";
        let grant = &renewal.grant;
        let until = signed(renewal.until)?;
        let [realm, node, token, nonce] = self.key(grant)?;
        let next_nonce = Number(renewal.next_nonce.cast_signed());
        let first = self.seen().generation;
        for attempt in 0..ATTEMPTS {
            let seen = self.seen();
            let (generation, position) = (Number(seen.generation), Position(seen.position));
            let (requested, in_time) = (Number(until), attempt == 0);
            let rows = if in_time {
                let file = Text(file_of(&seen.run));
                let values = [realm, node, token, nonce, requested, next_nonce, generation, position, file];
                self.link.query(DOING, &self.statements.renew_in_time, &values)?
            } else {
                let (max_skew, run) = (Number(self.max_skew), Text(&seen.run));
                let values = [realm, node, token, nonce, requested, max_skew, next_nonce, generation, position, run];
                self.link.query(DOING, &self.statements.renew, &values)?
            };
            if let Some(row) = rows.first() {
                self.see(seen.generation, self.get(row, "position")?, None);
                return Ok(renewal.granted(self.unsigned(row, "until_ms")?));
            }
            let look = self.look(index(grant.node))?;
            if !self.sound_for(&look, &seen, first, grant)? {
                continue;
            }
            let tenure = look.tenure(grant, |nonce| renewal.is_by(nonce), first)?;
            // Longer than a window is allowed to grow; else the row or the realm has changed since.
            if !in_time
                && until > signed(tenure.until)?.saturating_add(tenure.window)
                && until.saturating_sub(tenure.window).saturating_sub(look.now) > self.max_skew
            {
                return Err(self.skewed(until.saturating_sub(tenure.window), look.now));
            }
        }
        Err(self.contended(DOING))
    }

    /// Renews all in one statement; those that it leaves out are renewed singly, for their outcomes.
    pub(super) fn renew_all(&self, renewals: &[Renewal]) -> Vec<Result<Grant, LeaseError>> {
        let renewed = match renewals {
            [] | [_] => Ok(BTreeMap::new()),
            _ => self.renew_at_once(renewals),
        };
        let renewed = match renewed {
            Ok(renewed) => renewed,
            // The outcome of the statement is that of each; the error is one value.
            Err(error) => {
                let copies = renewals.iter().skip(1).map(|_| Err(self.unanswered(&error))).collect::<Vec<_>>();
                return core::iter::once(Err(error)).chain(copies).collect();
            }
        };
        let outcome = |renewal: &Renewal| match renewed.get(&(renewal.grant.node.index(), renewal.next_nonce)) {
            Some(&until) => Ok(renewal.granted(until)),
            None => self.renew(renewal),
        };
        renewals.iter().map(outcome).collect()
    }

    /// The new `until` of each node that was renewed, by its index and nonce.
    fn renew_at_once(&self, renewals: &[Renewal]) -> Result<BTreeMap<(u16, u64), u64>, LeaseError> {
        let seen = self.seen();
        let column = |number: fn(&Renewal) -> i64| renewals.iter().map(number).collect::<Vec<_>>();
        // A number that does not fit matches no row, and its renewal by itself says so.
        let fit = |number: u64| i64::try_from(number).unwrap_or(-1);
        let tokens: Vec<i64> = renewals.iter().map(|renewal| fit(renewal.grant.token)).collect();
        let untils: Vec<i64> = renewals.iter().map(|renewal| fit(renewal.until)).collect();
        let nodes = column(|renewal| renewal.grant.node.index().into());
        let nonces = column(|renewal| renewal.grant.owner.nonce.cast_signed());
        let next_nonces = column(|renewal| renewal.next_nonce.cast_signed());
        let values = [
            Text(&self.name),
            Number(self.max_skew),
            Number(seen.generation),
            Position(seen.position),
            Text(&seen.run),
            Numbers(&nodes),
            Numbers(&tokens),
            Numbers(&nonces),
            Numbers(&untils),
            Numbers(&next_nonces),
        ];
        let mut renewed = BTreeMap::new();
        for row in self.link.query("renewing the leases", &self.statements.renew_all, &values)? {
            self.see(seen.generation, self.get(&row, "position")?, None);
            let next_nonce: i64 = self.get(&row, "next_nonce")?;
            renewed.insert((self.node(&row)?.index(), next_nonce.cast_unsigned()), self.unsigned(&row, "until_ms")?);
        }
        Ok(renewed)
    }

    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        const DOING: &str = "releasing the node";
        let [realm, node, token, nonce] = self.key(grant)?;
        let (used_until, floor) = (Number(signed(used_until)?), Number(signed(grant.floor)?));
        let first = self.seen().generation;
        for _ in 0..ATTEMPTS {
            let seen = self.seen();
            let (generation, position, run) = (Number(seen.generation), Position(seen.position), Text(&seen.run));
            let values = [realm, node, token, nonce, used_until, floor, generation, position, run];
            if let Some(row) = self.link.query(DOING, &self.statements.release, &values)?.first() {
                self.see(seen.generation, self.get(row, "position")?, None);
                return Ok(());
            }
            let look = self.look(index(grant.node))?;
            if self.sound_for(&look, &seen, first, grant)? {
                look.tenure(grant, |nonce| nonce == grant.owner.nonce, first)?;
            }
        }
        Err(self.contended(DOING))
    }

    /// Ends a tenure without its holder; returns the holder's label, if there was one.
    pub(super) fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        let values = [Text(&self.name), Number(index(node))];
        let rows = self.link.query("evicting a holder", &self.statements.evict, &values)?;
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
        self.link.query("reading the nodes", &self.statements.nodes, &[Text(&self.name)])?.iter().map(status).collect()
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

    /// The values that identify a grant's row, and prove that it is still the grant's.
    fn key(&self, grant: &Grant) -> Result<[Value<'_>; 4], LeaseError> {
        let (token, nonce) = (signed(grant.token)?, grant.owner.nonce.cast_signed());
        Ok([Text(&self.name), Number(index(grant.node)), Number(token), Number(nonce)])
    }

    /// Whether the server is the one that has kept the realm, and not before what it has shown; else fences the realm.
    ///
    /// `seen` is from before the question, as answers overtake each other.
    fn sound(&self, look: &Look, seen: &Seen, grant: Option<&Grant>) -> Result<bool, LeaseError> {
        let record = look.record.as_ref().ok_or_else(|| look.missing())?;
        self.check_identity(look, record)?;
        let cause = if record.server != look.here {
            let was = if record.server.is_empty() { "another identity" } else { &record.server };
            format!("a failover or a restore was noticed: the realm was kept by {was}, and {} answers", look.here)
        } else if record.generation < seen.generation {
            format!("a restore was noticed: the realm went back from generation {}", seen.generation)
        } else if record.generation == seen.generation && look.position < seen.position {
            let (was, is) = (seen.position, look.position);
            format!("a restore was noticed: the server's WAL went back from {was} to {is}")
        } else {
            // In a later generation another process has noticed it, and has fenced the realm.
            self.see(record.generation, look.position, Some(&look.run));
            return Ok(true);
        };
        self.fence(record, grant, &cause)?;
        Ok(false)
    }

    /// The same for the holder of a node, who knows the window that the server has acknowledged.
    ///
    /// `first` is from before the call: a fence since then has been noticed already.
    fn sound_for(&self, look: &Look, seen: &Seen, first: i64, grant: &Grant) -> Result<bool, LeaseError> {
        if !self.sound(look, seen, Some(grant))? {
            return Ok(false);
        }
        let (Some(record), Some(row)) = (&look.record, &look.row) else { return Ok(true) };
        // A release alone lowers `until`, and leaves no nonce.
        let behind =
            row.token < grant.token || row.token == grant.token && row.nonce.is_some() && row.until < grant.until;
        if !behind || record.generation > first {
            return Ok(true);
        }
        let Grant { node, token, until, .. } = grant;
        let cause = format!(
            "a restore was noticed: the row of pid {}, seed {} has token {} and until {}, and {token} and {until} were \
             acknowledged",
            node.pid(),
            node.seed(),
            row.token,
            row.until
        );
        self.fence(record, Some(grant), &cause)?;
        Ok(false)
    }

    /// Ends every tenure, and lets every node rest until the windows have passed that may have been lost.
    ///
    /// It does nothing if the realm has changed since it was read: then another process has fenced it.
    fn fence(&self, record: &Record, grant: Option<&Grant>, cause: &str) -> Result<(), LeaseError> {
        // Later than every generation that was seen here, of which the server may have lost some.
        let next = record.generation.max(self.seen().generation).saturating_add(1);
        let values = [
            Text(&self.name),
            Text(&record.server),
            Number(record.generation),
            Number(next),
            // Relaxed: a number by itself.
            Number(self.longest_window.load(Ordering::Relaxed)),
            // Twice the skew: once for each server's clock.
            Number(self.max_skew.saturating_mul(2)),
            Number(grant.map_or(Ok(0), |grant| signed(grant.until))?),
            Text(cause),
        ];
        self.link.query("fencing the realm", &self.statements.fence, &values).map(|_| ())
    }

    /// Rejects a realm whose fleet identifies the server in another way: the two would fence each other for ever.
    fn check_identity(&self, look: &Look, record: &Record) -> Result<(), LeaseError> {
        if self.identity.made(&record.server) {
            return Ok(());
        }
        Err(LeaseError::RealmMismatch {
            store: look.place.clone(),
            stored: format!("identity {}", words(&record.server)),
            asked: format!("identity {}", self.identity.words()),
        })
    }

    fn look(&self, node: i64) -> Result<Look, LeaseError> {
        const DOING: &str = "reading the realm";
        let rows = self.link.query(DOING, &self.statements.read, &[Text(&self.name), Number(node)])?;
        let row = rows.first().ok_or_else(|| self.unavailable(DOING, "the server returned no row".into()))?;
        let record = match self.get::<Option<i64>>(row, "epoch_ms")? {
            None => None,
            Some(epoch) => Some(Record {
                realm: Realm {
                    epoch: Epoch::from_unix_millis(epoch.cast_unsigned()),
                    layout: self.get(row, "layout")?,
                },
                server: self.get(row, "server")?,
                generation: self.get(row, "generation")?,
                longest_window: self.get(row, "longest_window_ms")?,
            }),
        };
        let tenure = match self.get::<Option<i64>>(row, "token")? {
            None => None,
            Some(_) => Some(Tenure {
                token: self.unsigned(row, "token")?,
                nonce: self.get::<Option<i64>>(row, "owner_nonce")?.map(i64::cast_unsigned),
                label: self.get(row, "owner_label")?,
                window: self.get(row, "window_ms")?,
                until: self.unsigned(row, "until_ms")?,
                proves: self.get(row, "proves")?,
            }),
        };
        Ok(Look {
            place: format!("the realm {:?} at {}", self.name, self.link.place()),
            record,
            here: self.get(row, "here")?,
            position: self.get(row, "position")?,
            run: self.get(row, "run")?,
            now: self.get(row, "now_ms")?,
            syncs: self.get::<String>(row, "fsync")? == "on",
            row: tenure,
        })
    }

    /// Remembers an answer, unless a later one has overtaken it.
    ///
    /// `run` is there if the identity was read with it. An older run that overtakes a newer one costs another reading.
    fn see(&self, generation: i64, position: PgLsn, run: Option<&str>) {
        let mut latest = self.seen_now();
        if (generation, position) > (latest.generation, latest.position) {
            (latest.generation, latest.position) = (generation, position);
        }
        if let Some(run) = run.filter(|run| *run != &*latest.run && generation == latest.generation) {
            latest.run = run.into();
        }
    }

    fn seen(&self) -> Seen {
        self.seen_now().clone()
    }

    fn seen_now(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skewed(&self, host: i64, server: i64) -> LeaseError {
        LeaseError::ClockSkewed {
            host: host.cast_unsigned(),
            store: server.cast_unsigned(),
            max_skew: core::time::Duration::from_millis(self.max_skew.unsigned_abs()),
        }
    }

    fn node(&self, row: &Row) -> Result<Node, LeaseError> {
        Ok(Node::from_index(self.unsigned(row, "node")?)?)
    }

    fn unsigned(&self, row: &Row, column: &str) -> Result<u64, LeaseError> {
        let number: i64 = self.get(row, column)?;
        number.try_into().map_err(|_| self.unavailable(&format!("reading {column}"), format!("{number} is below 0")))
    }

    fn get<T: FromSqlOwned>(&self, row: &Row, column: &str) -> Result<T, LeaseError> {
        row.try_get(column).map_err(|error| self.unavailable(&format!("reading {column}"), error.to_string()))
    }

    fn contended(&self, doing: &str) -> LeaseError {
        self.unavailable(doing, "its rows change all the time".into())
    }

    /// The outcome of another renewal in a statement that failed.
    fn unanswered(&self, error: &LeaseError) -> LeaseError {
        self.unavailable("renewing the leases", error.to_string())
    }

    fn unavailable(&self, doing: &str, what: String) -> LeaseError {
        LeaseError::Unavailable { doing: format!("{doing} at {}", self.link.place()), source: what.into() }
    }
}

impl Look {
    /// The realm's row, if nodes may be acquired.
    fn check(&self, epoch: Epoch) -> Result<&Record, LeaseError> {
        if !self.syncs {
            return Err(LeaseError::Corrupt {
                record: self.place.clone(),
                reason: "is on a server with fsync off, which forgets windows in a crash of its machine".into(),
                remedy: "set fsync = on in its postgresql.conf, and reload it".into(),
            });
        }
        let record = self.record.as_ref().ok_or_else(|| self.missing())?;
        record.realm.check(epoch, &self.place).map(|()| record)
    }

    /// The row of a grant, if it is still the grant's. `first` is from before the call.
    fn tenure(&self, grant: &Grant, is_by: impl Fn(u64) -> bool, first: i64) -> Result<&Tenure, LeaseError> {
        let Some(row) = &self.row else { return Err(lost(grant, "its row is gone")) };
        let Tenure { token, nonce, label, .. } = row;
        let fenced = self.record.as_ref().is_some_and(|record| record.generation > first);
        let how = match nonce {
            None if fenced => "a failover or a restore was noticed, so every node rests until all windows have passed \
                               that may be lost"
                .into(),
            _ if *token != grant.token => format!("{label} has it, with token {token}"),
            Some(nonce) if is_by(*nonce) && row.proves => return Ok(row),
            Some(nonce) if is_by(*nonce) => {
                "it had expired before the server started, which may have been restored from a \
                                             backup that lacks a later holder"
                    .into()
            }
            Some(_) => format!("{label} has it, under the same token"),
            None => "it was released".into(),
        };
        Err(lost(grant, &how))
    }

    fn missing(&self) -> LeaseError {
        let source = "it does not exist; PostgresStore::open creates it".into();
        LeaseError::Unavailable { doing: format!("reading {}", self.place), source }
    }
}

fn index(node: Node) -> i64 {
    node.index().into()
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
