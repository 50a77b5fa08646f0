//! What the store does, mostly on this machine's disk.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use std::{env, fs, process, thread};

use super::sim::{DIR, Habit, Machine, Plan, SimDisk};
use super::{EPOCH, NOW, WINDOW, node, request};
use crate::id::Epoch;
use crate::lease::error::LeaseError;
use crate::lease::file::FileStore;
use crate::lease::file::store::Store;
use crate::lease::store::{Grant, LeaseStore, Owner, Renewal, Request};

/// A directory of a test's own.
pub(super) struct TempDir(PathBuf);

impl TempDir {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("pyflake-file-test-{}-{count}", process::id()));
        fs::create_dir(&dir).unwrap();
        TempDir(dir)
    }

    pub(super) fn store(&self) -> FileStore {
        FileStore::open(&self.0, EPOCH).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Takes pid 3, seed 17.
fn take(store: &FileStore, nonce: u64, now: u64) -> Option<Grant> {
    store.0.try_take(node(3, 17), &request(nonce, now), &mut None).unwrap()
}

#[test]
fn stores_and_threads_of_one_process_get_different_nodes() {
    let dir = TempDir::new();
    let stores: Vec<FileStore> = (0..4).map(|_| dir.store()).collect();
    let grants: Vec<Grant> = thread::scope(|scope| {
        let takers: Vec<_> = stores
            .iter()
            // Two threads a store, and all with one nonce: they fight for every node.
            .flat_map(|store| [store, store])
            .map(|store| scope.spawn(|| (0..8).map(|_| store.acquire(&request(7, NOW)).unwrap()).collect::<Vec<_>>()))
            .collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    assert_eq!(grants.iter().map(|grant| grant.node).collect::<HashSet<_>>().len(), 64);
    assert!(grants.iter().all(|grant| (grant.floor, grant.until, grant.token) == (0, NOW + WINDOW, 1)));
    assert_eq!(dir.store().nodes().unwrap().iter().filter(|status| status.held).count(), 64);
}

#[test]
fn there_are_1024_nodes() {
    let disk = SimDisk::new(Machine::default(), Habit::Good, Plan::default());
    let stores: Vec<_> = (0..4).map(|_| Store::open(disk.process(None), Path::new(DIR), EPOCH).unwrap()).collect();
    let grants: Vec<Grant> = (0..1024).map(|i| stores[i % 4].acquire(&request(i as u64 * 257, NOW)).unwrap()).collect();
    assert_eq!(grants.iter().map(|grant| grant.node).collect::<HashSet<_>>().len(), 1024);
    for store in &stores {
        let full = store.acquire(&request(5, NOW));
        assert!(matches!(full, Err(LeaseError::NoFreeNode { nodes: 1024 })), "{full:?}");
    }
    stores[2].release(&grants[702], NOW + 1).unwrap();
    assert_eq!(stores[0].acquire(&request(5, NOW)).unwrap().node, grants[702].node);
}

#[test]
fn a_node_whose_floor_has_passed_comes_before_one_with_a_lower_floor() {
    let disk = SimDisk::new(Machine::default(), Habit::Good, Plan::default());
    let store = Store::open(disk, Path::new(DIR), EPOCH).unwrap();
    let grants: Vec<Grant> = (0..1024).map(|_| store.acquire(&request(0, NOW)).unwrap()).collect();
    for (i, used_until) in [(10, NOW + 300), (20, NOW + 200), (30, NOW + 100), (40, NOW + 400)] {
        store.release(&grants[i], used_until).unwrap();
    }
    // All are ahead of this clock, so the lowest; then one that has passed, wherever the search begins.
    let next = |now| store.acquire(&request(35, now)).unwrap();
    assert_eq!(next(NOW).node, grants[30].node);
    assert_eq!(next(NOW + 350).node, grants[10].node);
    assert_eq!(next(NOW + 350).node, grants[20].node);
    assert_eq!(next(NOW + 350).node, grants[40].node);
}

#[test]
fn the_next_holder_starts_where_the_window_ended() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    assert_eq!((grant.floor, grant.until, grant.token), (0, NOW + WINDOW, 1));
    let grant = store.renew(&Renewal::new(grant.clone(), NOW + 15_000)).unwrap();
    assert_eq!((grant.floor, grant.until, grant.token), (0, NOW + 15_000, 1));
    let other = dir.store();
    assert_eq!(take(&other, 2, NOW), None);
    // As when the process ends.
    drop(store);
    // The clock has stepped back: the floor has not, and the window is counted from it.
    let grant = take(&other, 2, NOW - 1_000_000).unwrap();
    assert_eq!((grant.floor, grant.until, grant.token), (NOW + 15_000, NOW + 15_000 + WINDOW, 2));
    assert_eq!(grant.owner, request(2, NOW).owner);
}

#[test]
fn a_renewal_never_lowers_the_window() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    let longer = store.renew(&Renewal::new(grant.clone(), NOW + 20_000)).unwrap();
    let renewed = store.renew(&Renewal::new(longer.clone(), NOW + 15_000)).unwrap();
    assert_eq!(renewed.until, longer.until);
    assert_eq!(store.nodes().unwrap()[0].until, NOW + 20_000);
}

#[test]
fn the_holder_after_a_release_starts_where_it_says() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    store.release(&grant, NOW + 5).unwrap();
    let grant = take(&store, 2, NOW).unwrap();
    assert_eq!((grant.floor, grant.token), (NOW + 5, 2));
    // Nothing was issued: the floor stays, and does not fall to what is said.
    store.release(&grant, 0).unwrap();
    let grant = take(&store, 3, NOW + 50).unwrap();
    assert_eq!((grant.floor, grant.until, grant.token), (NOW + 5, NOW + 50 + WINDOW, 3));
    assert_eq!(dir.names().len(), 3, "{:?}", dir.names());
}

