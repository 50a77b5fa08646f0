//! The file store: a record for each tenure, created by a link and never replaced.
//!
//! | model | code in `lease/file/store.rs` |
//! |---|---|
//! | [`Step::Write`], [`Step::Link`], [`Step::SyncDir`] | `take`: the record is written and synced under a temporary name, gets its name by a link that fails if the name exists, and the directory is synced |
//! | [`Step::BeginList`], [`Step::List`], [`Step::ReadFloor`] | `take`: the second listing, then the `until` of every earlier record |
//! | [`Step::Tidy`] | `take`: removes one earlier record, the lowest token first |
//! | [`Step::Overwrite`], [`Step::SyncFile`] | `renew`: writes the older of the record's two slots through the held descriptor, then `fdatasync` |
//! | [`Step::NoNext`], [`Step::OwnName`] | `take` and `renew`: check B, no name TOKEN + 1; check A, the own name is there and is the own file |
//! | [`Step::Finish`], [`Step::GiveBack`] | `Generator::finish`, and `release`: the first free tick into the older slot |
//!
//! # What is abstracted away
//!
//! - Locks: they keep nobody out here. Nodes are independent, so there is one.
//! - A record is the `until` that was synced, and the one that was written since. A crash leaves
//!   either. A slot that is torn, or is being written, is one of the two: its reader takes the `reach`
//!   of the other slot, which is no less than what was to be written.
//! - A listing is not atomic: it may miss a name that came or went since it began, or show it.
//! - A crash of the machine leaves, for each name, any entry that it had since the directory was last
//!   synced, and ends all processes. Once no crash is to come, writing and syncing are one step.
//!
//! # The bounds
//!
//! The numbers of processes, of tokens, of ticks and of crashes of a run are in [`Directory`].

use stateright::{Model, Property};

use crate::{Issued, NO_TICK_TWICE, PROGRESS};

/// The most processes.
const PROCESSES: usize = 3;

/// Names of records: the bound on tokens, and room for the steps that show progress.
const NAMES: usize = 6;

const INODES: usize = 8;

/// A rule of the protocol that a variant lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An ID is issued only inside the window, not while the lease looks valid.
    WithinTheWindow,
    /// The window is extended after the renewal is acknowledged.
    RaiseAfterAcknowledgement,
    /// The floor is read after the own record is in the directory.
    FloorAfterOwnRecord,
    /// A release first closes the generator for all threads.
    ReleaseAlone,
    /// The directory is synced after the link.
    SyncDirectory,
    /// Check B (no later name) comes before check A (the own name).
    LaterBeforeOwn,
    /// Earlier records are removed in ascending order.
    Ascending,
    /// A renewal writes into the record's own file.
    InPlace,
    /// An acquire reads the floor, then checks that there is no later tenure.
    LaterAfterFloor,
}

/// A directory, its processes and the bounds of the exploration.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The rule that is left out, if any.
    pub without: Option<Rule>,
    /// How many processes take the node.
    pub processes: usize,
    /// The length of a window.
    pub window: u8,
    /// What the clocks read of those that take the node: up to this tick. A renewal is by any clock.
    pub clocks: u8,
    /// The largest token that is taken.
    pub tokens: u8,
    /// The largest `until` that is asked for.
    pub last_tick: u8,
    /// How often the machine crashes.
    pub crashes: u8,
}

/// A file with the two slots of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Inode {
    /// The `until` in the slot that was synced last.
    synced: u8,
    /// The `until` in the other slot, if it was written since.
    written: Option<u8>,
}

impl Inode {
    /// The `until` that a reader finds.
    fn until(self) -> u8 {
        self.written.unwrap_or(self.synced)
    }
}

/// A name in the directory. An entry is 0 where there is none, else one more than the inode's number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Name {
    entry: u8,
    /// Every entry that a crash may leave, as bits.
    crash: u16,
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{:b}", self.entry, self.crash)
    }
}

/// What a process does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    #[default]
    Idle,
    Written,
    Linked,
    Durable,
    /// Lists the directory, in which there were these tokens when it began.
    Listing(u8),
    /// Has listed these earlier tokens, as bits.
    Listed(u8),
    /// Has read the floor, and lacks check B and check A. These tokens are earlier.
    Read(u8),
    /// Lacks the second check.
    ReadChecked(u8),
    /// Has these tokens to remove.
    Tidying(u8),
    Held,
    /// Has written this `until`, and has not synced it.
    Overwritten(u8),
    /// Lacks check B and check A.
    Synced(u8),
    /// Lacks the second check.
    Checked(u8),
    /// Has closed its generator.
    Finished,
    /// Has written the first free tick, and has not synced it.
    GivenBack,
}

