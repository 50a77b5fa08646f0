//! The model of copied machines holds, and every variant that lacks a rule is refuted.

use pyflake_models::copies::{Machines, Rule};
use pyflake_models::{explore, refute};

const MACHINES: Machines = Machines { without: None, copied: true, losses: 1, last_tick: 3, tokens: 2 };

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn copies() {
    explore("copies: a copy, a rival and a lost answer", MACHINES);
    explore("copies: a rival and two lost answers", Machines { copied: false, losses: 2, ..MACHINES });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn copies_controls() {
    for rule in [Rule::Rotation, Rule::SameUntilAgain] {
        refute(&format!("copies without {rule:?}"), Machines { without: Some(rule), ..MACHINES });
    }
}
