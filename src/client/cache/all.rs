//! `All`: a cache of every ID, in segments that never move.

use std::sync::{Arc, Mutex};

use once_cell::race::OnceBox;

use super::EMPTY;
use crate::id::Snowflake;
use crate::sync::{AtomicU64, MODEL, Ordering};

/// IDs in a segment: 4 KiB, or 2 IDs in a model, so that it fills several segments.
const SEGMENT: usize = if MODEL { 2 } else { 512 };

/// Stripes in a segment.
///
/// Neighbouring indexes go to different stripes, 64 bytes apart. So threads that store them at the
/// same time do not contend for a cache line.
const STRIPES: usize = SEGMENT / PER_LINE;

/// IDs in a cache line.
const PER_LINE: usize = if SEGMENT < 8 { 1 } else { 8 };

/// Directory `k` holds `2^k` segments, so 56 directories hold 2^64 IDs.
const DIRECTORIES: usize = (u64::BITS - SEGMENT.ilog2()) as usize + 1;

/// Caches every ID: one word for each index, in segments that are allocated on demand and never
/// move.
///
/// The thread that owns an index writes its word, once. So writers do not race.
///
/// Clearing raises the watermark `cleared`. A segment below the watermark whose words are all
/// written has no writer left. It is emptied and used again for later indexes.
#[derive(Debug)]
pub(crate) struct All {
    directories: [OnceBox<Directory>; DIRECTORIES],
    /// The watermark: indexes up to this one are forgotten.
    cleared: AtomicU64,
    /// Only `try_lock` is used. If a `fork` happens while it is locked, the child allocates new
    /// segments.
    recycling: Mutex<Recycling>,
}

type Directory = Box<[OnceBox<Arc<Segment>>]>;

#[derive(Debug)]
struct Segment([AtomicU64; SEGMENT]);

#[derive(Debug, Default)]
struct Recycling {
    /// The number of the first segment that was never below the watermark.
    next: u64,
    /// Segments below the watermark with a word that is not written yet.
    unfinished: Vec<u64>,
    /// Empty segments. The place where a segment was also keeps its `Arc`.
    free: Vec<Arc<Segment>>,
}

impl All {
    pub(super) fn new() -> Self {
        All {
            directories: core::array::from_fn(|_| OnceBox::new()),
            cleared: AtomicU64::new(0),
            recycling: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn put(&self, idx: u64, id: Snowflake) {
        let Some((number, place)) = locate(idx) else { return };
        let segment = self.segment(number).unwrap_or_else(|| self.new_segment(number));
        // Release: pairs with the Acquire load in `get`; publishes the watermark that freed the
        // segment.
        segment.0[place].store(id.as_u64(), Ordering::Release);
    }

    pub(super) fn get(&self, idx: u64) -> Option<Snowflake> {
        let (number, place) = locate(idx)?;
        // Acquire: pairs with the Release store in `put`.
        let id = self.segment(number)?.0[place].load(Ordering::Acquire);
        // Relaxed: the Acquire load above orders it. If the word holds the ID of a later index,
        // that ID was stored after the watermark passed `idx`, so this load sees such a watermark.
        if id == EMPTY || idx <= self.cleared.load(Ordering::Relaxed) {
            return None;
        }
        Some(Snowflake::from(id))
    }

    pub(super) fn len(&self, generated: u64) -> u64 {
        generated.saturating_sub(self.cleared.load(Ordering::Relaxed))
    }

    pub(super) fn clear(&self, generated: u64) {
        // Relaxed: the lock publishes it. A thread that stores to an emptied segment got the
        // segment through the lock, after this.
        let cleared = self.cleared.fetch_max(generated, Ordering::Relaxed).max(generated);
        let Ok(mut recycling) = self.recycling.try_lock() else { return };
        let Recycling { next, unfinished, free } = &mut *recycling;
        let end = cleared / SEGMENT as u64;
        let candidates: Vec<u64> = unfinished.drain(..).chain(*next..end).collect();
        *next = end.max(*next);
        for number in candidates {
            match self.place(number).and_then(OnceBox::get) {
                // Relaxed: each word is written once, so no write can follow a word that is not
                // EMPTY.
                Some(segment) if segment.0.iter().all(|word| word.load(Ordering::Relaxed) != EMPTY) => {
                    for word in &segment.0 {
                        // Relaxed: the lock publishes it to the next user of the segment.
                        word.store(EMPTY, Ordering::Relaxed);
                    }
                    free.push(Arc::clone(segment));
                }
                _ => unfinished.push(number),
            }
        }
    }

    #[inline]
    fn segment(&self, number: u64) -> Option<&Segment> {
        self.place(number)?.get().map(|segment| &**segment)
    }

    /// The place of a segment; `None` if its directory does not exist yet.
    #[inline]
    fn place(&self, number: u64) -> Option<&OnceBox<Arc<Segment>>> {
        let (directory, offset) = split(number);
        self.directories.get(directory)?.get()?.get(offset)
    }

    #[cold]
    #[inline(never)]
    fn new_segment(&self, number: u64) -> &Segment {
        let (directory, offset) = split(number);
        let directory = self.directories[directory]
            .get_or_init(|| Box::new((0..1usize << directory).map(|_| OnceBox::new()).collect()));
        let place = &directory[offset];
        let recycled = self.recycling.try_lock().ok().and_then(|mut recycling| recycling.free.pop());
        if let Some(lost) = recycled.and_then(|segment| place.set(Box::new(segment)).err()) {
            // Another thread was first. Keep the segment for later, unless another thread has the
            // lock.
            if let Ok(mut recycling) = self.recycling.try_lock() {
                recycling.free.push(*lost);
            }
        }
        place.get_or_init(|| Box::new(Arc::new(Segment(core::array::from_fn(|_| AtomicU64::new(EMPTY))))))
    }
}

/// The segment of an index, and its place in the segment. Indexes count from 1.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than SEGMENT")]
fn locate(idx: u64) -> Option<(u64, usize)> {
    let position = idx.checked_sub(1)?;
    let within = (position % SEGMENT as u64) as usize;
    Some((position / SEGMENT as u64, within % STRIPES * PER_LINE + within / STRIPES))
}

/// The directory of a segment, and its place in the directory.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than the directory, which is in memory")]
fn split(number: u64) -> (usize, usize) {
    let log = (number + 1).ilog2();
    (log as usize, (number + 1 - (1 << log)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ID of a number may be stored after the cache was cleared and later IDs were stored.
    #[test]
    fn a_segment_with_an_unwritten_word_is_not_used_again() {
        let all = All::new();
        let (segment, late) = (SEGMENT as u64, 7);
        for idx in (1..=segment).filter(|&idx| idx != late) {
            all.put(idx, Snowflake::from(idx));
        }
        all.clear(segment);
        assert_eq!(all.len(segment), 0);
        for idx in segment + 1..=2 * segment {
            all.put(idx, Snowflake::from(idx));
        }
        all.put(late, Snowflake::from(late));
        assert_eq!(all.get(late), None);
        for idx in segment + 1..=2 * segment {
            assert_eq!(all.get(idx), Some(Snowflake::from(idx)));
        }
        // The first segment is full now, so this clearing frees it for later indexes.
        all.clear(2 * segment);
        all.put(2 * segment + 1, Snowflake::from(1));
        assert!(all.recycling.try_lock().is_ok_and(|recycling| recycling.unfinished.is_empty()));
        assert_eq!((all.get(late), all.get(2 * segment + 1)), (None, Some(Snowflake::from(1))));
    }
}
