//! How a leased generator is set up.

use core::time::Duration;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::fork::Process;
use crate::id::{Node, Snowflake};
use crate::issue::{Generator, GeneratorBuilder, POSITIONS, Wait};
use crate::lease::error::LeaseError;
use crate::lease::generator::LeasedGenerator;
use crate::lease::hold::Hold;
use crate::lease::keeper::Keeper;
use crate::lease::realm::LONGEST_WINDOW;
use crate::lease::sharded::ShardedLeasedGenerator;
use crate::lease::shared::Lease;
use crate::lease::state::OnLost;
use crate::lease::store::LeaseStore;

/// Sets up a [`LeasedGenerator`] other than the default one; made by [`LeasedGenerator::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct LeasedGeneratorBuilder<C = SystemClock> {
    store: Arc<dyn LeaseStore>,
    generator: GeneratorBuilder<C>,
    window: Duration,
    on_lost: OnLost,
    label: String,
}

impl LeasedGenerator {
    /// Acquires a node from a store, on the [`SystemClock`], with a window of ten seconds.
    ///
    /// # Errors
    ///
    /// As [`LeasedGeneratorBuilder::build`].
    pub fn new(store: impl LeaseStore + 'static) -> Result<Self, LeaseError> {
        LeasedGenerator::builder(store).build()
    }

    /// Starts from the defaults of [`new`](Self::new), to change some of them.
    pub fn builder(store: impl LeaseStore + 'static) -> LeasedGeneratorBuilder {
        // The node is the store's to choose.
        let generator = Generator::builder(store.epoch(), Node::at(0));
        LeasedGeneratorBuilder {
            store: Arc::new(store),
            generator,
            window: Duration::from_secs(10),
            on_lost: OnLost::default(),
            label: format!("process {}", std::process::id()),
        }
    }
}

impl<C: Clock + Clone + 'static> LeasedGeneratorBuilder<C> {
    /// Uses another clock than the [`SystemClock`].
    pub fn clock<D: Clock + Clone + 'static>(self, clock: D) -> LeasedGeneratorBuilder<D> {
        let LeasedGeneratorBuilder { store, generator, window, on_lost, label } = self;
        LeasedGeneratorBuilder { store, generator: generator.clock(clock), window, on_lost, label }
    }

    /// Sets how a caller waits for the next millisecond; [`Wait::Adaptive`] by default.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.generator = self.generator.wait(wait);
        self
    }

    /// Sets the longest wait a call may make; a second by default. As
    /// [`GeneratorBuilder::max_wait`](crate::GeneratorBuilder::max_wait), and also how far the clock may be behind the
    /// windows already given out.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.generator = self.generator.max_wait(max_wait);
        self
    }

    /// Lets IDs run ahead of the clock by up to `max_lead` instead of waiting, as
    /// [`GeneratorBuilder::max_lead`](crate::GeneratorBuilder::max_lead); within the window, so that a restart repeats
    /// nothing; at most half of the window, and ten seconds. The node's next holder waits until its clock has passed the last ID, or is
    /// refused if that is longer than its `max_wait`.
    pub fn max_lead(mut self, max_lead: Duration) -> Self {
        self.generator = self.generator.max_lead(max_lead);
        self
    }

    /// Spreads the first sequence of a millisecond over `2^bits` values, as
    /// [`GeneratorBuilder::spread_sequence`](crate::GeneratorBuilder::spread_sequence).
    pub fn spread_sequence(mut self, bits: u32) -> Self {
        self.generator = self.generator.spread_sequence(bits);
        self
    }

    /// Sets how far ahead of the clock the window reaches when it is renewed, which is three times in its length; ten
    /// seconds by default, at least 30 ms and at most a day.
    ///
    /// A longer window bridges a longer outage of the store. After a crash the node rests until the window has passed;
    /// after a release it can be used again at once.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window.clamp(Duration::from_millis(30), LONGEST_WINDOW);
        self
    }

    /// Sets what happens when the lease is lost; [`OnLost::Reacquire`] by default.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.on_lost = on_lost;
        self
    }

    /// Names the holder for people who look at the store; `process` and its number by default.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Never issues an ID at or below one that was issued before, as
    /// [`GeneratorBuilder::resume_after`](crate::GeneratorBuilder::resume_after).
    pub fn resume_after(mut self, id: Snowflake) -> Self {
        self.generator = self.generator.resume_after(id);
        self
    }

    /// Acquires the lease, and starts the thread that keeps it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Generator`] with [`Error::LeadOutOfRange`] for a lead of more than half of the window;
    /// those of [`LeaseStore::acquire`]; [`LeaseError::ClockBehind`] if the first ID would be further away than
    /// `max_wait`; [`LeaseError::Generator`] with [`Error::NodeInUse`] if this process uses each of the nodes it is
    /// given in another way, and with the errors of [`GeneratorBuilder::build`](crate::GeneratorBuilder::build). The node is then given back.
    pub fn build(self) -> Result<LeasedGenerator<C>, LeaseError> {
        Ok(LeasedGenerator::with(self.hold(1)?))
    }

    /// Acquires so many nodes, 1 to 32, any that the store has free, and starts the one thread that keeps them: a
    /// [`ShardedLeasedGenerator`], for more than 4096 IDs a millisecond.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Generator`] with [`Error::ShardsOutOfRange`] for another number of shards, and with
    /// [`Error::LeadOutOfRange`] for any [`max_lead`](Self::max_lead); otherwise as [`build`](Self::build). The nodes that
    /// were acquired before are then given back.
    pub fn build_sharded(self, shards: usize) -> Result<ShardedLeasedGenerator<C>, LeaseError> {
        if !(1..=POSITIONS).contains(&shards) {
            return Err(Error::ShardsOutOfRange { shards }.into());
        }
        let max_lead = self.generator.longest_lead();
        if !max_lead.is_zero() {
            // IDs of one shard that are ahead of another's would undo the order by millisecond.
            return Err(Error::LeadOutOfRange { max_lead, limit: Duration::ZERO }.into());
        }
        Ok(ShardedLeasedGenerator::new(self.hold(shards)?))
    }

    fn hold(self, positions: usize) -> Result<Hold<C>, LeaseError> {
        let LeasedGeneratorBuilder { store, generator, window, on_lost, label } = self;
        // A lead as long as the window would use up each renewal at once, and leave nothing for an outage of the store.
        let (max_lead, limit) = (generator.longest_lead(), window / 2);
        if max_lead > limit {
            return Err(Error::LeadOutOfRange { max_lead, limit }.into());
        }
        let generator = generator.leased();
        generator.check()?;
        let lease = Arc::new(Lease::new(store, generator, window, on_lost, positions));
        let process = Process::current()?;
        let keeper = Keeper::start(&lease, label)?;
        Ok(Hold::new(lease, keeper, process))
    }
}
