//! The lock-free heart: which slots of a node are claimed. It knows ticks and slots, and nothing of epochs, nodes or
//! clocks.
//!
//! # Why no slot is claimed twice
//!
//! Every claim is one atomic read-modify-write of the one word `state` that moves its first free slot strictly forward, and
//! claims only slots between the one it read and the one it wrote. Read-modify-writes of one word are totally ordered (its
//! modification order) whatever their memory ordering, and each reads what the one before it wrote. So the claimed runs
//! are disjoint and increasing in that order. That is the whole proof; a thread's own claims are increasing too, as a
//! thread never sees a word's modification order run backwards.
//!
//! A claim of one slot in a tick that is in use, so nearly every claim of many, is an addition: it cannot lose a race, so no
//! thread waits for another, and the slot it claims is known from what it read. All others are compare-and-swaps.
//!
//! Whether an addition may be tried is said by another word, `gate`, which changes a few times in a tick and not with
//! every claim: so a claim fetches the line of `state` once, to add to it, and not before that to look at it as well.
//! The gate only advises. What the addition finds decides.
//!
//! # Why the orderings are as they are
//!
//! `state` is `Relaxed` throughout. A claim publishes nothing but itself: no other memory is read or written on the
//! strength of it. Users who pass an ID to another thread synchronise by the means they pass it with.
//!
//! `limit` stands apart from `state`, and a claim may use a value of it that is out of date by the time it claims.
//! That is sound because `limit` bounds the tick *inside the ID*, not the moment of the claim: a tick below a bound
//! that was ever good stays good. A lower bound comes with a limit only where a window is opened: the state is first
//! raised to the window's floor, then the limit is stored with `Release`, and claims load it with `Acquire`. So a
//! claim that goes by the new limit moves a state that has been raised, and cannot land in the gap between two windows.

use crossbeam_utils::CachePadded;

use crate::layout::{IDS_PER_TICK, TICKS, first_slot, scatter, sequence_of_slot, tick_of_slot};
use crate::sync::{AtomicU32, AtomicU64, Backoff, Counter, Ordering};

/// How many slots a clock that may be late is believed for.
const LOOK: u64 = 256;

/// How many races a claim loses before it leaves the cores to the others: by then it has spun for a microsecond or two.
const ATTEMPTS: u32 = 8;

/// The claimed slots of one node.
#[derive(Debug)]
pub(crate) struct Timeline {
    claims: CachePadded<Claims>,
    bounds: CachePadded<Bounds>,
    /// 1 while a lease of this process governs the window. Two would take each other's for their own.
    governed: AtomicU32,
    /// 1 while `claims.number` is lent.
    lent: AtomicU32,
}

/// What each claim writes, on a line that the threads take from each other.
#[derive(Debug)]
struct Claims {
    /// A [`State`], moved forward by read-modify-writes and never written otherwise.
    state: AtomicU64,
    /// What a client numbers its IDs by, lent to one at a time. Nothing here depends on it; it is here because a client
    /// adds to it right after a claim, when this line is the core's own. On another line two threads took twice as long.
    number: AtomicU64,
}

/// What each claim reads, and few write: a line that all threads have at once.
#[derive(Debug)]
struct Bounds {
    /// A [`Gate`], which only rises.
    gate: AtomicU64,
    /// One past the last tick that may be claimed; 0 while closed.
    limit: AtomicU64,
}

/// What the word `gate` says: in which tick a slot may be claimed by addition.
///
/// It is opened by a claim by compare-and-swap in a tick that others have claimed in, so not for the first ID of a tick,
/// which is often the only one. It is shut by a claim that runs ahead, and by whoever adds in vain. After that the same
/// thread adds again only where a later tick is open, which the state has reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Gate(u64);

impl Gate {
    /// Shut, and not opened yet.
    const START: Gate = Gate(0);

