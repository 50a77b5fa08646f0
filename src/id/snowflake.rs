//! The types `Snowflake` and `Record`, and the function `to_timestamp`.

#[cfg(feature = "std")]
use std::time::SystemTime;

use crate::error::Error;
use crate::id::epoch::Epoch;
#[cfg(feature = "std")]
use crate::id::epoch::system_time;
use crate::layout::node::Node;
use crate::layout::{self, MAX_SEQUENCE};

/// A 64-bit ID: 42 bits of time, 5 of seed, 5 of pid, 12 of sequence.
///
/// IDs of one epoch sort by time, as numbers and in a `BIGINT` column. `Display` and `FromStr` use
/// the decimal form. Any `u64` is a well-formed ID, so `From<u64>` cannot fail. It need not be an
/// ID that was issued.
///
/// ```
/// use pyflake::{Epoch, Snowflake};
///
/// let id: Snowflake = "473032512445898752".parse()?;
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// assert_eq!(id.timestamp(epoch), 1_668_081_259_486);
/// assert_eq!((id.pid(), id.seed(), id.sequence()), (6, 6, 0));
/// assert_eq!(id.to_string(), "473032512445898752");
/// # Ok::<(), pyflake::Error>(())
/// ```
///
/// # In a database
///
/// The features `sqlx` and `postgres-types` make an ID a value of a `BIGINT` column. For other
/// libraries, use `i64::try_from` and `Snowflake::try_from`. They reject the numbers that would
/// sort wrongly: an ID above `i64::MAX`, and a negative number. With diesel:
///
/// ```
/// use diesel::prelude::*;
/// use pyflake::{Epoch, Generator, Node, Snowflake};
///
/// diesel::table! {
///     orders (id) {
///         id -> BigInt,
///     }
/// }
///
/// #[derive(Insertable)]
/// #[diesel(table_name = orders)]
/// struct NewOrder {
///     id: i64,
/// }
///
/// #[derive(Queryable)]
/// struct Order {
///     #[diesel(deserialize_as = i64)]
///     id: Snowflake,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut connection = SqliteConnection::establish(":memory:")?;
/// # let table = "CREATE TABLE orders (id BIGINT PRIMARY KEY NOT NULL)";
/// # diesel::sql_query(table).execute(&mut connection)?;
/// let generator = Generator::new(Epoch::TWITTER, Node::new(11, 3)?)?;
/// let id = generator.next_id()?;
/// let order = NewOrder { id: id.try_into()? };
/// diesel::insert_into(orders::table).values(order).execute(&mut connection)?;
/// let order: Order = orders::table.first(&mut connection)?;
/// assert_eq!(order.id, id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Snowflake(u64);

impl Snowflake {
    /// Makes an ID from its parts: Unix milliseconds, a node and a sequence (0 to 4095).
    ///
    /// This does not issue an ID: two calls with the same parts return the same one. Use a
    /// [`Generator`](crate::Generator) for unique IDs.
    ///
    /// ```
    /// use pyflake::{Epoch, Node, Snowflake};
    ///
    /// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
    /// let id = Snowflake::from_parts(epoch, 1_668_081_259_486, Node::new(3, 17)?, 5)?;
    /// assert_eq!(id.as_u64(), 473_032_512_447_328_261);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::EpochInFuture`] for a time before the epoch, [`Error::EndOfTime`] for a time past
    /// 42 bits, [`Error::SequenceOutOfRange`] for a sequence above 4095.
    pub fn from_parts(epoch: Epoch, unix_millis: u64, node: Node, sequence: u16) -> Result<Self, Error> {
        if sequence > MAX_SEQUENCE {
            return Err(Error::SequenceOutOfRange { sequence: u64::from(sequence) });
        }
        let slot = layout::first_slot(epoch.tick(unix_millis)?) | u64::from(sequence);
        Ok(Snowflake(layout::id(slot, node.bits())))
    }

    /// Makes an ID from a number, as `From<u64>` does, also in a `const`.
    ///
    /// ```
    /// use pyflake::Snowflake;
    ///
    /// const FIRST: Snowflake = Snowflake::from_u64(473_032_512_445_898_752);
    /// assert_eq!(FIRST.pid(), 6);
    /// ```
    #[must_use]
    pub const fn from_u64(id: u64) -> Self {
        Snowflake(id)
    }

    /// The ID as a number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The milliseconds since the epoch: the top 42 bits.
    #[must_use]
    pub const fn tick(self) -> u64 {
        layout::tick(self.0)
    }

    /// The seed of the node that issued the ID: 5 bits.
    #[must_use]
    pub const fn seed(self) -> u8 {
        layout::seed(self.0)
    }

