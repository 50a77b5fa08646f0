use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::client::cache::{Cache, CachePolicy};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::id::{Epoch, Node, Record, Snowflake, TimeUnit, to_timestamp};
use crate::issue::{Generator, GeneratorBuilder, IfAhead, Stats, Switch, Wait};
use crate::lease::{LeaseError, LeasedGenerator};
use crate::sync::{AtomicU64, Ordering};

/// Manages one generator at a time, numbers the IDs it generates and remembers them: the class of the Python package,
/// for many threads.
///
/// Every method takes `&self` and may be called by any thread at any time, also to renew or destroy the generator
/// while others generate: share it in an `Arc`. There is no lock on the way of an ID.
///
/// By default every ID is remembered, which takes 8 bytes each; a server that runs for long wants
/// [`CachePolicy::Recent`] or [`CachePolicy::Off`], and a node of its own: [`leased`](Self::leased) makes a client that
/// issues on the node of a lease.
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
pub struct PyflakeClient<C: Clock + Clone = SystemClock> {
    /// With a lease it is the lease's.
    generator: Switch<C>,
    lease: Option<LeasedGenerator<C>>,
    /// How many IDs it has generated, which numbers them. All threads add to it, so it has a cache line of its own.
    generated: CachePadded<AtomicU64>,
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
        let generator = Generator::builder(epoch, Node::at(0));
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
        PyflakeClient::with(Switch::new(self.generator), None, self.cache)
    }
}

impl<C: Clock + Clone> PyflakeClient<C> {
    /// Makes a client whose generator is a leased one, on the node that its lease holds: what a server shares among
    /// its handlers, in an `Arc`.
    ///
    /// The lease chooses the node, and another one if it is lost, so [`create_generator`](Self::create_generator) and
    /// [`renew_generator`](Self::renew_generator) answer [`Error::ClientLeased`]. Dropping the client gives the node
    /// back, and waits for the store to answer; [`release`](Self::release) also says how that went.
    ///
    /// ```
    /// use pyflake::lease::{FileStore, LeaseState, LeasedGenerator};
    /// use pyflake::{CachePolicy, Epoch, PyflakeClient};
    ///
    /// # let dir = std::env::temp_dir().join(format!("pyflake-client-{}", std::process::id()));
    /// let store = FileStore::open(&dir, Epoch::TWITTER)?;
    /// let generator = LeasedGenerator::builder(store).label("api").build()?;
    /// let client = PyflakeClient::leased(generator, CachePolicy::Recent(1000));
    ///
    /// let id = client.generate()?;
    /// assert_eq!(client.cached(1).map(|record| record.snowflake), Some(id));
    /// // For a health check:
    /// let state = client.lease().map(LeasedGenerator::state);
    /// assert!(matches!(state, Some(LeaseState::Held { node, .. }) if node == id.node()));
    /// // At the end, when no thread generates any more:
    /// client.release()?;
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn leased(generator: LeasedGenerator<C>, cache: CachePolicy) -> Self {
        PyflakeClient::with(generator.switch(), Some(generator), cache)
    }

    fn with(generator: Switch<C>, lease: Option<LeasedGenerator<C>>, cache: CachePolicy) -> Self {
        PyflakeClient { generator, lease, generated: CachePadded::default(), cache: Cache::new(cache) }
    }

    /// The leased generator of a client that was made with one: for its [`state`](LeasedGenerator::state) and its
    /// [`last_error`](LeasedGenerator::last_error) in a health check.
    ///
    /// IDs that it issues are unique as all are, but are not numbered by the client, nor remembered.
    #[must_use]
    pub fn lease(&self) -> Option<&LeasedGenerator<C>> {
        self.lease.as_ref()
    }

    /// Gives the node of a leased client back, so that its next holder can go on at the next millisecond.
    ///
    /// Dropping does the same, but keeps the outcome to itself. It takes the client, so that no thread is in the middle
    /// of an ID: [`Arc::into_inner`](std::sync::Arc::into_inner) has it once all others are done. Without a lease there
    /// is nothing to give back, which is no error.
    ///
    /// # Errors
    ///
    /// As [`LeasedGenerator::release`].
    pub fn release(mut self) -> Result<(), LeaseError> {
        self.lease.as_mut().map_or(Ok(()), LeasedGenerator::stop)
    }

    /// Creates the generator that [`generate`](Self::generate) uses.
    ///
    /// # Errors
    ///
    /// [`Error::GeneratorExists`] if there is one already, [`Error::ClientLeased`] if the node is a lease's to choose;
    /// [`Error::PidOutOfRange`], [`Error::SeedOutOfRange`] for a value above 31; otherwise as [`GeneratorBuilder::build`](crate::GeneratorBuilder::build). The client is then
    /// as it was.
    pub fn create_generator(&self, pid: u64, seed: u64) -> Result<(), Error> {
        let node = self.choose(pid, seed)?;
        self.generator.set_first(node)
    }

