//! Feature `postgres-types`: an ID is a `BIGINT`, for the crates `postgres` and `tokio-postgres`.
//!
//! Sending an ID past `i64::MAX` fails, and so does reading a negative number: a negative number
//! would sort before all other IDs.

use core::error::Error;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::id::Snowflake;

/// Sends an ID as a `BIGINT` parameter, as in
/// `client.execute("INSERT INTO orders VALUES ($1)", &[&id])`.
///
/// `row.get("id")` reads one.
///
/// ```
/// use bytes::BytesMut;
/// use postgres_types::{FromSql, ToSql, Type};
/// use pyflake::Snowflake;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error + Sync + Send>> {
/// let id = Snowflake::from(473_032_512_445_898_752);
/// let mut sent = BytesMut::new();
/// id.to_sql(&Type::INT8, &mut sent)?;
/// assert_eq!(Snowflake::from_sql(&Type::INT8, &sent)?, id);
/// // An ID that does not fit is an error, and never becomes a negative number.
/// assert!(Snowflake::from(u64::MAX).to_sql(&Type::INT8, &mut sent).is_err());
/// # Ok(())
/// # }
/// ```
impl ToSql for Snowflake {
    /// Fails with [`Error::BeyondI64`](crate::Error::BeyondI64) for an ID past `i64::MAX`. The
    /// query returns that error.
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        i64::try_from(*self)?.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <i64 as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Snowflake {
    /// Fails with [`Error::NegativeId`](crate::Error::NegativeId) for a negative number.
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Snowflake::try_from(i64::from_sql(ty, raw)?)?)
    }

    fn accepts(ty: &Type) -> bool {
        <i64 as FromSql>::accepts(ty)
    }
}
