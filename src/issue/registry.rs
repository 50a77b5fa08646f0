//! The process-wide list of timelines: one [`Timeline`] for each epoch and node.
//!
//! All generators of one epoch and node claim from one word, so twin generators repeat nothing. A
//! timeline lives as long as the process. So a generator that is destroyed and built again, or a
//! renewal back to an earlier node, continues where the node stopped.

use alloc::boxed::Box;
use alloc::sync::Arc;

use once_cell::race::OnceBox;

use crate::error::Error;
use crate::fork::Guard;
use crate::id::{Epoch, Node};
use crate::issue::timeline::Timeline;

/// The first link of the list. The list only grows; compare-and-swap appends a link.
///
/// The list has no lock, because of `fork`: the child would inherit a lock that a thread of the
/// parent holds, and nobody would unlock it. Building a generator walks the list. Issuing an ID
/// does not.
static FIRST: Link = Link(OnceBox::new());

struct Link(OnceBox<Entry>);

struct Entry {
    epoch: Epoch,
    node: Node,
    /// Whether the node is used under leases. A node is used in one of the two ways only: a
    /// generator without a lease would claim outside the windows.
    leased: bool,
    timeline: Arc<Timeline>,
    next: Link,
}

/// The timeline of an epoch and a node. The first call makes it: closed under a lease, else open.
///
/// # Errors
///
/// [`Error::NodeInUse`] if the node is used in the other way, with or without leases;
/// [`Error::NoForkGuard`] if the fork guard cannot be installed.
pub(crate) fn timeline(epoch: Epoch, node: Node, leased: bool) -> Result<Arc<Timeline>, Error> {
    GUARD.install()?;
    let mut link = &FIRST;
    loop {
        // A thread that loses the race to append gets the winner's entry, and continues behind it.
        let entry = link.0.get_or_init(|| {
            let timeline = Arc::new(if leased { Timeline::closed() } else { Timeline::open_ended() });
            Box::new(Entry { epoch, node, leased, timeline, next: Link(OnceBox::new()) })
        });
        if entry.epoch == epoch && entry.node == node {
            return if entry.leased == leased {
                Ok(Arc::clone(&entry.timeline))
            } else {
                Err(Error::NodeInUse { node, leased: entry.leased })
            };
        }
        link = &entry.next;
    }
}

static GUARD: Guard = Guard::new(close_all);

/// Closes every timeline in the child of a fork. It uses atomic operations only.
extern "C" fn close_all() {
    let mut link = &FIRST;
    while let Some(entry) = link.0.get() {
        entry.timeline.close();
        link = &entry.next;
    }
}
