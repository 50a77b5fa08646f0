//! A holder, a copy of its machine, and a rival: what the nonce of a lease is for.
//!
//! | model | code |
//! |---|---|
//! | [`Action::Renew`] | the renewal in `lease/tenure.rs`, and `Renewal::is_by`, `granted` in `lease/mod.rs` |
//! | [`Action::TimeOut`] | the renewal becomes `unanswered`, and is sent again |
//! | [`Action::Copy`] | the machine is copied, with all that its process knows |
//! | [`Action::Take`] | any store's `acquire` |
//!
//! The store is one row that keeps what it acknowledges; the other models are about those that do not.
//!
//! # What is promised
//!
//! Both copies have the window of the moment, and both may have asked for the next one. So what is
//! issued before `State::shared` is theirs, and may be issued twice. From there on one of them is lost.
//!
//! # The bounds
//!
//! They are in [`Machines`]; a copy is made once.

use stateright::{Model, Property};

use crate::{Issued, NO_TICK_TWICE, PROGRESS};

/// A rule of the protocol that a variant lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Each renewal changes the nonce.
    Rotation,
    /// A renewal without an answer is sent again with its own `until`, before another one is asked for.
    SameUntilAgain,
}

/// The machines, and the bounds of the exploration.
#[derive(Clone, Debug)]
pub struct Machines {
    /// The rule that is left out, if any.
    pub without: Option<Rule>,
    /// Whether the machine is copied.
    pub copied: bool,
    /// How many answers are lost.
    pub losses: u8,
    /// The largest `until` that is asked for.
    pub last_tick: u8,
    /// The largest token.
    pub tokens: u8,
}

/// The row of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Row {
    token: u8,
    nonce: u8,
    until: u8,
}

/// A renewal, as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Renewal {
    until: u8,
    next_nonce: u8,
}

/// What a renewal returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Renewed(u8),
    Lost,
}

/// A process with a grant, or without one: its token is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Holder {
    token: u8,
    nonce: u8,
    until: u8,
    next: u8,
    /// Sent, and not answered yet.
    sent: Option<Renewal>,
    answer: Option<Answer>,
    unanswered: Option<Renewal>,
}

/// The holders are the machine, its copy, and a rival.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    row: Row,
    holders: [Holder; 3],
    issued: Issued,
    /// The first tick that the two copies do not share.
    shared: u8,
    copied: bool,
    losses: u8,
    nonces: u8,
}

/// A step of a holder: the machine 0, its copy 1, the rival 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes the node.
    Take(usize),
    /// Sends a renewal up to this `until`, or the unanswered one again.
    Renew(usize, u8),
    /// The store does what was sent.
    Execute(usize),
    /// The answer arrives.
    Receive(usize),
    /// The answer is lost; whether the store has done it is unknown.
    TimeOut(usize),
    /// Issues up to this tick, which is not issued itself.
    Issue(usize, u8),
    /// The machine is copied.
    Copy,
}

impl Machines {
    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    fn execute(state: &mut State, number: usize) {
        let holder = &mut state.holders[number];
        let Some(renewal) = holder.sent else { return };
        let row = &mut state.row;
        // `Renewal::is_by`
        let by = row.nonce == holder.nonce || row.nonce == renewal.next_nonce;
        holder.answer = Some(Answer::Lost);
        if row.token == holder.token && by {
            *row = Row { nonce: renewal.next_nonce, until: row.until.max(renewal.until), ..*row };
            holder.answer = Some(Answer::Renewed(row.until));
        }
    }

    fn renew(&self, state: &mut State, number: usize, until: u8) {
        let holder = &mut state.holders[number];
        let renewal = match holder.unanswered.take() {
            Some(last) if self.lacks(Rule::SameUntilAgain) => Renewal { until: last.until.max(until), ..last },
            Some(last) => last,
            None if self.lacks(Rule::Rotation) => Renewal { until, next_nonce: holder.nonce },
            None => {
                state.nonces += 1;
                Renewal { until, next_nonce: state.nonces }
            }
        };
        holder.sent = Some(renewal);
    }

    fn receive(state: &mut State, number: usize) {
        let holder = &mut state.holders[number];
        if let (Some(renewal), Some(answer)) = (holder.sent.take(), holder.answer.take()) {
            match answer {
                Answer::Renewed(until) => {
                    *holder = Holder { until, nonce: renewal.next_nonce, unanswered: None, ..*holder }
                }
                Answer::Lost => *holder = Holder::default(),
            }
        }
    }

