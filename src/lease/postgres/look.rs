//! The realm and the row of a node as a statement finds them: they tell why it has done nothing.

use tokio_postgres::types::PgLsn;

use crate::id::Epoch;
use crate::lease::error::LeaseError;
use crate::lease::fleet::lost;
use crate::lease::postgres::link::Value::{Number, Text};
use crate::lease::postgres::store::Store;
use crate::lease::realm::Realm;
use crate::lease::store::Grant;

/// The realm as the server has it, and the row of one node.
pub(super) struct Look {
    /// The realm and its server, for messages.
    pub(super) place: String,
    pub(super) record: Option<Record>,
    /// The server that answers.
    pub(super) here: String,
    pub(super) position: PgLsn,
    pub(super) run: String,
    /// Its clock, in Unix milliseconds.
    pub(super) now: i64,
    /// Whether it keeps what it acknowledges.
    pub(super) syncs: bool,
    pub(super) row: Option<Tenure>,
}

/// The row of a realm.
pub(super) struct Record {
    pub(super) realm: Realm,
    pub(super) server: String,
    pub(super) generation: i64,
    pub(super) longest_window: i64,
}

/// The row of a node.
pub(super) struct Tenure {
    pub(super) token: u64,
    /// `None`: it was given back.
    pub(super) nonce: Option<u64>,
    pub(super) label: String,
    pub(super) window: i64,
    pub(super) until: u64,
    /// Whether its holder's nonce proves it: if not, a later tenure may have been lost before the server started.
    pub(super) proves: bool,
}

impl Store {
    pub(super) fn look(&self, node: i64) -> Result<Look, LeaseError> {
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
}

impl Look {
    /// The realm's row, if nodes may be acquired.
    pub(super) fn check(&self, epoch: Epoch) -> Result<&Record, LeaseError> {
        if !self.syncs {
            return Err(LeaseError::Unsafe {
                store: self.place.clone(),
                reason: "is on a server with fsync off, which forgets windows in a crash of its machine".into(),
                remedy: "set fsync = on in its postgresql.conf, and reload it".into(),
            });
        }
        let record = self.record.as_ref().ok_or_else(|| self.missing())?;
        record.realm.check(epoch, &self.place).map(|()| record)
    }

    /// The row of a grant, if it is still the grant's. `first` is from before the call.
    pub(super) fn tenure(&self, grant: &Grant, is_by: impl Fn(u64) -> bool, first: i64) -> Result<&Tenure, LeaseError> {
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

    pub(super) fn missing(&self) -> LeaseError {
        LeaseError::NotFound { store: self.place.clone(), remedy: "create it with PostgresStore::open".into() }
    }
}
