//! What the files are called: `realm`, and for each node that was ever used `node-PP-SS.lock` and `node-PP-SS.TOKEN`,
//! the record of a tenure. `.tmp` at the end is a file that is being written, or was when its writer was killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::id::Node;

/// The name of the one file that says what the directory is for.
pub(super) const REALM: &str = "realm";

const LOCK: &str = "lock";
const TEMP: &str = ".tmp";

/// The files of one node.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The tokens of its records, in order: one, or two where a takeover is under way or was interrupted.
    pub(super) tokens: Vec<u64>,
    /// The names of unfinished files.
    pub(super) temps: Vec<String>,
}

/// Sorts the names in a directory by node; those that are not ours are passed over.
pub(super) fn sort<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<Node, Files> {
    let mut nodes = BTreeMap::<Node, Files>::new();
    for name in names {
        let Some((node, rest)) = split(name) else { continue };
        let files = nodes.entry(node).or_default();
        if rest.ends_with(TEMP) {
            files.temps.push(name.to_owned());
        } else if let Some(token) = rest.parse().ok().filter(|token: &u64| token.to_string() == rest) {
            files.tokens.push(token);
        }
    }
    for files in nodes.values_mut() {
        files.tokens.sort_unstable();
    }
    nodes
}

/// The node of a file, and what its name says after that.
fn split(name: &str) -> Option<(Node, &str)> {
    let (stem, rest) = name.split_once('.')?;
    let (pid, seed) = stem.strip_prefix("node-")?.split_once('-')?;
    let node = Node::new(pid.parse().ok()?, seed.parse().ok()?).ok()?;
    (self::stem(node) == stem).then_some((node, rest))
}

fn stem(node: Node) -> String {
    format!("node-{:02}-{:02}", node.pid(), node.seed())
}

pub(super) fn realm(dir: &Path) -> PathBuf {
    dir.join(REALM)
}

/// Where a realm is written first; the number keeps two writers apart.
pub(super) fn realm_temp(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{REALM}.{number:016x}{TEMP}"))
}

pub(super) fn lock(dir: &Path, node: Node) -> PathBuf {
    dir.join(format!("{}.{LOCK}", stem(node)))
}

pub(super) fn record(dir: &Path, node: Node, token: u64) -> PathBuf {
    dir.join(format!("{}.{token}", stem(node)))
}

/// Where the record of a tenure is written first; the owner's number keeps two writers apart.
pub(super) fn record_temp(dir: &Path, node: Node, nonce: u64) -> PathBuf {
    dir.join(format!("{}.{nonce:016x}{TEMP}", stem(node)))
}
