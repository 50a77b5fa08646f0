//! The lock-free heart: which slots of a node are claimed.
//!
//! It knows ticks and slots, and nothing of epochs, nodes or clocks. There are two ways to claim:
//!
//! | method | for | how |
//! |---|---|---|
//! | [`add`](Timeline::add) | one slot of the current tick: nearly every claim | one `fetch_add` |
//! | [`claim`](Timeline::claim) | everything else: runs, a new tick, a tick ahead of the clock | a compare-and-swap loop |
//!
//! # Why no slot is claimed twice
//!
//! Every claim is one atomic read-modify-write of the word `state`. It moves the first free slot forward, and takes only
//! slots that it moved past. Read-modify-writes of one word are totally ordered (the word's modification order), whatever
//! their memory ordering, and each reads the value that the one before it wrote. So the claimed runs are disjoint, and
//! increase in that order. That is the whole proof. The claims of one thread increase too, because a thread never sees a
//! word's modification order run backwards.
//!
//! # Why no slot lies outside its window
//!
//! `limit` bounds the tick *inside the ID*, and not the moment of the claim. An ID below a limit that was ever acknowledged
//! is good, however long its caller sleeps before it uses it.
//!
//! - A window opens with no tick begun. `claim` alone begins a tick, and only below the limit. `add` takes slots of a tick
//!   that was begun, so it needs no limit.
//! - `close` sets the bit CLOSED of `state`. After that every addition finds the bit and every compare-and-swap fails. So
//!   the first free slot that `close` returns is final.
//! - `close` also moves `state` to a later tick. So a word of one window never comes back in a later window, where a
//!   compare-and-swap that was prepared in the first one would succeed. (In the last tick of 42 bits it fills the tick
//!   instead: from that word every claim is refused.)

use crossbeam_utils::CachePadded;

use crate::layout::{IDS_PER_TICK, MAX_TICK, TICKS, first_slot, scatter, sequence_of_slot, tick_of_slot};
use crate::sync::{AtomicU32, AtomicU64, Backoff, Counter, Ordering};

/// The claimed slots of one node.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// A [`State`]. Every claim writes it, so it has a cache line of its own.
    state: CachePadded<AtomicU64>,
    bounds: CachePadded<Bounds>,
    /// 1 while a lease of this process governs the window. Two leases would each close the other's.
    governed: AtomicU32,
}

/// The words that claims read and seldom write: all cores share their line.
#[derive(Debug)]
struct Bounds {
    /// A [`Gate`]. It only rises.
    gate: AtomicU64,
    /// One past the last tick that may be claimed.
    limit: AtomicU64,
}

/// The word `gate`: in which tick an addition may be tried.
///
/// It is advice. It lies on a line that all cores share, so that a claim fetches the contended line of `state` once. The
/// value that the addition finds decides.
///
/// A claim opens the gate in the tick that `state` was in before. The first ID of a tick is often the only one, so it
/// leaves the gate alone. A claim ahead of the clock shuts the gate, and so does an addition that claims nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Gate(u64);

impl Gate {
    /// Open for additions in a tick of 42 bits.
    const fn open(tick: u64) -> Self {
        Gate(tick << 1 | 1)
    }

    /// Whether additions may be tried in a tick, which may be any number: a clock before the epoch reads a huge one.
    const fn is_open(self, tick: u64) -> bool {
        self.0 & 1 == 1 && self.0 >> 1 == tick
    }

    /// Shut for good in all ticks before this one.
    const fn shut_below(tick: u64) -> Self {
        Gate(tick << 1)
    }
}

/// The word `state`.
///
/// | bit 63 AHEAD | bit 62 CLOSED | bits 20..=61 | bits 0..=19   | meaning                                         |
/// |--------------|---------------|--------------|---------------|-------------------------------------------------|
/// | 0            | 0             | tick         | claimed slots | the tick has begun: the clock had reached it    |
/// | 0            | 0             | tick         | 4096 and more | the same, and the tick is full                  |
/// | 1            | 0             | tick         | claimed slots | the tick may not have begun                     |
/// | 1            | 1             | tick         | any           | no window is open; the next one begins here or later |
///
/// AHEAD keeps the promise that no ID is handed out before its time. A caller whose clock reads an earlier tick (the clock
/// stepped back, or another core's lags) may go on in a tick that has begun, and waits for one that may not have. Either
/// flag makes the word differ from that of any begun tick, so `add` needs no test of its own for them.
///
/// The number of claimed slots has 8 bits more than a tick has slots. A late addition counts there and claims nothing.
/// Each thread does so at most twice in a tick: once before the tick begins, and once when it is full. A carry into the
/// tick would take a million of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

