//! The parsers of a lease directory, for the fuzz targets, which cannot reach them from outside.

use crate::id::{Epoch, Node};
use crate::lease::file::names;
use crate::lease::file::record::{Record, Slots};
use crate::lease::file::text::Text;
use crate::lease::realm::Realm;

/// One slot of a record, with public fields.
#[expect(missing_docs, reason = "the fields are those of the record, and exist for fuzz targets alone")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub epoch: u64,
    pub node: Node,
    pub token: u64,
    pub count: u64,
    pub until: u64,
    pub reach: u64,
    pub nonce: u64,
    pub label: String,
}

/// A parsed record.
#[expect(missing_docs, reason = "as above")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub latest: Slot,
    pub other: Option<Slot>,
    /// The earliest time that the next tenure may start at.
    pub end: u64,
}

impl Slot {
    /// The text of the slot.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.record().to_text().into_bytes()
    }

    /// The offset of the slot in the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.record().offset()
    }

    /// The file that a tenure begins with.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        self.record().both()
    }

    fn record(&self) -> Record {
        let Slot { epoch, node, token, count, until, reach, nonce, label } = self.clone();
        Record { epoch: Epoch::from_unix_millis(epoch), node, token, count, until, reach, nonce, label }
    }

    fn of(record: &Record) -> Self {
        let Record { epoch, node, token, count, until, reach, nonce, label } = record.clone();
        Slot { epoch: epoch.as_unix_millis(), node, token, count, until, reach, nonce, label }
    }
}

/// Reads a record.
///
/// # Errors
///
/// The end of a sentence about the file.
pub fn record(bytes: &[u8]) -> Result<Read, String> {
    let slots = Slots::parse(bytes)?;
    let other = slots.latest.count.checked_sub(1).and_then(|count| slots.counted(count));
    Ok(Read { latest: Slot::of(&slots.latest), other: other.map(Slot::of), end: slots.end() })
}

/// Reads a realm: its epoch, and its layout.
///
/// # Errors
///
/// As [`record`].
pub fn realm(bytes: &[u8]) -> Result<(u64, String), String> {
    Realm::parse(bytes).map(|realm| (realm.epoch.as_unix_millis(), realm.layout))
}

/// The file of a realm of this library's layout.
#[must_use]
pub fn realm_file(epoch: u64) -> Vec<u8> {
    Realm::new(Epoch::from_unix_millis(epoch)).to_text().into_bytes()
}

/// The node and the token that the name of a record has.
#[must_use]
pub fn record_name(name: &str) -> Option<(Node, u64)> {
    let (node, files) = names::sort([name]).pop_first()?;
    Some((node, *files.tokens.first()?))
}
