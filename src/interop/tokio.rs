//! Feature `tokio`: `async` methods, whose waits leave the worker to other tasks.
//!
//! All of them call `try_next_id`, and return each ID that it claims in the same poll. So a future
//! that is dropped while it waits has claimed nothing.

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

/// The longest single sleep. The clock may be set forward during a sleep.
const NAP: Duration = Duration::from_millis(10);

impl<C: Clock> Generator<C> {
    /// Issues the next ID as [`next_id`](Self::next_id) does. While it waits, the worker runs other
    /// tasks.
    ///
    /// Dropping the future loses no ID. It needs a tokio runtime with its timer enabled. Tokio's
    /// sleeps end on whole milliseconds. Under `tokio::time::pause` it still waits for the
    /// generator's clock.
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
    /// As [`next_id`](Self::next_id). [`Error::WaitTooLong`] also if other callers took all IDs for
    /// `max_wait`.
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
            // std's `Instant` and not tokio's: a test may have paused tokio's time, and its sleeps
            // then end at once.
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
            // A sleep that took far longer means that the process was stopped. Count it as
            // `nap + NAP`, so that a stop does not fail every waiting caller.
            waited += before.elapsed().min(nap + NAP);
        }
    }

    /// Fills a slice with increasing IDs. While it waits, the worker runs other tasks.
    ///
    /// It also yields now and then when it need not wait. So concurrent batches take turns, and the
    /// last one does not wait for all others to end.
    ///
    /// It claims the IDs one at a time. So unlike those of [`fill`](Self::fill) they need not be
    /// consecutive, and each wait may take `max_wait`. Dropping the future loses the IDs that are
    /// already in the slice, and no others.
    ///
    /// # Errors
    ///
    /// As [`next_id_async`](Self::next_id_async); the front of the slice may then hold new IDs.
    pub async fn fill_async(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        for id in ids {
            *id = self.next_id_async().await?;
            // After the ID is written: a future that is dropped here must not lose an issued ID.
            consume_budget().await;
        }
        Ok(())
    }
}

impl<C: Clock + Clone> LeasedGenerator<C> {
    /// Issues the next ID as [`next_id`](Self::next_id) does. While it waits, the worker runs other
    /// tasks.
    ///
    /// It also waits for a renewal. Dropping the future loses no ID.
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

    /// Fills a slice as [`Generator::fill_async`] does.
    ///
    /// The IDs increase, unless the lease is lost meanwhile and another node is acquired.
    ///
    /// # Errors
    ///
    /// As [`next_id_async`](Self::next_id_async); the front of the slice may then hold new IDs.
    pub async fn fill_async(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        for id in ids {
            *id = self.next_id_async().await?;
            consume_budget().await;
        }
        Ok(())
    }
}

impl<C: Clock + Clone> PyflakeClient<C> {
    /// Generates an ID as [`generate`](Self::generate) does. While it waits, the worker runs other
    /// tasks.
    ///
    /// It also waits for the renewal of a lease. Dropping the future loses no ID: an ID is issued,
    /// numbered, cached and returned in one poll.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use pyflake::{CachePolicy, Epoch, PyflakeClient};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = PyflakeClient::builder(Epoch::TWITTER).cache(CachePolicy::Recent(100));
    /// let client = Arc::new(builder.build());
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
