//! `PyflakeClient`: the class of the Python package, for many threads.

use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::client::cache::{Cache, CachePolicy};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::id::{Epoch, Node, Record, Snowflake, TimeUnit, to_timestamp};
use crate::issue::{Generator, GeneratorBuilder, IfAhead, Stats, Switch, Wait};
use crate::lease::{LeaseError, LeasedGenerator};
use crate::sync::{AtomicU64, Ordering};

/// Manages one generator at a time, and numbers and caches its IDs.
///
/// It is the class of the Python package, for many threads. Every method takes `&self`: share the
/// client in an `Arc`. Any thread may renew or destroy the generator while others generate. There
/// is no lock on the path of an ID.
///
/// By default the client caches every ID, which takes 8 bytes each. A server that runs for long
/// should use [`CachePolicy::Recent`] or [`CachePolicy::Off`], and a node of its own:
/// [`leased`](Self::leased) makes a client that issues on the node of a lease.
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
    /// The switch of the lease, if there is one.
    generator: Switch<C>,
    lease: Option<LeasedGenerator<C>>,
    /// The number of generated IDs, and so the number of the last one. All threads add to it, so it
    /// has its own cache line.
    generated: CachePadded<AtomicU64>,
    cache: Cache,
}

/// Builds a [`PyflakeClient`] with other options than the defaults; made by
/// [`PyflakeClient::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct PyflakeClientBuilder<C = SystemClock> {
    /// The options of each generator. Its node is not used.
    generator: GeneratorBuilder<C>,
    cache: CachePolicy,
}

/// The node, the epoch and the number of IDs of a [`PyflakeClient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Info {
    /// The pid of the generator, or of the last one if that was destroyed; `None` before the first.
    pub pid: Option<u8>,
    /// The seed of the same generator.
    pub seed: Option<u8>,
    /// The epoch from which all IDs of the client count.
    pub epoch: Epoch,
    /// The number of IDs that the client generated, with all its generators.
    pub generated: u64,
    /// Whether there is a generator.
    pub generator: bool,
}

