//! How a realm is opened, and created where it is missing.

use crate::id::Epoch;
use crate::lease::error::LeaseError;
use crate::lease::postgres::link::Value::{Number, Text};
use crate::lease::postgres::store::{ATTEMPTS, NO_NODE, Store, signed};
use crate::lease::realm::Realm;

impl Store {
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
}
