//! Changes of nodes by those who know their holder: renewal, release, eviction.

use core::cell::Cell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::id::Node;
use crate::lease::error::LeaseError;
use crate::lease::etcd::keys::Tenure;
use crate::lease::etcd::link::{Answer, Call, MOST_AT_ONCE, Part, get, put, unchanged};
use crate::lease::etcd::memory::{Look, Seen};
use crate::lease::etcd::store::{ATTEMPTS, Store, record};
use crate::lease::fleet::again;
use crate::lease::store::{Grant, Renewal};

const RENEWING: &str = "renewing the lease";

/// A change that a caller wants.
struct Goal<'a> {
    node: Node,
    /// The renewal that names the holder; `None` for an operator, who is not the holder.
    holder: Option<&'a Renewal>,
    /// The tenure to store in place of the one that is found; `None` if nothing is to be done.
    next: Box<dyn Fn(&Look) -> Outcome + 'a>,
}

/// A tenure to store, or one that was stored; `None` if nothing is to be done.
type Outcome = Result<Option<Tenure>, LeaseError>;

/// How far a goal has come.
enum Progress {
    /// It is tried from this state of its node; without one the node is read first.
    Open(Option<Look>),
    Done(Outcome),
}

impl Store {
    pub(super) fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        granted(renewal, self.change_one(self.renewal(renewal), RENEWING))
    }

    /// Renews grants, a hundred in one request if nobody else has changed their nodes.
    pub(super) fn renew_all(&self, renewals: &[Renewal]) -> Vec<Result<Grant, LeaseError>> {
        let distinct: BTreeSet<Node> = renewals.iter().map(|renewal| renewal.grant.node).collect();
        if distinct.len() < renewals.len() {
            // Etcd changes a key once in a request.
            return renewals.iter().map(|renewal| self.renew(renewal)).collect();
        }
        let renew = |some: &[Renewal]| {
            let goals: Vec<Goal<'_>> = some.iter().map(|renewal| self.renewal(renewal)).collect();
            let changed = self.change(&goals, RENEWING);
            some.iter().zip(changed).map(|(renewal, outcome)| granted(renewal, outcome)).collect::<Vec<_>>()
        };
        renewals.chunks(MOST_AT_ONCE).flat_map(renew).collect()
    }

    fn renewal<'a>(&'a self, renewal: &'a Renewal) -> Goal<'a> {
        let next = Box::new(|look: &Look| self.renewed(renewal, look));
        Goal { node: renewal.grant.node, holder: Some(renewal), next }
    }

    /// The tenure after a renewal.
    fn renewed(&self, renewal: &Renewal, look: &Look) -> Outcome {
        let Look { tenure, record, now, elapsed, .. } = look;
        tenure.check(&renewal.grant, |nonce| renewal.is_by(nonce), record)?;
        tenure.check_growth(renewal.until, *now, *elapsed, self.max_skew)?;
        let until = tenure.until.max(renewal.until);
        Ok(Some(Tenure { until, nonce: Some(renewal.next_nonce), renewed: *now, ..tenure.clone() }))
    }

    pub(super) fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        // A release has one nonce.
        let holder = Renewal { grant: grant.clone(), until: grant.until, next_nonce: grant.owner.nonce };
        let next = |Look { tenure, record, .. }: &Look| {
            tenure.check(grant, |nonce| holder.is_by(nonce), record)?;
            let until = tenure.until.min(used_until.max(grant.floor));
            Ok(Some(Tenure { until, nonce: None, ..tenure.clone() }))
        };
        self.change_one(Goal { node: grant.node, holder: Some(&holder), next: Box::new(next) }, "releasing the node")
            .map(drop)
    }

    /// Ends a tenure without its holder; returns the holder's label, if there was one.
    pub(super) fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        let meant = Cell::new(None);
        let next = |Look { tenure, record, now, .. }: &Look| {
            // A holder that comes meanwhile is not the one that is known to be dead.
            let token = meant.get().unwrap_or(tenure.token);
            meant.set(Some(token));
            let ends = tenure.token == token && tenure.is_held(record, *now, *now, self.max_skew);
            Ok(ends.then(|| Tenure { nonce: None, ..tenure.clone() }))
        };
        let ended = self.change_one(Goal { node, holder: None, next: Box::new(next) }, "evicting a holder")?;
        Ok(ended.map(|tenure| tenure.label))
    }

    fn change_one(&self, goal: Goal<'_>, doing: &'static str) -> Outcome {
        self.change(&[goal], doing).pop().unwrap_or(Ok(None))
    }

    /// Makes changes of different nodes, each from its node's latest state or not at all.
    ///
    /// The first request is made from memory where that has the node. A comparison that fails reads
    /// the node in the same request, and the next one is made from that.
    fn change(&self, goals: &[Goal<'_>], doing: &'static str) -> Vec<Outcome> {
        let call = match self.link.begin(doing) {
            Ok(call) => call,
            Err(error) => return goals.iter().map(|_| Err(again(&error))).collect(),
        };
        let known = self.memory.seen().generation;
        let mut progress: Vec<Progress> =
            goals.iter().map(|goal| Progress::Open(self.remembered(goal, known))).collect();
        for _ in 0..ATTEMPTS {
            let mut plans = Vec::new();
            for (goal, progress) in goals.iter().zip(&mut progress) {
                let Progress::Open(look) = progress else { continue };
                match plan(goal, look.take()) {
                    Ok(plan) => plans.push((goal, progress, plan)),
                    Err(outcome) => *progress = Progress::Done(outcome),
                }
            }
            if plans.is_empty() {
                break;
            }
            let seen = self.memory.seen();
            let transactions = plans.iter().map(|(goal, _, plan)| self.attempt(goal, plan.as_ref())).collect();
            let answer = match self.link.transactions(call, transactions) {
                Ok(answer) => answer,
                Err(error) => {
                    for (_, progress, _) in plans {
                        *progress = Progress::Done(Err(again(&error)));
                    }
                    break;
                }
            };
            let until = goals.iter().filter_map(|goal| goal.holder).map(|holder| holder.grant.until).max();
            let mut turn = Turn { call, seen, known, until: until.unwrap_or(0), fenced: false };
            for ((goal, progress, plan), part) in plans.into_iter().zip(&answer.parts) {
                *progress = match plan.filter(|_| part.succeeded) {
                    Some(plan) => Progress::Done(self.changed(&mut turn, &answer, goal, plan)),
                    None => match self.look(&mut turn, &answer, part, goal) {
                        Ok(look) => Progress::Open(look),
                        Err(error) => Progress::Done(Err(error)),
                    },
                };
            }
        }
        let outcome = |progress| match progress {
            Progress::Done(outcome) => outcome,
            Progress::Open(_) => Err(self.contended(call)),
        };
        progress.into_iter().map(outcome).collect()
    }

    /// A holder's node as this store has stored it, unless the holder knows better.
    fn remembered(&self, goal: &Goal<'_>, known: u64) -> Option<Look> {
        let holder = goal.holder?;
        let look = self.memory.look(goal.node)?;
        (!look.tenure.is_before(&holder.grant, &look.record, known)).then_some(look)
    }

    /// Changes a node if it and the realm are as they were found; else, or without a plan, reads
    /// both.
    fn attempt(&self, goal: &Goal<'_>, plan: Option<&Plan>) -> Value {
        let (realm, node) = (self.keys.realm(), self.keys.node(goal.node));
        let read = [get(&realm), get(&node)];
        let Some(Plan { look, next }) = plan else { return json!({ "success": read }) };
        let compare =
            [unchanged(&realm, look.record.stored.as_deref()), unchanged(&node, look.tenure.stored.as_deref())];
        let value = next.stored.as_deref().unwrap_or_default();
        json!({ "compare": compare, "success": [put(&node, value)], "failure": read })
    }

    /// The outcome of a change that was made: it counts on the realm's cluster alone, and on one
    /// that did not go back.
    fn changed(&self, turn: &mut Turn, answer: &Answer, goal: &Goal<'_>, plan: Plan) -> Outcome {
        let Plan { look, next } = plan;
        if let Some(why) = turn.seen.lost(answer, &look.record) {
            if !turn.fenced {
                turn.fenced = true;
                self.fence(turn.call, &look.record, answer, turn.until, why)?;
            }
            return Err(self.link.unavailable(turn.call, "the store has lost what it had acknowledged".into()));
        }
        self.memory.see(answer, &look.record);
        self.memory.keep(goal.node, next.clone());
        Ok(Some(next))
    }

    /// A node as a request has found it; `None` if the realm had to be fenced first.
    ///
    /// A holder knows what the cluster has acknowledged to it.
    fn look(&self, turn: &mut Turn, answer: &Answer, part: &Part, goal: &Goal<'_>) -> Result<Option<Look>, LeaseError> {
        if turn.fenced {
            return Ok(None);
        }
        let record = record(part)?.ok_or_else(|| self.missing())?;
        if let Some(why) = turn.seen.lost(answer, &record) {
            turn.fenced = true;
            self.fence(turn.call, &record, answer, turn.until, why)?;
            return Ok(None);
        }
        self.memory.see(answer, &record);
        let tenure = part.range(1).first().map_or_else(|| Ok(Tenure::default()), Tenure::read)?;
        if goal.holder.is_some_and(|holder| tenure.is_before(&holder.grant, &record, turn.known)) {
            turn.fenced = true;
            let why = "the cluster went back: it lacks a window that it had acknowledged";
            self.fence(turn.call, &record, answer, turn.until, why)?;
            return Ok(None);
        }
        let elapsed = self.memory.elapsed(goal.node, tenure.token);
        Ok(Some(Look { record, tenure, now: answer.now, elapsed, fresh: true }))
    }
}

/// A change, and the state that it is made from.
struct Plan {
    look: Look,
    next: Tenure,
}

/// What one request of a call has in common.
struct Turn {
    call: Call,
    /// From before the request.
    seen: Seen,
    /// The generation that the call began with.
    known: u64,
    /// The latest end of a window that the callers hold.
    until: u64,
    /// Whether the request's answer has led to a fence: what else is in it is out of date.
    fenced: bool,
}

/// The change to make of a node; `None` to read the node first. The error is the outcome, without a
/// change.
fn plan(goal: &Goal<'_>, look: Option<Look>) -> Result<Option<Plan>, Outcome> {
    let Some(look) = look else { return Ok(None) };
    match (goal.next)(&look) {
        Ok(Some(mut next)) => {
            next.write();
            Ok(Some(Plan { look, next }))
        }
        // Memory may be wrong.
        _ if !look.fresh => Ok(None),
        Ok(None) => Err(Ok(None)),
        Err(error) => Err(Err(error)),
    }
}

/// The grant after a renewal.
fn granted(renewal: &Renewal, outcome: Outcome) -> Result<Grant, LeaseError> {
    outcome.map(|tenure| renewal.granted(tenure.map_or(renewal.grant.until, |tenure| tenure.until)))
}