    /// Open for additions in a tick. Of a tick past 42 bits, which no limit lets through, anything.
    const fn open(tick: u64) -> Self {
        Gate(tick << 1 | 1)
    }

    /// Shut for good in all ticks before this one.
    const fn shut_below(tick: u64) -> Self {
        Gate(tick << 1)
    }
}

/// What the word `state` says.
///
/// | bit 63 | bits 21..=62 | bits 0..=20      | meaning                                                              |
/// |--------|--------------|------------------|----------------------------------------------------------------------|
/// | 0      | tick         | claimed slots    | the tick has begun: the clock had reached it at a claim in it        |
/// | 0      | tick         | 4096 and more    | the same, and it is full                                             |
/// | 1      | tick         | claimed slots    | it may not have begun: the last claim ran ahead of the clock, or the next tick is a floor |
///
/// The flag keeps the promise that no ID is handed out before its time. In a tick that is begun, a caller whose clock
/// reads earlier (it stepped back, or another core's lags) may go on; in one that is not, it may not. The flag makes the
/// word differ from any tick's, so the fast path needs no test of its own to leave these cases to the slow one.
///
/// The number of claimed slots has 9 bits more than a tick has slots. An addition that comes late counts on there and
/// claims nothing. There is one for each thread at most, as it shuts the gate, so that two million, which would carry into
/// the tick, are out of reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

impl State {
    const AHEAD: u64 = 1 << 63;
    const TICK_SHIFT: u32 = 21;

    /// Nothing is claimed yet.
    const START: State = State(State::AHEAD);

    /// The word of a begun tick without claimed slots. No state is this one, but the number of claimed slots is what it
    /// lacks to the states of its tick.
    const fn begin(tick: u64) -> u64 {
        tick << State::TICK_SHIFT
    }

    /// All slots below `end` are claimed.
    const fn after(end: u64, ahead: bool) -> Self {
        let last = end - 1;
        let state = State::begin(tick_of_slot(last)) + sequence_of_slot(last) + 1;
        State(if ahead { state | State::AHEAD } else { state })
    }

    const fn is_ahead(self) -> bool {
        self.0 & State::AHEAD != 0
    }

    const fn tick(self) -> u64 {
        (self.0 & !State::AHEAD) >> State::TICK_SHIFT
    }

    const fn claimed(self) -> u64 {
        self.0 & ((1 << State::TICK_SHIFT) - 1)
    }

    /// The first slot that is not claimed.
    fn free(self) -> u64 {
        first_slot(self.tick()) + self.claimed().min(IDS_PER_TICK)
    }

    /// The first slot of a run of `n` that is claimed in `tick` or later.
    fn first(self, n: u64, tick: u64, spread: Spread) -> u64 {
        let free = self.free();
        if tick_of_slot(free) < tick { first_slot(tick) + spread.start(tick, n) } else { free }
    }

    /// The claim of `n` slots from this state: the new state and the run, or why not.
    fn claim(self, n: u64, at: Instant, spread: Spread, limit: u64) -> Result<(State, Run), Refusal> {
        let first = self.first(n, at.tick, spread);
        let end = first.saturating_add(n);
        let last_tick = tick_of_slot(end - 1);
        if last_tick >= limit {
            return Err(Refusal::Limit { last_tick, limit });
        }
        let begun = if self.is_ahead() { self.free() } else { first_slot(self.tick() + 1) };
        let ahead = end > begun.max(first_slot(at.tick + 1));
        if ahead && last_tick > at.reach {
            return Err(Refusal::Ahead { last_tick });
        }
        Ok((State::after(end, ahead), Run { first, ahead }))
    }
}

/// The time of a claim, in ticks of at most `MAX_TICK`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    /// The clock's tick.
    pub(crate) tick: u64,
    /// The last tick that the claim may end in: `tick`, or a later one the caller is ready to wait for.
    pub(crate) reach: u64,
}

