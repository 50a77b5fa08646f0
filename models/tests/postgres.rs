//! The PostgreSQL store's model holds, and every variant that lacks a rule is refuted.

use pyflake_models::postgres::{Realm, Rule};
use pyflake_models::{explore, refute};

const REALM: Realm = Realm {
    without: None,
    holders: 2,
    nodes: 1,
    tokens: 2,
    window: 1,
    max_skew: 0,
    last_now: 2,
    last_tick: 3,
    losses: 1,
    starts: 0,
    goes_back: false,
};

/// A realm on a server that may be replaced.
const REPLACED: Realm = Realm { last_now: 1, last_tick: 2, starts: 1, goes_back: true, ..REALM };

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn postgres() {
    explore("postgres: any clocks, a lost answer or a late statement", REALM);
    explore("postgres: two nodes", Realm { nodes: 2, last_now: 1, last_tick: 2, losses: 0, ..REALM });
    explore("postgres: a restart", Realm { last_now: 1, starts: 1, ..REALM });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn postgres_that_goes_back() {
    explore("postgres: a failover, a restore or a restart", REPLACED);
    explore("postgres: two of them", Realm { losses: 0, starts: 2, ..REPLACED });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn postgres_controls() {
    let without = |rule, realm| {
        refute(&format!("postgres without {rule:?}"), Realm { without: Some(rule), ..realm });
    };
    for rule in [Rule::WithinTheWindow, Rule::RaiseAfterAcknowledgement, Rule::FloorUnderLock, Rule::ReleaseAlone] {
        without(rule, REALM);
    }
    without(Rule::Token, Realm { tokens: 3, ..REALM });
    without(Rule::UsedInAnyCase, REPLACED);
    for rule in [
        Rule::RestAfterFailOver,
        Rule::RestAfterStart,
        Rule::OwnWindow,
        Rule::ExpiredProvesNothing,
        Rule::InTimeIsProven,
    ] {
        without(rule, Realm { losses: 0, ..REPLACED });
    }
}
