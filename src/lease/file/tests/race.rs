//! Holders that take turns in every order, where locks do not work.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::sim::{DIR, Habit, SimDisk};
use super::{EPOCH, NOW, node, request};
use crate::lease::file::store::Store;
use crate::lease::store::{Grant, Renewal};

/// Lets one of several threads take a step at a time.
#[derive(Default)]
struct Baton {
    state: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Default)]
struct Turns {
    turn: Option<usize>,
    waiting: Vec<bool>,
    done: Vec<bool>,
}

impl Baton {
    fn wait_for_turn(&self, me: usize) {
        let mut state = self.state.lock().unwrap();
        state.waiting[me] = true;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.turn != Some(me)).unwrap();
        state.turn = None;
        state.waiting[me] = false;
    }

    fn done(&self, me: usize) {
        self.state.lock().unwrap().done[me] = true;
        self.changed.notify_all();
    }

    /// Gives turns until all are done; `choose` picks one of those who wait.
    fn conduct(&self, mut choose: impl FnMut(&[usize]) -> usize) {
        loop {
            let state = self.state.lock().unwrap();
            let busy = |state: &mut Turns| {
                state.turn.is_some() || state.waiting.iter().zip(&state.done).any(|(waiting, done)| !waiting && !done)
            };
            let mut state = self.changed.wait_while(state, busy).unwrap();
            let ready: Vec<usize> = (0..state.waiting.len()).filter(|&i| state.waiting[i]).collect();
            if ready.is_empty() {
                return;
            }
            state.turn = Some(choose(&ready));
            self.changed.notify_all();
        }
    }
}

/// A token, and the window that was granted under it.
type Window = (u64, u64, u64);

fn window(grant: &Grant) -> Window {
    (grant.token, grant.floor, grant.until)
}

fn take(store: &Store<SimDisk>, nonce: u64) -> Option<Grant> {
    store.try_take(node(3, 17), &request(nonce, NOW), &mut None).ok().flatten()
}

/// A holder renews twice while others take its node from it, in the order of `choose`. Whether the windows of all, and
/// of one who comes after, are disjoint.
fn disjoint(habit: Habit, takers: usize, choose: impl FnMut(&[usize]) -> usize) -> bool {
    let baton = Baton::default();
    *baton.state.lock().unwrap() =
        Turns { turn: None, waiting: vec![false; takers + 1], done: vec![false; takers + 1] };
    let (baton, begun) = (&Arc::new(baton), &Arc::new(AtomicBool::new(false)));
    let disk = SimDisk::without_locks(habit);
    let process = |me: usize| {
        let (baton, begun) = (Arc::clone(baton), Arc::clone(begun));
        let gate = move || {
            if begun.load(Ordering::SeqCst) {
                baton.wait_for_turn(me);
            }
        };
        Store::open(disk.process(Some(Arc::new(gate))), Path::new(DIR), EPOCH).unwrap()
    };

    let stores: Vec<_> = (0..=takers).map(process).collect();
    let mut grant = take(&stores[0], 1).unwrap();
    begun.store(true, Ordering::SeqCst);
    let mut windows: Vec<Window> = thread::scope(|scope| {
        let party = |(me, store)| {
            let first = (me == 0).then(|| grant.clone());
            scope.spawn(move || {
                let store: Store<SimDisk> = store;
                let window = match first {
                    Some(mut grant) => {
                        for until in [NOW + 20_000, NOW + 30_000] {
                            // After an error a keeper goes on with what it has.
                            grant = store.renew(&Renewal::new(grant.clone(), until)).unwrap_or(grant);
                        }
                        Some(window(&grant))
                    }
                    None => take(&store, 100 + u64::try_from(me).unwrap()).as_ref().map(window),
                };
                baton.done(me);
                // The store goes only when all are done: its locks are no one's business here.
                (window, store)
            })
        };
        let parties: Vec<_> = stores.into_iter().enumerate().map(party).collect();
        baton.conduct(choose);
        parties.into_iter().filter_map(|party| party.join().unwrap().0).collect()
    });
    begun.store(false, Ordering::SeqCst);
    grant = take(&process(0), 999).expect("nothing stands in the way any more");
    windows.push(window(&grant));
    windows.sort_unstable();
    windows.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].2 <= pair[1].1)
}

