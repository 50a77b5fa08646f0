//! A realm on a server: what its store knows, what an operator does, and how rows are read.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, PgLsn};

use crate::id::Node;
use crate::lease::error::LeaseError;
use crate::lease::postgres::identity::Identity;
use crate::lease::postgres::link::Link;
use crate::lease::postgres::link::Value::{Number, Text};
use crate::lease::postgres::statements::Statements;
use crate::lease::status::NodeStatus;

/// A realm on a server.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) link: Link,
    pub(super) name: String,
    pub(super) statements: Statements,
    pub(super) identity: Identity,
    /// In milliseconds.
    pub(super) max_skew: i64,
    pub(super) seen: Mutex<Seen>,
    /// The longest window that was requested here, in milliseconds.
    pub(super) longest_window: AtomicI64,
}

/// The latest state that the server has shown: one before it means that the server went back.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) generation: i64,
    /// The flushed WAL position within that generation.
    pub(super) position: PgLsn,
    /// The run of the server on which its identity was read. Of another run nothing is known but the rest.
    pub(super) run: Arc<str>,
}

impl Seen {
    pub(super) fn nothing() -> Self {
        Seen { generation: 0, position: PgLsn::from(0), run: "".into() }
    }
}

/// How often a call is tried: after each of the things that it may have to put right, and when all is right.
pub(super) const ATTEMPTS: u32 = 8;

/// The index of no node.
pub(super) const NO_NODE: i64 = -1;

impl Store {
    pub(super) fn new(
        link: Link,
        name: String,
        schema: &str,
        identity: Identity,
        max_skew: i64,
    ) -> Result<Self, LeaseError> {
        let statements = Statements::new(schema, &identity)?;
        let seen = Mutex::new(Seen::nothing());
        let longest_window = AtomicI64::new(0);
        Ok(Store { link, name, statements, identity, max_skew, seen, longest_window })
    }

    pub(super) fn migrate(&self) -> Result<(), LeaseError> {
        self.link.run("creating the tables", &self.statements.migration)
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

    /// Remembers an answer, unless a later one has overtaken it.
    ///
    /// `run` is there if the identity was read with it. An older run that overtakes a newer one costs another reading.
    pub(super) fn see(&self, generation: i64, position: PgLsn, run: Option<&str>) {
        let mut latest = self.seen_now();
        if (generation, position) > (latest.generation, latest.position) {
            (latest.generation, latest.position) = (generation, position);
        }
        if let Some(run) = run.filter(|run| *run != &*latest.run && generation == latest.generation) {
            latest.run = run.into();
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen_now().clone()
    }

    fn seen_now(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn node(&self, row: &Row) -> Result<Node, LeaseError> {
        Ok(Node::from_index(self.unsigned(row, "node")?)?)
    }

    pub(super) fn unsigned(&self, row: &Row, column: &str) -> Result<u64, LeaseError> {
        let number: i64 = self.get(row, column)?;
        number.try_into().map_err(|_| self.unavailable(&format!("reading {column}"), format!("{number} is below 0")))
    }

    pub(super) fn get<T: FromSqlOwned>(&self, row: &Row, column: &str) -> Result<T, LeaseError> {
        row.try_get(column).map_err(|error| self.unavailable(&format!("reading {column}"), error.to_string()))
    }

    pub(super) fn contended(&self, doing: &str) -> LeaseError {
        self.unavailable(doing, "its rows change all the time".into())
    }

    pub(super) fn unavailable(&self, doing: &str, what: String) -> LeaseError {
        LeaseError::Unavailable { doing: format!("{doing} at {}", self.link.place()), source: what.into() }
    }
}

pub(super) fn index(node: Node) -> i64 {
    node.index().into()
}

pub(super) fn signed(number: u64) -> Result<i64, LeaseError> {
    let too_large = |_| LeaseError::Unavailable {
        doing: "preparing a statement".into(),
        source: format!("{number} does not fit a bigint; the largest is {}", i64::MAX).into(),
    };
    i64::try_from(number).map_err(too_large)
}