/// Where the claims of a tick begin, if the one before it was not full: at slot 0, or spread over 2^`bits`.
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
        // A run that fits the whole tick also fits what is left of it.
        scatter(tick, self.node_bits, self.bits).min(IDS_PER_TICK.saturating_sub(n))
    }
}

/// A claim that was not the ordinary one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    /// The clock's tick.
    pub(crate) tick: u64,
    /// What the addition found: one that is full, or of another tick, or where the clock is looked at. The start, where
    /// none was made.
    found: State,
}

/// A claimed run of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first slot.
    pub(crate) first: u64,
    /// Whether the run ends ahead of the clock, so that the caller must wait for its last tick before handing it out.
    pub(crate) ahead: bool,
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The run would end in `last_tick`, at the limit or past it.
    Limit { last_tick: u64, limit: u64 },
    /// The run would end in `last_tick`, later than the caller can wait for.
    Ahead { last_tick: u64 },
}

impl Timeline {
    /// A timeline with nothing claimed, open to the end of 42 bits.
    pub(crate) fn open_ended() -> Self {
        Timeline::with_limit(TICKS)
    }

    /// A timeline with nothing claimed, closed until a window is opened.
    pub(crate) fn closed() -> Self {
        Timeline::with_limit(0)
    }

    fn with_limit(limit: u64) -> Self {
        let claims = Claims { state: AtomicU64::new(State::START.0), number: AtomicU64::new(0) };
        let bounds = Bounds { gate: AtomicU64::new(Gate::START.0), limit: AtomicU64::new(limit) };
        Timeline {
            claims: CachePadded::new(claims),
            bounds: CachePadded::new(bounds),
            governed: AtomicU32::new(0),
            lent: AtomicU32::new(0),
        }
    }

    /// Claims a slot in the clock's tick where that is begun and has room, which is the case that repeats; what is left
    /// of all others goes to [`claim_missed`](Self::claim_missed).
    ///
    /// With `look`, the claim of each 256th slot misses too: there a clock that may be late is looked at.
    #[inline]
    pub(crate) fn claim(&self, look: bool, tick: impl FnOnce() -> u64) -> Result<u64, Missed> {
        // The gate first, the clock second: in the other order a tick that another thread begins in between would look
        // like a clock that stepped back.
        // Acquire: with the Release in `raise_gate`, the addition finds the tick begun. If it did not, its slot would be as
        // unique, and of an earlier tick.
        let gate = Gate(self.bounds.gate.load(Ordering::Acquire));
        let tick = tick();
        // Acquire: a new window's limit comes with its floor (see the top of this file).
        let limit = self.bounds.limit.load(Ordering::Acquire);
        // No value that is loaded goes into the addition, so it need not wait for one: the branch is predicted.
        if gate != Gate::open(tick) || tick >= limit {
            return Err(Missed { tick, found: State::START });
        }
        // Relaxed: the word itself is all that is agreed on.
        let found = self.claims.state.fetch_add(1, Ordering::Relaxed);
        let sequence = found.wrapping_sub(State::begin(tick));
        // What was found decides on the look, as every slot is found by one caller, and may be guessed by none.
        if sequence < IDS_PER_TICK && !(look && found.is_multiple_of(LOOK)) {
            Ok(first_slot(tick) + sequence)
        } else {
            Err(Missed { tick, found: State(found) })
        }
    }

    /// The rest of [`claim`](Self::claim): the slot that it claimed all the same, or one claimed as a run is, in the tick
    /// that `true_tick` makes of the clock's.
    #[inline(never)]
    pub(crate) fn claim_missed(
        &self,
        missed: Missed,
        true_tick: impl FnOnce(u64) -> u64,
        spread: Spread,
        lost_races: &Counter,
    ) -> Option<u64> {
        let found = missed.found;
        if found != State::START {
            // Before this thread's next claim, and before it calls anything that may panic: it adds in vain once. The tick
            // that was found, if it is full, or the one before: no late opener of an earlier one opens it again.
            self.raise_gate(Gate::shut_below(tick_of_slot(found.free())));
        }
        let true_tick = true_tick(missed.tick);
        // A slot is claimed all the same: where the clock was to be looked at, or of a later tick that has come before the
        // addition. It is as good as any once the tick has begun; otherwise it is lost, as the caller has not agreed to
        // wait.
        // Acquire: as in `claim`.
        let claimed = !found.is_ahead()
            && found.claimed() < IDS_PER_TICK
            && found.tick() < self.bounds.limit.load(Ordering::Acquire);
        if claimed { Some(found.free()) } else { self.claim_run(1, true_tick, spread, lost_races) }
    }

