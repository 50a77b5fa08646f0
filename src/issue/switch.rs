//! `Switch`: the current generators of a client or a lease, replaced while threads use them.

use core::array;
use std::sync::Arc;

use once_cell::race::OnceBox;

use crate::clock::Clock;
use crate::error::Error;
use crate::id::{Epoch, Node};
use crate::issue::builder::GeneratorBuilder;
use crate::issue::generator::Generator;
use crate::sync::{AtomicU32, Ordering};

/// The current generator of each position.
///
/// A client and a lease have one position, 0. A sharded lease has one for each shard.
///
/// A generator stays for as long as the switch lives. So a thread may use it while another thread
/// replaces it, and a return to a node continues its timeline. There are at most 1024 generators,
/// one for each node. There is no lock. Clones share one state: the keeper of a lease changes the
/// current generator, and callers that issue follow.
#[derive(Debug)]
pub(crate) struct Switch<C>(Arc<Generators<C>>);

#[derive(Debug)]
struct Generators<C> {
    builder: GeneratorBuilder<C>,
    /// For each position: the index of its node, the flag SPECIFIED since the first node, and the
    /// flag PRESENT while a generator is current.
    current: [AtomicU32; POSITIONS],
    /// By the index of the node. The array is inline: a box would add a load to the path of each
    /// ID.
    built: [OnceBox<Generator<C>>; Node::COUNT],
}

/// The number of generators that may be current at once.
pub(crate) const POSITIONS: usize = 32;

const SPECIFIED: u32 = 1 << 16;
const PRESENT: u32 = 1 << 17;

impl<C> Clone for Switch<C> {
    fn clone(&self) -> Self {
        Switch(Arc::clone(&self.0))
    }
}

impl<C: Clock + Clone> Switch<C> {
    /// A switch without a current generator. The builder's node is not used.
    pub(crate) fn new(builder: GeneratorBuilder<C>) -> Self {
        let built = array::from_fn(|_| OnceBox::new());
        let current = array::from_fn(|_| AtomicU32::new(0));
        Switch(Arc::new(Generators { builder, current, built }))
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.0.builder.epoch()
    }

    /// The generator of a node; `None` if it is not built yet.
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
        // Acquire: pairs with the Release store in `point`; publishes the generator that the word
        // names.
        let current = self.0.current.get(position)?.load(Ordering::Acquire);
        if current & PRESENT == 0 {
            return None;
        }
        self.built(node_of(current))
    }

    /// The last node of position 0, and whether its generator is current.
    pub(crate) fn node(&self) -> (Option<Node>, bool) {
        // Relaxed: a report, which reads nothing else.
        let current = self.0.current[0].load(Ordering::Relaxed);
        ((current & SPECIFIED != 0).then(|| node_of(current)), current & PRESENT != 0)
    }

    /// Makes a node current at position 0, and replaces the current one.
    pub(crate) fn set(&self, node: Node) -> Result<(), Error> {
        self.generator(node)?.check()?;
        self.point(0, node);
        Ok(())
    }

    /// Makes a node current at a position. Its generator must be built.
    pub(crate) fn point(&self, position: usize, node: Node) {
        if let Some(current) = self.0.current.get(position) {
            // Release: pairs with the Acquire load in `get_at`; publishes the generator.
            current.store(present(node), Ordering::Release);
        }
    }

    /// Makes a node current at position 0, if none is.
    ///
    /// # Errors
    ///
    /// [`Error::GeneratorExists`] if one is; otherwise as [`GeneratorBuilder::build`].
    pub(crate) fn set_first(&self, node: Node) -> Result<(), Error> {
        self.generator(node)?.check()?;
        // Release: pairs with the Acquire load in `get_at`; publishes the generator.
        self.0.current[0]
            .fetch_update(Ordering::Release, Ordering::Relaxed, |current| {
                (current & PRESENT == 0).then_some(present(node))
            })
            .map(drop)
            .map_err(|current| Error::GeneratorExists { node: node_of(current) })
    }

    /// Removes the current generator of position 0, and returns whether there was one.
    pub(crate) fn clear(&self) -> bool {
        self.clear_at(0)
    }

    /// Removes the current generator of a position, and returns whether there was one.
    pub(crate) fn clear_at(&self, position: usize) -> bool {
        // Release: publishes nothing by itself; keeps the order for an Acquire load in `get_at`.
        let clear = |current: &AtomicU32| current.fetch_and(!PRESENT, Ordering::Release) & PRESENT != 0;
        self.0.current.get(position).is_some_and(clear)
    }

    /// The generator of a node. Builds it at the first call.
    pub(crate) fn generator(&self, node: Node) -> Result<&Generator<C>, Error> {
        // Two threads may build one each. The second one is dropped unused.
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
