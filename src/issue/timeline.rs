//! The lock-free heart: which slots of one node are claimed.
//!
//! A *tick* is a millisecond and has 4096 *slots*. The slots of all ticks form one number line:
//! `slot = tick * 4096 + sequence`. To issue an ID is to claim a slot. This file knows only ticks
//! and slots. Its caller reads the clock, waits, and turns slots into IDs.
//!
//! A [`Timeline`] consists of three words:
//!
//! | word    | holds                                                 | written                        |
//! |---------|-------------------------------------------------------|--------------------------------|
//! | `state` | a tick, how many of its slots are claimed, two flags  | by every claim                 |
//! | `gate`  | a hint: the tick in which `add` may try               | about once in a tick           |
//! | `limit` | one past the last tick that may be claimed            | by a lease, with each renewal  |
//!
//! `state` alone decides. It has a cache line of its own, and that is the only line on which claims
//! contend. `gate` and `limit` are mostly read, so each core keeps a copy of their line.
//!
//! # Two ways to claim
//!
//! | method                     | for                                                      | how                     |
//! |----------------------------|----------------------------------------------------------|-------------------------|
//! | [`add`](Timeline::add)     | one slot of the clock's tick: nearly every claim         | one `fetch_add`         |
//! | [`claim`](Timeline::claim) | the rest: a new tick, a run, slots ahead of the clock    | a compare-and-swap loop |
//!
//! The claims of tick 7, one after the other:
//!
//! ```text
//! call         state before     state after      claimed
//! claim        tick 5, 9        tick 7, 1        slot 0 of tick 7: the claim begins the tick
//! claim        tick 7, 1        tick 7, 2        slot 1; the claim opens the gate
//! add          tick 7, 2        tick 7, 3        slot 2
//!   ...
//! add          tick 7, 4095     tick 7, 4096     slot 4095: the tick is full
//! add          tick 7, 4096     tick 7, 4097     nothing; the gate shuts
//! claim        tick 7, 4097     tick 8, 1 AHEAD  slot 0 of tick 8; the caller waits for tick 8
//! ```
//!
//! # Why no slot is claimed twice
//!
//! 1. Every claim is one atomic read-modify-write of `state`. All read-modify-writes of one word
//!    are totally ordered (the word's modification order), and each reads the value that the one
//!    before it wrote. This holds for every memory ordering, also for `Relaxed`.
//! 2. The *first free slot* is a function of the value of `state`. No write lowers it. A claim
//!    moves it forward, and takes only slots that it moved past.
//! 3. So two claims never take the same slot. Later claims in the modification order take larger
//!    slots. A thread's own writes keep their order there, so the slots of one thread increase.
//!
//! # Why no slot lies outside its window
//!
//! A lease allows the ticks `floor..limit`, its *window*. `limit` bounds the tick of the slot, and
//! not the moment of the claim. A slot below an acknowledged limit stays good, however long its
//! caller sleeps before it uses the slot.
//!
//! A tick has *begun* if `state` holds it and neither flag is set.
//!
//! - `add` takes a slot only of a tick that has begun. `claim` is the only method that begins a
//!   tick, and it begins only ticks below the limit. So `add` need not read the limit.
//! - `open` leaves AHEAD set. So no tick has begun when a window opens.
//! - `close` sets CLOSED in the word that every claim changes. An addition that comes later finds
//!   the flag and claims nothing. A compare-and-swap that was prepared earlier finds another word
//!   and fails. So the first free slot that `close` returns is final.
//! - `close` also moves `state` to a later tick. So a word of one window never comes back in a
//!   later window, where a compare-and-swap from the earlier one could succeed. (In the last of the
//!   2^42 ticks there is no later one. There `close` fills the tick, and every claim is refused.)
//!
//! # Why no slot is handed out early
//!
//! A run that ends past the clock's tick sets AHEAD, and its caller waits for the last tick of the
//! run before it uses a slot. While AHEAD is set, other callers do not use the tick without a wait
//! either. A claim by a clock that has reached the tick clears AHEAD: the tick has begun.

use crossbeam_utils::CachePadded;

use crate::layout::{IDS_PER_TICK, MAX_TICK, TICKS, first_slot, scatter, sequence_of_slot, tick_of_slot};
use crate::sync::{AtomicU32, AtomicU64, Backoff, Counter, Ordering};

/// The claimed slots of one node.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// A [`State`]. Every claim writes it, so it has its own cache line.
    state: CachePadded<AtomicU64>,
    bounds: CachePadded<Bounds>,
    /// 1 while a lease of this process owns the window. A second lease would close the window of
    /// the first.
    leased: AtomicU32,
}

