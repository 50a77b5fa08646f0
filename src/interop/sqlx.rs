//! Feature `sqlx`: an ID is a `BIGINT`, in every database with an `i64`.
//!
//! Binding an ID past `i64::MAX` fails, and so does reading a negative number: a negative number
//! would sort before all other IDs.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Type};

use crate::id::Snowflake;

/// Binds and reads an ID as a `BIGINT`, and never as a negative number.
///
/// ```
/// use pyflake::{Epoch, Generator, Node, Snowflake};
/// use sqlx::{Connection, SqliteConnection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
/// sqlx::query("CREATE TABLE orders (id BIGINT PRIMARY KEY)").execute(&mut connection).await?;
///
/// let id = Generator::new(Epoch::TWITTER, Node::new(11, 4)?)?.next_id()?;
/// sqlx::query("INSERT INTO orders VALUES ($1)").bind(id).execute(&mut connection).await?;
/// let last = sqlx::query_scalar("SELECT max(id) FROM orders");
/// let last: Snowflake = last.fetch_one(&mut connection).await?;
/// assert_eq!(last, id);
/// # Ok(())
/// # }
/// ```
impl<DB: Database> Type<DB> for Snowflake
where
    i64: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <i64 as Type<DB>>::type_info()
    }

    fn compatible(ty: &DB::TypeInfo) -> bool {
        <i64 as Type<DB>>::compatible(ty)
    }
}

impl<'q, DB: Database> Encode<'q, DB> for Snowflake
where
    i64: Encode<'q, DB>,
{
    /// Fails with [`Error::BeyondI64`](crate::Error::BeyondI64) for an ID past `i64::MAX`. The
    /// query returns that error.
    fn encode_by_ref(&self, buf: &mut DB::ArgumentBuffer<'q>) -> Result<IsNull, BoxDynError> {
        i64::try_from(*self)?.encode(buf)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Snowflake
where
    i64: Decode<'r, DB>,
{
    /// Fails with [`Error::NegativeId`](crate::Error::NegativeId) for a negative number.
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Snowflake::try_from(<i64 as Decode<DB>>::decode(value)?)?)
    }
}
