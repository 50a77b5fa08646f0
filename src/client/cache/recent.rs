//! `Recent`: a cache of the last `n` IDs, in a ring.

use super::EMPTY;
use crate::id::Snowflake;
use crate::sync::{AtomicU64, Ordering};

/// Places in a cache line: 4 of 16 bytes. Neighbouring indexes lie in different lines.
const PER_LINE: usize = 4;

/// Caches the last `n` IDs in a ring of `n` places, without a lock.
///
/// # Why a reader never gets the ID of another index
///
/// A writer makes three steps: it sets the tag to its index with WRITING, swaps its ID in, and
/// clears WRITING.
///
/// 1. Tags only rise. A later index takes the place from an earlier one, also in the middle of the
///    earlier write. An earlier index never takes it from a later one.
/// 2. The ID goes in by compare-and-swap, against a value that the writer read while the tag was
///    its own. A writer that lost its place cannot overwrite the ID of the new owner: IDs are
///    unique, so the value that it read never comes back.
/// 3. A reader accepts an ID only if the tag is its index without WRITING, before and after it
///    reads the ID.
#[derive(Debug)]
pub(crate) struct Recent {
    places: Box<[Place]>,
    /// Indexes up to this one are forgotten.
    cleared: AtomicU64,
}

#[derive(Debug)]
struct Place {
    /// `idx << 1`, with WRITING while `id` is being written; 0 if the place was never used.
    tag: AtomicU64,
    id: AtomicU64,
}

const WRITING: u64 = 1;

impl Recent {
    pub(super) fn new(n: usize) -> Self {
        let place = || Place { tag: AtomicU64::new(0), id: AtomicU64::new(EMPTY) };
        Recent { places: (0..n).map(|_| place()).collect(), cleared: AtomicU64::new(0) }
    }

    pub(super) fn put(&self, idx: u64, id: Snowflake) {
        let (place, id) = (self.place(idx), id.as_u64());
        let mine = idx << 1 | WRITING;
        // Relaxed: the first guess of the swap.
        let mut tag = place.tag.load(Ordering::Relaxed);
        loop {
            if tag >> 1 >= idx {
                return;
            }
            // Acquire: the load and the swap of `id` below stay after it. Release: pairs with the
            // Acquire of the next writer's swap, which then sees every ID that this writer has
            // seen.
            match place.tag.compare_exchange_weak(tag, mine, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(seen) => tag = seen,
            }
        }
        loop {
            // Acquire: pairs with the Release swap of `id` below; a writer that reads the ID of a
            // later owner sees that owner's tag in the next load.
            let old = place.id.load(Ordering::Acquire);
            if place.tag.load(Ordering::Relaxed) != mine {
                return;
            }
            // Release: pairs with the Acquire loads of `id`; publishes this writer's tag. The swap
            // fails only if another owner of the place wrote its ID.
            if place.id.compare_exchange(old, id, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        // Release: pairs with the first load in `get`; a reader that sees the final tag sees the
        // ID. It fails if a later index owns the place; then there is nothing to publish.
        let _ = place.tag.compare_exchange(mine, idx << 1, Ordering::Release, Ordering::Relaxed);
    }

    pub(super) fn get(&self, idx: u64, generated: u64) -> Option<Snowflake> {
        let age = generated.checked_sub(idx)?;
        if age >= self.places.len() as u64 || idx <= self.cleared.load(Ordering::Relaxed) {
            return None;
        }
        let place = self.place(idx);
        // Acquire: pairs with the Release of the last swap in `put`; the ID is that one or a later
        // one.
        if place.tag.load(Ordering::Acquire) != idx << 1 {
            return None;
        }
        // Acquire: pairs with the Release swap of `id`; if it is a later ID, the load of the tag
        // below sees the later owner.
        let id = place.id.load(Ordering::Acquire);
        (id != EMPTY && place.tag.load(Ordering::Relaxed) == idx << 1).then(|| Snowflake::from(id))
    }

    pub(super) fn len(&self, generated: u64) -> u64 {
        generated.saturating_sub(self.cleared.load(Ordering::Relaxed)).min(self.places.len() as u64)
    }

    pub(super) fn clear(&self, generated: u64) {
        // Relaxed: a bound; it publishes no place.
        self.cleared.fetch_max(generated, Ordering::Relaxed);
    }

    /// The place of an index. Neighbouring indexes lie `PER_LINE` places apart, except in the last,
    /// incomplete row.
    #[expect(clippy::cast_possible_truncation, reason = "less than the length")]
    fn place(&self, idx: u64) -> &Place {
        let n = self.places.len();
        let turn = (idx % n as u64) as usize;
        let rows = n / PER_LINE;
        let index = if turn < rows * PER_LINE { turn % rows * PER_LINE + turn / rows } else { turn };
        &self.places[index]
    }
}
