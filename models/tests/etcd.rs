//! x
use pyflake_models::etcd::{Realm, Rule};
use pyflake_models::copies::{self, Machines};
use pyflake_models::{explore, refute};

const REALM: Realm = Realm { without: None, tokens: 2, window: 1, max_skew: 0, last_now: 1, last_tick: 3, losses: 1, restores: 0 };
#[test]
fn etcd() {
    explore("etcd", REALM);
    explore("etcd restore", Realm { restores: 1, last_now: 1, losses: 0, ..REALM });
}
#[test]
fn etcdc() {
    for rule in [Rule::WithinTheWindow, Rule::RaiseAfterAcknowledgement, Rule::CompareNode, Rule::ReleaseAlone] {
        refute(&format!("{rule:?}"), Realm { without: Some(rule), ..REALM });
    }
    for rule in [Rule::RestAfterRestore, Rule::OwnWindow, Rule::CompareRealm, Rule::AnotherCluster] {
        refute(&format!("{rule:?}"), Realm { without: Some(rule), restores: 1, ..REALM });
    }
    refute("Token", Realm { without: Some(Rule::Token), tokens: 3, ..REALM });
}
#[test]
fn copies() {
    let m = Machines { without: None, copied: true, losses: 1, last_tick: 4, tokens: 2 };
    for losses in 0..=2 {
    explore("copies", Machines { losses, ..m.clone() });
    }
    explore("no copies", Machines { copied: false, losses: 2, ..m.clone() });
    for rule in [copies::Rule::Rotation, copies::Rule::SameUntilAgain] {
    refute(&format!("{rule:?}"), Machines { without: Some(rule), losses: 1, ..m.clone() });
    }
    refute("SameNonce", Machines { without: Some(copies::Rule::SameNonceAgain), losses: 1, ..m.clone() });
}