    fn take(state: &mut State, number: usize) {
        state.nonces += 1;
        let floor = state.row.until;
        state.row = Row { token: state.row.token + 1, nonce: state.nonces, until: floor + 1 };
        let Row { token, nonce, until } = state.row;
        state.holders[number] = Holder { token, nonce, until, next: floor, ..Holder::default() };
    }

    /// Whether the machine comes to issue a tick that it does not share, if it alone acts.
    fn recovers(&self, state: &State) -> bool {
        let mut state = state.clone();
        let issued = state.issued;
        for _ in 0..20 {
            let holder = state.holders[0];
            let action = match (holder.sent, holder.answer) {
                (_, Some(_)) => Action::Receive(0),
                (Some(_), None) => Action::Execute(0),
                _ if holder.token == 0 => Action::Take(0),
                _ if holder.next < holder.until => Action::Issue(0, holder.until),
                _ => Action::Renew(0, holder.until + 1),
            };
            state = self.step(&state, action);
            if state.issued.ticks != issued.ticks {
                return true;
            }
        }
        false
    }

    fn step(&self, last: &State, action: Action) -> State {
        let mut state = last.clone();
        match action {
            Action::Take(number) => Machines::take(&mut state, number),
            Action::Renew(number, until) => self.renew(&mut state, number, until),
            Action::Execute(number) => Machines::execute(&mut state, number),
            Action::Receive(number) => Machines::receive(&mut state, number),
            Action::TimeOut(number) => {
                state.losses += 1;
                let holder = &mut state.holders[number];
                holder.unanswered = holder.sent.take();
                holder.answer = None;
            }
            Action::Issue(number, to) => {
                let next = state.holders[number].next;
                state.holders[number].next = to;
                // What two copies share is not counted.
                let first = if number < 2 { next.max(state.shared) } else { next };
                state.issued.issue(first..to.max(first));
            }
            Action::Copy => {
                let machine = state.holders[0];
                // The connection is not copied: its answer never comes.
                let unanswered = machine.sent.or(machine.unanswered);
                state.holders[1] = Holder { sent: None, answer: None, unanswered, ..machine };
                let asked = unanswered.map_or(0, |renewal| renewal.until);
                state.shared = machine.until.max(asked);
                state.copied = true;
            }
        }
        state
    }
}

impl Model for Machines {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let row = Row { token: 1, nonce: 1, until: 1 };
        let machine = Holder { token: 1, nonce: 1, until: 1, ..Holder::default() };
        let holders = [machine, Holder::default(), Holder::default()];
        vec![State { row, holders, issued: Issued::default(), shared: 0, copied: false, losses: 0, nonces: 1 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, holder) in state.holders.iter().enumerate() {
            if number == 1 && !state.copied {
                continue;
            }
            match (holder.sent, holder.answer) {
                (Some(_), Some(_)) => actions.extend([Action::Receive(number)]),
                (Some(_), None) => actions.push(Action::Execute(number)),
                _ if holder.token == 0 => {
                    actions.extend((state.row.token < self.tokens).then_some(Action::Take(number)));
                }
                _ => actions.extend((holder.until..=self.last_tick).map(|until| Action::Renew(number, until))),
            }
            if holder.sent.is_some() && state.losses < self.losses {
                actions.push(Action::TimeOut(number));
            }
            actions.extend((holder.next + 1..=holder.until).map(|to| Action::Issue(number, to)));
        }
        if self.copied && !state.copied && state.holders[0].token != 0 && state.issued == Issued::default() {
            actions.push(Action::Copy);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        Some(self.step(last, action))
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.row.until <= self.last_tick && state.nonces <= self.last_tick + 3
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(NO_TICK_TWICE, |_, state: &State| !state.issued.twice())];
        if self.without.is_none() {
            properties.push(Property::always(PROGRESS, Machines::recovers));
        }
        if self.without.is_none() && self.losses > 0 {
            properties.push(Property::sometimes("a renewal is sent again", |_, state: &State| {
                state.holders.iter().any(|holder| holder.unanswered.is_some())
            }));
        }
        properties
    }
}
