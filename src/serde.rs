//! Feature `serde`: how the types look in JSON and elsewhere.
//!
//! An ID is a decimal string in formats for people, as JavaScript loses integers above 2^53, and a `u64` in binary
//! ones. Both are read.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::snowflake::Snowflake;

impl Serialize for Snowflake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.as_u64())
        }
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(IdVisitor)
        } else {
            deserializer.deserialize_u64(IdVisitor)
        }
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Snowflake;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a snowflake ID, as a decimal string or an unsigned 64-bit integer")
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Snowflake, E> {
        Ok(Snowflake::from(id))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Snowflake, E> {
        text.parse().map_err(E::custom)
    }
}
