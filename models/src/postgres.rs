//! The PostgreSQL store: a row for each node, and a server that may be replaced by an earlier state.
//!
//! | model | code in `lease/postgres/{statements,acquire,keep,past}.rs` |
//! |---|---|
//! | [`Call::Acquire`] | `acquire`: the statement, and `read` where it returns nothing |
//! | [`Call::Lengthen`], [`Call::Fence`] | `lengthen`, `fence`: what an acquire or a renewal has to put right first |
//! | [`Call::Renew`], [`Call::Release`] | `renew_in_time` and then `renew`; `release` |
//! | [`Action::Execute`], [`Action::Receive`] | a statement's transaction, and its answer; [`Action::Ask`] is both in one step |
//! | [`Action::TimeOut`] | an answer that is lost |
//! | [`Action::GiveUp`], [`Action::ExecuteLate`] | a statement whose caller has given up, and that is run after that, if ever |
//! | [`Action::BackUp`], [`Action::FailOver`], [`Action::Restore`], [`Action::Restart`] | a state is copied; a server goes on from it on a new timeline; the same with all that names the server; the server starts again |
//!
//! # What is abstracted away
//!
//! - The WAL position that each store has seen. It only keeps statements from being done, and here
//!   they are done: the rest after the start covers what it would notice.
//! - The generation that each store has seen, which keeps `renew_in_time` from being done in the same way.
//! - Of a nonce only whose it is, and how many renewals it is old. It comes again in the next tenure
//!   of a holder, so here the token alone tells its tenures apart; but never after a start of the
//!   server, as the token may come again there.
//! - The server's clock is the time. The clocks of hosts are at most [`Realm::max_skew`] ahead of it
//!   where a server may go back; where none does, renewals are by any clock.
//! - Statements of before a start of the server die with it.
//!
//! # The bounds
//!
//! They are in [`Realm`]. A tenure has at most two renewals.

use stateright::{Model, Property};

use crate::{Issued, NO_TICK_TWICE, PROGRESS};

/// The most holders.
const HOLDERS: usize = 2;

/// The most nodes.
const NODES: usize = 2;

/// The most renewals of a tenure.
const RENEWALS: u8 = 2;

/// A rule of the protocol that a variant lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An ID is issued only inside the window, not while the lease looks valid.
    WithinTheWindow,
    /// The window is extended after the renewal is acknowledged.
    RaiseAfterAcknowledgement,
    /// The floor is read under the row's lock.
    FloorUnderLock,
    /// A release first closes the generator for all threads.
    ReleaseAlone,
    /// A statement names the token.
    Token,
    /// After a failover every node rests.
    RestAfterFailOver,
    /// After a start of the server a row that nobody has proven rests.
    RestAfterStart,
    /// The rest counts the caller's own window.
    OwnWindow,
    /// A release leaves what was used, even where the row has less.
    UsedInAnyCase,
    /// A row that had expired before the server started is not renewed, unless it was proven.
    ExpiredProvesNothing,
    /// A renewal that does not read the server's identity is of a row that was proven since the start.
    InTimeIsProven,
}

/// A realm, its holders and the bounds of the exploration.
#[derive(Clone, Debug)]
pub struct Realm {
    /// The rule that is left out, if any.
    pub without: Option<Rule>,
    /// How many holders there are.
    pub holders: usize,
    /// How many nodes there are.
    pub nodes: usize,
    /// The largest token that is taken.
    pub tokens: u8,
    /// The length of a window.
    pub window: u8,
    /// How far a host's clock may be ahead of the server's.
    pub max_skew: u8,
    /// The last time that the server's clock reads.
    pub last_now: u8,
    /// The largest `until` that is asked for.
    pub last_tick: u8,
    /// How many answers are lost, and statements late.
    pub losses: u8,
    /// How many failovers, restores and restarts there are.
    pub starts: u8,
    /// Whether the server may go back.
    pub goes_back: bool,
}

/// A row of `pyflake_nodes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Row {
    token: u8,
    /// The holder's number and the number of its renewals; `None`: `owner_nonce` is null.
    nonce: Option<(u8, u8)>,
    until: u8,
    /// 0 is `-infinity`.
    expires_at: u8,
    /// Whether `proven_at` is the start of this server.
    proven: bool,
}

/// The row of `pyflake_realms`, and its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Tables {
    server: u8,
    generation: u8,
    longest_window: u8,
    rows: [Row; NODES],
}

