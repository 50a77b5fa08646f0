use core::time::Duration;

use crate::cache::{Cache, CachePolicy};
use crate::clock::{Clock, SystemClock};
use crate::epoch::{self, Epoch, TimeUnit};
use crate::error::Error;
use crate::generator::{Generator, GeneratorBuilder};
use crate::node::Node;
use crate::snowflake::{Record, Snowflake};
use crate::switch::Switch;
use crate::sync::{AtomicU64, Ordering};
use crate::wait::Wait;

/// Manages one generator at a time, numbers the IDs it generates and remembers them: the class of the Python package,
/// for many threads.
///
/// Every method takes `&self` and may be called by any thread at any time, also to renew or destroy the generator
/// while others generate: share it in an `Arc`. There is no lock on the way of an ID.
///
/// By default every ID is remembered, which takes 8 bytes each; a server that runs for long wants
/// [`CachePolicy::Recent`] or [`CachePolicy::Off`].
///
/// ```
/// use std::sync::Arc;
/// use pyflake::{Epoch, PyflakeClient};
///
/// let client = Arc::new(PyflakeClient::new(Epoch::from_unix_millis(1_555_301_520_000)));
/// client.create_generator(6, 17)?;
/// let id = client.generate()?;
/// assert_eq!(client.cached(1).map(|record| record.snowflake), Some(id));
/// assert_eq!(client.info().generated, 1);
/// # Ok::<(), pyflake::Error>(())
/// ```
#[derive(Debug)]
pub struct PyflakeClient<C = SystemClock> {
    generator: Switch<C>,
    generated: AtomicU64,
    cache: Cache,
}

/// Sets up a [`PyflakeClient`] other than the default one; made by [`PyflakeClient::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct PyflakeClientBuilder<C = SystemClock> {
    /// What each generator is built with; its node is another one each time.
    generator: GeneratorBuilder<C>,
    cache: CachePolicy,
}

/// What a [`PyflakeClient`] says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Info {
    /// The pid of the generator, or of the last one after it was destroyed; `None` before the first.
    pub pid: Option<u8>,
    /// The seed, likewise.
    pub seed: Option<u8>,
    /// The epoch all IDs of the client count from.
    pub epoch: Epoch,
    /// How many IDs the client has generated, over all its generators.
    pub generated: u64,
    /// Whether there is a generator.
    pub generator: bool,
}

impl PyflakeClient {
    /// Makes a client without a generator, which remembers every ID.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        PyflakeClient::builder(epoch).build()
    }

    /// Starts from the defaults of [`new`](Self::new), to change some of them.
    ///
    /// ```
    /// use pyflake::{CachePolicy, Epoch, PyflakeClient};
    ///
    /// let client = PyflakeClient::builder(Epoch::TWITTER).cache(CachePolicy::Recent(2)).build();
    /// client.create_generator(1, 2)?;
    /// let ids = [client.generate()?, client.generate()?, client.generate()?];
    /// assert_eq!(client.cached(1), None);
    /// assert_eq!(client.cached(3).map(|record| record.snowflake), Some(ids[2]));
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    pub fn builder(epoch: Epoch) -> PyflakeClientBuilder {
        let generator = Generator::builder(epoch, Node::from_index(0));
        PyflakeClientBuilder { generator, cache: CachePolicy::default() }
    }
}

impl<C: Clock + Clone> PyflakeClientBuilder<C> {
    /// Uses another clock than the [`SystemClock`]; each generator gets a clone.
    pub fn clock<D: Clock + Clone>(self, clock: D) -> PyflakeClientBuilder<D> {
        PyflakeClientBuilder { generator: self.generator.clock(clock), cache: self.cache }
    }

    /// Sets how a caller waits when the 4096 IDs of a millisecond are issued: the Python package's `sleep`.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.generator = self.generator.wait(wait);
        self
    }

    /// Sets the longest wait of [`PyflakeClient::generate`]; a second by default.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.generator = self.generator.max_wait(max_wait);
        self
    }

    /// Spreads the first sequence of a millisecond over `2^bits` values, as
    /// [`GeneratorBuilder::spread_sequence`](crate::GeneratorBuilder::spread_sequence).
    pub fn spread_sequence(mut self, bits: u32) -> Self {
        self.generator = self.generator.spread_sequence(bits);
        self
    }

    /// Sets which IDs are remembered; all of them by default.
    pub fn cache(mut self, policy: CachePolicy) -> Self {
        self.cache = policy;
        self
    }

    /// Builds the client, without a generator.
    #[must_use]
    pub fn build(self) -> PyflakeClient<C> {
        PyflakeClient {
            generator: Switch::new(self.generator),
            generated: AtomicU64::new(0),
            cache: Cache::new(self.cache),
        }
    }
}