#[test]
fn a_grant_of_another_token_owner_or_store_is_lost_and_changes_nothing() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    let record = fs::read(dir.path("node-03-17.1")).unwrap();
    let strangers = [
        Grant { token: 2, ..grant.clone() },
        Grant { owner: Owner { nonce: 2, ..grant.owner.clone() }, ..grant.clone() },
        Grant { node: node(3, 18), ..grant.clone() },
    ];
    let others = strangers.iter().map(|stranger| (&store, stranger));
    let elsewhere = dir.store();
    for (store, grant) in others.chain([(&elsewhere, &grant)]) {
        let renewed = store.renew(&Renewal::new(grant.clone(), NOW + 20_000));
        assert!(matches!(renewed, Err(LeaseError::Lost { .. })), "{renewed:?}");
        let released = store.release(grant, NOW);
        assert!(matches!(released, Err(LeaseError::Lost { .. })), "{released:?}");
    }
    assert_eq!(fs::read(dir.path("node-03-17.1")).unwrap(), record);
    assert!(store.nodes().unwrap()[0].held);
    store.release(&grant, NOW).unwrap();
    assert!(matches!(store.renew(&Renewal::new(grant.clone(), NOW)), Err(LeaseError::Lost { .. })));
    assert!(matches!(store.release(&grant, NOW), Err(LeaseError::Lost { .. })));
}

#[test]
fn a_holder_whose_lock_file_was_deleted_loses_the_node_to_the_next() {
    let dir = TempDir::new();
    let (store, other) = (dir.store(), dir.store());
    let grant = take(&store, 1, NOW).unwrap();
    fs::remove_file(dir.path("node-03-17.lock")).unwrap();
    let next = take(&other, 2, NOW).unwrap();
    assert_eq!((next.floor, next.token), (grant.until, 2));
    let renewed = store.renew(&Renewal::new(grant.clone(), NOW + 20_000));
    assert!(matches!(renewed, Err(LeaseError::Lost { .. })), "{renewed:?}");
    assert_eq!(other.renew(&Renewal::new(next.clone(), NOW + 30_000)).unwrap().until, NOW + 30_000);
}

#[test]
fn a_holder_whose_lock_file_was_deleted_or_replaced_is_lost_at_its_next_renewal() {
    let dir = TempDir::new();
    let (store, lock) = (dir.store(), dir.path("node-03-17.lock"));
    for replaced in [false, true] {
        let grant = take(&store, 1, NOW).unwrap();
        fs::remove_file(&lock).unwrap();
        if replaced {
            fs::write(&lock, "").unwrap();
        }
        let error = store.renew(&Renewal::new(grant.clone(), NOW + 20_000)).unwrap_err();
        assert!(
            matches!(&error, LeaseError::Lost { found } if found.contains("node-03-17.lock was deleted")),
            "{error}"
        );
    }
}

