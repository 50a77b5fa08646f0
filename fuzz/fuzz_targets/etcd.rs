//! The answers of an etcd cluster: whatever they are, a store returns an error or what the answers say, and never panics.
//!
//! The input is a script, a line a step. A capital changes the member or its next answer, a small letter calls the store:
//!
//! | line | step |
//! |---|---|
//! | `K KEY VALUE`, `X KEY` | a key of the realm is put or deleted by hand; `last` is the node of the last grant, `all` every node |
//! | `T SECONDS`, `V NUMBER`, `C ID` | the member's clock, its revision, its cluster |
//! | `S STATUS`, `D DATE`, `B BODY`, `H BYTES` | the next answer has this status, date or body, or is these bytes (with `\|` for the end of a line) |
//! | `L` | the next answer is lost |
//! | `a AHEAD WINDOW` | acquires, with a clock so many milliseconds ahead |
//! | `r GRANT MORE`, `s RENEWAL MORE` | renews a grant, sends a renewal again |
//! | `m MORE` | renews all grants |
//! | `x GRANT UNUSED` | releases a grant |
//! | `e NODE`, `n`, `o` | evicts a holder, reads all nodes, opens the realm anew |

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pyflake::lease::{EtcdStore, Grant, LeaseError, LeaseStore, Owner, Renewal, Request};
use pyflake::{Epoch, Node};
use pyflake_fuzz::member::{Member, State};
use serde_json::Value;

const EPOCH: Epoch = Epoch::TWITTER;

/// The clock of the member at first, in Unix seconds.
const CLOCK: u64 = 1_700_000_000;

static MEMBER: LazyLock<(Member, String)> = LazyLock::new(Member::start);

fuzz_target!(|script: &[u8]| {
    let mut world = World::new();
    for line in script.split(|byte| *byte == b'\n').take(32) {
        world.step(line);
    }
});

struct World {
    member: &'static Member,
    store: Option<EtcdStore>,
    grants: Vec<Grant>,
    renewals: Vec<Renewal>,
    nonces: u64,
    /// The end of the last window of each node that was acknowledged.
    acknowledged: BTreeMap<Node, u64>,
    /// The member kept what it acknowledged, and said so.
    is_honest: bool,
}

impl World {
    fn new() -> Self {
        let (member, _) = &*MEMBER;
        *member.state() = State { clock: CLOCK, cluster: "7".into(), revision: 1, ..State::default() };
        let store = open().ok();
        World {
            member,
            store,
            grants: vec![],
            renewals: vec![],
            nonces: 0,
            acknowledged: BTreeMap::new(),
            is_honest: true,
        }
    }

    fn step(&mut self, line: &[u8]) {
        let Some((step, rest)) = line.split_first() else { return };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        if step.is_ascii_uppercase() {
            self.is_honest = false;
            let last = self.grants.last().map(|grant| grant.node);
            change(&mut self.member.state(), last, *step, rest);
            return;
        }
        let text = str::from_utf8(rest).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<i128>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        match step {
            b'a' => self.acquire(next(), clamp(next())),
            b'r' => {
                let Some(grant) = pick(&self.grants, next()) else { return };
                let until = clamp(next().saturating_add(grant.until.into()));
                let renewal = Renewal { grant, until, next_nonce: self.nonce() };
                self.renew(&[renewal]);
            }
            b's' => {
                let Some(renewal) = pick(&self.renewals, next()) else { return };
                let until = clamp(next().saturating_add(renewal.until.into()));
                self.renew(&[Renewal { until, ..renewal }]);
            }
            b'm' => {
                let more = next();
                let renewals: Vec<Renewal> = self
                    .grants
                    .clone()
                    .into_iter()
                    .map(|grant| {
                        let until = clamp(more.saturating_add(grant.until.into()));
                        Renewal { grant, until, next_nonce: self.nonce() }
                    })
                    .collect();
                self.renew(&renewals);
            }
            b'x' => {
                let Some(grant) = pick(&self.grants, next()) else { return };
                self.release(&grant, clamp(i128::from(grant.until).saturating_sub(next())));
            }
            b'e' => {
                if let (Some(store), Ok(node)) = (&self.store, Node::with_index(clamp(next()))) {
                    let _ = store.evict(node);
                }
            }
            b'n' => self.nodes(),
            b'o' => self.store = open().ok(),
            _ => {}
        }
    }

    fn nonce(&mut self) -> u64 {
        self.nonces += 1;
        self.nonces
    }

