//! Two holders that want one node: each has a timeline, a keeper and two threads that claim. All they share is the store.
//!
//! Their clocks are anything: each reading is a random tick. So nothing but the windows keeps their slots apart.

use std::sync::Arc;
use std::sync::Mutex;

use pyflake::testing::Line;
use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle::thread::JoinHandle;

use crate::{assert_unique, below, fork, join};

/// How far a window reaches beyond the clock or the floor, in ticks.
const WINDOW: u64 = 2;

/// The last tick that a clock shows.
const LAST: u64 = 12;

/// How a lease may be kept wrongly; all `false` is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// The next holder's floor is its clock, and not the end of the last window: the store's fence is missing.
    pub no_fence: bool,
    /// A renewal opens the window before the store has acknowledged it.
    pub early: bool,
    /// A renewal reads the node, and writes it back whoever has it by then: an update is lost.
    pub lost_update: bool,
    /// A release reads the first free slot, and closes the window afterwards.
    pub free_before_close: bool,
}

/// The row of the node: the number of the tenure, and the end of its window.
struct Store {
    row: AtomicU64,
    wrong: Wrong,
}

const fn row(token: u64, until: u64) -> u64 {
    token << 32 | until
}

impl Store {
    fn new(wrong: Wrong) -> Self {
        Store { row: AtomicU64::new(0), wrong }
    }

    /// Takes the node from whoever has it, as if that holder were dead: a new token, the floor and the end.
    fn acquire(&self, now: u64) -> (u64, u64, u64) {
        let mut found = self.row.load(SeqCst);
        loop {
            let (token, until) = (found >> 32, found & 0xffff_ffff);
            let floor = if self.wrong.no_fence { now } else { until };
            let end = floor.max(now) + WINDOW;
            match self.row.compare_exchange(found, row(token + 1, end), SeqCst, SeqCst) {
                Ok(_) => return (token + 1, floor, end),
                Err(seen) => found = seen,
            }
        }
    }

    /// Changes the end of a tenure's window; `None` if the node has another holder.
    fn change(&self, token: u64, end: impl Fn(u64) -> u64) -> Option<u64> {
        let mut found = self.row.load(SeqCst);
        loop {
            if found >> 32 != token {
                return None;
            }
            let until = end(found & 0xffff_ffff);
            if self.wrong.lost_update {
                self.row.store(row(token, until), SeqCst);
                return Some(until);
            }
            match self.row.compare_exchange(found, row(token, until), SeqCst, SeqCst) {
                Ok(_) => return Some(until),
                Err(seen) => found = seen,
            }
        }
    }
}

/// A process.
struct Holder {
    line: Line,
    store: Arc<Store>,
    /// The ticks of all windows that the store has acknowledged. std's: it is for the checks, and no step of the model.
    windows: Mutex<Vec<(u64, u64)>>,
}

impl Holder {
    fn new(store: &Arc<Store>) -> Arc<Self> {
        Arc::new(Holder { line: Line::new(), store: Arc::clone(store), windows: Mutex::default() })
    }

    fn open(&self) -> u64 {
        let (token, floor, until) = self.store.acquire(below(LAST));
        self.windows.lock().expect("no panic").push((floor, until));
        self.line.open(floor, until);
        token
    }

    fn extend(&self, until: u64) {
        if let Some(window) = self.windows.lock().expect("no panic").last_mut() {
            window.1 = until.max(window.1);
        }
        self.line.extend(until);
    }

    /// Renews, loses, releases and takes the node.
    fn keep(&self) {
        let mut token = self.open();
        for _ in 0..3 {
            let until = below(LAST) + WINDOW;
            match below(4) {
                0 => {
                    // It ends as the process is done, or begins anew.
                    let early = self.store.wrong.free_before_close.then(|| self.line.free());
                    let closed = self.line.close();
                    let free = early.unwrap_or(closed);
                    // The next holder may use all ticks that this one has not begun.
                    let _ = self.store.change(token, |until| until.min((free + 4095) >> 12));
                    token = self.open();
                }
                _ if self.store.wrong.early => {
                    self.extend(until);
                    if self.store.change(token, |stored| stored.max(until)).is_none() {
                        self.line.close();
                        token = self.open();
                    }
                }
                _ => match self.store.change(token, |stored| stored.max(until)) {
                    Some(until) => self.extend(until),
                    None => {
                        self.line.close();
                        token = self.open();
                    }
                },
            }
        }
        self.line.close();
    }

    /// Claims single slots and runs; returns all slots.
    fn claim(&self) -> Vec<u64> {
        let mut slots = Vec::new();
        for _ in 0..4 {
            let tick = below(LAST);
            let n = below(3);
            match if n == 0 { self.line.claim(|| tick) } else { self.line.run(n, tick) } {
                Some(first) => slots.extend(first..first + n.max(1)),
                None => shuttle::thread::yield_now(),
            }
        }
        slots
    }

    fn start(self: &Arc<Self>) -> (JoinHandle<()>, [JoinHandle<Vec<u64>>; 2]) {
        (fork(self, Holder::keep), [(); 2].map(|()| fork(self, Holder::claim)))
    }

    /// Checks that every slot is of a tick that the store has granted.
    fn assert_within(&self, slots: &[Vec<u64>]) {
        let windows = self.windows.lock().expect("no panic");
        for slot in slots.iter().flatten() {
            let tick = slot >> 12;
            assert!(windows.iter().any(|(floor, until)| (floor..until).contains(&&tick)), "{tick} lies in no window");
        }
    }
}

/// Two holders, with two threads each, take the node from each other.
///
/// # Panics
///
/// If a slot is claimed twice, or lies in no window.
pub fn two_holders(wrong: Wrong) {
    let store = Arc::new(Store::new(wrong));
    let holders = [(); 2].map(|()| Holder::new(&store));
    let started = holders.each_ref().map(Holder::start);
    let mut all = Vec::new();
    for (holder, (keeper, threads)) in holders.iter().zip(started) {
        let slots = join(threads);
        join([keeper]);
        if wrong == Wrong::default() {
            holder.assert_within(&slots);
        }
        all.extend(slots);
    }
    assert_unique(&all);
}