/// A process, and the tenure that it takes or has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Process {
    at: At,
    token: u8,
    /// The open record, as an entry.
    file: u8,
    floor: u8,
    until: u8,
    /// The first free tick.
    next: u8,
    /// Whether it has found its lease valid, in the variant that asks.
    valid: bool,
}

/// The directory, its processes, and what was issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    names: [Name; NAMES],
    inodes: [Inode; INODES],
    processes: [Process; PROCESSES],
    issued: Issued,
    crashes: u8,
}

/// A step of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads the records that there are, and writes and syncs its own, without a name, by this clock.
    Write {
        /// What the clock reads.
        now: u8,
    },
    /// Gives the record its name.
    Link,
    /// Syncs the directory.
    SyncDir,
    /// Begins to list the node's records.
    BeginList,
    /// Ends the listing. It may miss names that came or went since it began.
    List {
        /// The tokens that it misses or shows although they are gone, as bits.
        wrong: u8,
    },
    /// Reads the earlier records, and has the floor.
    ReadFloor,
    /// Removes an earlier record.
    Tidy,
    /// Issues up to this tick, which is not issued itself.
    Issue {
        /// The first tick that is not issued.
        to: u8,
    },
    /// Finds its lease valid, in the variant that asks.
    FindValid,
    /// Writes this `until` into the older slot.
    Overwrite {
        /// The end of the window that is asked for.
        until: u8,
    },
    /// Syncs the record.
    SyncFile,
    /// Check B: no name TOKEN + 1.
    NoNext,
    /// Check A: the own name is there, and is the own file.
    OwnName,
    /// Fails before the end of a renewal: its outcome is unknown.
    Fail,
    /// Closes the generator.
    Finish,
    /// Writes the first free tick into the older slot.
    GiveBack,
    /// Is killed.
    Die,
}

/// A step of a process or of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A process does its next step.
    Process(usize, Step),
    /// The machine crashes; these entries and the unsynced slots with these bits are left.
    Crash {
        /// The entry of each name.
        entries: [u8; NAMES],
        /// The inodes whose unsynced slot has reached the disk.
        kept: u16,
    },
}

impl State {
    fn name(&mut self, token: u8) -> &mut Name {
        &mut self.names[usize::from(token) - 1]
    }

    fn set_name(&mut self, token: u8, entry: u8) {
        let name = self.name(token);
        name.crash |= 1 << name.entry | 1 << entry;
        name.entry = entry;
    }

    fn sync_dir(&mut self) {
        for name in &mut self.names {
            name.crash = 1 << name.entry;
        }
    }

    fn inode(&mut self, entry: u8) -> &mut Inode {
        &mut self.inodes[usize::from(entry) - 1]
    }

    /// The tokens in the directory, as bits.
    fn tokens(&self) -> u8 {
        (0..NAMES).filter(|&i| self.names[i].entry != 0).fold(0, |bits, i| bits | 1 << (i + 1))
    }

    /// The largest `until` of the records with these tokens; `None` if one is gone.
    fn past(&self, tokens: u8) -> Option<u8> {
        let mut until = 0;
        for token in bits(tokens) {
            let entry = self.names[usize::from(token) - 1].entry;
            if entry == 0 {
                return None;
            }
            until = until.max(self.inodes[usize::from(entry) - 1].until());
        }
        Some(until)
    }

    /// Makes a file without a name.
    fn create(&mut self, until: u8) -> u8 {
        let used = self.used();
        let entry = (1..=8_u8).find(|entry| used & 1 << entry == 0).unwrap_or(1);
        *self.inode(entry) = Inode { synced: until, written: None };
        entry
    }

    /// The entries of the files that are open, have a name, or may have one after a crash, as bits.
    fn used(&self) -> u16 {
        let named = self.names.iter().fold(0, |bits, name| bits | name.crash | 1 << name.entry);
        self.processes.iter().fold(named, |bits, process| bits | 1 << process.file)
    }

    /// Forgets files that nobody can read any more, so that equal states are equal.
    fn collect(&mut self) {
        let used = self.used();
        for (i, inode) in self.inodes.iter_mut().enumerate() {
            if used & 1 << (i + 1) == 0 {
                *inode = Inode::default();
            }
        }
    }
}

