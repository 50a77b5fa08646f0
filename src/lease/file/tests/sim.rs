//! A disk in memory that can fail, crash, and be anything that POSIX allows it to be after that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lease::file::disk::Disk;

/// The one directory there is.
pub(super) const DIR: &str = "/store";

/// A disk as processes see it, and what of it is there for good.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    files: Vec<File>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Changes of names since the directory was synced: a crash keeps any of them.
    pending: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync: an offset and the bytes. A crash keeps any of it, and any part of it.
    unsynced: Vec<Write>,
    /// What was written before a sync that failed. The kernel takes it for written, and a later sync does not write it.
    given_up: Vec<Write>,
}

type Write = (usize, Vec<u8>);

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl File {
    fn new(content: &[u8]) -> Self {
        File { content: content.into(), durable: content.into(), ..File::default() }
    }

    fn sync(&mut self) {
        for (offset, bytes) in self.unsynced.drain(..) {
            write(&mut self.durable, offset, &bytes);
            // Written over for good.
            self.given_up.retain(|(given_up, _)| *given_up != offset);
        }
    }

    /// The contents that a crash may leave, but for the one that is synced.
    fn torn(&self, tears: Tears) -> Vec<Vec<u8>> {
        let writes: Vec<&Write> = self.given_up.iter().chain(&self.unsynced).collect();
        let mut contents = Vec::new();
        for kept in 0..1_u32 << writes.len() {
            let mut whole = self.durable.clone();
            for (_, (offset, bytes)) in writes.iter().enumerate().filter(|(i, _)| kept >> i & 1 == 1) {
                write(&mut whole, *offset, bytes);
            }
            contents.push(whole.clone());
            // And one more, of which only a part has reached the disk.
            for (_, (offset, bytes)) in writes.iter().enumerate().filter(|(i, _)| kept >> i & 1 == 0) {
                for length in tears.lengths(bytes.len()) {
                    let (head, tail) = bytes.split_at(length);
                    let mut zeros = head.to_vec();
                    zeros.resize(bytes.len(), 0);
                    for (at, part) in [(*offset, head), (offset + length, tail), (*offset, &zeros)] {
                        let mut torn = whole.clone();
                        write(&mut torn, at, part);
                        contents.push(torn);
                    }
                }
            }
        }
        contents
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(String, usize),
    Remove(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Set(name, file) => drop(names.insert(name.clone(), *file)),
            Change::Remove(name) => drop(names.remove(name)),
        }
    }
}

impl Machine {
    /// What a crash may leave. `tears` says at how many places an unsynced file is torn: all of them, or a few.
    pub(super) fn crashes(&self, tears: Tears) -> Vec<Machine> {
        let mut outcomes = Vec::new();
        for kept in 0..1_u32 << self.pending.len() {
            let mut names = self.durable.clone();
            for (_, change) in self.pending.iter().enumerate().filter(|(i, _)| kept >> i & 1 == 1) {
                change.apply(&mut names);
            }
            let outcome = |contents: &dyn Fn(usize) -> Vec<u8>| {
                let files = (0..self.files.len()).map(|index| File::new(&contents(index))).collect();
                Machine { files, live: names.clone(), durable: names.clone(), pending: Vec::new() }
            };
            outcomes.push(outcome(&|index| self.files[index].durable.clone()));
            let torn: HashSet<usize> =
                names.values().copied().filter(|&i| self.files[i].content != self.files[i].durable).collect();
            for torn in torn {
                for content in self.files[torn].torn(tears) {
                    let pick = |i: usize| if i == torn { content.clone() } else { self.files[i].content.clone() };
                    outcomes.push(outcome(&pick));
                }
            }
        }
        outcomes
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tears {
    AtEveryByte,
    AtSome,
}

impl Tears {
    fn lengths(self, whole: usize) -> Vec<usize> {
        match self {
            Tears::AtEveryByte => (0..=whole).collect(),
            Tears::AtSome => vec![0, whole / 2, whole],
        }
    }
}

/// How a disk treats what it is asked: well, or otherwise for the tests that must find that out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Habit {
    #[default]
    Good,
    NoFileSync,
    NoDirSync,
    /// A write in place makes another file, which takes the record's name.
    Replaces,
    /// A holder looks for its own name before it looks for the next one.
    OwnNameFirst,
    /// Later records are removed before earlier ones.
    LatestFirst,
    /// A record is read as it was when the process read it first.
    ReadsEarly,
    /// A link takes the place of a file that is there.
    LinkOver,
    /// No process sees the records that others have created.
    Blind,
}

/// What happens at which step, if anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    pub(super) trouble: Option<(usize, Trouble)>,
    /// From this step on nothing happens any more.
    pub(super) crash: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The step fails and does nothing, or half of a write.
    Fails,
    /// The step fails but is done.
    FailsDone,
    /// The process is killed: this step and all others fail until [`SimDisk::restart`].
    Killed,
    /// From this step on every change fails.
    Full,
}

