//! `Block`: a run of reserved IDs.

use core::iter::FusedIterator;

use crate::id::Snowflake;
use crate::layout;

/// A run of IDs that one call of [`Generator::reserve`](crate::Generator::reserve) claimed.
///
/// The iterator yields them in increasing order, knows its length, and holds 24 bytes. It may be
/// sent to another thread. IDs that are not taken are lost: they are not issued again.
///
/// A block is not `Clone`, because a clone would hold the same IDs. For the same reason, do not use
/// a block in the child of a `fork`: the parent holds it too.
///
/// ```
/// use pyflake::{Epoch, Generator, Node};
///
/// let generator = Generator::new(Epoch::TWITTER, Node::new(3, 4)?)?;
/// let block = generator.reserve(1000)?;
/// assert_eq!(block.len(), 1000);
/// assert!(block.is_sorted());
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Debug)]
pub struct Block {
    /// The next slot from the front.
    first: u64,
    /// One past the last slot.
    end: u64,
    node_bits: u64,
}

impl Block {
    pub(crate) const fn new(first: u64, len: u64, node_bits: u64) -> Self {
        Block { first, end: first + len, node_bits }
    }

    /// Writes the IDs to a slice of the same length.
    pub(crate) fn write(self, ids: &mut [Snowflake]) {
        let mut slot = self.first;
        let mut rest = ids;
        while !rest.is_empty() {
            let in_tick = usize::try_from(layout::end_of_begun_tick(slot + 1) - slot).unwrap_or(usize::MAX);
            let (run, others) = rest.split_at_mut(in_tick.min(rest.len()));
            // Within a tick the IDs are consecutive numbers, so the compiler vectorises this loop.
            let mut next = layout::id(slot, self.node_bits);
            for id in run.iter_mut() {
                *id = Snowflake::from(next);
                // The number past the last ID of all is 0, and nothing is written with it.
                next = next.wrapping_add(1);
            }
            slot += run.len() as u64;
            rest = others;
        }
    }

    fn id(&self, slot: u64) -> Snowflake {
        Snowflake::from(layout::id(slot, self.node_bits))
    }

    fn remaining(&self) -> usize {
        // The length was a `usize`.
        usize::try_from(self.end - self.first).unwrap_or(usize::MAX)
    }
}

impl Iterator for Block {
    type Item = Snowflake;

    #[inline]
    fn next(&mut self) -> Option<Snowflake> {
        if self.first == self.end {
            return None;
        }
        let slot = self.first;
        self.first += 1;
        Some(self.id(slot))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining(), Some(self.remaining()))
    }

    fn nth(&mut self, n: usize) -> Option<Snowflake> {
        self.first += (n as u64).min(self.end - self.first);
        self.next()
    }
}

impl DoubleEndedIterator for Block {
    fn next_back(&mut self) -> Option<Snowflake> {
        if self.first == self.end {
            return None;
        }
        self.end -= 1;
        Some(self.id(self.end))
    }
}

impl ExactSizeIterator for Block {}
impl FusedIterator for Block {}