/// The words that claims read and seldom write. All cores share their cache line.
#[derive(Debug)]
struct Bounds {
    /// A [`Gate`]. Its number never falls.
    gate: AtomicU64,
    /// One past the last tick that may be claimed.
    limit: AtomicU64,
}

/// The word `gate`: the tick in which an addition may be tried.
///
/// The gate is a hint. A wrong gate costs time and never claims a slot: `add` checks the value that
/// its `fetch_add` returns. The gate exists so that a claim touches the contended line of `state`
/// once, and not first to load and then to change it.
///
/// The second claim of a tick opens the gate. The first one does not, because many ticks have only
/// one ID. A claim ahead of the clock shuts the gate, and so does an addition that claims nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Gate(u64);

impl Gate {
    /// Open in one tick, which has at most 42 bits.
    const fn open(tick: u64) -> Self {
        Gate(tick << 1 | 1)
    }

    /// Whether additions may be tried in a tick. It may have all 64 bits: the tick of a clock
    /// before the epoch wraps around.
    const fn is_open(self, tick: u64) -> bool {
        self.0 & 1 == 1 && self.0 >> 1 == tick
    }

    /// Shut in every tick below this one, for good.
    const fn shut_below(tick: u64) -> Self {
        Gate(tick << 1)
    }
}

/// The word `state`.
///
/// | bit 63 AHEAD | bit 62 CLOSED | bits 20..=61 | bits 0..=19   | meaning                                            |
/// |--------------|---------------|--------------|---------------|----------------------------------------------------|
/// | 0            | 0             | tick         | claimed slots | the tick has begun: a claim's clock had reached it |
/// | 0            | 0             | tick         | 4096 and more | the tick has begun and is full                     |
/// | 1            | 0             | tick         | claimed slots | the tick may not have begun                        |
/// | 1            | 1             | tick         | any           | no window is open; the next one starts here or later |
///
/// The flags lie above the tick. So one subtraction in `add` tests the tick, both flags and the
/// number of claimed slots.
///
/// The clocks of two callers may differ: a clock steps back, or a core's counter lags. A caller
/// whose clock reads an earlier tick may claim in a tick that has begun. It waits for one that may
/// not have.
///
/// The number of claimed slots has 20 bits, 8 more than a tick has slots. An addition to a full
/// tick counts there and claims nothing. So does an addition to a tick with a flag; the slot it
/// skips is lost. Each thread makes at most two such additions in a tick: one before the tick
/// begins, and one when it is full. A carry into the tick would take a million of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

impl State {
    const AHEAD: u64 = 1 << 63;
    const CLOSED: u64 = 1 << 62;
    const FLAGS: u64 = State::AHEAD | State::CLOSED;
    const TICK_SHIFT: u32 = 20;

    /// The word of a tick that has begun, without claimed slots. It is never stored.
    ///
    /// If `tick` has begun, `state - begin(tick)` is the number of its claimed slots.
    const fn begin(tick: u64) -> u64 {
        tick << State::TICK_SHIFT
    }