/// A statement, with all that it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Takes a node.
    Acquire {
        /// What the caller's clock reads.
        now: u8,
        /// The floors as they were read, in the variant that does not read them under the lock.
        floors: [u8; NODES],
    },
    /// Notes the length of a window.
    Lengthen,
    /// Makes this the realm's server in the place of that one.
    Fence {
        /// The server that was read.
        server: u8,
        /// The generation that was read.
        generation: u8,
    },
    /// Extends the window of a grant.
    Renew {
        /// The grant's node, token and number of renewals.
        grant: (u8, u8, u8),
        /// The end that is asked for.
        until: u8,
    },
    /// Gives a node back.
    Release {
        /// The grant's node, token and number of renewals.
        grant: (u8, u8, u8),
        /// The first free tick.
        used_until: u8,
    },
}

/// What a statement returns, and what `read` says where it returns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Granted {
        node: u8,
        floor: u8,
        until: u8,
        token: u8,
        nonce: u8,
    },
    Renewed {
        until: u8,
    },
    Done,
    /// Every node is held or rests, or the grant is no longer the caller's.
    Refused,
    /// The realm is kept by this server in this generation, which is another one or before a grant.
    Moved {
        server: u8,
        generation: u8,
    },
    TooLong,
}

/// What is on its way for a holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Flight {
    #[default]
    None,
    /// Has this to put right.
    Needed(Call),
    Answered(Call, Answer),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum At {
    #[default]
    Idle,
    Held,
    /// Has closed its generator.
    Finished,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Holder {
    at: At,
    flight: Flight,
    /// A statement whose caller has given up.
    late: Option<Call>,
    node: u8,
    token: u8,
    renewals: u8,
    until: u8,
    /// The first free tick.
    next: u8,
    /// Whether it has found its lease valid, in the variant that asks.
    valid: bool,
}

/// The server, its holders, and what was issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u8,
    server: u8,
    started: u8,
    tables: Tables,
    backup: Option<Tables>,
    holders: [Holder; HOLDERS],
    issued: [Issued; NODES],
    starts: u8,
    losses: u8,
}

/// A step of a holder or of the server. The first number is the holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The server runs the holder's statement.
    Execute(usize, Call),
    /// The holder receives the answer.
    Receive(usize),
    /// Both at once.
    Ask(usize, Call),
    /// The answer is lost: the holder does not know the outcome.
    TimeOut(usize),
    /// The holder sends a statement, and gives up before it is run.
    GiveUp(usize, Call),
    /// The server runs the statement that its caller has given up.
    ExecuteLate(usize),
    /// Issues up to this tick, which is not issued itself.
    Issue(usize, u8),
    /// Finds its lease valid, in the variant that asks.
    FindValid(usize),
    /// Reads the floors, in the variant that does so before it takes a node.
    ReadFloors(usize),
    /// Closes the generator, to give the node back.
    Finish(usize),
    /// The process is killed.
    Die(usize),
    /// Time passes.
    Tick,
    /// A standby or a backup gets the state as it is.
    BackUp,
    /// The server is replaced by a standby that was promoted.
    FailOver,
    /// The server's data directory is put back.
    Restore,
    /// The server starts again, with all that it had.
    Restart,
}

impl Realm {
    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    /// The floor of a row.
    fn floor(&self, state: &State, row: &Row) -> u8 {
        if row.proven || self.lacks(Rule::RestAfterStart) {
            return row.until;
        }
        row.until.max(state.started + state.tables.longest_window + 2 * self.max_skew)
    }

