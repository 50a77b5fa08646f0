//! x
use pyflake_models::postgres::{Realm, Rule};
use pyflake_models::{explore, refute};

#[test]
fn pg() {
    let realm = Realm { without: None, holders: 2, nodes: 1, tokens: 2, window: 1, max_skew: 0, last_now: 2, last_tick: 3, losses: 1, starts: 0, goes_back: false };
    explore("anyclock", realm.clone());
    explore("restart", Realm { starts: 1, ..realm.clone() });
    explore("restore", Realm { starts: 1, last_now: 2, last_tick: 3, goes_back: true, ..realm.clone() });
}
#[test]
fn pgc() {
    let realm = Realm { without: None, holders: 2, nodes: 1, tokens: 2, window: 1, max_skew: 0, last_now: 2, last_tick: 3, losses: 1, starts: 0, goes_back: false };
    for rule in [Rule::WithinTheWindow, Rule::RaiseAfterAcknowledgement, Rule::FloorUnderLock, Rule::ReleaseAlone] {
        refute(&format!("{rule:?}"), Realm { without: Some(rule), ..realm.clone() });
    }
    refute("Token", Realm { without: Some(Rule::Token), tokens: 3, ..realm.clone() });
    for rule in [Rule::UsedInAnyCase, Rule::RestAfterFailOver, Rule::RestAfterStart, Rule::OwnWindow, Rule::ExpiredProvesNothing] {
        refute(&format!("{rule:?}"), Realm { without: Some(rule), starts: 1, goes_back: true, ..realm.clone() });
    }
}