impl<C: Clock + Clone> PyflakeClient<C> {
    /// Creates the generator that [`generate`](Self::generate) uses.
    ///
    /// # Errors
    ///
    /// [`Error::GeneratorExists`] if there is one already; [`Error::PidOutOfRange`], [`Error::SeedOutOfRange`] for
    /// a value above 31; otherwise as [`GeneratorBuilder::build`](crate::GeneratorBuilder::build). The client is then
    /// as it was.
    pub fn create_generator(&self, pid: u64, seed: u64) -> Result<(), Error> {
        self.generator.set_first(Node::new(pid, seed)?)
    }

    /// Destroys the generator, and says whether there was one.
    ///
    /// An ID that another thread is generating at this moment may still be issued. The node's place in time is kept:
    /// a generator created for it later continues.
    pub fn destroy_generator(&self) -> bool {
        self.generator.clear()
    }

    /// Replaces the generator, or creates the first one.
    ///
    /// Threads that generate meanwhile use the one or the other, and never none.
    ///
    /// # Errors
    ///
    /// As [`create_generator`](Self::create_generator), but an existing generator is none. The client is then as it
    /// was.
    pub fn renew_generator(&self, pid: u64, seed: u64) -> Result<(), Error> {
        self.generator.set(Node::new(pid, seed)?)
    }

    /// Generates an ID, numbers it and remembers it as the cache policy says.
    ///
    /// It waits as [`Generator::next_id`] does.
    ///
    /// # Errors
    ///
    /// [`Error::NoGenerator`] without a generator, otherwise as [`Generator::next_id`].
    #[inline]
    pub fn generate(&self) -> Result<Snowflake, Error> {
        // Not `ok_or`, which makes an error each time and drops it.
        let Some(generator) = self.generator.get() else { return Err(Error::NoGenerator) };
        let id = generator.next_id()?;
        // Relaxed: it counts, and the number is this thread's alone.
        let idx = self.generated.fetch_add(1, Ordering::Relaxed) + 1;
        self.cache.put(idx, id);
        Ok(id)
    }

    /// Gives the record of the ID with a number, which counts from 1, if it is remembered.
    ///
    /// It is `None` for a number that was not reached, that the policy does not keep, that was cleared, or whose ID
    /// another thread has not finished storing. It is never the record of another number. The time is told by the
    /// client's epoch.
    #[must_use]
    pub fn cached(&self, idx: u64) -> Option<Record> {
        let id = self.cache.get(idx, self.generated())?;
        Some(id.record(self.generator.epoch(), idx))
    }

    /// How many IDs are remembered.
    #[must_use]
    pub fn cache_len(&self) -> u64 {
        self.cache.len(self.generated())
    }

    /// Forgets the IDs generated so far; the numbers go on.
    ///
    /// As with a `Vec`, the memory is kept for the IDs to come, and is returned when the client is dropped.
    pub fn clear_cache(&self) {
        self.cache.clear(self.generated());
    }

    /// Tells the node, the epoch, how many IDs were generated, and whether there is a generator.
    #[must_use]
    pub fn info(&self) -> Info {
        let (node, generator) = self.generator.node();
        Info {
            pid: node.map(Node::pid),
            seed: node.map(Node::seed),
            epoch: self.generator.epoch(),
            generated: self.generated(),
            generator,
        }
    }

    /// Reads the time out of an ID by the client's epoch, as [`to_timestamp`](crate::to_timestamp) does.
    ///
    /// It is right for IDs of any node, and wrong for IDs of another epoch.
    #[must_use]
    pub fn to_timestamp(&self, id: Snowflake, unit: TimeUnit) -> f64 {
        epoch::to_timestamp(self.generator.epoch(), id, unit)
    }

    fn generated(&self) -> u64 {
        // Relaxed: a count; what the cache has of it is the cache's to say.
        self.generated.load(Ordering::Relaxed)
    }
}