    fn execute(&self, state: &mut State, holder: usize, call: Call) -> Answer {
        let caller = u8::try_from(holder).unwrap_or(u8::MAX);
        let here = state.server;
        let Tables { server, generation, longest_window, .. } = state.tables;
        let moved = Answer::Moved { server, generation };
        match call {
            Call::Acquire { now, floors } => {
                if server != here {
                    return moved;
                }
                if longest_window < self.window {
                    return Answer::TooLong;
                }
                let floor = |node: usize| {
                    if self.lacks(Rule::FloorUnderLock) {
                        floors[node]
                    } else {
                        self.floor(state, &state.tables.rows[node])
                    }
                };
                let free = |node: &usize| state.tables.rows[*node].expires_at <= state.now;
                // `max_floor`: a `max_wait` that is no longer than the skew.
                let ready = |node: &usize| floor(*node) <= now + self.max_skew;
                let Some(node) = (0..self.nodes).filter(free).filter(ready).min_by_key(|&node| floor(node).max(now))
                else {
                    return Answer::Refused;
                };
                let floor = floor(node);
                let row = &mut state.tables.rows[node];
                row.token += 1;
                row.nonce = Some((caller, state.starts * (RENEWALS + 1)));
                row.until = floor.max(now) + self.window;
                row.expires_at = state.now + self.window;
                row.proven = true;
                let node = u8::try_from(node).unwrap_or(u8::MAX);
                let row = state.tables.rows[usize::from(node)];
                Answer::Granted {
                    node,
                    floor,
                    until: row.until,
                    token: row.token,
                    nonce: state.starts * (RENEWALS + 1),
                }
            }
            Call::Lengthen => {
                state.tables.longest_window = longest_window.max(self.window);
                Answer::Done
            }
            Call::Fence { server: was, generation: of } => {
                if (server, generation) == (was, of) {
                    state.tables.server = here;
                    state.tables.generation += 1;
                    let longest =
                        if self.lacks(Rule::OwnWindow) { longest_window } else { longest_window.max(self.window) };
                    state.tables.longest_window = longest;
                    let rest =
                        if self.lacks(Rule::RestAfterFailOver) { 0 } else { state.now + longest + 2 * self.max_skew };
                    for row in &mut state.tables.rows {
                        *row = Row { nonce: None, expires_at: 0, proven: true, until: row.until.max(rest), ..*row };
                    }
                }
                Answer::Done
            }
            Call::Renew { grant: (node, token, renewals), until } => {
                let row = &mut state.tables.rows[usize::from(node)];
                let own = row.token == token || self.lacks(Rule::Token);
                let by = [Some((caller, renewals)), Some((caller, renewals + 1))];
                // `renew_in_time`, which does not read the server's identity.
                let in_time = own
                    && by.contains(&row.nonce)
                    && (row.proven || self.lacks(Rule::InTimeIsProven))
                    && until <= row.until + self.window;
                if server != here && !in_time {
                    return moved;
                }
                let since =
                    if row.expires_at == 0 { 0 } else { (state.now + self.window).saturating_sub(row.expires_at) };
                let admitted = until <= row.until
                    || until <= state.now + self.window + self.max_skew
                    || until - row.until <= self.window + since;
                let alive =
                    in_time || row.proven || row.expires_at > state.started || self.lacks(Rule::ExpiredProvesNothing);
                if own && by.contains(&row.nonce) && admitted && alive {
                    row.nonce = by[1];
                    row.until = row.until.max(until);
                    row.expires_at = state.now + self.window;
                    row.proven = true;
                    return Answer::Renewed { until: row.until };
                }
                if row.token < token { moved } else { Answer::Refused }
            }
            Call::Release { grant: (node, token, renewals), used_until } => {
                if server != here {
                    return moved;
                }
                let row = &mut state.tables.rows[usize::from(node)];
                let own = row.token == token || self.lacks(Rule::Token);
                let alive = row.proven || row.expires_at > state.started || self.lacks(Rule::ExpiredProvesNothing);
                if own && row.nonce == Some((caller, renewals)) && alive {
                    row.until = if self.lacks(Rule::UsedInAnyCase) { row.until.min(used_until) } else { used_until };
                    (row.nonce, row.expires_at, row.proven) = (None, 0, true);
                }
                Answer::Done
            }
        }
    }

    fn receive(state: &mut State, number: usize) {
        let Flight::Answered(call, answer) = state.holders[number].flight else { return };
        let holder = &mut state.holders[number];
        holder.flight = Flight::None;
        match (call, answer) {
            (Call::Acquire { .. }, Answer::Granted { node, floor, until, token, nonce }) => {
                let (late, renewals) = (holder.late, nonce);
                *holder = Holder { at: At::Held, node, token, renewals, until, next: floor, late, ..Holder::default() };
            }
            (Call::Acquire { .. }, Answer::TooLong) => holder.flight = Flight::Needed(Call::Lengthen),
            (
                Call::Acquire { .. } | Call::Renew { .. } | Call::Release { .. },
                Answer::Moved { server, generation },
            ) => {
                // A holder is lost then.
                let late = holder.late;
                *holder =
                    Holder { flight: Flight::Needed(Call::Fence { server, generation }), late, ..Holder::default() };
            }
            (Call::Renew { .. }, Answer::Renewed { until }) => {
                holder.until = until;
                holder.renewals += 1;
            }
            _ => *holder = Holder { late: holder.late, ..Holder::default() },
        }
    }

