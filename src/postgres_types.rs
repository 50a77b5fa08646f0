//! Feature `postgres-types`: an ID is a `BIGINT`, for the crates `postgres` and `tokio-postgres`.
//!
//! An ID past `i64::MAX` is an error when it is sent, and a negative number is one when it is read: as a negative
//! number an ID would sort before all others.

use core::error::Error;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::snowflake::Snowflake;

#[cfg_attr(docsrs, doc(cfg(feature = "postgres-types")))]
impl ToSql for Snowflake {
    /// Refuses an ID past `i64::MAX` with [`Error::BeyondI64`](crate::Error::BeyondI64), which the query then answers.
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        i64::try_from(*self)?.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <i64 as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

#[cfg_attr(docsrs, doc(cfg(feature = "postgres-types")))]
impl<'a> FromSql<'a> for Snowflake {
    /// Refuses a negative number with [`Error::NegativeId`](crate::Error::NegativeId).
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Snowflake::try_from(i64::from_sql(ty, raw)?)?)
    }

    fn accepts(ty: &Type) -> bool {
        <i64 as FromSql>::accepts(ty)
    }
}