fn bits(set: u8) -> impl DoubleEndedIterator<Item = u8> {
    (0..8).filter(move |bit| set & 1 << bit != 0)
}

impl Directory {
    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    /// The steps that a process can do next, without those of its failures.
    fn steps(&self, state: &State, process: &Process, clocks: u8, steps: &mut Vec<Step>) {
        match process.at {
            At::Idle => steps.extend((0..=clocks).map(|now| Step::Write { now })),
            At::Written => steps.push(Step::Link),
            At::Linked if !self.lacks(Rule::SyncDirectory) => steps.push(Step::SyncDir),
            // Nobody else changes the directory meanwhile.
            At::Linked | At::Durable if self.processes == 1 => steps.push(Step::List { wrong: 0 }),
            At::Linked | At::Durable => steps.push(Step::BeginList),
            At::Listing(before) => {
                let changed = before ^ state.tokens();
                steps.extend((0..=changed).filter(|wrong| wrong & !changed == 0).map(|wrong| Step::List { wrong }));
            }
            At::Listed(_) => steps.push(Step::ReadFloor),
            At::Read(_) if self.lacks(Rule::LaterAfterFloor) => steps.push(Step::OwnName),
            At::Read(_) if self.lacks(Rule::LaterBeforeOwn) => steps.push(Step::OwnName),
            At::Read(_) => steps.push(Step::NoNext),
            At::ReadChecked(_) if self.lacks(Rule::LaterBeforeOwn) => steps.push(Step::NoNext),
            At::ReadChecked(_) => steps.push(Step::OwnName),
            At::Tidying(_) => steps.push(Step::Tidy),
            At::Held => {
                steps.push(Step::Finish);
                steps.extend((process.until + 1..=self.last_tick).map(|until| Step::Overwrite { until }));
            }
            At::Overwritten(_) if self.lacks(Rule::InPlace) => steps.push(Step::SyncDir),
            At::Overwritten(_) | At::GivenBack => steps.push(Step::SyncFile),
            At::Synced(_) if self.lacks(Rule::LaterBeforeOwn) => steps.push(Step::OwnName),
            At::Synced(_) => steps.push(Step::NoNext),
            At::Checked(_) if self.lacks(Rule::LaterBeforeOwn) => steps.push(Step::NoNext),
            At::Checked(_) => steps.push(Step::OwnName),
            At::Finished => steps.push(Step::GiveBack),
        }
        let open = match process.at {
            At::Held | At::Overwritten(_) | At::Synced(_) | At::Checked(_) => true,
            At::Finished | At::GivenBack => self.lacks(Rule::ReleaseAlone),
            _ => false,
        };
        if open {
            let raised = match process.at {
                At::Overwritten(until) | At::Synced(until) | At::Checked(until)
                    if self.lacks(Rule::RaiseAfterAcknowledgement) =>
                {
                    until
                }
                _ => process.until,
            };
            if self.lacks(Rule::WithinTheWindow) {
                if process.valid {
                    // Whatever the clock reads by now.
                    steps.extend((process.next + 1..=self.last_tick).map(|to| Step::Issue { to }));
                } else {
                    steps.push(Step::FindValid);
                }
            } else {
                steps.extend((process.next + 1..=raised).map(|to| Step::Issue { to }));
            }
        }
    }

    /// Once no crash is to come, what is written is as good as synced: the steps that sync are left out.
    fn settle(&self, state: &mut State) {
        if state.crashes < self.crashes {
            return;
        }
        state.sync_dir();
        for inode in &mut state.inodes {
            *inode = Inode { synced: inode.until(), written: None };
        }
        for process in &mut state.processes {
            process.at = match process.at {
                At::Linked => At::Durable,
                At::Overwritten(until) => At::Synced(until),
                At::GivenBack if !self.lacks(Rule::ReleaseAlone) => At::Idle,
                at => at,
            };
        }
    }

    /// Forgets what no later step depends on, so that equal states are equal.
    fn canonical(&self, state: &mut State) {
        self.settle(state);
        for process in &mut state.processes {
            match process.at {
                At::Idle => *process = Process::default(),
                At::Finished | At::GivenBack if !self.lacks(Rule::ReleaseAlone) => {
                    (process.until, process.token, process.floor) = (0, 0, 0);
                }
                At::Held | At::Overwritten(_) | At::Synced(_) | At::Checked(_) => process.floor = 0,
                _ => {}
            }
        }
        if self.without.is_none() {
            state.processes.sort_unstable();
        }
        state.collect();
    }