#[test]
fn an_old_lock_file_is_as_new_once_the_node_is_taken() {
    let dir = TempDir::new();
    let lock = dir.path("node-03-17.lock");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let store = dir.store();
    File::create(&lock).unwrap().set_modified(old).unwrap();
    take(&store, 1, NOW).unwrap();
    assert!(fs::metadata(&lock).unwrap().modified().unwrap().elapsed().unwrap() < Duration::from_secs(3600));
}

#[test]
fn a_renewal_creates_and_removes_no_name() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    let (names, changed) = (dir.names(), fs::metadata(&dir.0).unwrap().modified().unwrap());
    let grant = store.renew(&Renewal::new(grant, NOW + 15_000)).unwrap();
    store.renew(&Renewal::new(grant, NOW + 20_000)).unwrap();
    assert_eq!((dir.names(), fs::metadata(&dir.0).unwrap().modified().unwrap()), (names, changed));
}

/// As the copies of a process have one, which a snapshot was taken of: the store's memory, and the files.
#[test]
fn of_two_copies_of_a_process_the_second_to_renew_is_lost() {
    for first in [0, 1] {
        let dir = TempDir::new();
        let stores = [dir.store(), dir.store()];
        let grant = take(&stores[0], 1, NOW).unwrap();
        stores[1].0.copy(&stores[0].0);
        let mine = stores[first].renew(&Renewal::new(grant.clone(), NOW + 15_000)).unwrap();
        let copy = stores[1 - first].renew(&Renewal::new(grant.clone(), NOW + 20_000));
        assert!(matches!(&copy, Err(LeaseError::Lost { found }) if found.contains("another owner")), "{copy:?}");
        let mine = stores[first].renew(&Renewal::new(mine, NOW + 16_000)).unwrap();
        assert_eq!(mine.until, NOW + 16_000);
        stores[first].release(&mine, NOW + 1).unwrap();
    }
}

#[test]
fn a_holder_whose_record_was_deleted_is_lost_and_keeps_the_node_locked() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    fs::remove_file(dir.path("node-03-17.1")).unwrap();
    assert!(matches!(store.renew(&Renewal::new(grant.clone(), NOW)), Err(LeaseError::Lost { .. })));
    assert_eq!(take(&dir.store(), 2, NOW), None);
}

#[test]
fn windows_and_tokens_stop_at_the_end_of_their_numbers() {
    let dir = TempDir::new();
    let store = dir.store();
    let end = Request { window: u64::MAX, ..request(1, NOW) };
    let grant = store.acquire(&end).unwrap();
    assert_eq!(grant.until, u64::MAX);
    assert_eq!(store.renew(&Renewal::new(grant.clone(), u64::MAX)).unwrap().until, u64::MAX);
}

#[test]
fn operators_see_every_node_that_was_used() {
    let dir = TempDir::new();
    let label = |label: &str| Request { owner: Owner { nonce: 1, label: label.into() }, ..request(1, NOW) };
    let store = dir.store();
    assert_eq!(store.nodes().unwrap(), []);
    let held = store.0.try_take(node(4, 2), &label("host \"a\"\nuntil 7\u{202e} é ✓"), &mut None).unwrap().unwrap();
    let other = dir.store();
    other.0.try_take(node(5, 1), &label(&"x\\".repeat(200)), &mut None).unwrap().unwrap();
    drop(other);
    let existing = FileStore::open_existing(&dir.0).unwrap();
    assert_eq!(existing.epoch(), EPOCH);
    let nodes = existing.nodes().unwrap();
    assert_eq!(nodes, dir.store().nodes().unwrap());
    let [free, busy] = &nodes[..] else { panic!("{nodes:?}") };
    assert_eq!((free.node, free.held, free.token, free.until), (node(5, 1), false, 1, NOW + WINDOW));
    // 42 times three, and no half of an escape.
    assert_eq!(free.owner_label, "x\\\\".repeat(42) + "x");
    assert_eq!((busy.node, busy.held, busy.token, busy.until), (node(4, 2), true, 1, NOW + WINDOW));
    assert_eq!(busy.owner_label, "host \"a\"\\nuntil 7\\u{202e} é ✓");
    assert!(nodes.iter().all(|status| status.problem.is_none()));
    store.renew(&Renewal::new(held.clone(), NOW + 20_000)).unwrap();
}

