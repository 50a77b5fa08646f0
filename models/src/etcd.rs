//! The etcd store: two keys, transactions that compare them, and a cluster that may be restored.
//!
//! | model | code in `lease/etcd/{store,change,keys,memory}.rs` |
//! |---|---|
//! | [`Call::Read`] | `read`: the realm's key and the node's, at one moment |
//! | [`Call::Change`] | `take`, `attempt`: compares both keys with what was read or remembered, and puts the node's |
//! | [`Call::Write`] | `write`: lengthens the window, or `fence` |
//! | [`Action::Execute`], [`Action::Receive`] | a request at the cluster, and its answer; [`Action::Ask`] is both in one step |
//! | [`Action::TimeOut`] | an answer that is lost |
//! | [`Action::GiveUp`], [`Action::ExecuteLate`] | a request whose caller has given up, and that is done after that: once, twice or never |
//! | [`Action::BackUp`], [`Action::Restore`] | a snapshot, and a cluster with another ID that begins from it |
//!
//! # What is abstracted away
//!
//! - Who is dead: anyone may take the node at any time.
//! - A realm's key that is missing; the revision that each store has seen, which only notices more.
//! - A value is compared as a whole. Of a nonce there is its holder and a number that does not come
//!   again in a tenure; it comes again in the next tenure.
//! - A failover of a cluster loses nothing that was acknowledged, so it is no step here.
//! - Where the cluster may be restored the clocks of hosts are at most [`Realm::max_skew`] ahead of its
//!   own; where it is not, renewals are by any clock.
//!
//! # The bounds
//!
//! They are in [`Realm`]. A tenure has at most two renewals.

use stateright::{Model, Property};

use crate::{Issued, NO_TICK_TWICE, PROGRESS};

const HOLDERS: usize = 2;

const RENEWALS: u8 = 2;

/// A rule of the protocol that a variant lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An ID is issued only inside the window, not while the lease looks valid.
    WithinTheWindow,
    /// The window is extended after the renewal is acknowledged.
    RaiseAfterAcknowledgement,
    /// An acquire compares the node's key, from which it has the floor.
    CompareNode,
    /// A release first closes the generator for all threads.
    ReleaseAlone,
    /// The token is compared.
    Token,
    /// After a restore every node rests.
    RestAfterRestore,
    /// The rest counts the caller's own window.
    OwnWindow,
    /// A restored cluster has another ID.
    AnotherCluster,
}

/// A realm, its holders and the bounds of the exploration.
#[derive(Clone, Debug)]
pub struct Realm {
    /// The rule that is left out, if any.
    pub without: Option<Rule>,
    /// The largest token that is taken.
    pub tokens: u8,
    /// The length of a window.
    pub window: u8,
    /// How far a host's clock may be ahead of the cluster's.
    pub max_skew: u8,
    /// The last time that the cluster's clock reads.
    pub last_now: u8,
    /// The largest `until` that is asked for.
    pub last_tick: u8,
    /// How many answers are lost, and requests late.
    pub losses: u8,
    /// How often the cluster is restored.
    pub restores: u8,
}

/// The realm's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    cluster: u8,
    generation: u8,
    longest_window: u8,
    rest: u8,
}

/// The node's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tenure {
    token: u8,
    /// The holder's number, and the number of its renewals.
    nonce: Option<(u8, u8)>,
    until: u8,
    generation: u8,
}

/// A request, with all that it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Reads both keys.
    Read,
    /// Puts the node's key if both are as they were; reads both if not.
    Change {
        /// The realm's key as it was.
        record: Record,
        /// The node's key as it was.
        from: Tenure,
        /// What it becomes.
        next: Tenure,
    },
    /// Puts the realm's key if it is as it was.
    Write {
        /// The realm's key as it was.
        record: Record,
        /// What it becomes.
        next: Record,
    },
}

/// What a request returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Answer {
    cluster: u8,
    succeeded: bool,
    record: Record,
    tenure: Tenure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum At {
    #[default]
    Idle,
    /// Has read what it acquires from.
    Looked,
    Held,
    /// Has closed its generator.
    Finished,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Holder {
    at: At,
    answered: Option<(Call, Answer)>,
    /// A write of the realm's key that has to come first.
    needed: Option<Call>,
    late: Option<Call>,
    /// What it has read or stored last.
    record: Record,
    tenure: Tenure,
    /// The window as it was acknowledged.
    token: u8,
    renewals: u8,
    until: u8,
    /// The first free tick.
    next: u8,
    valid: bool,
}

/// The cluster, its holders, and what was issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u8,
    cluster: u8,
    record: Record,
    tenure: Tenure,
    backup: Option<(Record, Tenure)>,
    holders: [Holder; HOLDERS],
    issued: Issued,
    restores: u8,
    losses: u8,
}

