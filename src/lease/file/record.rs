//! The record of a tenure.

use core::fmt;

use crate::epoch::Epoch;
use crate::lease::file::text::{Fields, Text};
use crate::node::Node;

/// A tenure of a node: who has or had it, and the end of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: Epoch,
    pub(super) node: Node,
    pub(super) token: u64,
    pub(super) until: u64,
    pub(super) nonce: u64,
    /// As [`printable`](crate::lease::label::printable) leaves it.
    pub(super) label: String,
}

impl Text for Record {
    const TITLE: &str = "pyflake lease";

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(Record {
            epoch: Epoch::from_unix_millis(fields.next("epoch")?),
            node: Node::new(fields.next("pid")?, fields.next("seed")?)
                .map_err(|error| format!("is for no node: {error}"))?,
            token: fields.next("token")?,
            until: fields.next("until")?,
            nonce: fields.next("owner")?,
            label: fields.next("label")?,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { epoch, node, token, until, nonce, label } = self;
        writeln!(f, "epoch {epoch}\npid {}\nseed {}", node.pid(), node.seed())?;
        writeln!(f, "token {token}\nuntil {until}\nowner {nonce}\nlabel {label}")
    }
}
