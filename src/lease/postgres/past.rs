//! A server that is not the one that has kept the realm, or went back to its past: it is noticed here, and fenced.

use std::sync::atomic::Ordering;

use crate::lease::error::LeaseError;
use crate::lease::postgres::identity::words;
use crate::lease::postgres::link::Value::{Number, Text};
use crate::lease::postgres::look::{Look, Record};
use crate::lease::postgres::store::{Seen, Store, signed};
use crate::lease::store::Grant;

impl Store {
    /// Whether the server is the one that has kept the realm, and not before what it has shown; else fences the realm.
    ///
    /// `seen` is from before the question, as answers overtake each other.
    pub(super) fn sound(&self, look: &Look, seen: &Seen, grant: Option<&Grant>) -> Result<bool, LeaseError> {
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
    pub(super) fn sound_for(&self, look: &Look, seen: &Seen, first: i64, grant: &Grant) -> Result<bool, LeaseError> {
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
    pub(super) fn check_identity(&self, look: &Look, record: &Record) -> Result<(), LeaseError> {
        if self.identity.made(&record.server) {
            return Ok(());
        }
        Err(LeaseError::RealmMismatch {
            store: look.place.clone(),
            stored: format!("identity {}", words(&record.server)),
            asked: format!("identity {}", self.identity.words()),
        })
    }
}