    /// Claims a run of `n` slots (at least 1) that fits the tick `tick`, and answers its first slot.
    ///
    /// `None` says that the case is not an ordinary one, and that [`claim_within`](Self::claim_within) can tell what
    /// it is: the tick is full, the clock is behind, outside the 42 bits (any `tick` above `MAX_TICK`), the
    /// timeline is closed, or other callers were faster many times.
    #[inline(never)]
    pub(crate) fn claim_run(&self, n: u64, tick: u64, spread: Spread, lost_races: &Counter) -> Option<u64> {
        self.claim_some(n, n, tick, spread, lost_races).map(|(first, _)| first)
    }

    /// Claims a run of at least `least` (1 or more) and at most `most` slots in the tick `tick`, as long as it can be,
    /// and answers its first slot and its length; `None` as in `claim_run`.
    #[inline]
    pub(crate) fn claim_some(
        &self,
        least: u64,
        most: u64,
        tick: u64,
        spread: Spread,
        lost_races: &Counter,
    ) -> Option<(u64, u64)> {
        // Acquire: as in `claim`.
        if tick >= self.bounds.limit.load(Ordering::Acquire) {
            return None;
        }
        let end = first_slot(tick + 1);
        // Relaxed, here and at the swap: as in `claim`.
        let mut state = self.claims.state.load(Ordering::Relaxed);
        let backoff = Backoff::new();
        for _ in 0..ATTEMPTS {
            let first = State(state).first(most, tick, spread);
            let n = most.min(end.saturating_sub(first));
            if n < least {
                return None;
            }
            let next = State::after(first + n, false).0;
            match self.claims.state.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    if State(state).tick() == tick {
                        self.raise_gate(Gate::open(tick));
                    }
                    return Some((first, n));
                }
                // The tick is not read again: if it is out of date, the run does not fit it and `None` follows.
                Err(seen) => state = seen,
            }
            lost_races.add(1);
            backoff.spin();
        }
        None
    }

    /// Claims a run of `n` slots (at least 1), also one that ends ahead of the clock, up to the tick `reach`.
    ///
    /// `now` is asked again before each attempt, so a clock read long ago never decides. Its error is the outer one.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim_within<E>(
        &self,
        n: u64,
        spread: Spread,
        lost_races: &Counter,
        mut now: impl FnMut() -> Result<Instant, E>,
    ) -> Result<Result<Run, Refusal>, E> {
        let backoff = Backoff::new();
        loop {
            // Relaxed and Acquire as in `claim`, and the state before the clock.
            let state = self.claims.state.load(Ordering::Relaxed);
            let limit = self.bounds.limit.load(Ordering::Acquire);
            let now = now()?;
            let (next, run) = match State(state).claim(n, now, spread, limit) {
                Ok(claim) => claim,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // Relaxed: as in `claim`.
            if self.claims.state.compare_exchange_weak(state, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                if next.is_ahead() {
                    // Nothing may be added to the tick it is in until that begins.
                    self.raise_gate(Gate::shut_below(next.tick()));
                }
                return Ok(Ok(run));
            }
            lost_races.add(1);
            // In the end it yields: the others are many, and one of them has claimed at each of these attempts.
            backoff.snooze();
        }
    }

    /// Moves the gate, which never goes back: who comes late with an earlier tick changes nothing.
    fn raise_gate(&self, gate: Gate) {
        // Relaxed: a look, as it mostly is where it should be.
        if self.bounds.gate.load(Ordering::Relaxed) < gate.0 {
            // Release: whoever finds it open finds the tick begun (see `claim`).
            self.bounds.gate.fetch_max(gate.0, Ordering::Release);
        }
    }

    /// The number that may be borrowed.
    #[inline]
    pub(crate) fn number(&self) -> &AtomicU64 {
        &self.claims.number
    }

    /// Borrows the number, which is 0 then; whether nobody else has it.
    pub(crate) fn borrow_number(&self) -> bool {
        // Acquire: with the Release below, so that what the last borrower made of it is gone.
        self.lent.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives the number back; nobody adds to it any more.
    pub(crate) fn return_number(&self) {
        self.claims.number.store(0, Ordering::Relaxed);
        // Release: after the zero.
        self.lent.store(0, Ordering::Release);
    }

    /// Makes the caller's lease the one that governs the window; whether no other one does.
    pub(crate) fn govern(&self) -> bool {
        // Acquire: with the Release below, so that the last lease has closed its window before this one opens its own.
        self.governed.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends issue, and lets another lease of this process govern the window.
    pub(crate) fn abandon(&self) {
        self.close();
        // Release: after the closing.
        self.governed.store(0, Ordering::Release);
    }

    /// Opens the window of ticks `floor..limit`: nothing below the floor is claimed from now on, nor below what has
    /// been.
    pub(crate) fn open(&self, floor: u64, limit: u64) {
        self.raise(floor);
        // Release: whoever goes by this limit finds the state raised.
        self.bounds.limit.store(limit, Ordering::Release);
    }

    /// Lets nothing below the tick `floor` be claimed from now on.
    pub(crate) fn raise(&self, floor: u64) {
        // Relaxed: the one word again. A state beyond the floor stays as it is.
        let _ = self.claims.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            // As if all below were claimed, by somebody who waits.
            (State(state).free() < first_slot(floor)).then(|| State::after(first_slot(floor), true).0)
        });
    }

    /// Moves the end of an open window to the tick `limit`. A closed timeline stays closed, and a longer window stays
    /// as it is.
    pub(crate) fn extend(&self, limit: u64) {
        // AcqRel, with the swap in `close`: of the two, the later one has seen the earlier.
        let _ = self
            .bounds
            .limit
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |old| (old != 0 && old < limit).then_some(limit));
    }

    /// Ends issue until a window is opened. Only atomics, so the child of a fork may call it.
    pub(crate) fn close(&self) {
        // AcqRel: as in `extend`. A claim in another thread that still goes by the old limit makes an ID inside the old
        // window. The child of a fork has no other thread, and the parent's timeline is another word.
        self.bounds.limit.swap(0, Ordering::AcqRel);
    }

    /// Ends issue, also for claims that go by the limit of before, and returns the first slot that is not claimed.
    ///
    /// Every slot of the window counts as claimed afterwards. So nothing but a window behind it can be opened, and no claim
    /// that has read the limit before finds a slot.
    pub(crate) fn end(&self) -> u64 {
        // AcqRel: as in `close`.
        let limit = self.bounds.limit.swap(0, Ordering::AcqRel);
        // Relaxed: the one word again. A claim before this one in its modification order is below the slot that is
        // returned, and one after it finds no slot.
        let raised = self.claims.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            (State(state).free() < first_slot(limit)).then(|| State::after(first_slot(limit), true).0)
        });
        let (Ok(before) | Err(before)) = raised;
        State(before).free()
    }

    /// One past the last tick that may be claimed; 0 while closed.
    pub(crate) fn limit(&self) -> u64 {
        // Relaxed: nothing is concluded from it but what people are told.
        self.bounds.limit.load(Ordering::Relaxed)
    }

    /// The first slot that is not claimed. Who has closed the timeline and has it to itself knows that it stays so;
    /// otherwise another caller may be in the middle of a claim, by the limit it read before.
    pub(crate) fn free(&self) -> u64 {
        State(self.claims.state.load(Ordering::Relaxed)).free()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::sync::Barrier;
    use std::{panic, thread};

    use super::*;

    /// Two million of them in one tick would carry into it.
    fn in_vain(line: &Timeline) -> u64 {
        State(line.claims.state.load(Ordering::Relaxed)).claimed().saturating_sub(IDS_PER_TICK)
    }

    #[test]
    fn a_held_up_thread_adds_in_vain_once() {
        let line = Timeline::open_ended();
        let (spread, lost_races) = (Spread::default(), Counter::default());
        let claim = |n, tick| line.claim_run(n, tick, spread, &lost_races);
        assert!(claim(1, 1).and(claim(1, 1)).is_some());
        let held_up = || -> u64 {
            assert!(claim(IDS_PER_TICK - 1, 2).and(claim(1, 2)).is_some());
            1
        };
        for clock in [&held_up as &dyn Fn() -> u64, &|| 2] {
            let missed = line.claim(false, clock).unwrap_err();
            assert_eq!(line.claim_missed(missed, |_| 2, spread, &lost_races), None);
        }
        assert_eq!(in_vain(&line), 1);
    }

    #[test]
    fn a_clock_that_panics_lets_its_caller_add_in_vain_once() {
        let line = Timeline::open_ended();
        let (spread, lost_races) = (Spread::default(), Counter::default());
        let claim = |n| line.claim_run(n, 1, spread, &lost_races);
        assert!(claim(IDS_PER_TICK - 1).and(claim(1)).is_some());
        for _ in 0..3 {
            let missed = line.claim(false, || 1).unwrap_err();
            let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                line.claim_missed(missed, |_| panic!("no time"), spread, &lost_races)
            }));
            assert!(caught.is_err());
        }
        assert_eq!(in_vain(&line), 1);
    }

    /// Threads that have begun a tick, and open the gate when it is long over.
    #[test]
    fn late_openers_open_nothing() {
        let line = Timeline::open_ended();
        line.claims.state.store(State::begin(1000) + 2, Ordering::Relaxed);
        line.raise(5000);
        for tick in 1..=1000 {
            line.raise_gate(Gate::open(tick));
            let missed = line.claim(false, || tick).unwrap_err();
            assert_eq!(line.claim_missed(missed, |tick| tick, Spread::default(), &Counter::default()), None);
        }
        assert_eq!(in_vain(&line), 1);
    }

    #[test]
    fn a_thread_adds_in_vain_once() {
        const THREADS: usize = 4;
        let line = Timeline::open_ended();
        let spread = Spread::default();
        let lost_races = Counter::default();
        let mut all_in_vain = 0;
        for tick in 1..500 {
            assert_eq!(line.claim_run(IDS_PER_TICK - 2, tick, spread, &lost_races), Some(first_slot(tick)));
            assert!(line.claim_run(1, tick, spread, &lost_races).is_some());
            let start = Barrier::new(THREADS);
            let call = || {
                line.claim(false, || tick)
                    .or_else(|missed| line.claim_missed(missed, |tick| tick, spread, &lost_races).ok_or(()))
                    .is_ok()
            };
            let claims = || {
                start.wait();
                (0..10).filter(|_| call()).count()
            };
            let claimed: usize = thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| scope.spawn(claims));
                threads.into_iter().map(|thread| thread.join().expect("it ran")).sum()
            });
            assert_eq!(claimed, 1, "one was left");
            let state = State(line.claims.state.load(Ordering::Relaxed));
            assert_eq!(state.tick(), tick);
            assert!(in_vain(&line) <= THREADS as u64, "{} by {THREADS} threads", in_vain(&line));
            all_in_vain += in_vain(&line);
        }
        assert!(all_in_vain > 0, "no thread came late");
    }
}