    fn acquire(&mut self, ahead: i128, window: u64) {
        let nonce = self.nonce();
        let Some(store) = &self.store else { return };
        let (now, tampered, before) = {
            let state = self.member.state();
            (clamp(ahead.saturating_add((state.clock * 1000).into())), state.tampered, state.keys.clone())
        };
        let owner = Owner { nonce, label: "fuzz".into() };
        let request = Request { owner, now, window, max_floor: u64::MAX };
        let Ok(grant) = store.acquire(&request) else { return };
        assert_eq!(grant.until, grant.floor.max(now).saturating_add(window), "{grant:?} for {request:?}");
        assert_eq!(grant.owner, request.owner);
        let state = self.member.state();
        if state.tampered == tampered {
            // The window is stored, and begins where the last one ended.
            let (stored, key) = (tenure(&state, grant.node), format!("pyflake/default/node/{:04}", grant.node.index()));
            assert_eq!(stored.as_ref().and_then(|stored| stored["until"].as_u64()), Some(grant.until), "{stored:?}");
            assert_eq!(stored.as_ref().and_then(|stored| stored["nonce"].as_u64()), Some(nonce), "{stored:?}");
            if let Some(value) = before.get(key.as_bytes()) {
                let last: Value = serde_json::from_slice(value).unwrap_or_default();
                assert!(last["until"].as_u64().is_some_and(|until| until <= grant.floor), "{grant:?} after {last}");
                assert!(last["token"].as_u64().is_some_and(|token| token < grant.token), "{grant:?} after {last}");
            }
            let realm: Value =
                state.value("realm").and_then(|realm| serde_json::from_slice(realm).ok()).unwrap_or_default();
            assert!(realm["rest"].as_u64().is_some_and(|rest| rest <= grant.floor), "{grant:?} within {realm}");
        }
        drop(state);
        let last = self.acknowledged.insert(grant.node, grant.until);
        assert!(!self.is_honest || last.is_none_or(|until| until <= grant.floor), "{grant:?} after {last:?}");
        self.grants.push(grant);
    }

    fn renew(&mut self, renewals: &[Renewal]) {
        let Some(store) = &self.store else { return };
        let tampered = self.member.state().tampered;
        let outcomes = match renewals {
            [renewal] => vec![store.renew(renewal)],
            renewals => store.renew_all(renewals),
        };
        assert_eq!(outcomes.len(), renewals.len());
        for (renewal, outcome) in renewals.iter().zip(outcomes) {
            let Ok(renewed) = outcome else { continue };
            assert!(renewed.until >= renewal.until, "{renewed:?} for {renewal:?}");
            assert_eq!(renewed, renewal.granted(renewed.until));
            let state = self.member.state();
            if state.tampered == tampered && renewals.len() == 1 {
                let stored = tenure(&state, renewed.node).unwrap_or_default();
                assert_eq!(stored["until"].as_u64(), Some(renewed.until), "{stored}");
                assert_eq!(stored["nonce"].as_u64(), Some(renewal.next_nonce), "{stored}");
            }
            drop(state);
            let until = self.acknowledged.entry(renewed.node).or_default();
            *until = renewed.until.max(*until);
            self.grants.push(renewed);
        }
        self.renewals.extend_from_slice(renewals);
        // A script may renew all again and again.
        self.grants.truncate(64);
    }

    fn release(&mut self, grant: &Grant, used_until: u64) {
        let Some(store) = &self.store else { return };
        if store.release(grant, used_until).is_ok() {
            self.acknowledged.insert(grant.node, used_until.max(grant.floor).min(grant.until));
        }
    }

    fn nodes(&self) {
        let Some(store) = &self.store else { return };
        if let Ok(nodes) = store.nodes() {
            for node in nodes {
                assert!(node.problem.is_none() || node.held, "{node:?} cannot be read, and is given out");
            }
        }
    }
}

/// Applies a step with a capital letter to the member.
fn change(state: &mut State, last: Option<Node>, step: u8, rest: &[u8]) {
    let text = str::from_utf8(rest).unwrap_or_default();
    match step {
        b'K' | b'X' => {
            let (name, value) = text.split_once(' ').unwrap_or((text, ""));
            let node = |index: u16| format!("pyflake/default/node/{index:04}");
            let keys = match name {
                "last" => last.map(|last| node(last.index())).into_iter().collect(),
                "all" => (0..1024).map(node).collect(),
                name => vec![format!("pyflake/default/{name}")],
            };
            for key in keys.into_iter().map(String::into_bytes) {
                if step == b'X' {
                    state.keys.remove(&key)
                } else {
                    state.keys.insert(key, value.into())
                };
            }
            state.revision = state.revision.saturating_add(1);
        }
        // An HTTP date has a year of four digits.
        b'T' => state.clock = text.parse().unwrap_or(0).min(253_402_300_799),
        b'V' => state.revision = text.parse().unwrap_or(0),
        b'C' => state.cluster = text.into(),
        b'S' => state.tamper.status = text.parse().ok(),
        b'D' => state.tamper.date = Some(rest.to_vec()),
        b'B' => state.tamper.body = Some(rest.to_vec()),
        b'H' => state.tamper.bytes = Some(text.replace('|', "\r\n").into_bytes()),
        b'L' => state.tamper.lost = true,
        _ => {}
    }
}

fn open() -> Result<EtcdStore, LeaseError> {
    EtcdStore::builder(&MEMBER.1).timeout(Duration::from_millis(500)).open(EPOCH)
}

fn tenure(state: &State, node: Node) -> Option<Value> {
    serde_json::from_slice(state.value(&format!("node/{:04}", node.index()))?).ok()
}

fn pick<T: Clone>(all: &[T], place: i128) -> Option<T> {
    let place = usize::try_from(place.rem_euclid(i128::try_from(all.len().max(1)).ok()?)).ok()?;
    // From the end: the latest ones are the interesting ones.
    all.iter().rev().nth(place).cloned()
}

fn clamp(number: i128) -> u64 {
    u64::try_from(number.max(0)).unwrap_or(u64::MAX)
}
