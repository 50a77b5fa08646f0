//! The common part of the stores on PostgreSQL and etcd: checks of requests, errors, and the trait
//! `LeaseStore`.

use core::time::Duration;

use crate::lease::error::LeaseError;
use crate::lease::realm::LONGEST_WINDOW;
use crate::lease::store::Grant;

/// Implements `LeaseStore` for a type with the fields `store` and `epoch`.
macro_rules! lease_store {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        impl LeaseStore for $name {
            fn epoch(&self) -> Epoch {
                self.epoch
            }

            fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
                self.store.acquire(self.epoch, request)
            }

            fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
                self.store.renew(renewal)
            }

            /// Renews a hundred grants or more with one request.
            fn renew_all(&self, renewals: &[Renewal]) -> Vec<Result<Grant, LeaseError>> {
                self.store.renew_all(renewals)
            }

            fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
                self.store.release(grant, used_until)
            }
        }
    };
}
pub(super) use lease_store;

/// Why nodes rest that nobody holds.
pub(super) const NOT_ENDED: &str = "the windows of their last holders have not ended";

/// The error of a holder whose node has another owner, or none.
pub(super) fn lost(grant: &Grant, how: &str) -> LeaseError {
    let Grant { node, token, .. } = grant;
    LeaseError::Lost { found: format!("pid {}, seed {}, token {token}: {how}", node.pid(), node.seed()) }
}

/// The error of a request for another caller of the same request.
///
/// An error of one grant is no outcome of the others: theirs is unknown.
pub(super) fn again(error: &LeaseError) -> LeaseError {
    match error {
        LeaseError::Unavailable { doing, source } => {
            LeaseError::Unavailable { doing: doing.clone(), source: source.to_string().into() }
        }
        LeaseError::InvalidConfig { setting, reason, remedy } => {
            LeaseError::InvalidConfig { setting: setting.clone(), reason: reason.clone(), remedy: remedy.clone() }
        }
        LeaseError::NotFound { store, remedy } => LeaseError::NotFound { store: store.clone(), remedy: remedy.clone() },
        LeaseError::Forked { store } => LeaseError::Forked { store: store.clone() },
        LeaseError::Unsafe { store, reason, remedy } => {
            LeaseError::Unsafe { store: store.clone(), reason: reason.clone(), remedy: remedy.clone() }
        }
        error => LeaseError::Unavailable { doing: "renewing the leases".into(), source: error.to_string().into() },
    }
}

/// A `max_skew` in milliseconds, short enough that sums of a few fit 63 bits.
pub(super) fn skew_millis(max_skew: Duration) -> u64 {
    const LONGEST: u64 = u64::MAX / 8;
    u64::try_from(max_skew.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}

/// Refuses a window that nobody could wait for: after a fence every node rests for the longest one.
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
const LONGEST_NAME: usize = 100;

/// Rejects a name that a store cannot keep, or that could name another realm's keys.
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// A copy that became an outage would be retried for ever: the child of a `fork` would never learn that it is one.
    #[test]
    fn an_error_for_several_callers_keeps_its_meaning() {
        let forked = LeaseError::Forked { store: "the store".into() };
        let missing = LeaseError::NotFound { store: "the store".into(), remedy: "create it".into() };
        let (store, reason, remedy) = ("the store".into(), "forgets".into(), "set fsync = on".into());
        let unsafe_one = LeaseError::Unsafe { store, reason, remedy };
        let outage = LeaseError::Unavailable { doing: "renewing".into(), source: "no answer".into() };
        for error in [forked, missing, unsafe_one, outage, check_name("a/b").unwrap_err()] {
            let copy = again(&error);
            assert_eq!(core::mem::discriminant(&copy), core::mem::discriminant(&error));
            assert_eq!(copy.to_string(), error.to_string());
        }
        // No other grant is lost because one is.
        let lost = LeaseError::Lost { found: "another owner".into() };
        assert!(matches!(again(&lost), LeaseError::Unavailable { .. }));
    }
}
