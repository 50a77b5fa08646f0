use core::time::Duration;

use once_cell::race::OnceBox;

use crate::cache::{Cache, CachePolicy};
use crate::clock::{Clock, SystemClock};
use crate::epoch::{self, Epoch, TimeUnit};
use crate::error::Error;
use crate::generator::Generator;
use crate::node::Node;
use crate::snowflake::{Record, Snowflake};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
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
    settings: PyflakeClientBuilder<C>,
    /// The generators this client has had, by their node. They stay, so that a thread may use one while another
    /// renews, and so that a renewal back to a node goes on where the node stopped.
    generators: Box<[OnceBox<Generator<C>>]>,
    /// The node, with SPECIFIED since the first generator and PRESENT while there is one.
    current: AtomicU32,
    generated: AtomicU64,
    cache: Cache,
}

const SPECIFIED: u32 = 1 << 16;
const PRESENT: u32 = 1 << 17;

/// Sets up a [`PyflakeClient`] other than the default one; made by [`PyflakeClient::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct PyflakeClientBuilder<C = SystemClock> {
    epoch: Epoch,
    wait: Wait,
    max_wait: Duration,
    cache: CachePolicy,
    clock: C,
}

/// What a [`PyflakeClient`] says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        let (wait, max_wait, clock) = (Wait::default(), Duration::from_secs(1), SystemClock::new());
        PyflakeClientBuilder { epoch, wait, max_wait, cache: CachePolicy::default(), clock }
    }
}

impl<C: Clock + Clone> PyflakeClientBuilder<C> {
    /// Uses another clock than the [`SystemClock`]; each generator gets a clone.
    pub fn clock<D: Clock + Clone>(self, clock: D) -> PyflakeClientBuilder<D> {
        let PyflakeClientBuilder { epoch, wait, max_wait, cache, clock: _ } = self;
        PyflakeClientBuilder { epoch, wait, max_wait, cache, clock }
    }

    /// Sets how a caller waits when the 4096 IDs of a millisecond are issued: the Python package's `sleep`.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the longest wait of [`PyflakeClient::generate`]; a second by default.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
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
            generators: (0..Node::COUNT).map(|_| OnceBox::new()).collect(),
            current: AtomicU32::new(0),
            generated: AtomicU64::new(0),
            cache: Cache::new(self.cache),
            settings: self,
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
        let next = self.ready(Node::new(pid, seed)?)?;
        // Release, Acquire: a generator is published by its `OnceBox`; this word only names it.
        self.current
            .fetch_update(Ordering::Release, Ordering::Acquire, |current| (current & PRESENT == 0).then_some(next))
            .map(drop)
            .map_err(|current| {
                let node = node_of(current);
                Error::GeneratorExists { pid: node.pid(), seed: node.seed() }
            })
    }

    /// Destroys the generator, and says whether there was one.
    ///
    /// An ID that another thread is generating at this moment may still be issued. The node's place in time is kept:
    /// a generator created for it later continues.
    pub fn destroy_generator(&self) -> bool {
        self.current.fetch_and(!PRESENT, Ordering::AcqRel) & PRESENT != 0
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
        let next = self.ready(Node::new(pid, seed)?)?;
        self.current.store(next, Ordering::Release);
        Ok(())
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
        let id = self.generator().ok_or(Error::NoGenerator)?.next_id()?;
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
        Some(id.record(self.settings.epoch, idx))
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
        // Relaxed: a look, as true as any a moment later.
        let current = self.current.load(Ordering::Relaxed);
        let node = (current & SPECIFIED != 0).then(|| node_of(current));
        Info {
            pid: node.map(Node::pid),
            seed: node.map(Node::seed),
            epoch: self.settings.epoch,
            generated: self.generated(),
            generator: current & PRESENT != 0,
        }
    }

    /// Reads the time out of an ID by the client's epoch, as [`to_timestamp`](crate::to_timestamp) does.
    ///
    /// It is right for IDs of any node, and wrong for IDs of another epoch.
    #[must_use]
    pub fn to_timestamp(&self, id: Snowflake, unit: TimeUnit) -> f64 {
        epoch::to_timestamp(self.settings.epoch, id, unit)
    }

    fn generated(&self) -> u64 {
        // Acquire: an index counts as generated before its place in the cache is looked at.
        self.generated.load(Ordering::Acquire)
    }

    /// The current generator.
    #[inline]
    fn generator(&self) -> Option<&Generator<C>> {
        // Acquire: as in `create_generator`.
        let current = self.current.load(Ordering::Acquire);
        if current & PRESENT == 0 {
            return None;
        }
        self.generators.get(usize::from(node_of(current).index()))?.get()
    }

    /// Makes sure there is a generator for a node; the value of `current` that names it.
    fn ready(&self, node: Node) -> Result<u32, Error> {
        let PyflakeClientBuilder { epoch, wait, max_wait, cache: _, clock } = &self.settings;
        let build = || Generator::builder(*epoch, node).wait(*wait).max_wait(*max_wait).clock(clock.clone()).build();
        // Two threads may build one each for the node; the second is dropped before anyone has used it.
        let generator = self.generators[usize::from(node.index())].get_or_try_init(|| build().map(Box::new))?;
        generator.check()?;
        Ok(u32::from(node.index()) | SPECIFIED | PRESENT)
    }
}

/// The node in a value of `current`.
fn node_of(current: u32) -> Node {
    Node::from_index((current & 0xffff) as u16)
}
