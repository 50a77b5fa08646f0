//! Files that are not as they were written: no node is ever started anew because of one.

use std::path::Path;

use super::sim::{DIR, Habit, Machine, Plan, SimDisk};
use super::{EPOCH, NOW, WINDOW, node, request};
use crate::id::Epoch;
use crate::lease::error::LeaseError;
use crate::lease::file::names;
use crate::lease::file::record::{OldRecord as Record, Record as Slot, SLOT, Slots};
use crate::lease::file::store::Store;
use crate::lease::file::text::Text;
use crate::lease::store::Renewal;

const NAME: &str = "node-03-17.4";

fn record() -> Record {
    let label = "process 7".into();
    Record { epoch: EPOCH, node: node(3, 17), token: 4, until: NOW, nonce: 12_345_678_901_234_567_890, label }
}

fn sealed(body: &str) -> String {
    /// Nothing but the lines it is given.
    struct Lines(String);

    impl core::fmt::Display for Lines {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Text for Lines {
        const TITLE: &str = "pyflake lease";
        const VERSION: &str = "1";

        fn read(_: &mut crate::lease::file::text::Fields<'_>) -> Result<Self, String> {
            unreachable!()
        }
    }

    Lines(body.into()).to_text()
}

fn store() -> (SimDisk, Store<SimDisk>) {
    let disk = SimDisk::new(Machine::default(), Habit::Good, Plan::default());
    let store = Store::open(disk.process(None), Path::new(DIR), EPOCH).unwrap();
    (disk, store)
}

/// What comes of taking the node of a file.
fn taken(content: &[u8]) -> Result<u64, LeaseError> {
    let (disk, store) = store();
    disk.put(NAME, content);
    let grant = store.try_take(node(3, 17), &request(1, NOW), &mut None);
    if grant.is_err() {
        assert!(disk.names().contains(&NAME.to_owned()), "it is left for people to look at");
    }
    grant.map(|grant| grant.unwrap().floor)
}

fn reason(content: &[u8]) -> String {
    match taken(content) {
        Err(LeaseError::Corrupt { record, reason, remedy }) => {
            assert!(record.ends_with(NAME) && remedy.contains("pid 3 and seed 17"), "{record}: {remedy}");
            reason
        }
        other => panic!("{:?} is {other:?}", content.escape_ascii().to_string()),
    }
}

#[test]
fn the_text_is_this() {
    let text = "pyflake lease 1\nepoch 1288834974657\npid 3\nseed 17\ntoken 4\nuntil 1700000000000\n\
                owner 12345678901234567890\nlabel process 7\nsum e8561967cfe90e70\n";
    assert_eq!(record().to_text(), text);
    assert_eq!(Record::parse(text.as_bytes()), Ok(record()));
    assert_eq!(taken(text.as_bytes()).unwrap(), NOW);
    let empty = Record { label: String::new(), ..record() };
    assert_eq!(Record::parse(empty.to_text().as_bytes()), Ok(empty));
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let text = record().to_text();
    for length in 0..text.len() {
        reason(&text.as_bytes()[..length]);
    }
    assert_eq!(reason(b""), "is empty");
}

#[test]
fn a_record_with_any_byte_changed_or_added_is_refused() {
    let text = record().to_text().into_bytes();
    for place in 0..text.len() {
        for change in 1..=255 {
            let mut changed = text.clone();
            changed[place] ^= change;
            reason(&changed);
        }
        for byte in *b"\n 0\0" {
            let mut longer = text.clone();
            longer.insert(place, byte);
            reason(&longer);
        }
    }
    reason(&[text, b"\n".to_vec()].concat());
}

#[test]
fn a_record_that_means_something_else_is_refused_though_its_checksum_is_right() {
    let tokens = [
        (Record { epoch: Epoch::DISCORD, ..record() }, "epoch 1420070400000"),
        (Record { node: node(17, 3), ..record() }, "pid: 17, seed: 3"),
        (Record { token: 5, ..record() }, "token 5"),
    ];
    for (foreign, part) in tokens {
        let reason = reason(foreign.to_text().as_bytes());
        assert!(reason.contains(part), "{reason}");
    }
    let body = record().to_string();
    assert_eq!(taken(sealed(&body).as_bytes()).unwrap(), NOW);
    let with = |from: &str, to: &str| reason(sealed(&body.replace(from, to)).as_bytes());
    for (from, to) in [
        ("until 1", "until +1"),
        ("until 1", "until 01"),
        ("until 1", "until -1"),
        ("until 1", "until  1"),
        ("until 1", "until 99999999991"),
        ("until ", "Until "),
        ("seed 17\n", ""),
        ("pid 3\nseed 17\n", "seed 17\npid 3\n"),
        ("\n", "\r\n"),
        ("label process 7\n", "label process 7\nlabel process 8\n"),
        ("seed 17", "seed 32"),
    ] {
        with(from, to);
    }
    let later = record().to_text().replace("lease 1", "lease 3");
    assert_eq!(reason(later.as_bytes()), "is of format 3, and this version of pyflake knows format 2");
    assert_eq!(reason(b"\xff\xfe"), "is not text");
    assert_eq!(reason(&[0; 150]), "does not begin with \"pyflake lease\"");
}

#[test]
fn a_node_that_cannot_be_relied_on_is_passed_over_and_told_of_when_nothing_else_is_free() {
    let (disk, store) = store();
    disk.put(NAME, b"pyflake");
    // Owners that begin their search at this node.
    let start = u64::from(node(3, 17).index());
    for i in 0..1023 {
        let grant = store.acquire(&request(start + 1024 * i, NOW)).unwrap();
        assert_ne!(grant.node, node(3, 17));
    }
    let error = store.acquire(&request(1, NOW)).unwrap_err();
    assert!(matches!(&error, LeaseError::Corrupt { record, .. } if record.ends_with(NAME)), "{error}");
    let nodes = store.nodes().unwrap();
    assert_eq!(nodes.len(), 1024);
    let status = nodes.iter().find(|status| status.node == node(3, 17)).unwrap();
    assert_eq!((status.held, status.until, status.token), (false, 0, 0));
    assert!(status.problem.as_ref().is_some_and(|problem| problem.contains(NAME)), "{status:?}");
    assert_eq!(nodes.iter().filter(|status| status.problem.is_some()).count(), 1);
}

#[test]
fn a_holder_does_not_write_over_what_is_not_its_own() {
    let (disk, store) = store();
    let grant = store.try_take(node(3, 17), &request(1, NOW), &mut None).unwrap().unwrap();
    let name = "node-03-17.1";
    disk.put(name, &Record { token: 1, nonce: 2, ..record() }.to_text().into_bytes());
    assert!(matches!(store.renew(&Renewal::new(grant.clone(), NOW)), Err(LeaseError::Lost { .. })));
    disk.put(name, b"");
    assert!(matches!(store.renew(&Renewal::new(grant.clone(), NOW)), Err(LeaseError::Corrupt { .. })));
    assert!(matches!(store.release(&grant, NOW), Err(LeaseError::Corrupt { .. })));
}

/// As after a takeover that was interrupted: what counts is the largest `until`, whichever token it is under.
#[test]
fn of_several_records_each_counts() {
    let (disk, store) = store();
    disk.put(NAME, Record { until: NOW + 70, ..record() }.to_text().as_bytes());
    disk.put("node-03-17.5", Record { token: 5, until: NOW + 50, ..record() }.to_text().as_bytes());
    disk.put("node-03-17.000000000000000a.tmp", b"half a rec");
    let grant = store.try_take(node(3, 17), &request(1, NOW), &mut None).unwrap().unwrap();
    assert_eq!((grant.floor, grant.until, grant.token), (NOW + 70, NOW + 70 + WINDOW, 6));
    // And they are gone.
    assert_eq!(disk.names(), ["node-03-17.6", "realm"]);
    // One that cannot be relied on spoils the node, even if a later one can.
    disk.put("node-03-17.2", b"");
    store.release(&grant, NOW + 80).unwrap();
    assert!(matches!(
        store.try_take(node(3, 17), &request(1, NOW), &mut None),
        Err(LeaseError::Corrupt { record, .. }) if record.ends_with("node-03-17.2")
    ));
}

#[test]
fn at_the_last_token_a_node_is_used_up() {
    let (disk, store) = store();
    let last = Record { token: u64::MAX, ..record() };
    disk.put(&format!("node-03-17.{}", u64::MAX), last.to_text().as_bytes());
    assert_eq!(store.try_take(node(3, 17), &request(1, NOW), &mut None).unwrap(), None);
    assert_eq!(disk.names().len(), 2, "{:?}", disk.names());
}

#[test]
fn a_realm_that_is_gone_or_changed_closes_the_directory() {
    let (disk, store) = store();
    let open = |disk: &SimDisk| Store::open(disk.process(None), Path::new(DIR), EPOCH).map(drop);
    let epoch = EPOCH.as_unix_millis();
    for realm in [String::new(), format!("pyflake realm 1\nepoch {epoch}\nlayout 42/5/5/12\nsum 0000000000000000\n")] {
        disk.put("realm", realm.as_bytes());
        for refused in [open(&disk), store.acquire(&request(1, NOW)).map(drop)] {
            assert!(matches!(&refused, Err(LeaseError::Corrupt { record, .. }) if record.ends_with("realm")));
        }
    }
    for file in ["node-03-17.lock", NAME, "node-03-17.000000000000000a.tmp"] {
        let disk = SimDisk::new(Machine::default(), Habit::Good, Plan::default());
        disk.put(file, b"");
        let refused = open(&disk);
        assert!(matches!(&refused, Err(LeaseError::Corrupt { reason, .. }) if reason.starts_with("is missing")));
        assert_eq!(disk.names(), [file]);
    }
}

#[test]
fn names_of_others_are_passed_over() {
    let others = [
        "node-3-17.1",
        "node-03-17",
        "node-03-17.01",
        "node-03-17.+1",
        "node-03-17.1~",
        "node-32-00.1",
        "node-03-017.1",
        "nodes-03-17.1",
        "node-03-17.99999999999999999999",
        "node-03.1",
        "notes.txt",
        ".",
        "",
    ];
    assert!(names::sort(others).values().all(|files| files.tokens.is_empty() && files.temps.is_empty()));
    let path = names::record(Path::new(DIR), node(3, 17), 10);
    let files = names::sort([path.file_name().unwrap().to_str().unwrap(), "node-03-17.9", "node-03-17.lock"]);
    assert_eq!(files[&node(3, 17)].tokens, [9, 10]);
}

/// A record as this version writes it, after a renewal.
fn slots() -> (Slot, Vec<u8>) {
    let (until, reach) = (NOW, NOW + WINDOW);
    let first = Slot {
        epoch: EPOCH,
        node: node(3, 17),
        token: 4,
        count: 0,
        until,
        reach,
        nonce: 12_345_678_901_234_567_890,
        label: "process 7".into(),
    };
    let mut bytes = first.both();
    let renewed = Slot { count: 2, until: NOW + 5000, reach: NOW + 5000 + WINDOW, nonce: 7, ..first };
    let text = renewed.to_text();
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    (renewed, bytes)
}

#[test]
fn the_text_of_a_slot_is_this() {
    let (renewed, bytes) = slots();
    let text = "pyflake lease 2\nepoch 1288834974657\npid 3\nseed 17\ntoken 4\ncount 00000000000000000002\n\
                until 00000001700000005000\nreach 00000001700000015000\nowner 00000000000000000007\n\
                label process 7\nsum ";
    assert!(renewed.to_text().starts_with(text), "{}", renewed.to_text());
    assert_eq!(bytes.len(), SLOT + renewed.to_text().len());
    let slots = Slots::parse(&bytes).unwrap();
    assert_eq!((&slots.latest, slots.end()), (&renewed, NOW + 5000));
    assert_eq!(taken(&bytes).unwrap(), NOW + 5000);
    let longest = Slot { label: "\u{1f980}".repeat(128), token: u64::MAX, ..renewed };
    assert!(longest.to_text().len() < SLOT);
    assert_eq!(Slots::parse(&longest.both()).unwrap().latest.label, longest.label);
}

/// Nobody can tell a torn slot from a rotten one, so the floor is at or above the window of both.
#[test]
fn with_any_byte_changed_a_node_starts_at_or_above_the_window() {
    let (renewed, bytes) = slots();
    let length = renewed.to_text().len();
    for place in (0..length + 2).chain(SLOT - 2..bytes.len()) {
        for change in 1..=255 {
            let mut changed = bytes.clone();
            changed[place] ^= change;
            let end = Slots::parse(&changed).unwrap().end();
            // The older slot says how far the newer one may have gone, and the newer one how far the next.
            assert_eq!(end, if place < SLOT { NOW + WINDOW } else { renewed.reach }, "{place}");
        }
    }
    let mut both = bytes.clone();
    both[20] ^= 1;
    both[SLOT + 20] ^= 1;
    assert_eq!(reason(&both), "has the line \"epoci 1288834974657\" where \"epoch\" and its value belong");
    let foreign = [&bytes[..SLOT], Slot { count: 5, ..renewed.clone() }.to_text().as_bytes()].concat();
    assert_eq!(reason(&foreign), "has two slots that do not belong together");
}

#[test]
fn cut_anywhere_or_longer_a_record_is_refused_or_starts_at_or_above_the_window() {
    let (renewed, bytes) = slots();
    let full = renewed.to_text().len();
    for length in 0..bytes.len() {
        match taken(&bytes[..length]) {
            Ok(floor) => assert!(floor == renewed.reach && length >= SLOT.min(full + SLOT), "{length}: {floor}"),
            Err(error) => assert!(matches!(error, LeaseError::Corrupt { .. }), "{length}: {error}"),
        }
    }
    assert_eq!(taken(&[bytes, b"\n".to_vec()].concat()).unwrap(), renewed.reach);
}

/// A clock that jumps takes the window past what the last write allowed for: then two writes say so, one after the other.
#[test]
fn a_window_that_grows_by_more_than_its_length_is_never_above_the_reach() {
    let (disk, store) = store();
    let grant = store.try_take(node(3, 17), &request(1, NOW), &mut None).unwrap().unwrap();
    let grant = store.renew(&Renewal::new(grant, NOW + 100 * WINDOW)).unwrap();
    assert_eq!(grant.until, NOW + 100 * WINDOW);
    let slots = Slots::parse(&disk.content("node-03-17.1")).unwrap();
    let other = slots.counted(slots.latest.count - 1).unwrap();
    assert_eq!((slots.latest.until, other.until, other.reach), (NOW + 100 * WINDOW, NOW + WINDOW, NOW + 101 * WINDOW));
    let renewed = store.renew(&Renewal::new(grant, NOW + 100 * WINDOW + 5)).unwrap();
    assert_eq!(renewed.until, NOW + 100 * WINDOW + 5);
}
