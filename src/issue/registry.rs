//! The one [`Timeline`] that this process has for each epoch and node, kept for as long as the process lives.
//!
//! Sharing is what makes twin generators safe: however many are built for one node, one after the other or at once,
//! they claim from one word. Keeping the timeline makes destroy and create, or a renewal back to an earlier node,
//! continue where the node stopped.

use alloc::boxed::Box;
use alloc::sync::Arc;

use once_cell::race::OnceBox;

use crate::error::Error;
use crate::fork::Guard;
use crate::id::{Epoch, Node};
use crate::issue::timeline::Timeline;

/// A list that is only ever appended to, a link at a time by compare-and-swap.
///
/// It has no lock on purpose: a process may fork while another of its threads is in here, and a lock held by a thread
/// that the child does not have would never open again. It is walked when a generator is built, not when an ID is.
static FIRST: Link = Link(OnceBox::new());

struct Link(OnceBox<Entry>);

struct Entry {
    epoch: Epoch,
    node: Node,
    /// Whether the node is used under leases. Never both: a claim made without one knows no window.
    leased: bool,
    timeline: Arc<Timeline>,
    next: Link,
}

/// The timeline of an epoch and a node, made if there is none yet: under a lease closed at first, otherwise open.
pub(crate) fn timeline(epoch: Epoch, node: Node, leased: bool) -> Result<Arc<Timeline>, Error> {
    GUARD.install()?;
    let mut link = &FIRST;
    loop {
        // Whoever loses the race to append finds the winner's entry here, and looks on behind it.
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

/// Closes every timeline, in the child of a fork. It uses atomic operations alone.
extern "C" fn close_all() {
    let mut link = &FIRST;
    while let Some(entry) = link.0.get() {
        entry.timeline.close();
        link = &entry.next;
    }
}
