//! Feature `serde`: the serialized forms of the types, and forms of an ID for
//! `#[serde(with = "...")]`.
//!
//! | type | in human-readable formats, such as JSON | in binary formats |
//! |---|---|---|
//! | [`Snowflake`] | a decimal string, `"473032512445898752"`: JavaScript loses integers above 2^53 | a `u64` |
//! | [`Node`] | the pid and the seed as a string, `"7/16"` | its index, a `u16` |
//! | [`Epoch`] | Unix milliseconds, a number | a `u64` |
//! | [`Record`](crate::Record), [`Info`](crate::Info) | their fields, in their order | the same |
//! | [`Stats`](crate::Stats), [`ClockStats`](crate::ClockStats) | their fields; only `Serialize` | the same |
//! | [`LeaseState`](crate::lease::LeaseState) | `"state"`, a word in lower case, and its fields; only `Serialize` | the same |
//!
//! From a human-readable format, an ID and a node are read from a string or a number. The number of
//! a node is its index.
//!
//! ```
//! use pyflake::{Epoch, Node, Snowflake};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     id: Snowflake,
//!     #[serde(with = "pyflake::serde_as::number")]
//!     customer: Snowflake,
//! }
//!
//! let json = r#"{"id":"473032512445898752","customer":473032512447328261}"#;
//! let order: Order = serde_json::from_str(json)?;
//! assert_eq!(order.id, Snowflake::from(473_032_512_445_898_752));
//! assert_eq!(serde_json::to_string(&order)?, json);
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     epoch: Epoch,
//!     node: Node,
//! }
//!
//! let config: Config = toml::from_str("epoch = 1555301520000\nnode = '7/16'")?;
//! assert_eq!(config.epoch, Epoch::from_unix_millis(1_555_301_520_000));
//! assert_eq!(config.node, Node::new(7, 16)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::id::{Epoch, Node, Snowflake};

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

    fn visit_i64<E: Error>(self, id: core::primitive::i64) -> Result<Snowflake, E> {
        Snowflake::try_from(id).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Snowflake, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_unix_millis())
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Epoch::from_unix_millis)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u16(self.index())
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(NodeVisitor)
        } else {
            deserializer.deserialize_u16(NodeVisitor)
        }
    }
}

struct NodeVisitor;

impl Visitor<'_> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node, as a string such as \"7/16\" or an index from 0 to 1023")
    }

    fn visit_u64<E: Error>(self, index: u64) -> Result<Node, E> {
        Node::from_index(index).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, index: core::primitive::i64) -> Result<Node, E> {
        match u64::try_from(index) {
            Ok(index) => self.visit_u64(index),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Signed(index), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        text.parse().map_err(E::custom)
    }
}

/// An ID as a number in every format: `#[serde(with = "pyflake::serde_as::number")]`.
///
/// For readers with 64-bit integers; JavaScript's `JSON.parse` has none. From a human-readable
/// format a string is read too. [`option`](number::option) is for an `Option<Snowflake>`.
///
/// ```
/// use pyflake::Snowflake;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Row {
///     #[serde(with = "pyflake::serde_as::number")]
///     id: Snowflake,
///     #[serde(with = "pyflake::serde_as::number::option")]
///     parent: Option<Snowflake>,
/// }
///
/// let row = Row { id: Snowflake::from(473_032_512_445_898_752), parent: None };
/// let json = serde_json::to_string(&row)?;
/// assert_eq!(json, r#"{"id":473032512445898752,"parent":null}"#);
/// assert_eq!(serde_json::from_str::<Row>(&json)?.id, row.id);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub mod number {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;

    use crate::id::Snowflake;

    /// Writes an ID as a `u64`.
    ///
    /// # Errors
    ///
    /// Those of the format.
    pub fn serialize<S: Serializer>(id: &Snowflake, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(id.as_u64())
    }

    /// Reads an ID from a number or a decimal string.
    ///
    /// # Errors
    ///
    /// Those of the format, and an error for a value that is not an ID.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Snowflake, D::Error> {
        Snowflake::deserialize(deserializer)
    }

    super::option_form!("number");
}

/// An ID as a signed number in every format: `#[serde(with = "pyflake::serde_as::i64")]`.
///
/// For formats that have `BIGINT` or `i64`, such as Avro, Parquet or TOML. An ID past `i64::MAX` is
/// an error in both directions, and so is a negative number. From a human-readable format a string
/// is read too. [`option`](self::i64::option) is for an `Option<Snowflake>`.
///
/// ```
/// use pyflake::Snowflake;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Row {
///     #[serde(with = "pyflake::serde_as::i64")]
///     id: Snowflake,
/// }
///
/// let row = Row { id: Snowflake::from(473_032_512_445_898_752) };
/// assert_eq!(toml::to_string(&row)?, "id = 473032512445898752\n");
/// assert!(toml::to_string(&Row { id: Snowflake::from(u64::MAX) }).is_err());
/// assert!(toml::from_str::<Row>("id = -1").is_err());
/// # Ok::<(), toml::ser::Error>(())
/// ```
pub mod i64 {
    use core::primitive::i64;

    use serde::de::{Deserializer, Error as _};
    use serde::ser::{Error as _, Serializer};

    use super::IdVisitor;
    use crate::id::Snowflake;

    /// Writes an ID as an `i64`.
    ///
    /// # Errors
    ///
    /// Those of the format, and an error for an ID past `i64::MAX`.
    pub fn serialize<S: Serializer>(id: &Snowflake, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(i64::try_from(*id).map_err(S::Error::custom)?)
    }

    /// Reads an ID from a number or a decimal string.
    ///
    /// # Errors
    ///
    /// Those of the format, and an error for a value that is not an ID or is past `i64::MAX`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Snowflake, D::Error> {
        let id = if deserializer.is_human_readable() {
            deserializer.deserialize_any(IdVisitor)
        } else {
            deserializer.deserialize_i64(IdVisitor)
        }?;
        // Reject an ID that `serialize` could not write.
        i64::try_from(id).map(|_| id).map_err(D::Error::custom)
    }

    super::option_form!("i64");
}

/// Makes the module `option` of a form, for an `Option<Snowflake>`.
macro_rules! option_form {
    ($name:literal) => {
        #[doc = concat!("The same for an `Option<Snowflake>`: `#[serde(with = \"pyflake::serde_as::", $name, "::option\")]`.")]
        ///
        /// Add `#[serde(default)]` if the field may be missing; without it the field may only be
        /// null.
        pub mod option {
            use serde::de::{Deserialize, Deserializer};
            use serde::ser::{Serialize, Serializer};

            use crate::id::Snowflake;

            struct Form(Snowflake);

            impl Serialize for Form {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    super::serialize(&self.0, serializer)
                }
            }

            impl<'de> Deserialize<'de> for Form {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    super::deserialize(deserializer).map(Form)
                }
            }

            /// Writes an `Option<Snowflake>`.
            ///
            /// # Errors
            ///
            /// As the form without `option`.
            pub fn serialize<S: Serializer>(id: &Option<Snowflake>, serializer: S) -> Result<S::Ok, S::Error> {
                id.map(Form).serialize(serializer)
            }

            /// Reads an `Option<Snowflake>`.
            ///
            /// # Errors
            ///
            /// As the form without `option`.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Snowflake>, D::Error> {
                Ok(Option::<Form>::deserialize(deserializer)?.map(|form| form.0))
            }
        }
    };
}
use option_form;
