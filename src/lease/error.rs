use core::fmt;
use core::time::Duration;

use crate::error::Error;

/// Why a lease could not be had or kept.
///
/// | the variant | another attempt |
/// |---|---|
/// | `Unavailable` | may succeed at any moment |
/// | `NoFreeNode`, `Resting`, `ClockBehind`, `ClockSkewed` | succeeds later, or after the clock is set |
/// | `NotFound`, `Unsafe`, `RealmMismatch`, `Corrupt` | fails until somebody changes the store |
/// | `InvalidConfig`, `Forked`, `Generator` | fails with these arguments, or in this process |
///
/// It is `non_exhaustive`, as stores learn to tell more causes apart.
#[non_exhaustive]
#[derive(Debug)]
pub enum LeaseError {
    /// Every node of the store is held.
    NoFreeNode {
        /// How many there are.
        nodes: usize,
    },
    /// The grant is no longer the caller's: another owner has the node, or it was released.
    Lost {
        /// What the store found instead.
        found: String,
    },
    /// The store could not be reached or did not answer. The outcome is unknown: ask again.
    Unavailable {
        /// What was being done.
        doing: String,
        /// What went wrong.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// An argument is out of range or malformed: a URL, a realm's name, a schema, a window. Nothing was asked of the store.
    InvalidConfig {
        /// The argument with its value, but without a password: `the window of 90000s`.
        setting: String,
        /// The limit that it breaks: `is longer than 86400s`.
        reason: String,
        /// The way out.
        remedy: String,
    },
    /// The store does not exist, and was not to be created.
    NotFound {
        /// Which store.
        store: String,
        /// The way out.
        remedy: String,
    },
    /// The store was opened before this process was forked: it is the parent's.
    Forked {
        /// Which store.
        store: String,
    },
    /// The server is set up so that a lease on it proves nothing.
    Unsafe {
        /// Which store.
        store: String,
        /// The fault of its server.
        reason: String,
        /// The way out.
        remedy: String,
    },
    /// The store is for another epoch, bit layout or identity of its server.
    RealmMismatch {
        /// Which store.
        store: String,
        /// What it is for.
        stored: String,
        /// What was asked for.
        asked: String,
    },
    /// What the store holds cannot be relied on, so nothing is issued on it.
    Corrupt {
        /// Which record.
        record: String,
        /// What is wrong with it.
        reason: String,
        /// The way out.
        remedy: String,
    },
    /// Every free node has a window that has not ended, longer than the caller can wait.
    Resting {
        /// How long until the first node can be used.
        wait: Duration,
        /// Why the nodes rest.
        cause: String,
    },
    /// The clock is so far behind the windows already given out that the first ID is further away than `max_wait`.
    ClockBehind {
        /// How long the wait would be.
        wait: Duration,
        /// The longest wait the generator was built to accept.
        max_wait: Duration,
    },
    /// The clock is too far from the store's, which would give the node windows that lie far off for others.
    ClockSkewed {
        /// The clock, in Unix milliseconds.
        host: u64,
        /// The store's clock, in Unix milliseconds.
        store: u64,
        /// How far they may be apart.
        max_skew: Duration,
    },
    /// The generator on the node could not be built.
    Generator(Error),
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaseError::NoFreeNode { nodes } => {
                write!(f, "all {nodes} nodes are held: stop a holder, or use another store with an epoch of its own")
            }
            LeaseError::Lost { found } => write!(f, "the lease is lost: {found}"),
            LeaseError::Unavailable { doing, source } => write!(f, "{doing}: {source}"),
            LeaseError::InvalidConfig { setting, reason, remedy } => write!(f, "{setting} {reason}: {remedy}"),
            LeaseError::NotFound { store, remedy } => write!(f, "{store} does not exist: {remedy}"),
            LeaseError::Forked { store } => {
                write!(f, "{store} was opened before this process was forked: open it again in the child")
            }
            LeaseError::Unsafe { store, reason, remedy } => write!(f, "{store} {reason}: {remedy}"),
            LeaseError::RealmMismatch { store, stored, asked } => {
                write!(f, "{store} is for {stored}, not for {asked}: open it as it was created, or use another store")
            }
            LeaseError::Corrupt { record, reason, remedy } => write!(f, "{record} {reason}: {remedy}"),
            LeaseError::Resting { wait, cause } => {
                write!(f, "every free node rests for another {wait:?}: {cause}; wait for that time, or raise max_wait")
            }
            LeaseError::ClockBehind { wait, max_wait } => write!(
                f,
                "the clock is {wait:?} behind the windows already given out, and max_wait is {max_wait:?}: set the \
                 clock right, or raise max_wait"
            ),
            LeaseError::ClockSkewed { host, store, max_skew } => write!(
                f,
                "this host's clock is {:?} {} the store's, and max_skew is {max_skew:?}: set the clock right, or raise \
                 max_skew",
                Duration::from_millis(host.abs_diff(*store)),
                if host > store { "ahead of" } else { "behind" },
            ),
            LeaseError::Generator(error) => error.fmt(f),
        }
    }
}

// Without a `source`: the message has it already.
impl core::error::Error for LeaseError {}

impl From<Error> for LeaseError {
    fn from(error: Error) -> Self {
        LeaseError::Generator(error)
    }
}
