//! How a node is acquired: which statement is run when, and what an empty answer means.

use std::sync::atomic::Ordering;

use tokio_postgres::Row;

use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::fleet::{NOT_ENDED, check_window};
use crate::lease::label::printable;
use crate::lease::postgres::link::Value::{Number, Position, Text};
use crate::lease::postgres::store::{ATTEMPTS, NO_NODE, Store, signed};
use crate::lease::realm::Realm;
use crate::lease::store::{Grant, Owner, Request};

impl Store {
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
            NOT_ENDED.into()
        };
        let wait = u64::try_from(floor.saturating_sub(now)).unwrap_or(0);
        Err(LeaseError::Resting { wait: core::time::Duration::from_millis(wait), cause })
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

    pub(super) fn skewed(&self, host: i64, server: i64) -> LeaseError {
        LeaseError::ClockSkewed {
            host: host.cast_unsigned(),
            store: server.cast_unsigned(),
            max_skew: core::time::Duration::from_millis(self.max_skew.unsigned_abs()),
        }
    }
}
