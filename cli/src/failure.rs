//! Why a command ended early, which decides its exit code.

use std::fmt::Display;
use std::io;

use pyflake::lease::LeaseError;

#[derive(Debug)]
pub(crate) enum Failure {
    /// What the user gave is at fault.
    Input(String),
    /// The system is at fault.
    Runtime(String),
    /// Whoever read the output has enough, as in `| head`: no failure to the user.
    ReaderLeft,
}

impl Failure {
    pub(crate) fn input(error: impl Display) -> Self {
        Failure::Input(error.to_string())
    }

    pub(crate) fn runtime(error: impl Display) -> Self {
        Failure::Runtime(error.to_string())
    }

    /// A store that failed: the user named a wrong one or none, or the store is at fault.
    pub(crate) fn lease(error: LeaseError) -> Self {
        match error {
            LeaseError::InvalidConfig { .. }
            | LeaseError::NotFound { .. }
            | LeaseError::RealmMismatch { .. }
            | LeaseError::Generator(_) => Failure::input(error),
            _ => Failure::runtime(error),
        }
    }

    /// A failure to write to stdout.
    pub(crate) fn stdout(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::ReaderLeft
        } else {
            Failure::Runtime(format!("cannot write to stdout: {error}"))
        }
    }

    /// A failure to read from stdin.
    pub(crate) fn stdin(error: &io::Error) -> Self {
        Failure::Runtime(format!("cannot read stdin: {error}"))
    }
}
