//! Feature `tokio`: waits that leave the worker to other tasks.
//!
//! All is built on `try_next_id`, which claims an ID only to return it, so a future that is dropped while it waits has
//! claimed nothing.

use core::time::Duration;
use std::time::Instant;

use ::tokio::task::coop::consume_budget;
use ::tokio::time::sleep;

use crate::client::PyflakeClient;
use crate::clock::Clock;
use crate::error::Error;
use crate::id::Snowflake;
use crate::issue::Generator;
use crate::lease::LeasedGenerator;
use crate::trace;

/// The longest single sleep: the clock may be set forward meanwhile.
const NAP: Duration = Duration::from_millis(10);

impl<C: Clock> Generator<C> {
    /// Issues the next ID as [`next_id`](Self::next_id) does, but lets the worker run other tasks while it waits.
    ///
    /// Dropping the future loses no ID. It needs a tokio runtime with its timer enabled, whose sleeps end on whole
    /// milliseconds; under `tokio::time::pause` it still waits for the generator's clock.
    ///
    /// ```
    /// use pyflake::{Epoch, Generator, Node};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), pyflake::Error> {
    /// let generator = Generator::new(Epoch::TWITTER, Node::new(11, 1)?)?;
    /// let id = generator.next_id_async().await?;
    /// assert_eq!(id.node(), generator.node());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next_id`](Self::next_id). [`Error::WaitTooLong`] also if other callers were faster for `max_wait`.
    pub async fn next_id_async(&self) -> Result<Snowflake, Error> {
        let max_wait = self.max_wait();
        let mut begun: Option<(Instant, Duration, Duration)> = None;
        let mut waited = Duration::ZERO;
        loop {
            let rest = match self.try_next_id() {
                Err(Error::Exhausted { retry_after }) => retry_after,
                done => {
                    if let (Ok(_), Some((start, ..))) = (&done, begun) {
                        self.count_wait(start.elapsed());
                    }
                    return done;
                }
            };
            if rest > max_wait {
                return Err(Error::WaitTooLong { wait: rest, max_wait });
            }
            // The machine's time, and not tokio's, which a test may have paused: its sleeps then end at once.
            let (_, since, longest) =
                *begun.get_or_insert_with(|| (Instant::now(), self.clock().unix_time(), rest.saturating_add(max_wait)));
            if waited > longest {
                let shown = self.clock().unix_time().saturating_sub(since);
                let error = if shown < waited / 2 {
                    Error::ClockStalled { waited }
                } else {
                    Error::WaitTooLong { wait: waited.saturating_add(rest), max_wait }
                };
                trace::stalled(self.node(), &error);
                return Err(error);
            }
            let (nap, before) = (rest.clamp(Duration::from_nanos(1), NAP), Instant::now());
            sleep(nap).await;
            // A sleep that took far longer is a process that was stopped: not a reason to refuse all who were waiting.
            waited += before.elapsed().min(nap + NAP);
        }
    }

    /// Fills a slice with increasing IDs, and lets the worker run other tasks while it waits, and every so often while it
    /// need not: batches take turns, so that the last is not kept waiting until all others are done.
    ///
    /// It claims one at a time, so unlike those of [`fill`](Self::fill) they need not be consecutive, and each wait
    /// may take `max_wait`. A future that is dropped has lost the IDs it had written to the slice, and no others.
    ///
    /// # Errors
    ///
    /// As [`next_id_async`](Self::next_id_async); the front of the slice may then have been written.
    pub async fn fill_async(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        for id in ids {
            *id = self.next_id_async().await?;
            // After the ID, as one that is issued and not written would be lost.
            consume_budget().await;
        }
        Ok(())
    }
}

impl<C: Clock + Clone> LeasedGenerator<C> {
    /// Issues the next ID as [`next_id`](Self::next_id) does, but lets the worker run other tasks while it waits, also
    /// for a renewal. Dropping the future loses no ID.
    ///
    /// # Errors
    ///
    /// As [`Generator::next_id_async`].
    pub async fn next_id_async(&self) -> Result<Snowflake, Error> {
        let mut start = None;
        loop {
            let error = match self.generator()?.next_id_async().await {
                Err(error) => error,
                done => return done,
            };
            let nudged = start.is_some();
            if !self.may_be_mended(&error, start.get_or_insert_with(Instant::now).elapsed()) {
                return Err(error);
            }
            if !nudged {
                self.nudge();
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Fills a slice as [`Generator::fill_async`] does; in increasing order, unless the lease is lost meanwhile and another
    /// node is acquired.
    ///
    /// # Errors
    ///
    /// As [`next_id_async`](Self::next_id_async); the front of the slice may then have been written.
    pub async fn fill_async(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        for id in ids {
            *id = self.next_id_async().await?;
            consume_budget().await;
        }
        Ok(())
    }
}

impl<C: Clock + Clone> PyflakeClient<C> {
    /// Generates an ID as [`generate`](Self::generate) does, but lets the worker run other tasks while it waits, also
    /// for the renewal of a lease.
    ///
    /// Dropping the future loses no ID: one that was issued is numbered and remembered, and handed out, at the same
    /// poll.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use pyflake::{CachePolicy, Epoch, PyflakeClient};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Arc::new(PyflakeClient::builder(Epoch::TWITTER).cache(CachePolicy::Recent(100)).build());
    /// client.create_generator(11, 3)?;
    /// let handler = Arc::clone(&client);
    /// let id = tokio::spawn(async move { handler.generate_async().await }).await??;
    /// assert_eq!(client.cached(1).map(|record| record.snowflake), Some(id));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoGenerator`] without a generator, otherwise as [`Generator::next_id_async`].
    pub async fn generate_async(&self) -> Result<Snowflake, Error> {
        let id = match self.lease() {
            Some(lease) => lease.next_id_async().await,
            None => self.generator()?.next_id_async().await,
        }?;
        self.adopt(id);
        Ok(id)
    }
}