/// Every order of a holder and one taker, until the windows are not disjoint; how many there were, and whether.
fn every_order(habit: Habit) -> (usize, bool) {
    let mut prefix: Vec<usize> = Vec::new();
    let mut orders = 0;
    loop {
        let mut choices = Vec::new();
        let held = disjoint(habit, 1, |ready| {
            let choice = prefix.get(choices.len()).copied().unwrap_or(0);
            choices.push((choice, ready.len()));
            ready[choice]
        });
        orders += 1;
        if !held {
            return (orders, false);
        }
        while choices.last().is_some_and(|(choice, ready)| choice + 1 == *ready) {
            choices.pop();
        }
        let Some((choice, _)) = choices.last_mut() else { return (orders, true) };
        *choice += 1;
        prefix = choices.iter().map(|(choice, _)| *choice).collect();
    }
}

/// Every order in which the holder begins or not, one taker begins, the holder goes on, the taker goes on, another taker
/// goes on, and the three end one after the other. Whether the windows are always disjoint.
fn every_overtaking(habit: Habit) -> bool {
    // Further than any of them goes.
    const END: usize = 20;
    // The holder's first check and read, or nothing.
    let begun = [0, 2].into_iter();
    let turns = begun.flat_map(|begun| (0..9).flat_map(move |a| (0..11).map(move |b| [begun, a, b])));
    let mut turns = turns.flat_map(|[begun, a, b]| (0..9).flat_map(move |c| (0..9).map(move |d| [begun, a, b, c, d])));
    turns.all(|[begun, a, b, c, d]| {
        let mut turns = [(0, begun), (1, a), (0, b), (1, c), (2, d), (1, END), (2, END), (0, END)].into_iter();
        let (mut who, mut left) = (0, 0);
        disjoint(habit, 2, |ready| {
            while left == 0 || !ready.contains(&who) {
                (who, left) = turns.next().expect("the last turns have no end");
            }
            left -= 1;
            who
        })
    })
}

#[test]
fn without_locks_a_taker_in_every_order_leaves_the_windows_disjoint() {
    let (orders, held) = every_order(Habit::Good);
    assert!(held, "order {orders}");
    assert!(orders > 500, "{orders} orders");
}

#[test]
fn without_locks_a_taker_that_is_overtaken_leaves_the_windows_disjoint() {
    assert!(every_overtaking(Habit::Good));
}

// The search finds what is wrong with a disk, or a protocol, that does not do what the argument needs.

fn finds_an_overlap(habit: Habit) -> bool {
    !every_order(habit).1 || !every_overtaking(habit)
}

#[test]
fn if_a_link_takes_a_name_that_is_taken_the_search_finds_an_overlap() {
    assert!(finds_an_overlap(Habit::LinkOver));
}

#[test]
fn if_a_holder_does_not_look_for_later_tenures_the_search_finds_an_overlap() {
    assert!(finds_an_overlap(Habit::Blind));
}

#[test]
fn if_a_holder_looks_for_its_own_name_first_the_search_finds_an_overlap() {
    assert!(finds_an_overlap(Habit::OwnNameFirst));
}

#[test]
fn if_later_records_are_removed_first_the_search_finds_an_overlap() {
    assert!(finds_an_overlap(Habit::LatestFirst));
}

#[test]
fn if_a_renewal_replaces_the_record_the_search_finds_an_overlap() {
    assert!(finds_an_overlap(Habit::Replaces));
}

#[test]
fn if_a_taker_reads_before_its_own_record_is_there_the_search_finds_an_overlap() {
    assert!(finds_an_overlap(Habit::ReadsEarly));
}
