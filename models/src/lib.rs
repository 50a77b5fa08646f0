//! Models of the lease protocols, explored state by state with Stateright.
//!
//! A model is a state machine at the level of its store's essay. Its actions bear the names of the
//! code: `try_take`, `renew`, `ACQUIRE`, `take`, `fence`. The checker visits every state that its
//! actors reach in every order of their steps, so it finds each schedule of pauses, crashes, lost
//! answers and restores within the bounds below.
//!
//! | model | code | what acts |
//! |---|---|---|
//! | [`mod@file`] | `lease/file/store.rs` | processes that share a directory; a machine that crashes |
//! | [`postgres`] | `lease/postgres/{statements,acquire,keep,past}.rs` | holders; a server that is replaced by an earlier state |
//! | [`etcd`] | `lease/etcd/{store,keys}.rs` | the same |
//! | [`copies`] | `lease/tenure.rs`, `Renewal` in `lease/mod.rs` | a machine, its copy, and a rival |
//!
//! # The properties
//!
//! - **No tick twice.** A holder issues any tick of its window, whatever a clock reads. No tick of a
//!   node is issued by two tenures: see [`Issued`].
//! - **Progress.** From *every* state that is reached, a live holder whose store works gets a window
//!   and issues in it. The checker's own `eventually` is unsound where paths join or loop, so this is
//!   an `always` property: each state is run forward without further faults, for a bounded number of
//!   steps, until the holder issues.
//!
//! # What is the same in all models
//!
//! - Time is counted in ticks. A tick stands for any length of time, so a window of two ticks has a
//!   beginning, a middle and an end.
//! - The generator is one number for a holder: its first free tick. A holder issues up to any tick of
//!   its window in one step. loom explores what lies inside a process.
//! - An actor pauses by not acting: every step of every other actor comes between its own.
//! - Who is taken for dead is not modelled: anyone may try to take any node at any time. A lock or an
//!   expiry only removes schedules from those that are explored here.
//!
//! # Controls
//!
//! Each model has variants of the protocol that lack one rule. The checker must find a tick that is
//! issued twice in each of them, in at most [`LONGEST_TRACE`] steps, and prints the steps.

#![allow(
    clippy::match_same_arms,
    clippy::too_many_lines,
    clippy::trivially_copy_pass_by_ref,
    reason = "the steps of a protocol are one table, with a line for each"
)]

pub mod copies;
pub mod etcd;
pub mod file;
pub mod postgres;

use core::fmt::Debug;
use core::hash::Hash;
use core::ops::Range;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

/// The name of the safety property in every model.
pub const NO_TICK_TWICE: &str = "no tick twice";

/// The name of the progress property in every model.
pub const PROGRESS: &str = "a live holder gets a window";

/// The most steps of a counterexample.
pub const LONGEST_TRACE: usize = 15;

/// The ticks of a node that were issued, by whichever tenure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Issued {
    ticks: u32,
    twice: bool,
}

impl Issued {
    /// Issues an ID in each of these ticks.
    pub fn issue(&mut self, ticks: Range<u8>) {
        for tick in ticks {
            let bit = 1_u32.checked_shl(tick.into()).unwrap_or(0);
            self.twice |= self.ticks & bit != 0;
            self.ticks |= bit;
        }
    }

    /// Whether a tick was issued a second time.
    #[must_use]
    pub fn twice(&self) -> bool {
        self.twice
    }
}

/// Visits every state of a model, and fails if a property does not hold or a state that must be
/// reached is not.
///
/// # Panics
///
/// With the steps that lead there.
pub fn explore<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq + Send + Sync + 'static,
{
    let start = Instant::now();
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    let (steps, depth) = (checker.state_count(), checker.max_depth());
    println!("model {name}: {states} states, {steps} steps, depth {depth}, {:.1?}", start.elapsed());
    for property in checker.model().properties() {
        if property.expectation.discovery_is_failure() {
            if let Some(path) = checker.discovery(property.name) {
                panic!("{name}: \"{}\" does not hold:\n{}", property.name, steps_of(path.into_vec()));
            }
        } else if checker.discovery(property.name).is_none() {
            panic!("{name}: no state is reached with: {}", property.name);
        }
    }
    assert!(states > 100, "{name}: only {states} states: nothing was explored");
}

/// Finds a tick that is issued twice by a variant that lacks a rule, and prints the shortest way there.
///
/// # Panics
///
/// If the variant issues no tick twice, or only in more than [`LONGEST_TRACE`] steps.
pub fn refute<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: Debug + Clone + PartialEq + Send + Sync + 'static,
{
    let start = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(NO_TICK_TWICE) else {
        panic!("{name}: {states} states, and no tick is issued twice: the control does not bite");
    };
    let path = path.into_vec();
    let length = path.len() - 1;
    println!(
        "control {name}: a tick is issued twice in {length} steps; {states} states, {:.1?}\n{}",
        start.elapsed(),
        steps_of(path)
    );
    assert!(length <= LONGEST_TRACE, "{name}: {length} steps, and the limit is {LONGEST_TRACE}");
}

/// A path as lines: its actions, and the state that they end in.
fn steps_of<S: Debug, A: Debug>(path: Vec<(S, Option<A>)>) -> String {
    let mut lines = String::new();
    for (number, (state, action)) in path.into_iter().enumerate() {
        let line = match action {
            Some(action) => format!("  {:2}. {action:?}\n", number + 1),
            None => format!("  ends in {state:?}\n"),
        };
        lines.push_str(&line);
    }
    lines
}