impl State {
    const AHEAD: u64 = 1 << 63;
    const CLOSED: u64 = 1 << 62;
    const FLAGS: u64 = State::AHEAD | State::CLOSED;
    const TICK_SHIFT: u32 = 20;

    /// The word of a begun tick without claimed slots. It is never stored.
    ///
    /// `state - begin(tick)` is the number of slots that are claimed in a begun `tick`.
    const fn begin(tick: u64) -> u64 {
        tick << State::TICK_SHIFT
    }

    /// All slots below a tick are claimed, and the tick may not have begun.
    const fn ahead_of(tick: u64) -> Self {
        // There is no word for the tick past the last one: the last one is full instead.
        if tick > MAX_TICK { State::after(first_slot(TICKS), true) } else { State(State::AHEAD | State::begin(tick)) }
    }

    /// All slots below `end` are claimed.
    const fn after(end: u64, ahead: bool) -> Self {
        let last = end - 1;
        let state = State::begin(tick_of_slot(last)) + sequence_of_slot(last) + 1;
        State(if ahead { state | State::AHEAD } else { state })
    }

    const fn closed(self) -> Self {
        State(self.0 | State::CLOSED)
    }

    const fn is_ahead(self) -> bool {
        self.0 & State::AHEAD != 0
    }

    const fn is_closed(self) -> bool {
        self.0 & State::CLOSED != 0
    }

    const fn tick(self) -> u64 {
        (self.0 & !State::FLAGS) >> State::TICK_SHIFT
    }

    const fn claimed(self) -> u64 {
        self.0 & ((1 << State::TICK_SHIFT) - 1)
    }

    /// The first slot that is not claimed.
    fn free(self) -> u64 {
        first_slot(self.tick()) + self.claimed().min(IDS_PER_TICK)
    }

    /// One past the last slot that needs no wait, whatever the clock reads.
    fn end_of_begun(self) -> u64 {
        if self.is_ahead() { self.free() } else { first_slot(self.tick() + 1) }
    }

    /// The same word with nothing below the tick `floor` left to claim.
    fn raised(self, floor: u64) -> Self {
        if self.free() >= first_slot(floor) { self } else { State(State::ahead_of(floor).0 | self.0 & State::CLOSED) }
    }

    /// The claim of `least..=most` slots from this state: the new state and the run, or why there is none.
    fn claim(self, wanted: Wanted, at: Instant, spread: Spread, limit: u64) -> Result<(State, Run), Refusal> {
        let Wanted { least, most } = wanted;
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if at.tick >= limit {
            let last_tick = at.tick.saturating_add(tick_of_slot(least - 1));
            return Err(Refusal::Limit { last_tick, limit });
        }
        let free = self.free();
        let first = if tick_of_slot(free) < at.tick { first_slot(at.tick) + spread.start(at.tick, most) } else { free };
        let (most_end, clock_end) = (first.saturating_add(most), first_slot(at.tick + 1));
        if most_end <= clock_end {
            // The clock's tick has room for all: nearly every claim.
            return Ok((State::after(most_end, false), Run { first, len: most, ahead: false }));
        }
        let last_tick = tick_of_slot(first.saturating_add(least) - 1);
        if last_tick >= limit {
            return Err(Refusal::Limit { last_tick, limit });
        }
        let reach = first_slot(at.reach.min(limit - 1) + 1).max(self.end_of_begun());
        let len = most.min(reach.saturating_sub(first));
        if len < least {
            return Err(Refusal::Ahead { last_tick });
        }
        let end = first + len;
        let ahead = end > self.end_of_begun().max(clock_end);
        Ok((State::after(end, ahead), Run { first, len, ahead }))
    }
}

/// The time of a claim, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    /// The clock's tick. A tick past 42 bits lies past every limit.
    pub(crate) tick: u64,
    /// The last tick that the claim may end in: `tick`, or a later one if the caller is ready to wait for it.
    pub(crate) reach: u64,
}

/// How many slots a caller wants: as many as it can have, up to `most`, but not fewer than `least`, which is 1 or more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Wanted {
    pub(crate) const fn exactly(n: u64) -> Self {
        Wanted { least: n, most: n }
    }
}

