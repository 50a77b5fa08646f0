use std::sync::{Arc, Mutex};

use once_cell::race::OnceBox;

use super::EMPTY;
use crate::id::Snowflake;
use crate::sync::{AtomicU64, MODEL, Ordering};

/// IDs in a segment: 4 KiB of them, or so few that a model gets through several.
const SEGMENT: usize = if MODEL { 2 } else { 512 };

/// A segment is split into this many stripes, and neighbouring indices go to different ones, 64 bytes apart: threads
/// that store them at once do not take a cache line from each other.
const STRIPES: usize = SEGMENT / PER_LINE;

/// IDs in a cache line.
const PER_LINE: usize = if SEGMENT < 8 { 1 } else { 8 };

/// Directory `k` holds `2^k` segments, so 56 directories hold 2^64 IDs.
const DIRECTORIES: usize = (u64::BITS - SEGMENT.ilog2()) as usize + 1;

/// Remembers every ID: a word for each index, in segments that are allocated as they are reached and never move.
///
/// A word is written once, by the thread that owns its index, so writers do not race. Clearing raises a watermark, and
/// gives the segments below it that are full, where no thread has anything left to write, to the indices to come.
#[derive(Debug)]
pub(crate) struct All {
    directories: [OnceBox<Directory>; DIRECTORIES],
    /// Indices up to this one are forgotten.
    cleared: AtomicU64,
    /// Tried and never waited for: a child forked while it is held goes on with new segments.
    recycling: Mutex<Recycling>,
}

type Directory = Box<[OnceBox<Arc<Segment>>]>;

#[derive(Debug)]
struct Segment([AtomicU64; SEGMENT]);

#[derive(Debug, Default)]
struct Recycling {
    /// The number of the first segment that was never below the watermark.
    next: u64,
    /// Segments below the watermark that had a word still to be written.
    unfinished: Vec<u64>,
    /// Empty segments, each also held by the place it had.
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
        // Release: whoever reads the ID must also see the watermark that freed the segment for it (see `get`).
        segment.0[place].store(id.as_u64(), Ordering::Release);
    }

    pub(super) fn get(&self, idx: u64) -> Option<Snowflake> {
        let (number, place) = locate(idx)?;
        // Acquire: with the Release in `put`.
        let id = self.segment(number)?.0[place].load(Ordering::Acquire);
        // Relaxed, but read after the word: if the segment was given to another index, the ID of that one was stored
        // after the watermark had passed `idx`, and the word's Acquire makes that visible here.
        if id == EMPTY || idx <= self.cleared.load(Ordering::Relaxed) {
            return None;
        }
        Some(Snowflake::from(id))
    }

    pub(super) fn len(&self, generated: u64) -> u64 {
        generated.saturating_sub(self.cleared.load(Ordering::Relaxed))
    }

    pub(super) fn clear(&self, generated: u64) {
        // Relaxed: it comes before the emptying below in this thread, and whoever fills an emptied segment got it
        // through the lock.
        let cleared = self.cleared.fetch_max(generated, Ordering::Relaxed).max(generated);
        let Ok(mut recycling) = self.recycling.try_lock() else { return };
        let Recycling { next, unfinished, free } = &mut *recycling;
        let end = cleared / SEGMENT as u64;
        let candidates: Vec<u64> = unfinished.drain(..).chain(*next..end).collect();
        *next = end.max(*next);
        for number in candidates {
            match self.place(number).and_then(OnceBox::get) {
                // Relaxed: each word is written once, so one that is seen written cannot be written after the emptying.
                Some(segment) if segment.0.iter().all(|word| word.load(Ordering::Relaxed) != EMPTY) => {
                    for word in &segment.0 {
                        // Relaxed: the lock hands the segment on.
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

    /// The place of a segment, where its directory exists.
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
            // Another thread was first; the segment waits for the next turn, unless the lock is taken just now.
            if let Ok(mut recycling) = self.recycling.try_lock() {
                recycling.free.push(*lost);
            }
        }
        place.get_or_init(|| Box::new(Arc::new(Segment(core::array::from_fn(|_| AtomicU64::new(EMPTY))))))
    }
}

/// The segment and the place in it of an index, which counts from 1.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than a segment")]
fn locate(idx: u64) -> Option<(u64, usize)> {
    let position = idx.checked_sub(1)?;
    let within = (position % SEGMENT as u64) as usize;
    Some((position / SEGMENT as u64, within % STRIPES * PER_LINE + within / STRIPES))
}

/// The directory of a segment and its place there.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than the directory, which is in memory")]
fn split(number: u64) -> (usize, usize) {
    let log = (number + 1).ilog2();
    (log as usize, (number + 1 - (1 << log)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index that is numbered and not stored yet when the cache is cleared, and is stored after others have come.
    #[test]
    fn a_segment_with_a_word_to_come_is_not_given_away() {
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
        // Full by now, so the next clearing gives it to the third segment.
        all.clear(2 * segment);
        all.put(2 * segment + 1, Snowflake::from(1));
        assert!(all.recycling.try_lock().is_ok_and(|recycling| recycling.unfinished.is_empty()));
        assert_eq!((all.get(late), all.get(2 * segment + 1)), (None, Some(Snowflake::from(1))));
    }
}
