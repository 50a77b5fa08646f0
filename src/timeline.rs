//! The lock-free heart: which slots of a node are claimed. It knows ticks and slots, and nothing of epochs, nodes or
//! clocks.
//!
//! # Why no slot is claimed twice
//!
//! Every claim is a compare-and-swap on the one word `state` that moves it strictly forward, from `free` to at least
//! `free + n`, and claims only slots between the two. Compare-and-swaps on one word are totally ordered (its
//! modification order) whatever their memory ordering, and each reads the value the one before it wrote. So the
//! claimed runs are disjoint and increasing in that order. That is the whole proof; a thread's own claims are
//! increasing too, as a thread never sees a word's modification order run backwards.
//!
//! # Why the orderings are as they are
//!
//! `state` is `Relaxed` throughout. A claim publishes nothing but itself: no other memory is read or written on the
//! strength of it. Users who pass an ID to another thread synchronise by the means they pass it with.
//!
//! `limit` stands apart from `state`, and a claim may use a value of it that is out of date by the time of the swap.
//! That is sound because `limit` bounds the tick *inside the ID*, not the moment of the claim: a slot below a bound
//! that was ever good stays good. A lower bound comes with a limit only where a window is opened: the state is first
//! raised to the window's floor, then the limit is stored with `Release`, and claims load it with `Acquire`. So a
//! claim that goes by the new limit swaps a state that has been raised, and cannot land in the gap between two windows.

use crossbeam_utils::CachePadded;

use crate::layout::{IDS_PER_TICK, MAX_TICK, SLOTS, end_of_begun_tick, first_slot, tick_of_slot};
use crate::sync::{AtomicU32, AtomicU64, Backoff, Counter, Ordering};

/// The claimed slots of one node.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Both words on one line of their own: a claim reads `limit` and swaps `state`, and the line is fetched once.
    words: CachePadded<Words>,
    /// 1 while a lease of this process governs the window. Two would take each other's for their own.
    governed: AtomicU32,
}

#[derive(Debug)]
struct Words {
    /// A [`State`], moved forward by compare-and-swap and never written otherwise.
    state: AtomicU64,
    /// One past the last slot that may be claimed; 0 while closed.
    limit: AtomicU64,
}

/// What the word `state` says.
///
/// | bit 63 | bits 0..=54     | meaning                                                                   |
/// |--------|-----------------|---------------------------------------------------------------------------|
/// | 0      | next free slot  | the clock had reached the tick of the last claimed slot                   |
/// | 1      | next free slot  | the last claim ran ahead of the clock, its caller is waiting for the tick |
///
/// The flag keeps the promise that no ID is handed out before its time. After a claim with the clock, a caller whose
/// clock reads earlier (it stepped back, or another core's lags) may go on inside the tick that is begun; after a
/// claim ahead of the clock, it may not. The flag makes the word larger than any limit, so the fast path needs no
/// test of its own to leave these cases to the slow one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

impl State {
    const AHEAD: u64 = 1 << 63;

    const fn new(free: u64, ahead: bool) -> Self {
        State(if ahead { free | Self::AHEAD } else { free })
    }

    const fn free(self) -> u64 {
        self.0 & !Self::AHEAD
    }

    const fn is_ahead(self) -> bool {
        self.0 & Self::AHEAD != 0
    }

    /// The claim of `n` slots from this state: the new state and the run, or why not.
    fn claim(self, n: u64, at: Instant, limit: u64) -> Result<(State, Run), Refusal> {
        let free = self.free();
        let first = free.max(first_slot(at.tick));
        let end = first.saturating_add(n);
        if end > limit {
            return Err(Refusal::Limit { end, limit });
        }
        let begun = if self.is_ahead() { free } else { end_of_begun_tick(free) };
        let ahead = end > begun.max(first_slot(at.tick + 1));
        let last_tick = tick_of_slot(end - 1);
        if ahead && last_tick > at.reach {
            return Err(Refusal::Ahead { last_tick });
        }
        Ok((State::new(end, ahead), Run { first, ahead }))
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
    /// The run would pass the limit.
    Limit { end: u64, limit: u64 },
    /// The run would end in `last_tick`, later than the caller can wait for.
    Ahead { last_tick: u64 },
}

impl Timeline {
    /// A timeline with nothing claimed, open to the end of 42 bits.
    pub(crate) fn open_ended() -> Self {
        Timeline::with_limit(SLOTS)
    }

    /// A timeline with nothing claimed, closed until a window is opened.
    pub(crate) fn closed() -> Self {
        Timeline::with_limit(0)
    }

    fn with_limit(limit: u64) -> Self {
        let words = Words { state: AtomicU64::new(0), limit: AtomicU64::new(limit) };
        Timeline { words: CachePadded::new(words), governed: AtomicU32::new(0) }
    }

