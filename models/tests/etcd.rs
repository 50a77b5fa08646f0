//! The etcd store's model holds, and every variant that lacks a rule is refuted.

use pyflake_models::etcd::{Realm, Rule};
use pyflake_models::{explore, refute};

const REALM: Realm =
    Realm { without: None, tokens: 2, window: 1, max_skew: 0, last_now: 1, last_tick: 2, losses: 1, restores: 0 };

/// A realm on a cluster that is restored from a snapshot.
const RESTORED: Realm = Realm { losses: 0, restores: 1, ..REALM };

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn etcd() {
    explore("etcd: any clocks, a lost answer or a late request", REALM);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn etcd_that_is_restored() {
    explore("etcd: a restore", RESTORED);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn etcd_controls() {
    let without = |rule, realm| refute(&format!("etcd without {rule:?}"), Realm { without: Some(rule), ..realm });
    for rule in [Rule::WithinTheWindow, Rule::RaiseAfterAcknowledgement, Rule::CompareNode, Rule::ReleaseAlone] {
        without(rule, Realm { last_tick: 3, ..REALM });
    }
    without(Rule::Token, Realm { tokens: 3, last_tick: 3, ..REALM });
    for rule in [Rule::RestAfterRestore, Rule::OwnWindow, Rule::AnotherCluster] {
        without(rule, RESTORED);
    }
}
