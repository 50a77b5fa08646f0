//! What every [`LeaseStore`] must pass: the contract as checks, for the tests of a store of your own.
//!
//! Say how to come by stores with [`Fixture`], and run [`assert_conforms`] in a test. The checks are about what callers
//! see of a store that works; that it keeps what it has acknowledged through crashes and failovers is for tests of your
//! own, with the real thing.
//!
//! ```
//! use pyflake::Epoch;
//! use pyflake::lease::conformance::{self, Fixture};
//! use pyflake::lease::{FileStore, LeaseError, LeaseStore};
//!
//! struct Directory(std::path::PathBuf);
//!
//! impl Fixture for Directory {
//!     fn open(&self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, LeaseError> {
//!         Ok(Box::new(FileStore::open(&self.0, epoch)?))
//!     }
//! }
//!
//! let dir = std::env::temp_dir().join(format!("pyflake-conformance-doc-{}", std::process::id()));
//! // One of the checks; `assert_conforms` runs them all, each on a fixture of its own.
//! let distinct = conformance::checks().iter().find(|check| check.name() == "distinct").unwrap();
//! assert_eq!(distinct.run(&Directory(dir.clone())), Ok(()));
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checks;

use core::fmt;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::id::{Epoch, Node};
use crate::lease::error::LeaseError;
use crate::lease::store::LeaseStore;

/// An empty place for leases, for one check.
pub trait Fixture: Sync {
    /// Opens the place, as another process would; all that are opened share its nodes.
    ///
    /// # Errors
    ///
    /// Those of the store. A check fails on them unless it expects them.
    fn open(&self, epoch: Epoch) -> Result<Box<dyn LeaseStore>, LeaseError>;

    /// How many nodes there are.
    fn nodes(&self) -> usize {
        Node::COUNT
    }

    /// The time of requests, in Unix milliseconds: the wall clock's by default.
    fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        u64::try_from(now).unwrap_or(u64::MAX)
    }

    /// Makes a node another owner's, as an operator does by hand; `false` if that cannot be done, which skips the
    /// check.
    fn steal(&self, _node: Node) -> bool {
        false
    }

    /// How far a caller's clock may be from the store's, if the store looks at it; `None` skips the check.
    fn max_skew(&self) -> Option<Duration> {
        None
    }
}

/// One rule of the contract.
#[derive(Clone, Copy)]
pub struct Check {
    name: &'static str,
    run: fn(&dyn Fixture) -> Result<(), String>,
}

impl Check {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it on an empty place; what is wrong with the store is the error.
    ///
    /// # Errors
    ///
    /// A sentence for the author of the store.
    pub fn run(&self, fixture: &dyn Fixture) -> Result<(), String> {
        (self.run)(fixture)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// All checks.
#[must_use]
pub fn checks() -> &'static [Check] {
    checks::ALL
}

/// Runs all checks, each on a fixture of its own.
///
/// # Panics
///
/// If one fails, with all that failed.
pub fn assert_conforms<F: Fixture>(mut empty: impl FnMut() -> F) {
    let failures: Vec<String> = checks()
        .iter()
        .filter_map(|check| check.run(&empty()).err().map(|failure| format!("{}: {failure}", check.name())))
        .collect();
    assert!(failures.is_empty(), "the store does not keep the contract of LeaseStore:\n{}", failures.join("\n"));
}