    /// Claims a run of `n` slots (at least 1) that fits the current tick, and answers its first slot.
    ///
    /// `None` says that the case is not the ordinary one, and that [`claim_within`](Self::claim_within) can tell what
    /// it is: the tick is full, the clock is behind, outside the 42 bits (any `tick` above `MAX_TICK`), or the
    /// timeline is closed.
    #[inline]
    pub(crate) fn claim(&self, n: u64, lost_races: &Counter, tick: impl FnOnce() -> u64) -> Option<u64> {
        // The state first, the clock second: in the other order a claim by another thread in between would look like
        // a clock that stepped back.
        // Relaxed: the swap below decides; this is only its guess.
        let state = self.words.state.load(Ordering::Relaxed);
        // Acquire: a new window's limit comes with its floor (see the top of this file).
        let limit = self.words.limit.load(Ordering::Acquire);
        let tick = tick();
        // The case that repeats, on its own: the clock is in the tick of the free slot, and the run fits. Nothing that
        // is swapped in depends on the clock, and one comparison is all that the swap waits for.
        let fits = n <= IDS_PER_TICK
            && tick_of_slot(state) == tick
            && tick_of_slot(state + (n - 1)) == tick
            && state + n <= limit;
        if !fits {
            return self.claim_in(n, lost_races, tick);
        }
        // Relaxed, both: the word itself is all that is agreed on.
        match self.words.state.compare_exchange_weak(state, state + n, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Some(state),
            Err(_) => self.claim_again(n, lost_races, tick),
        }
    }

    /// The rest of [`claim`](Self::claim) after a lost race.
    #[cold]
    #[inline(never)]
    fn claim_again(&self, n: u64, lost_races: &Counter, tick: u64) -> Option<u64> {
        lost_races.add(1);
        self.claim_in(n, lost_races, tick)
    }

    /// The rest of [`claim`](Self::claim): a new tick, or a case for `claim_within`.
    #[inline(never)]
    fn claim_in(&self, n: u64, lost_races: &Counter, tick: u64) -> Option<u64> {
        if tick > MAX_TICK {
            return None;
        }
        // Acquire and Relaxed as in `claim`.
        let limit = self.words.limit.load(Ordering::Acquire);
        let last = limit.min(first_slot(tick + 1)).checked_sub(n)?;
        let mut state = self.words.state.load(Ordering::Relaxed);
        loop {
            let first = state.max(first_slot(tick));
            if first > last {
                return None;
            }
            match self.words.state.compare_exchange_weak(state, first + n, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(first),
                // The tick is not read again: if it is out of date, the run does not fit it and `None` follows.
                Err(seen) => {
                    lost_races.add(1);
                    state = seen;
                }
            }
        }
    }

    /// Claims a run of `n` slots (at least 1), also one that ends ahead of the clock, up to the tick `reach`.
    ///
    /// `now` is asked again before each attempt, so a clock read long ago never decides. Its error is the outer one.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim_within<E>(
        &self,
        n: u64,
        lost_races: &Counter,
        mut now: impl FnMut() -> Result<Instant, E>,
    ) -> Result<Result<Run, Refusal>, E> {
        let backoff = Backoff::new();
        loop {
            // Relaxed and Acquire as in `claim`, and the state before the clock.
            let state = self.words.state.load(Ordering::Relaxed);
            let limit = self.words.limit.load(Ordering::Acquire);
            let now = now()?;
            let (next, run) = match State(state).claim(n, now, limit) {
                Ok(claim) => claim,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // Relaxed: as in `claim`.
            if self.words.state.compare_exchange_weak(state, next.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Ok(Ok(run));
            }
            lost_races.add(1);
            backoff.spin();
        }
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

    /// Opens the window `floor..limit`: nothing below the floor is claimed from now on, nor below what has been.
    pub(crate) fn open(&self, floor: u64, limit: u64) {
        self.raise(floor);
        // Release: whoever goes by this limit finds the state raised.
        self.words.limit.store(limit, Ordering::Release);
    }

    /// Lets nothing below `floor` be claimed from now on.
    pub(crate) fn raise(&self, floor: u64) {
        // Relaxed: the one word again. A state beyond the floor stays as it is.
        let _ = self.words.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            (State(state).free() < floor).then_some(State::new(floor, false).0)
        });
    }

    /// Moves the end of an open window to `limit`. A closed timeline stays closed, and a longer window stays as it is.
    pub(crate) fn extend(&self, limit: u64) {
        // AcqRel, with the swap in `close`: of the two, the later one has seen the earlier.
        let _ = self
            .words
            .limit
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |old| (old != 0 && old < limit).then_some(limit));
    }

    /// Ends issue until a window is opened. Only atomics, so the child of a fork may call it.
    pub(crate) fn close(&self) {
        // AcqRel: as in `extend`. A claim in another thread that still goes by the old limit makes an ID inside the old
        // window. The child of a fork has no other thread, and the parent's timeline is another word.
        self.words.limit.swap(0, Ordering::AcqRel);
    }

    /// One past the last slot that may be claimed; 0 while closed.
    pub(crate) fn limit(&self) -> u64 {
        // Relaxed: nothing is concluded from it but what people are told.
        self.words.limit.load(Ordering::Relaxed)
    }

    /// The first slot that is not claimed. Who has closed the timeline and has it to itself knows that it stays so;
    /// otherwise another caller may be in the middle of a claim, by the limit it read before.
    pub(crate) fn free(&self) -> u64 {
        State(self.words.state.load(Ordering::Relaxed)).free()
    }
}