    fn process(&self, state: &mut State, number: usize, step: Step) {
        let mut process = state.processes[number];
        let token = process.token;
        match (step, process.at) {
            (Step::Write { now }, _) => {
                let tokens = state.tokens();
                let Some(before) = state.past(tokens) else { return };
                let until = before.max(now) + self.window;
                let file = state.create(until);
                let token = bits(tokens).next_back().unwrap_or(0) + 1;
                process = Process { at: At::Written, token, file, floor: before, until, ..process };
            }
            (Step::Link, _) => {
                if state.name(token).entry != 0 {
                    process = Process::default();
                } else {
                    state.set_name(token, process.file);
                    process.at = At::Linked;
                }
            }
            (Step::SyncDir, At::Overwritten(until)) => {
                state.sync_dir();
                process.at = At::Synced(until);
            }
            (Step::SyncDir, _) => {
                state.sync_dir();
                process.at = At::Durable;
            }
            (Step::BeginList, _) => process.at = At::Listing(state.tokens()),
            (Step::List { wrong }, _) => {
                let tokens = state.tokens() ^ wrong;
                let earlier = tokens & ((1 << token) - 1);
                // No later one, but for the own name, which may have gone.
                let last = tokens >> token <= 1;
                process = if last { Process { at: At::Listed(earlier), ..process } } else { Process::default() };
            }
            (Step::ReadFloor, At::Listed(earlier)) => {
                let floor =
                    if self.lacks(Rule::FloorAfterOwnRecord) { Some(process.floor) } else { state.past(earlier) };
                process = match floor.map(|floor| floor.max(process.floor)) {
                    Some(floor) if floor <= process.until => {
                        Process { at: At::Read(earlier), floor, next: floor, ..process }
                    }
                    _ => Process::default(),
                };
            }
            (Step::Tidy, At::Tidying(earlier)) => {
                let mut left = bits(earlier);
                let first = if self.lacks(Rule::Ascending) { left.next_back() } else { left.next() };
                let first = first.unwrap_or(1);
                state.set_name(first, 0);
                let left = earlier & !(1 << first);
                process.at = if left == 0 { At::Held } else { At::Tidying(left) };
            }
            (Step::Issue { to }, _) => {
                state.issued.issue(process.next..to);
                process.next = to;
                process.valid = false;
            }
            (Step::FindValid, _) => process.valid = true,
            (Step::Overwrite { until }, _) => {
                if self.lacks(Rule::InPlace) {
                    process.file = state.create(until);
                    state.set_name(token, process.file);
                } else {
                    state.inode(process.file).written = Some(until);
                }
                process.at = At::Overwritten(until);
            }
            (Step::SyncFile, at) => {
                let inode = state.inode(process.file);
                *inode = Inode { synced: inode.until(), written: None };
                process = match at {
                    At::Overwritten(until) => Process { at: At::Synced(until), ..process },
                    _ => Process::default(),
                };
            }
            (Step::NoNext | Step::OwnName, at) => {
                let fine = match step {
                    Step::NoNext => state.name(token + 1).entry == 0,
                    _ => state.name(token).entry == process.file,
                };
                process = match at {
                    _ if !fine => Process::default(),
                    At::Read(earlier) if !self.lacks(Rule::LaterAfterFloor) => {
                        Process { at: At::ReadChecked(earlier), ..process }
                    }
                    At::Read(0) | At::ReadChecked(0) => Process { at: At::Held, ..process },
                    At::Read(earlier) | At::ReadChecked(earlier) => Process { at: At::Tidying(earlier), ..process },
                    At::Synced(until) => Process { at: At::Checked(until), ..process },
                    At::Checked(until) => Process { at: At::Held, until, ..process },
                    _ => process,
                };
            }
            (Step::Fail, _) => process.at = At::Held,
            (Step::Finish, _) => process.at = At::Finished,
            (Step::GiveBack, _) => {
                state.inode(process.file).written = Some(process.next);
                process.at = At::GivenBack;
            }
            (Step::Die, _) => process = Process::default(),
            (Step::ReadFloor | Step::Tidy, _) => {}
        }
        state.processes[number] = process;
    }

