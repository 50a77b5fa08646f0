//! The current generators out of one for each node, switched while other threads use them.

use core::array;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::clock::Clock;
use crate::error::Error;
use crate::id::{Epoch, Node};
use crate::issue::builder::GeneratorBuilder;
use crate::issue::generator::Generator;
use crate::sync::{AtomicU32, Ordering};

/// The current generator of each position, of those built so far.
///
/// A client and a lease have the one position 0. The shards of a sharded lease have a position each.
///
/// Generators stay once they are built, so that a thread may use one while another switches, and a switch back to a
/// node goes on where the node stopped. There are at most 1024 of them, and no lock. Clones are the same switch: the
/// keeper of a lease moves it, and those who issue follow.
#[derive(Debug)]
pub(crate) struct Switch<C>(Arc<Generators<C>>);

#[derive(Debug)]
struct Generators<C> {
    builder: GeneratorBuilder<C>,
    /// Of each position: the index of the node, with SPECIFIED since the first one and PRESENT while there is one.
    current: [AtomicU32; POSITIONS],
    /// By the index of the node; here and not in a box, which would be one more step on the way to each ID.
    built: [OnceBox<Generator<C>>; Node::COUNT],
}

/// How many generators may be current at once.
pub(crate) const POSITIONS: usize = 32;

const SPECIFIED: u32 = 1 << 16;
const PRESENT: u32 = 1 << 17;

impl<C> Clone for Switch<C> {
    fn clone(&self) -> Self {
        Switch(Arc::clone(&self.0))
    }
}

impl<C: Clock + Clone> Switch<C> {
    /// A switch without a current generator; the node of the builder does not matter.
    pub(crate) fn new(builder: GeneratorBuilder<C>) -> Self {
        let built = array::from_fn(|_| OnceBox::new());
        let current = array::from_fn(|_| AtomicU32::new(0));
        Switch(Arc::new(Generators { builder, current, built }))
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.0.builder.epoch()
    }

    /// The generator of a node, if it was built.
    fn built(&self, node: Node) -> Option<&Generator<C>> {
        self.0.built.get(usize::from(node.index()))?.get()
    }

    /// The current generator of position 0.
    #[inline]
    pub(crate) fn get(&self) -> Option<&Generator<C>> {
        self.get_at(0)
    }

    /// The current generator of a position; `None` past the last position.
    #[inline]
    pub(crate) fn get_at(&self, position: usize) -> Option<&Generator<C>> {
        // Acquire: pairs with the Release store in `point`; publishes the generator that the word names.
        let current = self.0.current.get(position)?.load(Ordering::Acquire);
        if current & PRESENT == 0 {
            return None;
        }
        self.built(node_of(current))
    }

    /// The current node, or the last one, and whether it is current.
    pub(crate) fn node(&self) -> (Option<Node>, bool) {
        // Relaxed: a look, as true as any a moment later.
        let current = self.0.current[0].load(Ordering::Relaxed);
        ((current & SPECIFIED != 0).then(|| node_of(current)), current & PRESENT != 0)
    }

    /// Makes a node current, whether or not another one is.
    pub(crate) fn set(&self, node: Node) -> Result<(), Error> {
        self.generator(node)?.check()?;
        self.point(0, node);
        Ok(())
    }

    /// Makes a node that has a generator the current one of a position.
    pub(crate) fn point(&self, position: usize, node: Node) {
        if let Some(current) = self.0.current.get(position) {
            // Release: as in `get_at`.
            current.store(present(node), Ordering::Release);
        }
    }

    /// Makes a node current, if no other one is.
    pub(crate) fn set_first(&self, node: Node) -> Result<(), Error> {
        self.generator(node)?.check()?;
        // Release: as in `get_at`.
        self.0.current[0]
            .fetch_update(Ordering::Release, Ordering::Relaxed, |current| {
                (current & PRESENT == 0).then_some(present(node))
            })
            .map(drop)
            .map_err(|current| Error::GeneratorExists { node: node_of(current) })
    }

    /// Leaves position 0 without a current generator, and says whether it had one.
    pub(crate) fn clear(&self) -> bool {
        self.clear_at(0)
    }

    /// Leaves a position without a current generator, and says whether it had one.
    pub(crate) fn clear_at(&self, position: usize) -> bool {
        // Release: nothing is published, but a later switch builds on it.
        let clear = |current: &AtomicU32| current.fetch_and(!PRESENT, Ordering::Release) & PRESENT != 0;
        self.0.current.get(position).is_some_and(clear)
    }

    /// The generator of a node, built if there is none yet.
    pub(crate) fn generator(&self, node: Node) -> Result<&Generator<C>, Error> {
        // Two threads may build one each; the second is dropped before anyone has used it.
        self.0.built[usize::from(node.index())]
            .get_or_try_init(|| self.0.builder.clone().node(node).build().map(Box::new))
    }
}

/// The value of `current` that names a node.
fn present(node: Node) -> u32 {
    u32::from(node.index()) | SPECIFIED | PRESENT
}

/// The node in a value of `current`.
fn node_of(current: u32) -> Node {
    Node::at((current & 0xffff) as u16)
}