/// Where the claims of a tick begin, if the tick before it was not full: at slot 0, or spread over 2^`bits` slots.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) bits: u32,
    pub(crate) node_bits: u64,
}

impl Spread {
    fn start(self, tick: u64, n: u64) -> u64 {
        if self.bits == 0 {
            return 0;
        }
        // A run that fits the whole tick also fits the rest of it.
        scatter(tick, self.node_bits, self.bits).min(IDS_PER_TICK.saturating_sub(n))
    }
}

/// A claimed run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first slot.
    pub(crate) first: u64,
    /// How many slots.
    pub(crate) len: u64,
    /// Whether the run ends ahead of the clock, so that the caller must wait for its last tick before handing it out.
    pub(crate) ahead: bool,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No window is open.
    Closed,
    /// The run would end in `last_tick`, at the limit or past it.
    Limit { last_tick: u64, limit: u64 },
    /// The run would end in `last_tick`, later than the caller can wait for.
    Ahead { last_tick: u64 },
}

impl Timeline {
    /// A timeline with nothing claimed, open to the end of 42 bits.
    pub(crate) fn open_ended() -> Self {
        Timeline::new(State::ahead_of(0), TICKS)
    }

    /// A timeline with nothing claimed, closed until a window is opened.
    pub(crate) fn closed() -> Self {
        Timeline::new(State::ahead_of(0).closed(), 0)
    }

    fn new(state: State, limit: u64) -> Self {
        Timeline {
            state: CachePadded::new(AtomicU64::new(state.0)),
            bounds: CachePadded::new(Bounds { gate: AtomicU64::new(0), limit: AtomicU64::new(limit) }),
            governed: AtomicU32::new(0),
        }
    }

    /// Fast path: claims one slot with a single `fetch_add`, if the gate is open in the clock's tick.
    ///
    /// The error is the clock's tick; pass it to [`claim`](Self::claim).
    #[inline]
    pub(crate) fn add(&self, tick: impl FnOnce() -> u64) -> Result<u64, u64> {
        // The gate is read before the clock. In the other order, a tick that another thread begins in between would look
        // like a clock that stepped back.
        // Acquire: pairs with the Release in `raise_gate`, so the addition finds the tick begun, and not an earlier one.
        let gate = Gate(self.bounds.gate.load(Ordering::Acquire));
        let tick = tick();
        if !gate.is_open(tick) {
            return Err(tick);
        }
        // Relaxed: a claim publishes nothing but itself, and the word alone decides.
        let found = self.state.fetch_add(1, Ordering::Relaxed);
        let sequence = found.wrapping_sub(State::begin(tick));
        if sequence < IDS_PER_TICK {
            Ok(first_slot(tick) + sequence)
        } else {
            self.added_late(State(found)).ok_or(tick)
        }
    }

    /// The slot that an addition took of another tick than its caller's; `None` if it was in vain.
    #[cold]
    #[inline(never)]
    fn added_late(&self, found: State) -> Option<u64> {
        // No thread adds again in a full tick, nor before a tick that may not have begun. A thread that opens the gate of
        // an earlier tick late changes nothing.
        self.raise_gate(Gate::shut_below(tick_of_slot(found.free())));
        // A slot of a later tick is as good as any, once that tick has begun.
        (found.0 & State::FLAGS == 0 && found.claimed() < IDS_PER_TICK).then(|| found.free())
    }