type Gate = Arc<dyn Fn() + Send + Sync>;

/// A process's view of a disk.
#[derive(Clone)]
pub(super) struct SimDisk {
    pub(super) machine: Arc<Mutex<Machine>>,
    locks: Arc<Mutex<HashSet<PathBuf>>>,
    /// Whether they keep others out.
    locks_work: bool,
    habit: Habit,
    plan: Plan,
    state: Arc<Mutex<State>>,
    /// Is called before each step that other processes can see or that sees theirs.
    gate: Option<Gate>,
}

#[derive(Default)]
struct State {
    steps: usize,
    killed: bool,
    /// The files this process has linked.
    linked: Vec<String>,
    /// What the process has read.
    read: HashMap<String, Vec<u8>>,
    /// Whether its own record was there just before it looked for the next one.
    own_name: Option<bool>,
    /// The file that has taken the place of another one.
    replaced: HashMap<usize, usize>,
}

impl core::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SimDisk").field("plan", &self.plan).finish_non_exhaustive()
    }
}

enum Verdict {
    Do,
    DoAndFail(io::Error),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn is_store(dir: &Path) -> bool {
    dir == Path::new(DIR)
}

impl SimDisk {
    pub(super) fn new(machine: Machine, habit: Habit, plan: Plan) -> Self {
        SimDisk {
            machine: Arc::new(Mutex::new(machine)),
            locks: Arc::default(),
            locks_work: true,
            habit,
            plan,
            state: Arc::default(),
            gate: None,
        }
    }

    /// A disk whose locks anybody can have at any time.
    pub(super) fn without_locks(habit: Habit) -> Self {
        SimDisk { locks_work: false, ..SimDisk::new(Machine::default(), habit, Plan::default()) }
    }

    /// The same machine and its locks, seen by another process.
    pub(super) fn process(&self, gate: Option<Gate>) -> Self {
        SimDisk { state: Arc::default(), gate, ..self.clone() }
    }

    /// The same process, for which something happens.
    pub(super) fn with(self, plan: Plan) -> Self {
        SimDisk { plan, ..self }
    }

    /// Starts the process again after it was killed; whether it was.
    pub(super) fn restart(&self) -> bool {
        std::mem::take(&mut locked(&self.state).killed)
    }

    pub(super) fn steps(&self) -> usize {
        locked(&self.state).steps
    }

    /// Whether the crash has come.
    pub(super) fn crashed(&self) -> bool {
        self.plan.crash.is_some_and(|crash| locked(&self.state).steps > crash)
    }

    pub(super) fn machine(&self) -> Machine {
        locked(&self.machine).clone()
    }

    /// Puts a file there, as somebody else may have.
    pub(super) fn put(&self, name: &str, content: &[u8]) {
        let mut machine = locked(&self.machine);
        let index = machine.files.len();
        machine.files.push(File::new(content));
        machine.change(Change::Set(name.into(), index));
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let machine = locked(&self.machine);
        machine.files[machine.live[name]].content.clone()
    }

