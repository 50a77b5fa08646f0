//! The IDs a client remembers, by their index: shared by all threads without a lock.

mod all;
mod recent;

use crate::id::Snowflake;

/// Which of its IDs a [`PyflakeClient`](crate::PyflakeClient) remembers for
/// [`cached`](crate::PyflakeClient::cached).
///
/// One value is not remembered under any policy: `u64::MAX`, the last ID of the last millisecond of 42 bits of the
/// node 31/31, whose bits mark an empty place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePolicy {
    /// All of them, the default, as in the Python package: 8 bytes an ID, for as long as the client lives or until
    /// [`clear_cache`](crate::PyflakeClient::clear_cache), which leaves some 40 bytes for each 512 IDs ever issued.
    #[default]
    All,
    /// The last `n`: 16 bytes each, allocated at once.
    Recent(usize),
    /// None.
    Off,
}

/// Marks an empty place.
const EMPTY: u64 = u64::MAX;

/// A cache by its policy.
#[derive(Debug)]
pub(crate) enum Cache {
    All(Box<all::All>),
    Recent(recent::Recent),
    Off,
}

impl Cache {
    pub(crate) fn new(policy: CachePolicy) -> Self {
        match policy {
            CachePolicy::All => Cache::All(Box::new(all::All::new())),
            CachePolicy::Recent(0) | CachePolicy::Off => Cache::Off,
            CachePolicy::Recent(n) => Cache::Recent(recent::Recent::new(n)),
        }
    }

    /// Remembers the ID of an index, which is used once and counts from 1.
    #[inline]
    pub(crate) fn put(&self, idx: u64, id: Snowflake) {
        match self {
            Cache::All(all) => all.put(idx, id),
            Cache::Recent(recent) => recent.put(idx, id),
            Cache::Off => {}
        }
    }

    /// The ID of an index, where it is remembered; `generated` is the largest index so far.
    pub(crate) fn get(&self, idx: u64, generated: u64) -> Option<Snowflake> {
        match self {
            Cache::All(all) => all.get(idx),
            Cache::Recent(recent) => recent.get(idx, generated),
            Cache::Off => None,
        }
    }

    /// How many of the indices up to `generated` are remembered.
    pub(crate) fn len(&self, generated: u64) -> u64 {
        match self {
            Cache::All(all) => all.len(generated),
            Cache::Recent(recent) => recent.len(generated),
            Cache::Off => 0,
        }
    }

    /// Forgets the indices up to `generated`.
    pub(crate) fn clear(&self, generated: u64) {
        match self {
            Cache::All(all) => all.clear(generated),
            Cache::Recent(recent) => recent.clear(generated),
            Cache::Off => {}
        }
    }
}