/// A step of a holder or of the cluster. The first number is the holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The cluster does the holder's request.
    Execute(usize, Call),
    /// The holder receives the answer.
    Receive(usize),
    /// Both at once.
    Ask(usize, Call),
    /// The answer is lost: the holder does not know the outcome.
    TimeOut(usize),
    /// The holder sends a request, and gives up before it is done.
    GiveUp(usize, Call),
    /// The cluster does the request that its caller has given up; it may come a second time.
    ExecuteLate(usize),
    /// Issues up to this tick, which is not issued itself.
    Issue(usize, u8),
    /// Finds its lease valid, in the variant that asks.
    FindValid(usize),
    /// Closes the generator, to give the node back.
    Finish(usize),
    /// The process is killed.
    Die(usize),
    /// Time passes.
    Tick,
    /// A snapshot is taken.
    BackUp,
    /// Another cluster begins from the snapshot.
    Restore,
}

impl Realm {
    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    fn execute(&self, state: &mut State, call: Call) -> Answer {
        let same = |record: Record, state: &State| state.record == record;
        let succeeded = match call {
            Call::Read => true,
            Call::Change { record, from, next } => {
                let node = state.tenure == from
                    || self.lacks(Rule::CompareNode) && next.token != from.token && state.tenure.token == from.token
                    || self.lacks(Rule::Token) && state.tenure.nonce == from.nonce && from.nonce.is_some();
                let done = node && same(record, state);
                if done {
                    state.tenure = next;
                    if self.lacks(Rule::Token) && next.token == from.token {
                        state.tenure.token = state.tenure.token.max(next.token);
                    }
                }
                done
            }
            Call::Write { record, next } => {
                let done = same(record, state);
                if done {
                    state.record = next;
                }
                done
            }
        };
        Answer { cluster: state.cluster, succeeded, record: state.record, tenure: state.tenure }
    }

    /// The fence that an answer asks for, if the cluster is another one.
    fn fence(&self, now: u8, record: Record, cluster: u8) -> Option<Call> {
        if record.cluster == cluster {
            return None;
        }
        let own = if self.lacks(Rule::OwnWindow) { 0 } else { self.window };
        let longest_window = record.longest_window.max(own);
        let rest = if self.lacks(Rule::RestAfterRestore) { 0 } else { now + longest_window + 2 * self.max_skew };
        let next = Record { cluster, generation: record.generation + 1, longest_window, rest: record.rest.max(rest) };
        Some(Call::Write { record, next })
    }

    fn receive(&self, state: &mut State, number: usize) {
        let now = state.now;
        let holder = &mut state.holders[number];
        let Some((call, answer)) = holder.answered.take() else { return };
        let lost = Holder { late: holder.late, ..Holder::default() };
        let compared = match call {
            Call::Change { record, .. } if answer.succeeded => record,
            _ => answer.record,
        };
        match call {
            Call::Write { .. } => holder.needed = None,
            _ if answer.cluster != compared.cluster => {
                holder.needed = self.fence(now, compared, answer.cluster);
                if holder.at != At::Held {
                    *holder = Holder { needed: holder.needed, ..lost };
                }
            }
            Call::Read if answer.record.longest_window < self.window => {
                let next = Record { longest_window: self.window, ..answer.record };
                holder.needed = Some(Call::Write { record: answer.record, next });
            }
            Call::Read => {
                (holder.at, holder.record, holder.tenure) = (At::Looked, answer.record, answer.tenure);
            }
            Call::Change { record, from, next } if answer.succeeded => {
                (holder.record, holder.tenure) = (record, next);
                match holder.at {
                    At::Held => {
                        holder.until = next.until;
                        holder.renewals = next.nonce.map_or(0, |(_, renewals)| renewals);
                    }
                    At::Finished => *holder = lost,
                    _ => {
                        let floor = from.until.max(record.rest);
                        let (token, until) = (next.token, next.until);
                        let renewals = next.nonce.map_or(0, |(_, renewals)| renewals);
                        *holder = Holder { at: At::Held, token, renewals, until, next: floor, ..*holder };
                    }
                }
            }
            Call::Change { .. } => {
                // `check`: the tenure as it is now may still be the holder's.
                let caller = u8::try_from(number).unwrap_or(u8::MAX);
                let by = [Some((caller, holder.renewals)), Some((caller, holder.renewals + 1))];
                let own = answer.tenure.token == holder.token || self.lacks(Rule::Token);
                let fenced = answer.tenure.generation != answer.record.generation;
                if matches!(holder.at, At::Held | At::Finished) && own && by.contains(&answer.tenure.nonce) && !fenced {
                    (holder.record, holder.tenure) = (answer.record, answer.tenure);
                } else {
                    *holder = lost;
                }
            }
        }
    }

