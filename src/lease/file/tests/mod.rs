mod behaviour;
mod cost;
mod crash;
mod files;
mod race;
mod sim;
mod stress;

use crate::id::{Epoch, Node};
use crate::lease::store::{Owner, Request};

const EPOCH: Epoch = Epoch::TWITTER;
const NOW: u64 = 1_700_000_000_000;
const WINDOW: u64 = 10_000;

fn node(pid: u64, seed: u64) -> Node {
    Node::new(pid, seed).unwrap()
}

fn request(nonce: u64, now: u64) -> Request {
    Request { owner: Owner { nonce, label: format!("owner {nonce}") }, now, window: WINDOW, max_floor: u64::MAX }
}
