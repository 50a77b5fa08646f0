//! What a lease store is: the trait, its requests and its grants.

use core::fmt;

use crate::id::{Epoch, Node, random};
use crate::lease::error::LeaseError;

/// Keeps who holds which node, and until when: implement it to bring a store of your own.
///
/// # The contract
///
/// - **One holder.** Between an `acquire` and the `release` or the death of its owner, no other `acquire` gives out
///   the node. How the death is noticed is the store's business (a file lock, a server's clock); a mistake in it costs
///   a [`Lost`](LeaseError::Lost) lease, and never a duplicate ID.
/// - **The window is durable.** `acquire` and `renew` answer `Ok` only after `until` is stored so that a crash of any
///   machine cannot lose it.
/// - **Windows of a node never overlap.** The floor of a grant is at least the `until` that was stored last, also if
///   an earlier call that stored it had failed for its caller.
/// - **`until` never falls**, except by `release`.
/// - **Token and nonce both match**, or `renew` and `release` return `Lost` and change nothing. Each `acquire` of a
///   node has a larger token than the one before.
/// - **Each renewal changes the nonce.** `renew` accepts the current nonce or the next one, and stores the next one. So a
///   renewal whose answer was lost can be sent again, and of two copies of one holder (a machine that was cloned) the
///   second to renew is `Lost`.
/// - **An unknown outcome is an error.** On a timeout or a broken connection answer
///   [`Unavailable`](LeaseError::Unavailable): the caller goes on with what it has, and asks again.
/// - **Calls end.** A call that hangs keeps the keeper from renewing, and a drop from returning: set timeouts. One that
///   panics is an unknown outcome too: it is caught, reported and retried.
///
/// A store behind `&`, `Arc` or `Box` is a store too, so a process can keep its store and ask it for its nodes.
///
/// All times are Unix milliseconds. Calls come from one thread at a time for each grant, not more often than a few
/// times per window.
pub trait LeaseStore: fmt::Debug + Send + Sync {
    /// The epoch of all nodes in the store: a store serves one epoch and one bit layout, and refuses others when it is
    /// opened.
    fn epoch(&self) -> Epoch;

    /// Takes a free node for an owner, preferably one whose floor has passed, and stores the window.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NoFreeNode`] if every node is held; [`LeaseError::ClockSkewed`] if the store looks at the caller's
    /// clock and finds it too far from its own; others as the store has them.
    fn acquire(&self, request: &Request) -> Result<Grant, LeaseError>;

    /// Extends the window of a grant, stores its next nonce, and returns the grant as it is then.
    ///
    /// The window stays as it is if it reaches as far already.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Lost`] if the grant is no longer the caller's; after any other error the store may or may not have
    /// the new window.
    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError>;

    /// Renews several grants of one caller, and returns an outcome for each, in their order.
    ///
    /// The default calls [`renew`](Self::renew) for one after the other. A store that can renew several grants in one
    /// request overrides it.
    fn renew_all(&self, renewals: &[Renewal]) -> Vec<Result<Grant, LeaseError>> {
        renewals.iter().map(|renewal| self.renew(renewal)).collect()
    }

    /// Gives a node back. No ID with a time of `used_until` or later was issued, so the next floor is `used_until`.
    ///
    /// # Errors
    ///
    /// As [`renew`](Self::renew).
    fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError>;
}

// `Request`, `Renewal`, `Owner` and `Grant` are the protocol between a caller and a store, and each side makes some of
// them: a store a `Grant`, the tests of a store a `Request`. So they are not `non_exhaustive`: a new field must not
// compile in a store that does not keep it.

/// What a caller asks of [`LeaseStore::acquire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub owner: Owner,
    /// The caller's clock, Unix milliseconds.
    pub now: u64,
    /// The length of the window that is asked for, in milliseconds: `until` becomes `max(now, floor) + window`.
    pub window: u64,
    /// The latest floor that the caller can wait for, in Unix milliseconds.
    ///
    /// A store may return [`LeaseError::Resting`] when every free node has a later floor. The caller checks the floor of
    /// each grant in any case.
    pub max_floor: u64,
}

/// What a holder asks of [`LeaseStore::renew`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The grant, as the store last returned it.
    pub grant: Grant,
    /// The Unix millisecond that the window is to reach.
    pub until: u64,
    /// The nonce that the grant has after this renewal: random, and the same one when the renewal is sent again.
    pub next_nonce: u64,
}

impl Renewal {
    /// A renewal of a grant up to `until`, in Unix milliseconds, with a random next nonce.
    #[must_use]
    pub fn new(grant: Grant, until: u64) -> Self {
        Renewal { grant, until, next_nonce: random() }
    }

    /// Whether a stored nonce is this holder's: its current one or its next one.
    #[must_use]
    pub fn is_by(&self, nonce: u64) -> bool {
        nonce == self.grant.owner.nonce || nonce == self.next_nonce
    }

    /// The grant after this renewal, with the window that the store has.
    #[must_use]
    pub fn granted(&self, until: u64) -> Grant {
        let owner = Owner { nonce: self.next_nonce, label: self.grant.owner.label.clone() };
        Grant { until, owner, ..self.grant.clone() }
    }
}

/// Who holds a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// A random number, new for each holder and for each renewal: tells two holders with one label apart, and two copies
    /// of one holder.
    pub nonce: u64,
    /// A name for people, such as the host and the process.
    pub label: String,
}

/// A node and a window, as a store has granted them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The node.
    pub node: Node,
    /// The first Unix millisecond that may be used.
    pub floor: u64,
    /// The first Unix millisecond that may not be used.
    pub until: u64,
    /// The number of this tenure of the node; each has a larger one than the last.
    pub token: u64,
    /// Who holds it.
    pub owner: Owner,
}
