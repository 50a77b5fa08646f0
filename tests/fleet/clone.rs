//! A holder that is copied with its machine: two processes with one grant.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use pyflake::lease::{Grant, LeaseError, LeaseStore, LeasedGenerator, OnLost, Owner, Renewal, Request};
use pyflake::{Epoch, Node, Snowflake};

use crate::fleet::{EPOCH, now, request, unique};
use crate::server::{Store, open, shared};
use crate::workers::issue;

/// What a copy is told through its environment.
const GRANT: &str = "PYFLAKE_TEST_CLONE_GRANT";
const REALM: &str = "PYFLAKE_TEST_CLONE_REALM";
const OUTPUT: &str = "PYFLAKE_TEST_CLONE_OUTPUT";
const KEEPS: &str = "PYFLAKE_TEST_CLONE_KEEPS_ITS_NONCE";

const WINDOW: u64 = 3000;

/// A store of a process that has its grant already, as after a copy.
#[derive(Debug)]
struct Copied {
    store: Store,
    grant: Mutex<Option<Grant>>,
    /// As it was before nonces changed.
    keeps_its_nonce: bool,
}

impl LeaseStore for Copied {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn acquire(&self, _: &Request) -> Result<Grant, LeaseError> {
        self.grant.lock().unwrap().take().ok_or(LeaseError::NoFreeNode { nodes: 1 })
    }

    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        if self.keeps_its_nonce {
            let next_nonce = renewal.grant.owner.nonce;
            return self.store.renew(&Renewal { next_nonce, ..renewal.clone() });
        }
        self.store.renew(renewal)
    }

    fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        self.store.release(grant, used_until)
    }
}

/// Not a test by itself: the others start this program again as a copy, which runs until it is killed.
#[test]
fn copy() {
    let (Ok(grant), Ok(realm), Ok(output)) = (std::env::var(GRANT), std::env::var(REALM), std::env::var(OUTPUT)) else {
        return;
    };
    let numbers: Vec<u64> = grant.split(' ').map(|number| number.parse().unwrap()).collect();
    let [node, floor, until, token, nonce] = numbers[..] else { panic!("{grant}") };
    let grant = Grant {
        node: Node::from_index(node).unwrap(),
        floor,
        until,
        token,
        owner: Owner { nonce, label: "test".into() },
    };
    let store = Copied {
        store: open(&shared().unwrap(), &realm, EPOCH),
        grant: Mutex::new(Some(grant)),
        keeps_its_nonce: std::env::var_os(KEEPS).is_some(),
    };
    let window = Duration::from_millis(WINDOW);
    let generator = LeasedGenerator::builder(store).window(window).on_lost(OnLost::Stop).build().unwrap();
    issue(&PathBuf::from(output), 20, || generator.next_id());
}

/// What two copies of a holder have issued in three windows.
struct Copies {
    /// The IDs of each, and their times.
    issued: [Vec<(u64, u64)>; 2],
    start: u64,
    end: u64,
}

fn two_copies(keep_their_nonce: bool) -> Option<Copies> {
    let url = shared()?;
    let (realm, dir) = (unique("clone"), std::env::temp_dir().join(unique("pyflake-clone")));
    fs::create_dir(&dir).unwrap();
    let grant = open(&url, &realm, EPOCH).acquire(&request(WINDOW)).unwrap();
    let numbers = [grant.node.index().into(), grant.floor, grant.until, grant.token, grant.owner.nonce];
    let launch = |name: &str| -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "fleet::clone::copy"])
            .env(GRANT, numbers.map(|number: u64| number.to_string()).join(" "))
            .env(REALM, &realm)
            .env(OUTPUT, dir.join(name))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if keep_their_nonce {
            command.env(KEEPS, "1");
        }
        command.spawn().unwrap()
    };
    let mut copies = ["one", "two"].map(launch);
    thread::sleep(Duration::from_millis(3 * WINDOW));
    for copy in &mut copies {
        copy.kill().unwrap();
        copy.wait().unwrap();
    }
    let end = now();
    let issued = ["one", "two"].map(|name| read(&dir, name));
    fs::remove_dir_all(&dir).unwrap();
    let start = issued.iter().flatten().map(|&(_, time)| time).min().unwrap();
    Some(Copies { issued, start, end })
}

fn read(dir: &Path, name: &str) -> Vec<(u64, u64)> {
    let mut ids = Vec::new();
    for thread in ["a", "b"] {
        let file = fs::read(dir.join(name).with_extension(thread)).unwrap();
        // A kill may cut the last ID short.
        ids.extend(file.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)));
    }
    let time = |id| (id, Snowflake::from_u64(id).timestamp(EPOCH));
    let mut ids: Vec<_> = ids.into_iter().map(time).collect();
    ids.sort_unstable();
    ids
}

impl Copies {
    /// The times of the IDs that both have issued.
    fn twice(&self) -> Vec<u64> {
        let [one, two] = &self.issued;
        one.iter().filter(|id| two.binary_search(id).is_ok()).map(|&(_, time)| time).collect()
    }

    /// How many copies still issue at the end.
    fn issuing(&self) -> usize {
        let issues = |ids: &&Vec<(u64, u64)>| ids.last().is_some_and(|&(_, time)| time + WINDOW / 2 > self.end);
        self.issued.iter().filter(issues).count()
    }
}

/// A third of a window, and what a busy machine takes.
#[test]
fn of_two_copies_one_is_lost_within_a_third_of_a_window() {
    let Some(copies) = two_copies(false) else { return };
    let twice = copies.twice();
    let last = twice.iter().max().map_or(0, |last| last - copies.start);
    println!("{} IDs twice, in the first {last} ms", twice.len());
    assert!(last <= WINDOW / 3 + 1000, "{last} ms");
    assert_eq!(copies.issuing(), 1);
}

#[test]
fn negative_control_two_copies_that_keep_their_nonce_go_on() {
    let Some(copies) = two_copies(true) else { return };
    let (twice, issued) = (copies.twice().len(), copies.issued[0].len());
    println!("{twice} of {issued} IDs twice");
    assert_eq!(copies.issuing(), 2);
    assert!(twice > 0);
}
