//! The realm: what a whole store is for.

use core::fmt::Display;
use core::time::Duration;

use crate::id::Epoch;
use crate::layout::{PID_BITS, SEED_BITS, SEQUENCE_BITS, TICK_BITS};
use crate::lease::error::LeaseError;

/// What all nodes of a store have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Realm {
    pub(super) epoch: Epoch,
    pub(super) layout: String,
}

impl Realm {
    pub(super) fn new(epoch: Epoch) -> Self {
        Realm { epoch, layout: format!("{TICK_BITS}/{SEED_BITS}/{PID_BITS}/{SEQUENCE_BITS}") }
    }

    /// Refuses the realm of a store unless it has this epoch, and this library's layout.
    pub(super) fn check(&self, epoch: Epoch, store: &dyn Display) -> Result<(), LeaseError> {
        let asked = Realm::new(epoch);
        if *self == asked {
            return Ok(());
        }
        let name = |realm: &Realm| format!("epoch {} and layout {}", realm.epoch, realm.layout);
        Err(LeaseError::RealmMismatch { store: store.to_string(), stored: name(self), asked: name(&asked) })
    }
}

/// The longest window that there is.
pub(super) const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);