    fn time_out(state: &mut State, number: usize) {
        let holder = &mut state.holders[number];
        holder.flight = Flight::None;
        if holder.at == At::Finished {
            *holder = Holder { late: holder.late, ..Holder::default() };
        }
    }

    fn start(state: &mut State) {
        state.started = state.now;
        state.starts += 1;
        for row in &mut state.tables.rows {
            row.proven = false;
        }
        for holder in &mut state.holders {
            holder.late = None;
        }
    }

    /// The end of the window by which a holder issues.
    fn limit(&self, holder: &Holder) -> u8 {
        match holder.flight {
            Flight::Answered(Call::Renew { until, .. }, _) if self.lacks(Rule::RaiseAfterAcknowledgement) => until,
            _ => holder.until,
        }
    }

    /// The statements that a holder can send.
    fn calls(&self, state: &State, number: usize) -> Vec<Call> {
        let holder = &state.holders[number];
        let grant = (holder.node, holder.token, holder.renewals);
        match (holder.flight, holder.at) {
            (Flight::Answered(..), _) => vec![],
            (Flight::Needed(call), _) => vec![call],
            (_, At::Idle) if self.lacks(Rule::FloorUnderLock) => vec![],
            (_, At::Idle) => {
                let floors = [0; NODES];
                (state.now..=state.now + self.max_skew).map(|now| Call::Acquire { now, floors }).collect()
            }
            (_, At::Held) if holder.renewals % (RENEWALS + 1) < RENEWALS => {
                let agreed = (state.now + self.max_skew + self.window).min(self.last_tick);
                let last = if self.goes_back { agreed } else { self.last_tick };
                (holder.until..=last.max(holder.until)).map(|until| Call::Renew { grant, until }).collect()
            }
            (_, At::Held) => vec![],
            (_, At::Finished) => vec![Call::Release { grant, used_until: holder.next }],
        }
    }

    fn issues(&self, state: &State, number: usize, actions: &mut Vec<Action>) {
        let holder = &state.holders[number];
        let open = holder.at == At::Held || holder.at == At::Finished && self.lacks(Rule::ReleaseAlone);
        if !open {
            return;
        }
        let limit = if !self.lacks(Rule::WithinTheWindow) {
            self.limit(holder)
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
        (0..self.holders).all(|number| self.comes_to_issue(state.clone(), number))
    }

    fn comes_to_issue(&self, mut state: State, number: usize) -> bool {
        let issued = state.issued;
        for _ in 0..60 {
            let holder = state.holders[number];
            let action = match (holder.flight, holder.at) {
                (Flight::Needed(call), _) => Action::Ask(number, call),
                (Flight::Answered(..), _) => Action::Receive(number),
                (_, At::Idle) => {
                    // The holders of all nodes may pause for ever: time takes the nodes from them.
                    state = self.step(&state, Action::Tick);
                    Action::Ask(number, Call::Acquire { now: state.now, floors: [0; NODES] })
                }
                (_, At::Held) if holder.next < holder.until => Action::Issue(number, holder.next + 1),
                (_, At::Held) if holder.renewals % (RENEWALS + 1) < RENEWALS => {
                    state = self.step(&state, Action::Tick);
                    let grant = (holder.node, holder.token, holder.renewals);
                    let until = (state.now + self.window).max(holder.until);
                    Action::Ask(number, Call::Renew { grant, until })
                }
                (_, At::Finished) => Action::Ask(number, self.calls(&state, number)[0]),
                (_, At::Held) => Action::Finish(number),
            };
            state = self.step(&state, action);
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
                let answer = self.execute(&mut state, number, call);
                // Of the statement only what the answer's receiver looks at.
                let call = match call {
                    Call::Acquire { .. } => Call::Acquire { now: 0, floors: [0; NODES] },
                    Call::Renew { until, .. } if self.lacks(Rule::RaiseAfterAcknowledgement) => {
                        Call::Renew { grant: (0, 0, 0), until }
                    }
                    Call::Renew { .. } => Call::Renew { grant: (0, 0, 0), until: 0 },
                    call => call,
                };
                state.holders[number].flight = Flight::Answered(call, answer);
                if matches!(action, Action::Ask(..)) {
                    Realm::receive(&mut state, number);
                }
            }
            Action::Receive(number) => Realm::receive(&mut state, number),
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
                if let Some(call) = state.holders[number].late.take() {
                    self.execute(&mut state, number, call);
                }
            }
            Action::Issue(number, to) => {
                let holder = &mut state.holders[number];
                state.issued[usize::from(holder.node)].issue(holder.next..to);
                holder.next = to;
                holder.valid = false;
            }
            Action::ReadFloors(number) => {
                let floors = core::array::from_fn(|node| self.floor(&state, &state.tables.rows[node]));
                state.holders[number].flight = Flight::Needed(Call::Acquire { now: state.now, floors });
            }
            Action::FindValid(number) => state.holders[number].valid = true,
            Action::Finish(number) => {
                let holder = &mut state.holders[number];
                holder.at = At::Finished;
                if !self.lacks(Rule::ReleaseAlone) {
                    holder.until = 0;
                }
            }
            Action::Die(number) => {
                Realm::time_out(&mut state, number);
                let late = state.holders[number].late;
                state.holders[number] = Holder { late, ..Holder::default() };
            }
            Action::Tick => state.now += 1,
            Action::BackUp => state.backup = Some(state.tables),
            Action::FailOver | Action::Restore => {
                state.tables = state.backup.take().unwrap_or_default();
                if action == Action::FailOver {
                    state.server += 1;
                }
                Realm::start(&mut state);
            }
            Action::Restart => Realm::start(&mut state),
        }
        state
    }
}

