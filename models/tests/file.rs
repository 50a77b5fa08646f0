//! The file store's model holds, and every variant that lacks a rule is refuted.

use pyflake_models::file::{Directory, Rule};
use pyflake_models::{explore, refute};

fn directory(processes: usize, tokens: u8, last_tick: u8, crashes: u8) -> Directory {
    Directory { without: None, processes, window: 1, clocks: 0, tokens, last_tick, crashes }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn file() {
    explore("file: 2 processes, 3 tenures, 1 crash", directory(2, 3, 3, 1));
    explore("file: 2 processes, 2 tenures, 2 crashes", directory(2, 2, 3, 2));
    explore("file: 3 processes, 3 tenures", directory(3, 3, 3, 0));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "explores millions of states: run ci/models.sh")]
fn file_controls() {
    for rule in [
        Rule::WithinTheWindow,
        Rule::RaiseAfterAcknowledgement,
        Rule::FloorAfterOwnRecord,
        Rule::ReleaseAlone,
        Rule::LaterAfterFloor,
        Rule::LaterBeforeOwn,
        Rule::Ascending,
        Rule::InPlace,
    ] {
        let small = matches!(
            rule,
            Rule::WithinTheWindow | Rule::RaiseAfterAcknowledgement | Rule::FloorAfterOwnRecord | Rule::ReleaseAlone
        );
        let model = if small { directory(2, 2, 3, 0) } else { directory(3, 3, 3, 0) };
        refute(&format!("file without {rule:?}"), Directory { without: Some(rule), ..model });
    }
    let rule = Rule::SyncDirectory;
    refute(&format!("file without {rule:?}"), Directory { without: Some(rule), ..directory(1, 1, 3, 1) });
}
