//! The enum `Error`: every error of the crate outside `lease`.

mod parse;

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use crate::layout::node::Node;
use crate::layout::{MAX_PID, MAX_SEED, MAX_SEQUENCE, MAX_TICK, SEQUENCE_BITS};

pub use parse::ParseError;
pub(crate) use parse::shown;
use parse::{MAX_INDEX, NodeForms};

/// The reason why an ID, a generator or a value could not be made.
///
/// Each message names the value, the limit and the way out. New variants may be added, so a `match`
/// needs a `_` arm.
///
/// ```
/// use pyflake::{Error, Node};
///
/// let error = Node::new(32, 0).unwrap_err();
/// assert_eq!(error, Error::PidOutOfRange { pid: 32 });
/// assert_eq!(error.to_string(), "pid 32 is out of range: a pid has 5 bits, so use 0 to 31");
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A pid above 31.
    PidOutOfRange {
        /// The pid that was given.
        pid: u64,
    },
    /// A seed above 31.
    SeedOutOfRange {
        /// The seed that was given.
        seed: u64,
    },
    /// An empty range of seeds.
    NoSeeds {
        /// The first seed of the range.
        first: u64,
        /// The last seed of the range.
        last: u64,
    },
    /// A number of leased shards that is 0 or more than 32.
    ShardsOutOfRange {
        /// The number that was given.
        shards: usize,
    },
    /// A sequence above 4095.
    SequenceOutOfRange {
        /// The sequence that was given.
        sequence: u64,
    },
    /// A number of bits for [`generate_seed`](crate::generate_seed) that is 0 or more than 64.
    BitsOutOfRange {
        /// The number of bits that was given.
        bits: u32,
    },
    /// More than 11 bits for [`spread_sequence`](crate::GeneratorBuilder::spread_sequence).
    SpreadOutOfRange {
        /// The number of bits that was given.
        bits: u32,
    },
    /// A `max_lead` that is longer than the limit.
    LeadOutOfRange {
        /// The lead that was given.
        max_lead: Duration,
        /// The longest `max_lead`.
        limit: Duration,
    },
    /// A `max_lead` without a lease: a restart would repeat IDs.
    LeadUnprotected {
        /// The lead that was given.
        max_lead: Duration,
    },
    /// A time before the epoch: its tick would be negative. The time is the clock's or an argument.
    EpochInFuture {
        /// The epoch, Unix milliseconds.
        epoch: u64,
        /// The time, Unix milliseconds.
        now: u64,
    },
    /// A time past the 42 bits of a tick. The time is the clock's, an argument, or the end of the
    /// requested run.
    EndOfTime {
        /// The epoch, Unix milliseconds.
        epoch: u64,
        /// The time, Unix milliseconds.
        now: u64,
    },
    /// All 4096 IDs of this millisecond are issued, and the call does not wait.
    Exhausted {
        /// The time until the next IDs, by the generator's clock.
        retry_after: Duration,
    },
    /// The wait would be longer than `max_wait`. Nothing was claimed. Blocking calls return this
    /// without waiting.
    WaitTooLong {
        /// The wait, by the generator's clock.
        wait: Duration,
        /// The generator's `max_wait`.
        max_wait: Duration,
    },
    /// The generator's clock stood still, or ran far too slowly, while a caller waited.
    ClockStalled {
        /// The time that the caller waited.
        waited: Duration,
    },
    /// The generator was inherited through `fork`. The parent still issues from its timeline, so
    /// the child must not.
    Forked,
    /// The system refused to install the fork guard, for lack of memory.
    NoForkGuard {
        /// The error code of `pthread_atfork`.
        code: i32,
    },
    /// The thread of a [`CoarseClock`](crate::CoarseClock) could not be started.
    NoTicker {
        /// The message of the system.
        reason: Box<str>,
    },
    /// The node is already in use in this process: under another lease, or one use has a lease and
    /// the other has none.
    NodeInUse {
        /// The node.
        node: Node,
        /// Whether the existing use is under a lease.
        leased: bool,
    },
    /// The lease on the node is lost or released, so no ID may be issued on it.
    LeaseLost,
    /// The requested run ends past the lease's window. The store has not extended the window, or
    /// the run is longer than a window.
    PastLease {
        /// The Unix millisecond in which the run would end.
        end: u64,
        /// The first Unix millisecond past the window.
        until: u64,
    },
    /// The client has a generator already.
    GeneratorExists {
        /// The node of that generator.
        node: Node,
    },
    /// The client has no generator.
    NoGenerator,
    /// The client issues on a lease, so the caller cannot choose the node.
    ClientLeased,
    /// A text that is not an ID or not a node.
    Parse(ParseError),
    /// A range of times that ends before it starts.
    ReversedRange {
        /// The start, Unix milliseconds.
        start: u64,
        /// The end, Unix milliseconds.
        end: u64,
    },
    /// A time before 1970. An epoch cannot lie there, and so no ID can.
    Before1970 {
        /// The time, Unix milliseconds, rounded down.
        unix_millis: i64,
    },
    /// A time that is not a whole millisecond, so it cannot be an epoch.
    NotWholeMillis {
        /// The Unix millisecond that contains the time.
        unix_millis: u64,
        /// The rest of the time, in nanoseconds.
        nanos: u32,
    },
    /// A negative number, where an ID was expected.
    NegativeId {
        /// The number.
        id: i64,
    },
    /// An ID above `i64::MAX`, where an `i64` was requested.
    BeyondI64 {
        /// The ID.
        id: u64,
    },
    /// A node index above 1023.
    NodeOutOfRange {
        /// The index that was given.
        index: u64,
    },
    /// The value of an environment variable is not a node, or the variable is not set.
    InvalidNodeVariable {
        /// The name of the variable.
        name: Box<str>,
        /// The value, cut after 32 characters; `None` if the variable is not set.
        value: Option<Box<str>>,
        /// The defect of the value.
        reason: &'static str,
    },
    /// A name that does not end in the ordinal of a node.
    InvalidOrdinal {
        /// The name, cut after 253 characters; empty if the host name is unknown.
        name: Box<str>,
        /// The defect of the name.
        reason: &'static str,
    },
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines, reason = "an arm for each variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PidOutOfRange { pid } => {
                write!(f, "pid {pid} is out of range: a pid has 5 bits, so use 0 to {MAX_PID}")
            }
            Error::SeedOutOfRange { seed } => {
                write!(f, "seed {seed} is out of range: a seed has 5 bits, so use 0 to {MAX_SEED}")
            }
            Error::NoSeeds { first, last } => {
                write!(f, "the seed range {first}..={last} is empty: use a range within 0..={MAX_SEED}")
            }
            Error::ShardsOutOfRange { shards } => {
                write!(f, "{shards} shards are out of range: use 1 to 32")
            }
            Error::SequenceOutOfRange { sequence } => {
                write!(f, "sequence {sequence} is out of range: a sequence has 12 bits, so use 0 to {MAX_SEQUENCE}")
            }
            Error::BitsOutOfRange { bits } => {
                write!(f, "cannot draw a seed of {bits} bits: use 1 to 64 (a pid or a seed has 5)")
            }
            Error::SpreadOutOfRange { bits } => {
                write!(f, "cannot spread the sequence over {bits} bits: use 0 to {}", SEQUENCE_BITS - 1)
            }
            Error::LeadOutOfRange { max_lead, limit } => {
                write!(f, "a max_lead of {max_lead:?} is too long: use at most {limit:?}")
            }
            Error::LeadUnprotected { max_lead } => write!(
                f,
                "with a max_lead of {max_lead:?} a restart would repeat the IDs issued ahead of the clock: hold the node \
                 under a lease, or acknowledge it with allow_repeats_after_restart"
            ),
            Error::EpochInFuture { epoch, now } => write!(
                f,
                "the epoch {epoch} lies {} ms after the time {now} (both Unix milliseconds): use an epoch in the \
                 past, and check the clock",
                epoch.saturating_sub(*now)
            ),
            Error::EndOfTime { epoch, now } => write!(
                f,
                "the time {now} lies past the 42 bits of the epoch {epoch}, which end at {} (all Unix milliseconds): \
                 use a later epoch, and check that the clock counts milliseconds",
                epoch.saturating_add(MAX_TICK)
            ),
            Error::Exhausted { retry_after } => {
                write!(f, "all IDs of this millisecond are issued: try again in {retry_after:?}")
            }
            Error::WaitTooLong { wait, max_wait } => write!(
                f,
                "the next ID is {wait:?} away and max_wait is {max_wait:?}: ask for fewer IDs at a time, raise \
                 max_wait, or check whether the clock was set back"
            ),
            Error::ClockStalled { waited } => {
                write!(f, "the clock did not reach the next millisecond in {waited:?} of waiting: check the clock")
            }
            Error::Forked => write!(
                f,
                "this generator was inherited through fork and belongs to the parent: build one on another node"
            ),
            Error::NoForkGuard { code } => write!(
                f,
                "the fork guard could not be installed (pthread_atfork returned {code}): free some memory and try again"
            ),
            Error::NoTicker { reason } => write!(
                f,
                "the thread of the coarse clock could not be started ({reason}): allow the process more threads, or use \
                 the SystemClock"
            ),
            Error::NodeInUse { node, leased: true } => write!(
                f,
                "the node {node} (pid/seed) is or was used under a lease in this process: use its leased generator, \
                 or another node"
            ),
            Error::NodeInUse { node, leased: false } => write!(
                f,
                "the node {node} (pid/seed) is used without a lease in this process, so a lease cannot protect \
                 it: use leases from the start, or another node"
            ),
            Error::LeaseLost => write!(
                f,
                "the lease on the node is lost: wait until another is acquired, or build a new leased generator"
            ),
            Error::PastLease { end, until } => write!(
                f,
                "an ID of Unix millisecond {end} lies past the lease, which covers the time before {until}: check \
                 that the lease store can be reached, or ask for fewer IDs at a time"
            ),
            Error::GeneratorExists { node } => write!(
                f,
                "the client has a generator already, on the node {node} (pid/seed): use renew_generator to replace it"
            ),
            Error::NoGenerator => write!(f, "the client has no generator: call create_generator first"),
            Error::ClientLeased => write!(
                f,
                "the client issues on the node of its lease: to choose a node, use a client without one \
                 (PyflakeClient::new)"
            ),
            Error::Parse(error) => error.fmt(f),
            Error::ReversedRange { start, end } => {
                write!(f, "the range ends at {end}, before it starts at {start} (both Unix milliseconds): swap them")
            }
            Error::Before1970 { unix_millis } => write!(
                f,
                "the time {unix_millis} (Unix milliseconds) lies before 1970, and an epoch cannot: use 0 or later"
            ),
            Error::NotWholeMillis { unix_millis, nanos } => write!(
                f,
                "the time lies {nanos} ns after the Unix millisecond {unix_millis}, and an epoch is a whole \
                 millisecond: round it"
            ),
            Error::NegativeId { id } => {
                write!(f, "{id} is not a snowflake ID: use 0 to {}", i64::MAX)
            }
            Error::BeyondI64 { id } => write!(
                f,
                "the ID {id} does not fit a signed 64-bit integer (at most {}): its tick is past 41 bits; use a \
                 later epoch or an unsigned column",
                i64::MAX
            ),
            Error::NodeOutOfRange { index } => {
                write!(f, "node {index} is out of range: an index has 10 bits, so use 0 to {MAX_INDEX}")
            }
            Error::InvalidNodeVariable { name, value, reason } => {
                write!(f, "the environment variable {name}")?;
                if let Some(value) = value {
                    write!(f, "={value:?}")?;
                }
                write!(f, " is not a node: {reason}; give each process a value of its own, {NodeForms}")
            }
            Error::InvalidOrdinal { name, reason } => write!(
                f,
                "the name {name:?} gives no node: {reason}; expected a name such as web-7, with an ordinal \
                 from 0 to {MAX_INDEX}, as a Kubernetes StatefulSet gives its pods; elsewhere use Node::from_env or \
                 Node::new"
            ),
        }
    }
}

impl core::error::Error for Error {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::Parse(error)
    }
}
