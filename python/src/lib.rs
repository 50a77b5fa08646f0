//! The native half of the Python package `pyflake`; `pyflake/__init__.py` is the front door.
//!
//! It converts and nothing more: IDs, leases and their guarantees are the crate's.

mod args;
mod client;
mod errors;
mod exit;
mod fork;
mod generator;
mod gil;
mod handle;
mod ids;
mod plan;
mod records;

use pyo3::prelude::*;

use crate::errors::Kind;

/// The exception for an attempt to pickle or to copy what must be one object in one process.
pub(crate) fn refuse_pickle(what: &str) -> PyErr {
    Kind::InvalidType.error(format!(
        "{what} cannot be pickled or copied, as a copy would issue the same IDs: make one in each process, with \
         leased() for a node of its own"
    ))
}

/// The module. It holds the interpreter's lock: see `gil`.
#[pymodule(gil_used = true)]
mod _pyflake {
    #[pymodule_export]
    use super::client::PyflakeClient;
    #[pymodule_export]
    use super::exit::release_all;
    #[pymodule_export]
    use super::generator::Generator;
    #[pymodule_export]
    use super::ids::{
        first_id_at, from_base32, from_base62, generate_seed, last_id_at, parts, to_base32, to_base62, to_datetime,
        to_timestamp,
    };
    #[pymodule_export]
    use super::records::{Records, pyflake_generator};

    use pyo3::prelude::*;

    /// Creates the tables of a PostgreSQL store where they are missing.
    #[pyfunction]
    fn migrate(py: Python<'_>, url: &Bound<'_, PyAny>) -> PyResult<()> {
        crate::plan::migrate(py, url)
    }

    /// Counts a fork: called in the child before anything else runs there.
    #[pyfunction]
    fn _forked() {
        crate::fork::count();
    }

    /// Panics, for the test that a panic does not end the interpreter.
    #[pyfunction]
    fn _panic() {
        panic!("a panic for the tests");
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::fork::count();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
