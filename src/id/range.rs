//! Ranges of IDs, for searches by time.

use core::ops::{Range, RangeInclusive};

use crate::error::Error;
use crate::id::epoch::Epoch;
use crate::id::snowflake::Snowflake;
use crate::layout;

impl Snowflake {
    /// The smallest ID of a Unix millisecond over all nodes: the lower bound of a search.
    ///
    /// ```
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    /// // All IDs since then: WHERE id >= $1
    /// let since = Snowflake::first_at(epoch, 1_668_081_259_486)?;
    /// assert_eq!(since.as_u64(), 473_032_512_445_087_744);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::EpochInFuture`] for a time before the epoch, [`Error::EndOfTime`] for one past its
    /// 42 bits.
    pub fn first_at(epoch: Epoch, unix_millis: u64) -> Result<Self, Error> {
        Ok(Snowflake::from(layout::first_id(epoch.tick(unix_millis)?)))
    }

    /// The largest ID of a Unix millisecond over all nodes: the upper bound of a search.
    ///
    /// ```
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    /// // All IDs up to the end of that millisecond: WHERE id <= $1
    /// let until = Snowflake::last_at(epoch, 1_668_081_259_486)?;
    /// assert!(until.as_u64() + 1 == Snowflake::first_at(epoch, 1_668_081_259_487)?.as_u64());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`first_at`](Self::first_at).
    pub fn last_at(epoch: Epoch, unix_millis: u64) -> Result<Self, Error> {
        Ok(Snowflake::from(layout::last_id(epoch.tick(unix_millis)?)))
    }

    /// The IDs of a range of Unix milliseconds: the two bounds of `BETWEEN $1 AND $2`.
    ///
    /// The times are half open, as ranges of Rust are. So adjacent ranges share no ID and omit
    /// none. The IDs are closed, as `BETWEEN` is. The end may be that of the epoch's
    /// [`lifetime`](crate::Lifetime::ends). If `start == end`, the range is empty in Rust and in
    /// SQL: its first ID is above its last.
    ///
    /// ```
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    /// let noon = 1_668_081_600_000;
    /// let ids = Snowflake::range(epoch, noon - 3_600_000..noon)?;
    /// // SELECT * FROM orders WHERE id BETWEEN $1 AND $2
    /// let (first, last) = ids.clone().into_inner();
    /// assert_eq!(first.timestamp(epoch), noon - 3_600_000);
    /// assert_eq!(last.timestamp(epoch), noon - 1);
    /// assert!(ids.contains(&Snowflake::from(473_032_512_445_898_752)));
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::EpochInFuture`] or [`Error::EndOfTime`] if the range contains a millisecond without
    /// IDs, or starts at one. [`Error::ReversedRange`] if it ends before it starts.
    pub fn range(epoch: Epoch, times: Range<u64>) -> Result<RangeInclusive<Self>, Error> {
        let Range { start, end } = times;
        if start > end {
            return Err(Error::ReversedRange { start, end });
        }
        let first = Snowflake::first_at(epoch, start)?;
        if start == end {
            // A fixed empty range. `first - 1` would not do: the first ID of the epoch is 0.
            return Ok(Snowflake::from(1)..=Snowflake::from(0));
        }
        // The error shows the caller's end, and not the millisecond before it.
        let past_end = |_| Error::EndOfTime { epoch: epoch.as_unix_millis(), now: end };
        Ok(first..=Snowflake::last_at(epoch, end - 1).map_err(past_end)?)
    }
}
