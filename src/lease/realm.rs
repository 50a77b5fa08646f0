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

/// Refuses a window that nobody could wait for: after a fence every node rests for the longest one.
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
pub(super) fn check_window(millis: u64) -> Result<(), LeaseError> {
    let window = Duration::from_millis(millis);
    if window <= LONGEST_WINDOW {
        return Ok(());
    }
    let source = format!("{window:?} is longer than {LONGEST_WINDOW:?}: ask for a shorter one, and renew it").into();
    Err(LeaseError::Unavailable { doing: "checking the window".into(), source })
}

/// The longest name of a realm, in bytes.
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
const LONGEST_NAME: usize = 100;

/// Rejects a name that a store cannot keep, or that could name another realm's keys.
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
pub(super) fn check_name(name: &str) -> Result<(), LeaseError> {
    let problem = if name.is_empty() {
        "the name of the realm is empty".into()
    } else if name.len() > LONGEST_NAME {
        format!("the name of the realm has {} bytes, and the limit is {LONGEST_NAME}", name.len())
    } else if let Some(bad) = name.chars().find(|&char| char == '/' || char.is_control()) {
        format!("the name of the realm contains {bad:?}")
    } else {
        return Ok(());
    };
    let source = format!("{problem}: use 1 to {LONGEST_NAME} bytes without `/` and control characters").into();
    Err(LeaseError::Unavailable { doing: "checking the realm".into(), source })
}

#[cfg(all(test, any(feature = "lease-etcd", feature = "lease-postgres")))]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_no_store_takes() {
        for name in ["default", "orders prod", "Bestellungen-Ü", &"r".repeat(100)] {
            check_name(name).unwrap();
        }
        let long = "r".repeat(100_000);
        for (name, part) in [
            ("", "is empty: use 1 to 100 bytes"),
            ("a/b", "contains '/'"),
            ("a\0b", r"contains '\0'"),
            ("a\nb", r"contains '\n'"),
            (&long, "has 100000 bytes, and the limit is 100"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
