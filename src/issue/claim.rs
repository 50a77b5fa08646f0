//! How a generator claims slots: by addition, in the clock's tick, or ahead of the clock.
//!
//! A call tries three steps, from the cheapest on:
//!
//! 1. [`add`](Generator::add): one addition in the clock's tick. Nearly every ID ends here.
//! 2. [`claim_in_tick`](Generator::claim_in_tick): a compare-and-swap in the tick that step 1 read.
//!    It begins the tick, or claims a run of several slots.
//! 3. [`claim_ahead`](Generator::claim_ahead): reads the clock at full resolution, claims slots
//!    that lie ahead of it, and waits for them. It alone says why a claim fails.

use core::convert::Infallible;
use core::time::Duration;

use crate::clock::{Clock, whole_millis};
use crate::error::Error;
use crate::id::Snowflake;
use crate::issue::block::Block;
use crate::issue::generator::Generator;
use crate::issue::timeline::{Now, Refusal, Run, Wanted};
use crate::issue::wait::IfAhead;
use crate::layout;
use crate::trace;

impl<C: Clock> Generator<C> {
    /// The clock's tick. Before the epoch it wraps around, to a tick past every limit.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.clock.unix_millis().wrapping_sub(self.epoch.as_unix_millis())
    }

    /// The ID of a slot.
    #[inline]
    pub(crate) fn id(&self, slot: u64) -> Snowflake {
        Snowflake::from(layout::id(slot, self.node_bits))
    }

    /// Fast path: claims one slot of the clock's tick by addition.
    ///
    /// `Err` holds the tick. Pass it to [`claim_id`](Self::claim_id).
    #[inline]
    pub(crate) fn add(&self) -> Result<u64, u64> {
        self.timeline.add(|| self.tick())
    }

    /// Slow path of one ID, after [`add`](Self::add) returned the clock's `tick`.
    #[inline(never)]
    pub(crate) fn claim_id(&self, tick: u64, if_ahead: IfAhead) -> Result<Snowflake, Error> {
        self.claim(1, tick, if_ahead).map(|slot| self.id(slot))
    }

    /// Claims `n` slots, in the clock's `tick` or ahead of the clock, and returns the first.
    #[inline]
    pub(super) fn claim(&self, n: u64, tick: u64, if_ahead: IfAhead) -> Result<u64, Error> {
        match self.claim_in_tick(Wanted::exactly(n), tick) {
            Some(run) => Ok(run.first),
            None => self.claim_ahead(n, if_ahead),
        }
    }

    /// Claims one ID that needs no wait; `None` for every other outcome.
    pub(super) fn id_in_tick(&self, tick: u64) -> Option<Snowflake> {
        self.claim_in_tick(Wanted::exactly(1), tick).map(|run| self.id(run.first))
    }

    /// Claims a run of IDs that needs no wait; `None` for every other outcome.
    pub(super) fn block_in_tick(&self, wanted: Wanted, tick: u64) -> Option<Block> {
        self.claim_in_tick(wanted, tick).map(|run| Block::new(run.first, run.len, self.node_bits))
    }

    /// Claims a run that needs no wait, in the clock's `tick` or in a later one that has begun.
    #[inline(never)]
    fn claim_in_tick(&self, wanted: Wanted, tick: u64) -> Option<Run> {
        let now = || Ok::<_, Infallible>(Now::at(tick));
        let claim = self.timeline.claim(wanted, self.spread, &self.counters.lost_races, now);
        claim.unwrap_or_else(|never| match never {}).ok()
    }

    /// Claims `n` slots by the clock's time at full resolution, and waits for them if `if_ahead`
    /// says so.
    #[cold]
    #[inline(never)]
    fn claim_ahead(&self, n: u64, if_ahead: IfAhead) -> Result<u64, Error> {
        let patience = match if_ahead {
            IfAhead::Wait => self.max_wait,
            IfAhead::Fail => Duration::ZERO,
        };
        let claim = self.timeline.claim(Wanted::exactly(n), self.spread, &self.counters.lost_races, || {
            let now = self.clock.unix_time();
            let tick = self.epoch.tick(whole_millis(now))?;
            // The reach may lie past the end of time. The limit refuses such a claim.
            let latest = whole_millis(now.saturating_add(self.max_lead).saturating_add(patience));
            Ok::<_, Error>(Now { tick, reach: latest - self.epoch.as_unix_millis() })
        })?;
        let run = claim.map_err(|refusal| self.error(refusal, if_ahead))?;
        if run.ahead && if_ahead == IfAhead::Wait {
            self.wait_for(layout::tick_of_slot(run.first + n - 1))?;
        }
        Ok(run.first)
    }

    /// Waits until slots of a tick may be handed out.
    fn wait_for(&self, tick: u64) -> Result<(), Error> {
        if self.time_until_due(tick).is_zero() {
            return Ok(());
        }
        let due = Duration::from_millis(self.epoch.unix_millis(tick)).saturating_sub(self.max_lead);
        let waited = self.wait.until(&self.clock, due, self.max_wait);
        self.count_wait(waited.inspect_err(|error| trace::stalled(self.node, error))?);
        Ok(())
    }

    /// Counts a caller's wait, and emits its event.
    pub(crate) fn count_wait(&self, waited: Duration) {
        self.counters.waits.add(1);
        self.counters.waited.add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
        trace::waited(self.node, waited);
    }

    /// The error of a refused claim.
    fn error(&self, refusal: Refusal, if_ahead: IfAhead) -> Error {
        match refusal {
            Refusal::Closed => self.closed(),
            Refusal::Ahead { last_tick } => {
                let wait = self.time_until_due(last_tick);
                match if_ahead {
                    IfAhead::Wait => Error::WaitTooLong { wait, max_wait: self.max_wait },
                    IfAhead::Fail => Error::Exhausted { retry_after: wait },
                }
            }
            Refusal::Limit { last_tick, limit } => {
                let end = self.epoch.unix_millis(last_tick);
                if limit == layout::TICKS {
                    Error::EndOfTime { epoch: self.epoch.as_unix_millis(), now: end }
                } else {
                    Error::PastLease { end, until: self.epoch.unix_millis(limit) }
                }
            }
        }
    }

    /// The time until a tick, by the generator's clock.
    pub(super) fn time_until(&self, tick: u64) -> Duration {
        Duration::from_millis(self.epoch.unix_millis(tick)).saturating_sub(self.clock.unix_time())
    }

    /// The time until slots of a tick may be handed out.
    fn time_until_due(&self, tick: u64) -> Duration {
        self.time_until(tick).saturating_sub(self.max_lead)
    }
}