    /// Destroys the generator, and says whether there was one.
    ///
    /// An ID that another thread is generating at this moment may still be issued. The node's place in time is kept:
    /// a generator created for it later continues.
    ///
    /// That of a [`leased`](Self::leased) client is its lease's and lives as long, so there is none to destroy and the
    /// answer is `false`; [`release`](Self::release) ends it.
    pub fn destroy_generator(&self) -> bool {
        self.lease.is_none() && self.generator.clear()
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
        let node = self.choose(pid, seed)?;
        self.generator.set(node)
    }

    /// Generates an ID, numbers it and remembers it as the cache policy says.
    ///
    /// It waits as [`Generator::next_id`] does, with a lease as [`LeasedGenerator::next_id`].
    ///
    /// # Errors
    ///
    /// [`Error::NoGenerator`] without a generator, otherwise as [`Generator::next_id`].
    #[inline]
    pub fn generate(&self) -> Result<Snowflake, Error> {
        // Not `ok_or`, which makes an error each time and drops it.
        let Some(generator) = self.generator.get() else { return Err(self.absent()) };
        let id = match generator.add() {
            Ok(slot) => generator.id(slot),
            // `next_id` in two steps: a `Result` of it would go through memory here, on the way of each ID.
            Err(tick) => match generator.claim_id(tick, IfAhead::Wait) {
                Ok(id) => id,
                Err(error) => return self.generate_renewed(error),
            },
        };
        self.adopt(id);
        Ok(id)
    }

    /// Generates an ID as [`generate`](Self::generate) does, if that is possible without waiting.
    ///
    /// For a caller that must do something before it waits, such as an interpreter that releases its lock. Nothing is
    /// numbered or remembered on an error.
    ///
    /// ```
    /// use pyflake::{CachePolicy, Epoch, Error, PyflakeClient};
    ///
    /// let client = PyflakeClient::builder(Epoch::TWITTER).cache(CachePolicy::Off).build();
    /// client.create_generator(12, 3)?;
    /// let id = match client.try_generate() {
    ///     // All IDs of this millisecond are issued: this call waits.
    ///     Err(Error::Exhausted { .. }) => client.generate()?,
    ///     done => done?,
    /// };
    /// assert_eq!((id.pid(), client.info().generated), (12, 1));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] where [`generate`](Self::generate) would wait for the next millisecond, [`Error::PastLease`]
    /// where it would wait for a renewal; otherwise the same.
    #[inline]
    pub fn try_generate(&self) -> Result<Snowflake, Error> {
        let Some(generator) = self.generator.get() else { return Err(self.absent()) };
        let id = match &self.lease {
            // It has the lease renewed where the window has ended.
            Some(lease) => lease.try_next_id()?,
            None => generator.try_next_id()?,
        };
        self.adopt(id);
        Ok(id)
    }

    /// The rest of [`generate`](Self::generate) after an error, which the renewal of a lease may mend.
    #[cold]
    #[inline(never)]
    fn generate_renewed(&self, error: Error) -> Result<Snowflake, Error> {
        let Some(lease) = &self.lease else { return Err(error) };
        lease.when_renewed(error, Generator::next_id).inspect(|&id| self.adopt(id))
    }

    /// The current generator.
    #[cfg(feature = "tokio")]
    pub(crate) fn generator(&self) -> Result<&Generator<C>, Error> {
        self.generator.get().ok_or_else(|| self.absent())
    }

    /// Why there is no generator.
    #[cold]
    fn absent(&self) -> Error {
        self.lease.as_ref().map_or(Error::NoGenerator, LeasedGenerator::lost)
    }

    /// Numbers an ID, and remembers it.
    #[inline]
    pub(crate) fn adopt(&self, id: Snowflake) {
        // Relaxed: it counts, and each number is one thread's alone.
        let idx = self.generated.fetch_add(1, Ordering::Relaxed) + 1;
        self.cache.put(idx, id);
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

    /// What the generator has gone through, for metrics: waits, lost races, its clock, and what is left of a lease's
    /// window. They are those of the current generator, so on another node they are that node's; all zero without one.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match &self.lease {
            Some(lease) => lease.stats(),
            None => self.generator.get().map_or_else(Stats::default, Generator::stats),
        }
    }

    /// Reads the time out of an ID by the client's epoch, as [`to_timestamp`](crate::to_timestamp) does.
    ///
    /// It is right for IDs of any node, and wrong for IDs of another epoch.
    #[must_use]
    pub fn to_timestamp(&self, id: Snowflake, unit: TimeUnit) -> f64 {
        to_timestamp(self.generator.epoch(), id, unit)
    }

    /// The node that a caller asks for, if it is not a lease's to choose.
    fn choose(&self, pid: u64, seed: u64) -> Result<Node, Error> {
        if self.lease.is_some() { Err(Error::ClientLeased) } else { Node::new(pid, seed) }
    }

    fn generated(&self) -> u64 {
        // Relaxed: a count; what the cache has of it is the cache's to say.
        self.generated.load(Ordering::Relaxed)
    }
}