    /// All slots below a tick are claimed, and the tick may not have begun.
    const fn ahead_of(tick: u64) -> Self {
        // The tick past the last one has no word. A full last tick means the same.
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

    /// The state in which all slots below the tick `floor` are claimed too.
    fn raised(self, floor: u64) -> Self {
        if self.free() >= first_slot(floor) { self } else { State(State::ahead_of(floor).0 | self.0 & State::CLOSED) }
    }

    /// The state after a claim and the claimed run, or the reason for the refusal.
    fn claim(self, wanted: Wanted, now: Now, spread: Spread, limit: u64) -> Result<(State, Run), Refusal> {
        let Wanted { least, most } = wanted;
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if now.tick >= limit {
            let last_tick = now.tick.saturating_add(tick_of_slot(least - 1));
            return Err(Refusal::Limit { last_tick, limit });
        }
        let free = self.free();
        let first =
            if tick_of_slot(free) < now.tick { first_slot(now.tick) + spread.start(now.tick, most) } else { free };
        let (most_end, clock_end) = (first.saturating_add(most), first_slot(now.tick + 1));
        if most_end <= clock_end {
            // The clock's tick has room for all of `most`: nearly every claim.
            return Ok((State::after(most_end, false), Run { first, len: most, ahead: false }));
        }
        let last_tick = tick_of_slot(first.saturating_add(least) - 1);
        if last_tick >= limit {
            return Err(Refusal::Limit { last_tick, limit });
        }
        // A tick that has begun may be used up, also if this caller's clock reads an earlier one.
        let reach = first_slot(now.reach.min(limit - 1) + 1).max(self.end_of_begun());
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
pub(crate) struct Now {
    /// The clock's tick. A tick past 42 bits lies past every limit.
    pub(crate) tick: u64,
    /// The last tick that the run may end in: `tick`, or a later one if the caller can wait for it.
    pub(crate) reach: u64,
}

impl Now {
    /// A claim that ends in the clock's tick or in one that has begun.
    pub(crate) const fn at(tick: u64) -> Self {
        Now { tick, reach: tick }
    }
}

/// How many slots a caller wants: at most `most`, and at least `least`, which is 1 or more.
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

/// The first sequence of a tick that follows a pause: 0, or spread over the first 2^`bits` slots.
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
        // A run that fits the tick must fit the rest of the tick too.
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
    /// Whether the run ends ahead of the clock. Then the caller must wait for its last tick.
    pub(crate) ahead: bool,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No window is open.
    Closed,
    /// The run would end in `last_tick`, which is not below the limit.
    Limit { last_tick: u64, limit: u64 },
    /// The run would end in `last_tick`, past the caller's `reach`.
    Ahead { last_tick: u64 },
}

impl Timeline {
    /// A timeline without claimed slots, open to the end of 42 bits.
    pub(crate) fn open_ended() -> Self {
        Timeline::new(State::ahead_of(0), TICKS)
    }

    /// A timeline without claimed slots, closed until `open`.
    pub(crate) fn closed() -> Self {
        Timeline::new(State::ahead_of(0).closed(), 0)
    }

    fn new(state: State, limit: u64) -> Self {
        Timeline {
            state: CachePadded::new(AtomicU64::new(state.0)),
            bounds: CachePadded::new(Bounds { gate: AtomicU64::new(0), limit: AtomicU64::new(limit) }),
            leased: AtomicU32::new(0),
        }
    }

    /// Fast path: claims one slot with a single `fetch_add`, if the gate is open in the clock's
    /// tick.
    ///
    /// `Err` holds the clock's tick; nothing is claimed. Pass the tick to [`claim`](Self::claim).
    #[inline]
    pub(crate) fn add(&self, tick: impl FnOnce() -> u64) -> Result<u64, u64> {
        // Load the gate before the clock. In the other order another thread could begin the next
        // tick in between, and this thread's clock would seem to have stepped back.
        // Acquire: pairs with the Release in `raise_gate`; the addition finds the tick begun or a
        // later state, and never an earlier one.
        let gate = Gate(self.bounds.gate.load(Ordering::Acquire));
        let tick = tick();
        if !gate.is_open(tick) {
            return Err(tick);
        }
        // Relaxed: the modification order of `state` decides, and a claim publishes nothing else.
        let found = self.state.fetch_add(1, Ordering::Relaxed);
        let sequence = found.wrapping_sub(State::begin(tick));
        if sequence < IDS_PER_TICK {
            Ok(first_slot(tick) + sequence)
        } else {
            self.added_late(State(found)).ok_or(tick)
        }
    }

    /// Handles an addition that found no free slot of its caller's tick.
    ///
    /// Returns the slot that it took of a later tick; `None` if it claimed nothing.
    #[cold]
    #[inline(never)]
    fn added_late(&self, found: State) -> Option<u64> {
        // From now on no thread adds to a full tick, or to one that may not have begun.
        self.raise_gate(Gate::shut_below(tick_of_slot(found.free())));
        // A later tick has begun, so the addition claimed one of its slots, which is as good.
        (found.0 & State::FLAGS == 0 && found.claimed() < IDS_PER_TICK).then(|| found.free())
    }

    /// Slow path: claims a run of slots by compare-and-swap.
    ///
    /// The run may begin a tick, span several ticks, and end ahead of the clock as far as
    /// `Now::reach`.
    ///
    /// `now` is called before each attempt, and its error ends the claim. It may return a time from
    /// before the call: a later tick that has begun is used, and one that may not have begun is
    /// refused.
    pub(crate) fn claim<E>(
        &self,
        wanted: Wanted,
        spread: Spread,
        lost_races: &Counter,
        mut now: impl FnMut() -> Result<Now, E>,
    ) -> Result<Result<Run, Refusal>, E> {
        let backoff = Backoff::new();
        loop {
            // Acquire: pairs with the Release of `state` in `open`; a claim that finds the window
            // open loads the limit of that window, or of a later one. The writes in between are
            // read-modify-writes, so they continue the release sequence of `open`.
            let state = self.state.load(Ordering::Acquire);
            // Acquire: pairs with the Release of `limit` in `open`; a claim that loads the limit of
            // a later window comes after the `close` of its own window, so its swap fails.
            let limit = self.bounds.limit.load(Ordering::Acquire);
            // Read the clock last, as in `add`.
            let (next, run) = match State(state).claim(wanted, now()?, spread, limit) {
                Ok(claim) => claim,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // Relaxed: as in `add`.
            if self.state.compare_exchange_weak(state, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.move_gate(State(state), next);
                return Ok(Ok(run));
            }
            lost_races.add(1);
            // Another caller was faster. Spins at first, and yields after some losses.
            backoff.snooze();
        }
    }

    /// Moves the gate after a claim by compare-and-swap.
    #[inline]
    fn move_gate(&self, before: State, after: State) {
        if after.is_ahead() {
            // No thread may add to the tick before it begins.
            self.raise_gate(Gate::shut_below(after.tick()));
        } else if before.tick() == after.tick() && after.claimed() < IDS_PER_TICK {
            self.raise_gate(Gate::open(after.tick()));
        }
    }

    /// Moves the gate forward. A thread that comes late, with the gate of an earlier tick, changes
    /// nothing.
    #[inline]
    fn raise_gate(&self, gate: Gate) {
        // Relaxed: the load only avoids needless writes; `fetch_max` decides.
        if self.bounds.gate.load(Ordering::Relaxed) < gate.0 {
            // Release: pairs with the Acquire load in `add`; publishes the `state` that this thread
            // saw.
            self.bounds.gate.fetch_max(gate.0, Ordering::Release);
        }
    }

    /// Makes the caller's lease the owner of the window; returns `false` if another lease owns it.
    pub(crate) fn begin_lease(&self) -> bool {
        // Acquire: pairs with the Release in `end_lease`; the last lease closed its window before
        // this one opens its own.
        self.leased.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Closes the window, gives its ownership up, and returns the first free slot.
    pub(crate) fn end_lease(&self) -> u64 {
        let free = self.close();
        // Release: pairs with the Acquire in `begin_lease`; publishes the `close`.
        self.leased.store(0, Ordering::Release);
        free
    }

    /// Opens the window of ticks `floor..limit`. Slots of earlier windows are not claimed again.
    pub(crate) fn open(&self, floor: u64, limit: u64) {
        // A store and not a `fetch_max`: the limit may be lower than that of the last window.
        // Release: pairs with the Acquire of `limit` in `claim`; publishes the last window's
        // `close`.
        self.bounds.limit.store(limit, Ordering::Release);
        // Release: pairs with the Acquire of `state` in `claim` and `limit`; publishes the limit.
        self.update(Ordering::Release, |state| {
            debug_assert!(state.is_ahead(), "no tick has begun in a closed timeline");
            State(state.raised(floor).0 & !State::CLOSED)
        });
    }

    /// Makes every later claim begin at the tick `floor` or after it.
    pub(crate) fn raise(&self, floor: u64) {
        // Relaxed: as in `add`.
        self.update(Ordering::Relaxed, |state| state.raised(floor));
    }

    /// Moves the end of the window to the tick `limit`; a longer window stays as it is.
    ///
    /// Only the lease that owns the window may call it. A closed timeline stays closed.
    pub(crate) fn extend(&self, limit: u64) {
        // Relaxed: a claim that does not see the new limit yet uses the shorter window.
        self.bounds.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// Ends issue until `open`, and returns the first free slot, which is final.
    ///
    /// On a closed timeline it changes nothing, and returns that slot or a later one.
    ///
    /// Closing uses up a tick even if nothing was claimed: a window that opens at once begins a
    /// millisecond later. It uses atomic operations alone, so the child of a `fork` may call it.
    pub(crate) fn close(&self) -> u64 {
        // Relaxed: as in `add`; the next claim of any thread finds the flag in the word it changes.
        let before = self.update(Ordering::Relaxed, |state| {
            if state.is_closed() {
                return state;
            }
            // A later tick in any case, so that no word comes back: see the top of this file.
            State::ahead_of(state.tick() + 1).closed()
        });
        before.free()
    }

    /// Changes the state, and returns the state before the change.
    fn update(&self, success: Ordering, change: impl Fn(State) -> State) -> State {
        // Relaxed: the first guess of the swap.
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
        // Acquire: pairs with the Release of `state` in `open`; the limit is that of the window
        // that this load finds open, or of a later one.
        let closed = State(self.state.load(Ordering::Acquire)).is_closed();
        (!closed).then(|| self.bounds.limit.load(Ordering::Relaxed))
    }

    /// The first free slot at this moment. Another caller may be claiming it.
    pub(crate) fn free(&self) -> u64 {
        // Relaxed: a value for reports and estimates.
        State(self.state.load(Ordering::Relaxed)).free()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