impl PyflakeClient {
    /// Makes a client without a generator. It caches every ID.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        PyflakeClient::builder(epoch).build()
    }

    /// Makes a builder with the defaults of [`new`](Self::new).
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
    /// Sets the clock; [`SystemClock`] by default. Each generator gets a clone.
    pub fn clock<D: Clock + Clone>(self, clock: D) -> PyflakeClientBuilder<D> {
        PyflakeClientBuilder { generator: self.generator.clock(clock), cache: self.cache }
    }

    /// Sets how a caller waits for the next millisecond: the `sleep` of the Python package.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.generator = self.generator.wait(wait);
        self
    }

    /// Sets the longest wait of [`PyflakeClient::generate`]; a second by default.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.generator = self.generator.max_wait(max_wait);
        self
    }

    /// Spreads the first sequence of a millisecond over `2^bits` values.
    ///
    /// See [`GeneratorBuilder::spread_sequence`](crate::GeneratorBuilder::spread_sequence).
    pub fn spread_sequence(mut self, bits: u32) -> Self {
        self.generator = self.generator.spread_sequence(bits);
        self
    }

    /// Sets which IDs the client caches; all of them by default.
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
    /// Makes a client that issues on the node of a lease.
    ///
    /// A server shares it among its handlers in an `Arc`. The lease chooses the node, and another
    /// node if it is lost. So [`create_generator`](Self::create_generator) and
    /// [`renew_generator`](Self::renew_generator) fail with [`Error::ClientLeased`]. Dropping the
    /// client gives the node back and waits for the store; [`release`](Self::release) does the same
    /// and returns the store's error.
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
    /// // For a health check, and for its body:
    /// assert!(client.can_issue());
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

    /// The leased generator of a client made by [`leased`](Self::leased); `None` for other clients.
    ///
    /// A health check reads its [`state`](LeasedGenerator::state) and
    /// [`last_error`](LeasedGenerator::last_error). IDs that are issued through it directly are
    /// unique, and are neither numbered nor cached by the client.
    #[must_use]
    pub fn lease(&self) -> Option<&LeasedGenerator<C>> {
        self.lease.as_ref()
    }

    /// Returns whether IDs can be generated, for a health check.
    ///
    /// With a lease this is [`LeasedGenerator::can_issue`]; without one, whether there is a generator of this process.
    ///
    /// ```
    /// use pyflake::{Epoch, PyflakeClient};
    ///
    /// let client = PyflakeClient::new(Epoch::TWITTER);
    /// assert!(!client.can_issue());
    /// client.create_generator(14, 3)?;
    /// assert!(client.can_issue());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    #[must_use]
    pub fn can_issue(&self) -> bool {
        match &self.lease {
            Some(lease) => lease.can_issue(),
            None => self.generator.get().is_some_and(Generator::can_issue),
        }
    }

    /// Gives the node of a leased client back. Its next holder can start at the next millisecond.
    ///
    /// Dropping the client does the same and discards the error. `release` consumes the client, so
    /// no thread can be in the middle of an ID: get it by
    /// [`Arc::into_inner`](std::sync::Arc::into_inner) after all other threads are done. A client
    /// without a lease has nothing to give back, and returns `Ok`.
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
    /// [`Error::GeneratorExists`] if there is one, [`Error::ClientLeased`] if a lease chooses the
    /// node, [`Error::PidOutOfRange`], [`Error::SeedOutOfRange`] for a value above 31; otherwise as
    /// [`GeneratorBuilder::build`](crate::GeneratorBuilder::build). The client is then unchanged.
    pub fn create_generator(&self, pid: u64, seed: u64) -> Result<(), Error> {
        let node = self.choose(pid, seed)?;
        self.generator.set_first(node)
    }

    /// Destroys the generator, and returns whether there was one.
    ///
    /// An ID that another thread is generating at this moment may still be issued. The timeline of
    /// the node stays: a generator that is created for it later continues there.
    ///
    /// On a [`leased`](Self::leased) client it does nothing and returns `false`: use
    /// [`release`](Self::release).
    pub fn destroy_generator(&self) -> bool {
        self.lease.is_none() && self.generator.clear()
    }

    /// Replaces the generator, or creates the first one.
    ///
    /// Threads that generate meanwhile use either the old or the new one.
    ///
    /// # Errors
    ///
    /// As [`create_generator`](Self::create_generator), except [`Error::GeneratorExists`]. The
    /// client is then unchanged.
    pub fn renew_generator(&self, pid: u64, seed: u64) -> Result<(), Error> {
        let node = self.choose(pid, seed)?;
        self.generator.set(node)
    }

    /// Generates an ID, numbers it, and caches it if the cache policy says so.
    ///
    /// It waits as [`Generator::next_id`] does; with a lease, as [`LeasedGenerator::next_id`].
    ///
    /// # Errors
    ///
    /// [`Error::NoGenerator`] without a generator, otherwise as [`Generator::next_id`].
    #[inline]
    pub fn generate(&self) -> Result<Snowflake, Error> {
        // Not `ok_or`: it would build and drop an error with each ID.
        let Some(generator) = self.generator.get() else { return Err(self.absent()) };
        let id = match generator.add() {
            Ok(slot) => generator.id(slot),
            // The two steps of `next_id`. The `Result` of `next_id` would pass through memory here.
            Err(tick) => match generator.claim_id(tick, IfAhead::Wait) {
                Ok(id) => id,
                Err(error) => return self.generate_renewed(error),
            },
        };
        self.adopt(id);
        Ok(id)
    }

    /// Generates an ID as [`generate`](Self::generate) does, or fails at once if that would need a
    /// wait.
    ///
    /// For a caller that must do something before it waits, such as an interpreter that releases
    /// its lock. On an error nothing is numbered or cached.
    ///
    /// ```
    /// use pyflake::{CachePolicy, Epoch, Error, PyflakeClient};
    ///
    /// let client = PyflakeClient::builder(Epoch::TWITTER).cache(CachePolicy::Off).build();
    /// client.create_generator(12, 3)?;
    /// let id = match client.try_generate() {
    ///     // All IDs of this millisecond are issued. This call waits.
    ///     Err(Error::Exhausted { .. }) => client.generate()?,
    ///     done => done?,
    /// };
    /// assert_eq!((id.pid(), client.info().generated), (12, 1));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if [`generate`](Self::generate) would wait for the next millisecond,
    /// [`Error::PastLease`] if it would wait for a renewal; its other errors are the same.
    #[inline]
    pub fn try_generate(&self) -> Result<Snowflake, Error> {
        let Some(generator) = self.generator.get() else { return Err(self.absent()) };
        let id = match &self.lease {
            // Requests a renewal of the lease if the window has ended.
            Some(lease) => lease.try_next_id()?,
            None => generator.try_next_id()?,
        };
        self.adopt(id);
        Ok(id)
    }

    /// The rest of [`generate`](Self::generate) after an error. A renewal of the lease may end it.
    #[cold]
    #[inline(never)]
    fn generate_renewed(&self, error: Error) -> Result<Snowflake, Error> {
        let Some(lease) = &self.lease else { return Err(error) };
        lease.when_renewed(error, Generator::next_id).inspect(|&id| self.adopt(id))
    }

    /// The current generator.
    ///
    /// # Errors
    ///
    /// [`Error::NoGenerator`] without one, [`Error::LeaseLost`] if its lease is lost.
    #[cfg(feature = "tokio")]
    pub(crate) fn generator(&self) -> Result<&Generator<C>, Error> {
        self.generator.get().ok_or_else(|| self.absent())
    }

    /// The error if there is no generator.
    #[cold]
    fn absent(&self) -> Error {
        self.lease.as_ref().map_or(Error::NoGenerator, LeasedGenerator::lost)
    }

    /// Numbers an ID and caches it.
    #[inline]
    pub(crate) fn adopt(&self, id: Snowflake) {
        // Relaxed: only the counter's own order matters; each call gets another number.
        let idx = self.generated.fetch_add(1, Ordering::Relaxed) + 1;
        self.cache.put(idx, id);
    }

    /// The record of the ID with a number; `None` if it is not cached. Numbers count from 1.
    ///
    /// It is `None` for a number that is not reached yet, that the policy does not keep, that was
    /// cleared, or whose ID another thread has not stored yet. It is never the record of another
    /// number. The record's time is by the client's epoch.
    #[must_use]
    pub fn cached(&self, idx: u64) -> Option<Record> {
        let id = self.cache.get(idx, self.generated())?;
        Some(id.record(self.generator.epoch(), idx))
    }

    /// The number of cached IDs.
    #[must_use]
    pub fn cache_len(&self) -> u64 {
        self.cache.len(self.generated())
    }

    /// Forgets the IDs that were generated so far. The numbers continue.
    ///
    /// As with a `Vec`, the memory is kept for later IDs and freed when the client is dropped.
    pub fn clear_cache(&self) {
        self.cache.clear(self.generated());
    }

    /// The node, the epoch, the number of generated IDs, and whether there is a generator.
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

    /// Counters of the current generator, for metrics; all zero without one.
    ///
    /// Each node has its own counters, so a renewal to another node changes them.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match &self.lease {
            Some(lease) => lease.stats(),
            None => self.generator.get().map_or_else(Stats::default, Generator::stats),
        }
    }

    /// Reads the time out of an ID by the client's epoch, as [`to_timestamp`]
    /// does.
    ///
    /// The result is right for IDs of any node, and wrong for IDs of another epoch.
    #[must_use]
    pub fn to_timestamp(&self, id: Snowflake, unit: TimeUnit) -> f64 {
        to_timestamp(self.generator.epoch(), id, unit)
    }

    /// The node of a pid and a seed.
    ///
    /// # Errors
    ///
    /// [`Error::ClientLeased`] if a lease chooses the node; otherwise as [`Node::new`].
    fn choose(&self, pid: u64, seed: u64) -> Result<Node, Error> {
        if self.lease.is_some() { Err(Error::ClientLeased) } else { Node::new(pid, seed) }
    }

    fn generated(&self) -> u64 {
        // Relaxed: a number. The cache checks its own words before it returns an ID.
        self.generated.load(Ordering::Relaxed)
    }
}