#[test]
fn looking_creates_nothing() {
    let dir = TempDir::new();
    for dir in [dir.path("missing"), dir.0.clone()] {
        let error = FileStore::open_existing(&dir).unwrap_err();
        assert!(matches!(&error, LeaseError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("realm"), "{error}");
    }
    assert_eq!(dir.names().len(), 0);
}

#[test]
fn a_directory_is_created_with_its_parents_and_belongs_to_one_epoch() {
    let dir = TempDir::new();
    let deep = dir.path("a/b/c");
    let store = FileStore::open(&deep, EPOCH).unwrap();
    assert_eq!(store.epoch(), EPOCH);
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
    let error = FileStore::open(&deep, Epoch::DISCORD).unwrap_err();
    assert!(matches!(error, LeaseError::RealmMismatch { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("1288834974657") && message.contains("1420070400000"), "{message}");
    FileStore::open(&deep, EPOCH).unwrap();
}

#[test]
fn opened_at_once_a_directory_gets_one_realm() {
    let dir = TempDir::new();
    let opened: Vec<_> = thread::scope(|scope| {
        let epochs = [Epoch::TWITTER, Epoch::DISCORD].into_iter().cycle().take(8);
        let path = &dir.0;
        let stores: Vec<_> = epochs.map(|epoch| scope.spawn(move || FileStore::open(path, epoch))).collect();
        stores.into_iter().map(|store| store.join().unwrap()).collect()
    });
    let (mut open, mut refused) = (HashSet::new(), 0);
    for opened in opened {
        match opened {
            Ok(store) => drop(open.insert(store.epoch())),
            Err(LeaseError::RealmMismatch { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((open.len(), refused), (1, 4));
    assert_eq!(dir.names(), BTreeSet::from(["realm".to_owned()]));
}

#[test]
fn what_is_not_a_directory_is_refused_by_its_name() {
    let dir = TempDir::new();
    let file = dir.path("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        for error in [FileStore::open(&path, EPOCH).unwrap_err(), FileStore::open_existing(&path).unwrap_err()] {
            assert!(matches!(error, LeaseError::InvalidConfig { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    }
    let error = FileStore::open("", EPOCH).unwrap_err();
    assert!(matches!(error, LeaseError::InvalidConfig { .. }), "{error}");
}

#[test]
fn an_evicted_holder_is_lost_and_the_next_one_starts_behind_its_window() {
    let dir = TempDir::new();
    let (store, operator) = (dir.store(), FileStore::open_existing(&dir.0).unwrap());
    assert_eq!(operator.evict(node(3, 17)).unwrap(), None, "nobody has used it");
    let grant = take(&store, 1, NOW).unwrap();
    let label = grant.owner.label.clone();
    assert!(take(&operator, 2, NOW).is_none(), "it is held");
    assert_eq!(operator.evict(node(3, 17)).unwrap(), Some(label));
    assert_eq!(operator.evict(node(3, 17)).unwrap(), None, "it is free");
    // The holder renews before anybody has the node, or after that, and gives it back late.
    let renewed = store.renew(&Renewal::new(grant.clone(), NOW + 20_000));
    assert!(matches!(renewed, Err(LeaseError::Lost { .. })), "{renewed:?}");
    let next = take(&operator, 3, NOW).unwrap();
    assert_eq!((next.floor, next.token), (grant.until, grant.token + 1));
    assert!(matches!(store.release(&grant, NOW), Err(LeaseError::Lost { .. })));
    let renewed = operator.renew(&Renewal::new(next.clone(), next.until + 1)).unwrap();
    // By its own store too, and without a renewal before the next holder comes.
    assert!(operator.evict(node(3, 17)).unwrap().is_some());
    let third = take(&store, 4, NOW).unwrap();
    assert_eq!((third.floor, third.token), (renewed.until, next.token + 1));
    assert!(matches!(operator.renew(&Renewal::new(renewed, third.until)), Err(LeaseError::Lost { .. })));
}

#[test]
fn a_store_whose_directory_is_emptied_under_it_issues_no_more() {
    let dir = TempDir::new();
    let store = dir.store();
    let grant = take(&store, 1, NOW).unwrap();
    fs::remove_dir_all(&dir.0).unwrap();
    assert!(matches!(store.renew(&Renewal::new(grant.clone(), NOW)), Err(LeaseError::Unavailable { .. })));
    assert!(matches!(store.acquire(&request(2, NOW)), Err(LeaseError::Corrupt { .. })));
    let fresh = dir.store();
    // The same node, and the same token: the owner tells them apart.
    assert_eq!(take(&fresh, 2, NOW).unwrap().token, grant.token);
    assert!(matches!(store.renew(&Renewal::new(grant.clone(), NOW)), Err(LeaseError::Lost { .. })));
}