    fn time_out(state: &mut State, number: usize) {
        let holder = &mut state.holders[number];
        holder.answered = None;
        if holder.at != At::Held {
            *holder = Holder { late: holder.late, ..Holder::default() };
        }
    }

    /// The requests that a holder can send.
    fn calls(&self, state: &State, number: usize) -> Vec<Call> {
        let holder = &state.holders[number];
        if holder.answered.is_some() {
            return vec![];
        }
        if let Some(call) = holder.needed {
            return vec![call];
        }
        let caller = u8::try_from(number).unwrap_or(u8::MAX);
        let (record, from) = (holder.record, holder.tenure);
        match holder.at {
            At::Idle => vec![Call::Read],
            At::Looked => {
                let floor = from.until.max(record.rest);
                let clocks = state.now..=state.now + self.max_skew;
                let taken = |now: u8| Tenure {
                    token: from.token + 1,
                    nonce: Some((caller, state.restores * (RENEWALS + 1))),
                    until: floor.max(now) + self.window,
                    generation: record.generation,
                };
                // `max_floor`: a `max_wait` that is no longer than the skew.
                let ready = clocks.filter(|now| floor <= now + self.max_skew);
                ready.map(|now| Call::Change { record, from, next: taken(now) }).collect()
            }
            At::Held if holder.renewals % (RENEWALS + 1) < RENEWALS => {
                let agreed = (state.now + self.max_skew + self.window).min(self.last_tick);
                let last = if self.restores > 0 { agreed } else { self.last_tick };
                let nonce = Some((caller, holder.renewals + 1));
                let renewed = |until: u8| Tenure { until: from.until.max(until), nonce, ..from };
                (holder.until..=last.max(holder.until))
                    .map(|until| Call::Change { record, from, next: renewed(until) })
                    .collect()
            }
            At::Held => vec![],
            At::Finished => {
                let next = Tenure { nonce: None, until: from.until.min(holder.next), ..from };
                vec![Call::Change { record, from, next }]
            }
        }
    }

    fn issues(&self, state: &State, number: usize, actions: &mut Vec<Action>) {
        let holder = &state.holders[number];
        let open = holder.at == At::Held || holder.at == At::Finished && self.lacks(Rule::ReleaseAlone);
        if !open {
            return;
        }
        let raised = match holder.answered {
            Some((Call::Change { next, .. }, _)) if self.lacks(Rule::RaiseAfterAcknowledgement) => next.until,
            _ => holder.until,
        };
        let limit = if !self.lacks(Rule::WithinTheWindow) {
            raised
        } else if holder.valid {
            // Whatever the clock reads by now.
            self.last_tick
        } else {
            actions.push(Action::FindValid(number));
            return;
        };
        actions.extend((holder.next + 1..=limit).map(|to| Action::Issue(number, to)));
    }

    /// Whether each holder comes to issue while nothing else happens but that time passes.
    fn recovers(&self, state: &State) -> bool {
        (0..HOLDERS).all(|number| self.comes_to_issue(state.clone(), number))
    }

    fn comes_to_issue(&self, mut state: State, number: usize) -> bool {
        let issued = state.issued;
        let free = Realm { last_tick: 30, ..self.clone() };
        for _ in 0..60 {
            let holder = state.holders[number];
            let calls = free.calls(&state, number);
            let action = if holder.answered.is_some() {
                Action::Receive(number)
            } else if holder.at == At::Held && holder.next < holder.until {
                Action::Issue(number, holder.next + 1)
            } else if let Some(&call) = calls.last() {
                Action::Ask(number, call)
            } else if holder.at == At::Held {
                Action::Finish(number)
            } else {
                Action::Tick
            };
            state = free.step(&state, action);
            if holder.at == At::Held && state.now < 20 {
                state.now += 1;
            }
            if state.issued != issued {
                return true;
            }
        }
        false
    }

