//! Unix nanoseconds to whole milliseconds, for `chrono` and `jiff`.

use crate::error::Error;
use crate::id::Epoch;

pub(crate) const NANOS_PER_MILLI: i128 = 1_000_000;

/// The epoch at a time, which must be a whole millisecond since 1970.
pub(crate) fn epoch(unix_nanos: i128) -> Result<Epoch, Error> {
    match split(unix_nanos)? {
        (unix_millis, 0) => Ok(Epoch::from_unix_millis(unix_millis)),
        (unix_millis, nanos) => Err(Error::NotWholeMillis { unix_millis, nanos }),
    }
}

/// The first Unix millisecond that does not begin before a time.
pub(crate) fn first_milli(unix_nanos: i128) -> Result<u64, Error> {
    let (millis, nanos) = split(unix_nanos)?;
    Ok(millis + u64::from(nanos > 0))
}

/// The Unix millisecond of a time, and the nanoseconds since it began.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below a million")]
fn split(unix_nanos: i128) -> Result<(u64, u32), Error> {
    let millis = unix_nanos.div_euclid(NANOS_PER_MILLI);
    let nanos = unix_nanos.rem_euclid(NANOS_PER_MILLI) as u32;
    match u64::try_from(millis) {
        Ok(millis) => Ok((millis, nanos)),
        // The times of both libraries fit an `i64` of milliseconds.
        Err(_) => Err(Error::Before1970 { unix_millis: i64::try_from(millis).unwrap_or(i64::MIN) }),
    }
}
