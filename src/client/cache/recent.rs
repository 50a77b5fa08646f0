use super::EMPTY;
use crate::id::Snowflake;
use crate::sync::{AtomicU64, Ordering};

/// Places that neighbouring indices are apart, so that they do not share a cache line: 4 places of 16 bytes fill one.
const PER_LINE: usize = 4;

/// Remembers the last `n` IDs in a ring of `n` places, without a lock.
///
/// # Why a reader never gets another index's ID
///
/// A writer first takes the place by raising its tag to its own index and WRITING, then swaps its ID in, then clears
/// WRITING. Tags only rise: a later index takes the place from an earlier one, also from the middle of its write, and
/// never the other way. The ID goes in by compare-and-swap from a value read while the tag was the writer's own. A
/// writer that lost its place cannot put its ID over the new owner's: IDs are never issued twice, so the value it read
/// never comes back. A reader accepts an ID only if the tag is its own index, without WRITING, before and after.
#[derive(Debug)]
pub(crate) struct Recent {
    places: Box<[Place]>,
    /// Indices up to this one are forgotten.
    cleared: AtomicU64,
}

#[derive(Debug)]
struct Place {
    /// `idx << 1`, plus WRITING while the ID is on its way; 0 when never used.
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
        // Relaxed: a guess for the swap.
        let mut tag = place.tag.load(Ordering::Relaxed);
        loop {
            if tag >> 1 >= idx {
                return;
            }
            // AcqRel: the swap of the ID below must not come before it, and with the Release there readers who see that
            // ID see this tag.
            match place.tag.compare_exchange_weak(tag, mine, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(seen) => tag = seen,
            }
        }
        loop {
            // Acquire: who reads a later owner's ID here sees that owner's tag next.
            let old = place.id.load(Ordering::Acquire);
            if place.tag.load(Ordering::Relaxed) != mine {
                return;
            }
            // Release: the tag goes with it. Only a later owner, or an earlier one caught in its write, makes it fail.
            if place.id.compare_exchange(old, id, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        // Release: who sees the finished tag sees the ID. It fails if the place was taken, which is as well.
        let _ = place.tag.compare_exchange(mine, idx << 1, Ordering::Release, Ordering::Relaxed);
    }

    pub(super) fn get(&self, idx: u64, generated: u64) -> Option<Snowflake> {
        let age = generated.checked_sub(idx)?;
        if age >= self.places.len() as u64 || idx <= self.cleared.load(Ordering::Relaxed) {
            return None;
        }
        let place = self.place(idx);
        // Acquire: with the last swap in `put`, so the ID read is that one or a later one.
        if place.tag.load(Ordering::Acquire) != idx << 1 {
            return None;
        }
        // Acquire: with the swap of a later ID, whose owner's tag is then seen below.
        let id = place.id.load(Ordering::Acquire);
        (id != EMPTY && place.tag.load(Ordering::Relaxed) == idx << 1).then(|| Snowflake::from(id))
    }

    pub(super) fn len(&self, generated: u64) -> u64 {
        generated.saturating_sub(self.cleared.load(Ordering::Relaxed)).min(self.places.len() as u64)
    }

    pub(super) fn clear(&self, generated: u64) {
        // Relaxed: a bound by itself; no place is touched.
        self.cleared.fetch_max(generated, Ordering::Relaxed);
    }

    /// The place of an index: neighbours are a row apart, as far as whole rows go.
    #[expect(clippy::cast_possible_truncation, reason = "less than the length")]
    fn place(&self, idx: u64) -> &Place {
        let n = self.places.len();
        let turn = (idx % n as u64) as usize;
        let rows = n / PER_LINE;
        let index = if turn < rows * PER_LINE { turn % rows * PER_LINE + turn / rows } else { turn };
        &self.places[index]
    }
}