    fn crashes(state: &State, actions: &mut Vec<Action>) {
        let mut choices = vec![[0_u8; NAMES]];
        for (i, name) in state.names.iter().enumerate() {
            choices = choices
                .into_iter()
                .flat_map(|entries| {
                    (0..16).filter(|entry| name.crash >> entry & 1 == 1).map(move |entry| {
                        let mut entries = entries;
                        entries[i] = entry;
                        entries
                    })
                })
                .collect();
        }
        let dirty: u16 = state
            .inodes
            .iter()
            .enumerate()
            .filter(|(_, inode)| inode.written.is_some())
            .fold(0, |b, (i, _)| b | 1 << i);
        for entries in choices {
            // Every subset of the unsynced slots.
            let mut kept = dirty;
            loop {
                actions.push(Action::Crash { entries, kept });
                if kept == 0 {
                    break;
                }
                kept = (kept - 1) & dirty;
            }
        }
    }

    /// Whether each process comes to issue once it is alone with the directory.
    fn recovers(&self, state: &State) -> bool {
        (0..PROCESSES).all(|number| {
            let mut alone = state.clone();
            alone.processes = [Process::default(); PROCESSES];
            alone.processes[0] = state.processes[number];
            number != 0 && alone.processes[0].at == At::Idle || self.issues(alone)
        })
    }

    /// Whether the first process comes to issue.
    fn issues(&self, mut state: State) -> bool {
        // Its clock passes all windows.
        let free = Directory { last_tick: 24, ..self.clone() };
        let issued = state.issued.ticks;
        let mut steps = Vec::new();
        for _ in 0..40 {
            let process = state.processes[0];
            steps.clear();
            free.steps(&state, &process, 0, &mut steps);
            let step = match process.at {
                At::Held if process.next < process.until => Step::Issue { to: process.until },
                At::Held => Step::Overwrite { until: process.until + 1 },
                _ => steps[0],
            };
            free.process(&mut state, 0, step);
            state.collect();
            if state.issued.ticks != issued {
                return true;
            }
        }
        false
    }
}

impl Model for Directory {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let names = [Name { entry: 0, crash: 1 }; NAMES];
        let (inodes, processes) = ([Inode::default(); INODES], [Process::default(); PROCESSES]);
        let empty = State { names, inodes, processes, issued: Issued::default(), crashes: 0 };
        let mut held = empty.clone();
        let until = self.window;
        held.processes[0] = Process { at: At::Held, token: 1, file: held.create(until), until, ..Process::default() };
        held.names[0] = Name { entry: 1, crash: 1 << 1 };
        // One holds the node, and another one has begun to take it; the same after a renewal.
        self.process(&mut held, 1, Step::Write { now: 0 });
        let mut renewed = held.clone();
        renewed.inodes[0].synced = 2 * until;
        renewed.processes[0].until = 2 * until;
        renewed.issued.issue(0..2 * until);
        renewed.processes[0].next = 2 * until;
        if self.processes == 1 { vec![empty] } else { vec![empty, held, renewed] }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut steps = Vec::new();
        for number in 0..self.processes {
            let process = &state.processes[number];
            steps.clear();
            let first_of_last = bits(state.tokens()).next_back().unwrap_or(0) + 1;
            if process.at != At::Idle || first_of_last <= self.tokens {
                self.steps(state, process, self.clocks, &mut steps);
            }
            match process.at {
                At::Idle => {}
                At::Overwritten(_) | At::Synced(_) | At::Checked(_) => steps.extend([Step::Fail, Step::Die]),
                _ => steps.push(Step::Die),
            }
            actions.extend(steps.iter().map(|&step| Action::Process(number, step)));
        }
        if state.crashes < self.crashes {
            Directory::crashes(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Process(number, step) => self.process(&mut state, number, step),
            Action::Crash { entries, kept } => {
                for (name, entry) in state.names.iter_mut().zip(entries) {
                    *name = Name { entry, crash: 1 << entry };
                }
                for (i, inode) in state.inodes.iter_mut().enumerate() {
                    let synced = if kept >> i & 1 == 1 { inode.until() } else { inode.synced };
                    *inode = Inode { synced, written: None };
                }
                state.processes = [Process::default(); PROCESSES];
                state.crashes += 1;
            }
        }
        self.canonical(&mut state);
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.processes.iter().all(|process| process.until <= self.last_tick)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(NO_TICK_TWICE, |_, state: &State| !state.issued.twice())];
        if self.without.is_none() {
            properties.push(Property::always(PROGRESS, Directory::recovers));
            properties.push(Property::sometimes(
                "a record that was renewed is followed",
                |model: &Directory, state: &State| {
                    state.processes.iter().any(|p| p.at == At::Held && p.token > 1 && p.next > model.window + 1)
                },
            ));
        }
        properties
    }
}
