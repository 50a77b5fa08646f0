//! `Cache`: the cached IDs of a client by their number, shared by all threads.

mod all;
mod recent;

use crate::id::Snowflake;

/// The IDs that a [`PyflakeClient`](crate::PyflakeClient) caches for
/// [`cached`](crate::PyflakeClient::cached).
///
/// No policy caches the ID `u64::MAX`, which marks an empty place. It is the last ID of the node
/// 31/31 in the last millisecond of the 42 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePolicy {
    /// All IDs, as in the Python package: the default.
    ///
    /// It takes 8 bytes for each ID until [`clear_cache`](crate::PyflakeClient::clear_cache) or the
    /// drop of the client. After `clear_cache`, some 40 bytes stay for each 512 IDs ever issued.
    #[default]
    All,
    /// The last `n` IDs. It allocates 16 bytes for each when the client is built.
    Recent(usize),
    /// No ID.
    Off,
}

/// Marks an empty place.
const EMPTY: u64 = u64::MAX;

/// The cache of a policy.
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

    /// Stores the ID of an index. Indexes count from 1, and each is used once.
    #[inline]
    pub(crate) fn put(&self, idx: u64, id: Snowflake) {
        match self {
            Cache::All(all) => all.put(idx, id),
            Cache::Recent(recent) => recent.put(idx, id),
            Cache::Off => {}
        }
    }

    /// The ID of an index; `None` if it is not cached. `generated` is the largest index so far.
    pub(crate) fn get(&self, idx: u64, generated: u64) -> Option<Snowflake> {
        match self {
            Cache::All(all) => all.get(idx),
            Cache::Recent(recent) => recent.get(idx, generated),
            Cache::Off => None,
        }
    }

    /// The number of cached indexes among those up to `generated`.
    pub(crate) fn len(&self, generated: u64) -> u64 {
        match self {
            Cache::All(all) => all.len(generated),
            Cache::Recent(recent) => recent.len(generated),
            Cache::Off => 0,
        }
    }

    /// Forgets the indexes up to `generated`.
    pub(crate) fn clear(&self, generated: u64) {
        match self {
            Cache::All(all) => all.clear(generated),
            Cache::Recent(recent) => recent.clear(generated),
            Cache::Off => {}
        }
    }
}
