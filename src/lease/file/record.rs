//! The record of a tenure: two slots, which renewals write in turns.
//!
//! A slot is a text of a fixed length, in a block of its own. Its `count` says which slot is the newer one. So a renewal
//! overwrites the older slot in place, and the newer one stays readable.
//!
//! A crash may leave the slot that was being written torn. Then nobody can tell whether it was acknowledged. For that
//! case each slot has a `reach`: the `until` of the next write is at most the `reach` of the last one. So if one slot is
//! unreadable, the `reach` of the other is at or above all windows that were ever acknowledged.

use core::fmt;

use crate::id::{Epoch, Node};
use crate::lease::file::text::{Fields, Text};

/// Where the second slot begins: in another block of the disk.
pub(super) const SLOT: usize = 4096;

/// A tenure of a node: its holder, and the end of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: Epoch,
    pub(super) node: Node,
    pub(super) token: u64,
    /// The number of this write.
    pub(super) count: u64,
    pub(super) until: u64,
    /// The largest `until` that the next write may have.
    pub(super) reach: u64,
    pub(super) nonce: u64,
    /// As [`printable`](crate::lease::label::printable) returns it.
    pub(super) label: String,
}

impl Record {
    /// A new record, with both slots.
    pub(super) fn both(&self) -> Vec<u8> {
        let mut bytes = self.to_text().into_bytes();
        bytes.resize(SLOT, 0);
        bytes.extend(Record { count: self.count + 1, ..self.clone() }.to_text().into_bytes());
        bytes
    }

    /// The offset of the slot that this is written to.
    pub(super) fn offset(&self) -> u64 {
        self.count % 2 * SLOT as u64
    }
}

impl Text for Record {
    const TITLE: &str = "pyflake lease";
    const VERSION: &str = "2";

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        let epoch = Epoch::from_unix_millis(fields.next("epoch")?);
        let node = node(fields)?;
        Ok(Record {
            epoch,
            node,
            token: fields.next("token")?,
            count: fields.next("count")?,
            until: fields.next("until")?,
            reach: fields.next("reach")?,
            nonce: fields.next("owner")?,
            label: fields.next("label")?,
        })
    }
}

impl fmt::Display for Record {
    /// All numbers that change have 20 digits, so that a slot keeps its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { epoch, node, token, count, until, reach, nonce, label } = self;
        writeln!(f, "epoch {epoch}\npid {}\nseed {}\ntoken {token}", node.pid(), node.seed())?;
        writeln!(f, "count {count:020}\nuntil {until:020}\nreach {reach:020}\nowner {nonce:020}\nlabel {label}")
    }
}

fn node(fields: &mut Fields<'_>) -> Result<Node, String> {
    Node::new(fields.next("pid")?, fields.next("seed")?).map_err(|error| format!("is for no node: {error}"))
}

/// The record that version 0.1 of this crate wrote: one text, which was replaced by a rename.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OldRecord {
    pub(super) epoch: Epoch,
    pub(super) node: Node,
    pub(super) token: u64,
    pub(super) until: u64,
    pub(super) nonce: u64,
    pub(super) label: String,
}

impl Text for OldRecord {
    const TITLE: &str = Record::TITLE;
    const VERSION: &str = "1";

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        let epoch = Epoch::from_unix_millis(fields.next("epoch")?);
        let node = node(fields)?;
        Ok(OldRecord {
            epoch,
            node,
            token: fields.next("token")?,
            until: fields.next("until")?,
            nonce: fields.next("owner")?,
            label: fields.next("label")?,
        })
    }
}

impl fmt::Display for OldRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OldRecord { epoch, node, token, until, nonce, label } = self;
        writeln!(f, "epoch {epoch}\npid {}\nseed {}", node.pid(), node.seed())?;
        writeln!(f, "token {token}\nuntil {until}\nowner {nonce}\nlabel {label}")
    }
}

/// The readable slots of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    /// The newer one.
    pub(super) latest: Record,
    /// The older one; `None` if one slot is unreadable.
    other: Option<Record>,
}

impl Slots {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < SLOT && bytes.starts_with(b"pyflake lease 1\n") {
            let OldRecord { epoch, node, token, until, nonce, label } = OldRecord::parse(bytes)?;
            // Exactly one text, so nothing is unreadable.
            let latest = Record { epoch, node, token, count: 0, until, reach: until, nonce, label };
            return Ok(Slots { latest, other: None });
        }
        let (first, second) = bytes.split_at_checked(SLOT).unwrap_or((bytes, &[]));
        // A text, and zeros up to the end.
        let end = first.iter().position(|&byte| byte == 0).filter(|&end| end > 0).unwrap_or(first.len());
        let (text, zeros) = first.split_at(end);
        let first = Record::parse(text).and_then(|record| {
            let padded = zeros.len() + end == SLOT && zeros.iter().all(|&byte| byte == 0);
            if padded && record.count % 2 == 0 { Ok(record) } else { Err("has a slot of a wrong length".to_owned()) }
        });
        let second = Record::parse(second).and_then(|record| {
            if record.count % 2 == 1 { Ok(record) } else { Err("has a slot in the place of the other".to_owned()) }
        });
        match (first, second) {
            (Ok(first), Ok(second)) => {
                let (latest, other) = if first.count > second.count { (first, second) } else { (second, first) };
                let pair = (&latest.epoch, latest.node, latest.token, &latest.label, latest.count - 1);
                if pair != (&other.epoch, other.node, other.token, &other.label, other.count) {
                    return Err("has two slots that do not belong together".into());
                }
                Ok(Slots { latest, other: Some(other) })
            }
            (Ok(latest), Err(_)) | (Err(_), Ok(latest)) => Ok(Slots { latest, other: None }),
            (Err(reason), Err(_)) => Err(reason),
        }
    }

    /// The earliest time that the next tenure may start at.
    pub(super) fn end(&self) -> u64 {
        if self.other.is_some() { self.latest.until } else { self.latest.reach }
    }

    /// The slot with a count.
    pub(super) fn counted(&self, count: u64) -> Option<&Record> {
        [Some(&self.latest), self.other.as_ref()].into_iter().flatten().find(|record| record.count == count)
    }
}
