//! Calls of code that is not ours, whose panics become errors: nothing around the keeper ends its thread.

use core::any::Any;
use core::mem;
use std::panic::{self, AssertUnwindSafe};

use crate::lease::error::LeaseError;

/// Calls `f`, and turns a panic into an error with the panic's message.
///
/// `who` is the subject of that message: `the store`. Whether `f` had an effect before the panic is unknown. The caller
/// keeps its own state sound at every call of `f` that may unwind.
pub(super) fn caught<T>(doing: &str, who: &str, f: impl FnOnce() -> Result<T, LeaseError>) -> Result<T, LeaseError> {
    panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let source = format!("{who} panicked: {}", message(payload)).into();
        Err(LeaseError::Unavailable { doing: doing.into(), source })
    })
}

/// Calls `f`, and ignores a panic: for events, which change nothing.
pub(super) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
        message(payload);
    }
}

/// The message of a panic.
fn message(payload: Box<dyn Any + Send>) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        return (*message).into();
    }
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            // Leaked: the drop of an unknown payload may panic as well.
            mem::forget(payload);
            "without a message".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    fn error(f: impl FnOnce()) -> String {
        let outcome: Result<(), _> = caught("renewing", "the store", || {
            f();
            Ok(())
        });
        outcome.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(error(|| ()), "");
        assert_eq!(error(|| panic!("a bug")), "renewing: the store panicked: a bug");
        assert_eq!(error(|| panic!("bug {}", 7)), "renewing: the store panicked: bug 7");
        assert_eq!(error(|| panic::panic_any(Bomb)), "renewing: the store panicked: without a message");
        quietly(|| panic::panic_any(Bomb));
    }
}