    pub(super) fn names(&self) -> Vec<String> {
        locked(&self.machine).live.keys().cloned().collect()
    }

    fn step(&self, changes: bool) -> io::Result<Verdict> {
        let mut state = locked(&self.state);
        let step = state.steps;
        state.steps += 1;
        if state.killed || self.plan.crash.is_some_and(|crash| step >= crash) {
            return Err(ErrorKind::Other.into());
        }
        match self.plan.trouble {
            Some((at, Trouble::Fails)) if at == step => Err(ErrorKind::StorageFull.into()),
            Some((at, Trouble::FailsDone)) if at == step => Ok(Verdict::DoAndFail(ErrorKind::Interrupted.into())),
            Some((at, Trouble::Killed)) if at == step => {
                state.killed = true;
                Err(ErrorKind::Other.into())
            }
            Some((at, Trouble::Full)) if at <= step && changes => Err(ErrorKind::ReadOnlyFilesystem.into()),
            _ => Ok(Verdict::Do),
        }
    }

    /// Takes a step: `done` if it is done, `failed` if it is not and the process lives to see it.
    fn act<T>(
        &self,
        changes: bool,
        failed: impl FnOnce(&mut Machine),
        done: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        let verdict = self.step(changes);
        let mut machine = locked(&self.machine);
        match verdict {
            Ok(Verdict::Do) => done(&mut machine),
            Ok(Verdict::DoAndFail(error)) => done(&mut machine).and(Err(error)),
            Err(error) => {
                if error.kind() == ErrorKind::StorageFull {
                    failed(&mut machine);
                }
                Err(error)
            }
        }
    }

    /// The file that a file of this process has become.
    fn current(&self, file: usize) -> usize {
        locked(&self.state).replaced.get(&file).copied().unwrap_or(file)
    }

    fn pass_gate(&self) {
        if let Some(gate) = &self.gate {
            gate();
        }
    }
}

fn find(machine: &Machine, path: &Path) -> io::Result<usize> {
    machine.live.get(&name(path)).copied().ok_or_else(|| ErrorKind::NotFound.into())
}

/// The token of a record, by its name.
fn token(name: &str) -> Option<u64> {
    name.strip_prefix("node-")?.split_once('.')?.1.parse().ok()
}

impl Disk for SimDisk {
    type File = usize;
    type Lock = SimLock;

