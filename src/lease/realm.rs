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
    Err(LeaseError::InvalidConfig {
        setting: format!("the window of {window:?}"),
        reason: format!("is longer than {LONGEST_WINDOW:?}"),
        remedy: "ask for a shorter one, and renew it".into(),
    })
}

/// The longest name of a realm, in bytes.
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
const LONGEST_NAME: usize = 100;

/// Rejects a name that a store cannot keep, or that could name another realm's keys.
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
pub(super) fn check_name(name: &str) -> Result<(), LeaseError> {
    let (name, reason) = if name.is_empty() {
        (String::new(), "is empty".into())
    } else if name.len() > LONGEST_NAME {
        let start: String = name.chars().take(10).collect();
        (format!("{start}…"), format!("has {} bytes, and the limit is {LONGEST_NAME}", name.len()))
    } else if let Some(bad) = name.chars().find(|&char| char == '/' || char.is_control()) {
        (name.into(), format!("contains {bad:?}"))
    } else {
        return Ok(());
    };
    Err(LeaseError::InvalidConfig {
        setting: format!("the realm's name {name:?}"),
        reason,
        remedy: format!("use 1 to {LONGEST_NAME} bytes without `/` and control characters"),
    })
}

#[cfg(all(test, any(feature = "lease-etcd", feature = "lease-postgres")))]
mod tests {
    use super::{check_name, check_window};
    use crate::lease::error::LeaseError;

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
            let error = check_name(name).unwrap_err();
            assert!(matches!(error, LeaseError::InvalidConfig { .. }), "{error:?}");
            assert!(error.to_string().contains(part) && error.to_string().len() < 200, "{error}");
        }
    }

    #[test]
    fn windows_that_nobody_could_wait_for() {
        let day = 24 * 3600 * 1000;
        check_window(day).unwrap();
        let error = check_window(day + 1).unwrap_err();
        assert!(matches!(error, LeaseError::InvalidConfig { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the window of 86400.001s is longer than 86400s: ask for a shorter one, and renew it"
        );
    }
}