    /// The pid of the node that issued the ID: 5 bits.
    #[must_use]
    pub const fn pid(self) -> u8 {
        layout::pid(self.0)
    }

    /// The node that issued the ID: pid and seed.
    #[must_use]
    pub const fn node(self) -> Node {
        Node::of(self.0)
    }

    /// The sequence: the low 12 bits, the number of the ID within its millisecond.
    #[must_use]
    pub const fn sequence(self) -> u16 {
        layout::sequence(self.0)
    }

    /// The Unix time of the ID in milliseconds, for the epoch that it was issued with.
    ///
    /// Saturates at `u64::MAX` for an epoch within 139 years of it. No clock shows such a time.
    #[must_use]
    pub const fn timestamp(self, epoch: Epoch) -> u64 {
        epoch.unix_millis(self.tick())
    }

    /// The time of the ID; `None` if the platform cannot express it.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use pyflake::{Epoch, Snowflake};
    ///
    /// let id = Snowflake::from(175_928_847_299_117_063);
    /// let time = id.system_time(Epoch::DISCORD);
    /// assert_eq!(time, Some(UNIX_EPOCH + Duration::from_millis(1_462_015_105_796)));
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub fn system_time(self, epoch: Epoch) -> Option<SystemTime> {
        system_time(self.timestamp(epoch))
    }

    /// Splits the ID into a [`Record`] with the index `idx`.
    #[must_use]
    pub const fn record(self, epoch: Epoch, idx: u64) -> Record {
        Record {
            timestamp: self.timestamp(epoch),
            seed: self.seed(),
            pid: self.pid(),
            sequence: self.sequence(),
            snowflake: self,
            idx,
        }
    }
}

impl From<u64> for Snowflake {
    fn from(id: u64) -> Self {
        Snowflake::from_u64(id)
    }
}

impl From<Snowflake> for u64 {
    fn from(id: Snowflake) -> Self {
        id.0
    }
}

impl TryFrom<i64> for Snowflake {
    type Error = Error;

    /// Reads a `BIGINT`. A negative number is an [`Error::NegativeId`]: no ID is stored as one.
    fn try_from(id: i64) -> Result<Self, Error> {
        u64::try_from(id).map(Snowflake).map_err(|_| Error::NegativeId { id })
    }
}

impl TryFrom<Snowflake> for i64 {
    type Error = Error;

    /// Returns [`Error::BeyondI64`] for an ID above `i64::MAX`: as a negative number it would sort
    /// before all others.
    fn try_from(id: Snowflake) -> Result<Self, Error> {
        i64::try_from(id.0).map_err(|_| Error::BeyondI64 { id: id.0 })
    }
}

/// The unit of the time that [`to_timestamp`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Milliseconds since the Unix epoch, the default.
    #[default]
    Millis,
    /// Seconds since the Unix epoch, with the milliseconds as the fraction.
    Seconds,
}

/// The Unix time of an ID, in `unit`.
///
/// In [`Millis`](TimeUnit::Millis) the result is exact: an `f64` holds every Unix millisecond up to
/// the year 287,396. In [`Seconds`](TimeUnit::Seconds) the result is the nearest `f64`. For an
/// integer use [`Snowflake::timestamp`], for a [`SystemTime`] use [`Snowflake::system_time`].
///
/// ```
/// use pyflake::{Epoch, Snowflake, TimeUnit, to_timestamp};
///
/// let epoch = Epoch::from_unix_millis(1_555_301_520_000);
/// let id = Snowflake::from(473_032_512_445_898_752);
/// assert_eq!(to_timestamp(epoch, id, TimeUnit::Millis), 1_668_081_259_486.0);
/// assert_eq!(to_timestamp(epoch, id, TimeUnit::Seconds), 1_668_081_259.486);
/// ```
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms, which is the year 287,396")]
pub fn to_timestamp(epoch: Epoch, id: Snowflake, unit: TimeUnit) -> f64 {
    let millis = id.timestamp(epoch) as f64;
    match unit {
        TimeUnit::Millis => millis,
        TimeUnit::Seconds => millis / 1000.0,
    }
}

/// An ID and its parts, as the Python package's generator yields them.
///
/// [`Generator::records`](crate::Generator::records) and
/// [`PyflakeClient::cached`](crate::PyflakeClient::cached) return records. [`Snowflake::record`]
/// makes one of any ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Record {
    /// The Unix time of the ID in milliseconds.
    pub timestamp: u64,
    /// The seed, 0 to 31.
    pub seed: u8,
    /// The pid, 0 to 31.
    pub pid: u8,
    /// The sequence: the number of the ID within its millisecond, 0 to 4095.
    pub sequence: u16,
    /// The ID itself.
    pub snowflake: Snowflake,
    /// The index of the ID in its series, from 1.
    pub idx: u64,
}
