//! How a node is kept and given back: which statement is run when, and what an empty answer means.

use std::collections::BTreeMap;

use crate::lease::error::LeaseError;
use crate::lease::fleet::again;
use crate::lease::postgres::identity::file_of;
use crate::lease::postgres::link::Value::{self, Number, Numbers, Position, Text};
use crate::lease::postgres::store::{ATTEMPTS, Store, index, signed};
use crate::lease::store::{Grant, Renewal};

impl Store {
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
                let copies = renewals.iter().skip(1).map(|_| Err(again(&error))).collect::<Vec<_>>();
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

    /// The values that identify a grant's row, and prove that it is still the grant's.
    fn key(&self, grant: &Grant) -> Result<[Value<'_>; 4], LeaseError> {
        let (token, nonce) = (signed(grant.token)?, grant.owner.nonce.cast_signed());
        Ok([Text(&self.name), Number(index(grant.node)), Number(token), Number(nonce)])
    }
}