    fn create_dirs(&self, _: &Path) -> io::Result<()> {
        self.act(true, |_| {}, |_| Ok(()))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        self.pass_gate();
        let names = self.act(false, |_| {}, |machine| Ok(machine.live.keys().cloned().collect::<Vec<_>>()))?;
        let linked = &locked(&self.state).linked;
        // The first tenure's, with token 1, is there for all to see.
        let seen = |name: &String| self.habit != Habit::Blind || name.ends_with(".1") || linked.contains(name);
        Ok(names.into_iter().filter(seen).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.pass_gate();
        let read = self.act(false, |_| {}, |machine| Ok(machine.files[find(machine, path)?].content.clone()))?;
        let mut state = locked(&self.state);
        if self.habit != Habit::ReadsEarly || state.linked.contains(&name(path)) {
            return Ok(read);
        }
        Ok(state.read.entry(name(path)).or_insert(read).clone())
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        let create = |machine: &mut Machine| {
            if machine.live.contains_key(&name(path)) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            machine.files.push(File::default());
            let index = machine.files.len() - 1;
            machine.change(Change::Set(name(path), index));
            Ok(index)
        };
        self.act(true, |_| {}, create)
    }

    fn write(&self, original: &usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        // A file of no one else's needs no gate.
        let mut in_place = !locked(&self.machine).files[*original].content.is_empty();
        if in_place {
            self.pass_gate();
        }
        in_place &= self.habit == Habit::Replaces;
        let put = |machine: &mut Machine, bytes: &[u8]| {
            let mut file = self.current(*original);
            if in_place {
                let mut state = locked(&self.state);
                machine.files.push(machine.files[file].clone());
                file = machine.files.len() - 1;
                state.replaced.insert(*original, file);
                let own = state.linked.last().unwrap().clone();
                machine.change(Change::Set(own, file));
            }
            let file = &mut machine.files[file];
            write(&mut file.content, offset, bytes);
            file.unsynced.push((offset, bytes.into()));
        };
        let half = |machine: &mut Machine| put(machine, &bytes[..bytes.len() / 2]);
        let whole = |machine: &mut Machine| {
            put(machine, bytes);
            Ok(())
        };
        self.act(true, half, whole)
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let file = self.current(*file);
        let give_up = |machine: &mut Machine| {
            let file = &mut machine.files[file];
            file.given_up.append(&mut file.unsynced);
        };
        let sync = |machine: &mut Machine| {
            if self.habit != Habit::NoFileSync {
                machine.files[file].sync();
            }
            Ok(())
        };
        self.act(true, give_up, sync)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        if self.habit == Habit::OwnNameFirst {
            let mut state = locked(&self.state);
            let there = state.linked.last().map(|own| locked(&self.machine).live.contains_key(own));
            state.own_name = there;
        }
        self.pass_gate();
        let seen = self.habit != Habit::Blind || locked(&self.state).linked.contains(&name(path));
        self.act(false, |_| {}, |machine| Ok(seen && machine.live.contains_key(&name(path))))
    }

    fn names(&self, path: &Path, file: &usize) -> io::Result<bool> {
        let before = locked(&self.state).own_name.take();
        self.pass_gate();
        let file = self.current(*file);
        self.act(false, |_| {}, |machine| Ok(before.unwrap_or(machine.live.get(&name(path)) == Some(&file))))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass_gate();
        locked(&self.state).linked.push(name(to));
        let link = |machine: &mut Machine| {
            let file = find(machine, from)?;
            if machine.live.contains_key(&name(to)) && self.habit != Habit::LinkOver {
                return Err(ErrorKind::AlreadyExists.into());
            }
            machine.change(Change::Set(name(to), file));
            Ok(())
        };
        self.act(true, |_| {}, link)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut name = name(path);
        // A file of no one else's needs no gate.
        if path.extension().is_none_or(|extension| extension != "tmp") {
            self.pass_gate();
        }
        let remove = |machine: &mut Machine| {
            find(machine, path)?;
            if self.habit == Habit::LatestFirst && token(&name).is_some() {
                let own = locked(&self.state).linked.last().and_then(|own| token(own));
                let earlier = machine.live.keys().filter(|other| token(other).is_some() && token(other) < own);
                name = earlier.max_by_key(|other| token(other)).unwrap().clone();
            }
            machine.change(Change::Remove(name));
            Ok(())
        };
        self.act(true, |_| {}, remove)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let sync = |machine: &mut Machine| {
            if is_store(dir) && self.habit != Habit::NoDirSync {
                machine.durable = machine.live.clone();
                machine.pending.clear();
            }
            Ok(())
        };
        self.act(true, |_| {}, sync)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<SimLock>> {
        self.step(true)?;
        let taken = locked(&self.locks).insert(path.into());
        let lock = SimLock { path: path.into(), locks: Arc::clone(&self.locks) };
        if taken || !self.locks_work {
            Ok(Some(lock))
        } else {
            std::mem::forget(lock);
            Ok(None)
        }
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.step(false)?;
        Ok(locked(&self.locks).contains(path))
    }

    fn names_lock(&self, _: &Path, _: &SimLock) -> io::Result<bool> {
        self.act(false, |_| {}, |_| Ok(true))
    }

    fn touch(&self, _: &SimLock) -> io::Result<()> {
        self.act(true, |_| {}, |_| Ok(()))
    }
}

#[derive(Debug)]
pub(super) struct SimLock {
    path: PathBuf,
    locks: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        locked(&self.locks).remove(&self.path);
    }
}