impl Model for Realm {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let row = Row { proven: true, ..Row::default() };
        let tables = Tables { server: 1, generation: 0, longest_window: 0, rows: [row; NODES] };
        let fresh = State {
            now: 0,
            server: 1,
            started: 0,
            tables,
            backup: None,
            holders: [Holder::default(); HOLDERS],
            issued: [Issued::default(); NODES],
            starts: 0,
            losses: 0,
        };
        // The first holder has its first window; there may be a backup from before.
        let mut held = fresh.clone();
        held.tables.longest_window = self.window;
        let until = self.window;
        held.tables.rows[0] = Row { token: 1, nonce: Some((0, 0)), until, expires_at: until, proven: true };
        held.holders[0] = Holder { at: At::Held, token: 1, until, ..Holder::default() };
        let backed_up = State { backup: Some(tables), ..held.clone() };
        if self.goes_back { vec![fresh, held, backed_up] } else { vec![fresh, held] }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for number in 0..self.holders {
            let holder = &state.holders[number];
            self.issues(state, number, actions);
            let may_lose = state.losses < self.losses && holder.late.is_none();
            for call in self.calls(state, number) {
                actions.extend([Action::Ask(number, call), Action::Execute(number, call)]);
                if may_lose {
                    actions.push(Action::GiveUp(number, call));
                }
            }
            if matches!(holder.flight, Flight::Answered(..)) {
                actions.push(Action::Receive(number));
                if may_lose {
                    actions.push(Action::TimeOut(number));
                }
            }
            if self.lacks(Rule::FloorUnderLock) && (holder.at, holder.flight) == (At::Idle, Flight::None) {
                actions.push(Action::ReadFloors(number));
            }
            if holder.late.is_some() {
                actions.push(Action::ExecuteLate(number));
            }
            if holder.at == At::Held {
                if holder.flight == Flight::None {
                    actions.push(Action::Finish(number));
                }
                actions.push(Action::Die(number));
            }
        }
        if state.now < self.last_now {
            actions.push(Action::Tick);
        }
        if state.starts < self.starts {
            actions.push(Action::Restart);
            if self.goes_back && state.backup.is_some() {
                actions.extend([Action::FailOver, Action::Restore]);
            } else if self.goes_back {
                actions.push(Action::BackUp);
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        Some(self.step(last, action))
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.tables.rows.iter().all(|row| row.until <= self.last_tick && row.token <= self.tokens)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let twice = |_: &Realm, state: &State| !state.issued.iter().any(Issued::twice);
        let mut properties = vec![Property::always(NO_TICK_TWICE, twice)];
        if self.without.is_none() {
            properties.push(Property::always(PROGRESS, Realm::recovers));
            properties.push(Property::sometimes("a second tenure", |_, state: &State| {
                state.holders.iter().any(|holder| holder.at == At::Held && holder.token > 1)
            }));
        }
        properties
    }
}
