//! The crate's errors as the exceptions of `pyflake._errors`.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use pyflake::lease::LeaseError;
use pyflake::{Error, ParseError};

/// The exceptions, by their names in Python.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    InvalidValue,
    InvalidType,
    NoGenerator,
    State,
    Forked,
    Exhausted,
    Wait,
    Lease,
}

const NAMES: [&str; 8] = [
    "InvalidValueError",
    "InvalidTypeError",
    "NoGeneratorError",
    "StateError",
    "ForkedError",
    "ExhaustedError",
    "WaitError",
    "LeaseError",
];

impl Kind {
    /// Makes the exception with a message.
    pub(crate) fn error(self, message: impl Into<String>) -> PyErr {
        let message = message.into();
        Python::attach(|py| match self.class(py) {
            Ok(class) => PyErr::from_type(class.clone(), (message,)),
            Err(error) => error,
        })
    }

    fn class(self, py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
        static CLASSES: [PyOnceLock<Py<PyType>>; NAMES.len()] = [const { PyOnceLock::new() }; NAMES.len()];
        let at = self as usize;
        CLASSES[at].import(py, "pyflake._errors", NAMES[at])
    }
}

/// An exception for an error of a generator or a client.
#[cold]
pub(crate) fn of(error: &Error) -> PyErr {
    let kind = match error {
        Error::NoGenerator => Kind::NoGenerator,
        Error::Forked => Kind::Forked,
        Error::Exhausted { retry_after } => return exhausted(error.to_string(), retry_after.as_secs_f64()),
        Error::WaitTooLong { .. } | Error::ClockStalled { .. } => Kind::Wait,
        Error::LeaseLost | Error::PastLease { .. } => Kind::Lease,
        Error::GeneratorExists { .. }
        | Error::ClientLeased
        | Error::NodeInUse { .. }
        | Error::NoForkGuard { .. }
        | Error::NoTicker { .. } => Kind::State,
        _ => Kind::InvalidValue,
    };
    kind.error(error.to_string())
}

/// An exception for an error of a lease.
#[cold]
pub(crate) fn of_lease(error: &LeaseError) -> PyErr {
    match error {
        LeaseError::Generator(error) => of(error),
        LeaseError::InvalidConfig { .. } => Kind::InvalidValue.error(error.to_string()),
        LeaseError::Forked { .. } => Kind::Forked.error(error.to_string()),
        error => Kind::Lease.error(error.to_string()),
    }
}

/// An exception for a text that is no ID.
#[cold]
pub(crate) fn of_parse(error: &ParseError) -> PyErr {
    Kind::InvalidValue.error(error.to_string())
}

/// An `ExhaustedError` with its `retry_after`, in seconds.
fn exhausted(message: String, retry_after: f64) -> PyErr {
    let error = Kind::Exhausted.error(message);
    Python::attach(|py| {
        let value: &Bound<'_, PyBaseException> = error.value(py);
        value.setattr("retry_after", retry_after).map_or_else(|failed| failed, |()| error.clone_ref(py))
    })
}