    /// Claims a run of slots by compare-and-swap: also one that begins a tick, spans several, or ends ahead of the clock.
    ///
    /// `now` is called before each attempt; its error ends the claim. A time from before the call is sound: a later tick
    /// that has begun is used, and one that may not have begun is refused.
    pub(crate) fn claim<E>(
        &self,
        wanted: Wanted,
        spread: Spread,
        lost_races: &Counter,
        mut now: impl FnMut() -> Result<Instant, E>,
    ) -> Result<Result<Run, Refusal>, E> {
        let backoff = Backoff::new();
        loop {
            // Acquire: pairs with the Release of `state` in `open`. A claim that finds the window open loads its limit, or
            // that of a later window.
            let state = self.state.load(Ordering::Acquire);
            // Acquire: pairs with the Release of `limit` in `open`. A claim that loads the limit of a later window comes
            // after the close of its own, so its swap fails.
            let limit = self.bounds.limit.load(Ordering::Acquire);
            // The clock last, as in `add`.
            let (next, run) = match State(state).claim(wanted, now()?, spread, limit) {
                Ok(claim) => claim,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // Relaxed: as in `add`.
            if self.state.compare_exchange_weak(state, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.steer(State(state), next);
                return Ok(Ok(run));
            }
            lost_races.add(1);
            // Another caller was faster. It spins at first, and yields in the end.
            backoff.snooze();
        }
    }

    /// Moves the gate after a claim.
    #[inline]
    fn steer(&self, before: State, after: State) {
        if after.is_ahead() {
            // Nothing may be added to its tick until that begins.
            self.raise_gate(Gate::shut_below(after.tick()));
        } else if before.tick() == after.tick() && after.claimed() < IDS_PER_TICK {
            self.raise_gate(Gate::open(after.tick()));
        }
    }

    /// Moves the gate, which never goes back: a thread that comes late with an earlier tick changes nothing.
    #[inline]
    fn raise_gate(&self, gate: Gate) {
        // Relaxed: it only spares a write. The gate is mostly where it should be.
        if self.bounds.gate.load(Ordering::Relaxed) < gate.0 {
            // Release: pairs with the Acquire load in `add`.
            self.bounds.gate.fetch_max(gate.0, Ordering::Release);
        }
    }

    /// Makes the caller's lease the one that governs the window; returns `false` if another one does.
    pub(crate) fn govern(&self) -> bool {
        // Acquire: pairs with the Release in `abandon`; the last lease has closed its window before this one opens.
        self.governed.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Closes the window, lets another lease of this process govern it, and returns the first free slot.
    pub(crate) fn abandon(&self) -> u64 {
        let free = self.close();
        // Release: pairs with the Acquire in `govern`.
        self.governed.store(0, Ordering::Release);
        free
    }

    /// Opens the window of ticks `floor..limit`. Nothing below the floor is claimed in it, nor what the last window had.
    pub(crate) fn open(&self, floor: u64, limit: u64) {
        // A store, as the limit may be lower than that of the last window.
        // Release: pairs with the Acquire of `limit` in `claim`; the last window's close comes before it.
        self.bounds.limit.store(limit, Ordering::Release);
        // Release: pairs with the Acquire of `state` in `claim`; the limit comes before it.
        self.update(Ordering::Release, |state| {
            debug_assert!(state.is_ahead(), "no tick is begun in a closed timeline");
            State(state.raised(floor).0 & !State::CLOSED)
        });
    }

    /// Lets nothing below the tick `floor` be claimed from now on.
    pub(crate) fn raise(&self, floor: u64) {
        // Relaxed: as in `add`.
        self.update(Ordering::Relaxed, |state| state.raised(floor));
    }

    /// Moves the end of the window to the tick `limit`; a longer window stays as it is.
    ///
    /// Only the lease that governs the window may call it. On a closed timeline it opens nothing, and `open` stores a limit
    /// of its own.
    pub(crate) fn extend(&self, limit: u64) {
        // Relaxed: a claim that does not see it yet goes by the shorter window.
        self.bounds.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// Ends issue until a window is opened, and returns the first slot that was not claimed, which is final. On a timeline
    /// that is closed already it returns that slot or a later one.
    ///
    /// It costs a tick even if nothing was claimed: a window that is opened again at once begins a millisecond later.
    /// It uses atomics alone, so the child of a `fork` may call it.
    pub(crate) fn close(&self) -> u64 {
        // Relaxed: as in `add`. Whether or not another thread has seen the bit, its next claim finds it.
        let before = self.update(Ordering::Relaxed, |state| {
            if state.is_closed() {
                return state;
            }
            // A later tick also if nothing was claimed in this one, so that no word comes back (see the top of this file).
            State::ahead_of(state.tick() + 1).closed()
        });
        before.free()
    }

    /// Changes the state, and returns the one before.
    fn update(&self, success: Ordering, change: impl Fn(State) -> State) -> State {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            match self.state.compare_exchange_weak(state, change(State(state)).0, success, Ordering::Relaxed) {
                Ok(before) => return State(before),
                Err(seen) => state = seen,
            }
        }
    }

    /// One past the last tick that may be claimed; `None` while closed.
    pub(crate) fn limit(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `open`; the limit is that of the window that was found open, or of a later one.
        let closed = State(self.state.load(Ordering::Acquire)).is_closed();
        (!closed).then(|| self.bounds.limit.load(Ordering::Relaxed))
    }

    /// The first slot that is not claimed, for people: another caller may be claiming it.
    pub(crate) fn free(&self) -> u64 {
        State(self.state.load(Ordering::Relaxed)).free()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