    fn step(&self, last: &State, action: Action) -> State {
        let mut state = last.clone();
        match action {
            Action::Execute(number, call) | Action::Ask(number, call) => {
                let answer = self.execute(&mut state, call);
                state.holders[number].answered = Some((call, answer));
                if matches!(action, Action::Ask(..)) {
                    self.receive(&mut state, number);
                }
            }
            Action::Receive(number) => self.receive(&mut state, number),
            Action::TimeOut(number) => {
                state.losses += 1;
                Realm::time_out(&mut state, number);
            }
            Action::GiveUp(number, call) => {
                state.losses += 1;
                state.holders[number].late = Some(call);
                Realm::time_out(&mut state, number);
            }
            Action::ExecuteLate(number) => {
                if let Some(call) = state.holders[number].late {
                    self.execute(&mut state, call);
                }
            }
            Action::Issue(number, to) => {
                let holder = &mut state.holders[number];
                state.issued.issue(holder.next..to);
                holder.next = to;
                holder.valid = false;
            }
            Action::FindValid(number) => state.holders[number].valid = true,
            Action::Finish(number) => state.holders[number].at = At::Finished,
            Action::Die(number) => {
                let late = state.holders[number].late;
                state.holders[number] = Holder { late, ..Holder::default() };
            }
            Action::Tick => state.now += 1,
            Action::BackUp => state.backup = Some((state.record, state.tenure)),
            Action::Restore => {
                (state.record, state.tenure) = state.backup.take().unwrap_or_default();
                state.restores += 1;
                if !self.lacks(Rule::AnotherCluster) {
                    state.cluster += 1;
                }
            }
        }
        state
    }
}

impl Model for Realm {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let record = Record { cluster: 1, ..Record::default() };
        let fresh = State {
            now: 0,
            cluster: 1,
            record,
            tenure: Tenure::default(),
            backup: None,
            holders: [Holder::default(); HOLDERS],
            issued: Issued::default(),
            restores: 0,
            losses: 0,
        };
        // The first holder has its first window; there may be a snapshot from before.
        let mut held = fresh.clone();
        held.record.longest_window = self.window;
        let until = self.window;
        held.tenure = Tenure { token: 1, nonce: Some((0, 0)), until, generation: 0 };
        let (record, tenure) = (held.record, held.tenure);
        held.holders[0] = Holder { at: At::Held, record, tenure, token: 1, until, ..Holder::default() };
        let backed_up = State { backup: Some((fresh.record, fresh.tenure)), ..held.clone() };
        if self.restores > 0 { vec![fresh, held, backed_up] } else { vec![fresh, held] }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, holder) in state.holders.iter().enumerate() {
            self.issues(state, number, actions);
            let may_lose = state.losses < self.losses && holder.late.is_none();
            for call in self.calls(state, number) {
                actions.extend([Action::Ask(number, call), Action::Execute(number, call)]);
                if may_lose && call != Call::Read {
                    actions.push(Action::GiveUp(number, call));
                }
            }
            if holder.answered.is_some() {
                actions.push(Action::Receive(number));
                if may_lose {
                    actions.push(Action::TimeOut(number));
                }
            }
            if holder.late.is_some() {
                actions.push(Action::ExecuteLate(number));
            }
            if holder.at == At::Held {
                if holder.answered.is_none() {
                    actions.push(Action::Finish(number));
                }
                actions.push(Action::Die(number));
            }
            if holder.at == At::Looked && holder.answered.is_none() {
                actions.push(Action::Die(number));
            }
        }
        if state.now < self.last_now {
            actions.push(Action::Tick);
        }
        if state.restores < self.restores {
            actions.push(if state.backup.is_some() { Action::Restore } else { Action::BackUp });
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        Some(self.step(last, action))
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.tenure.until <= self.last_tick && state.tenure.token <= self.tokens
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(NO_TICK_TWICE, |_, state: &State| !state.issued.twice())];
        if self.without.is_none() {
            properties.push(Property::always(PROGRESS, Realm::recovers));
            properties.push(Property::sometimes("a second tenure", |_, state: &State| {
                state.holders.iter().any(|holder| holder.at == At::Held && holder.token > 1)
            }));
        }
        properties
    }
}
