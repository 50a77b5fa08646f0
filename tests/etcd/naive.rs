//! What the store compares, and does not believe: for each there is a naive variant that leaves it out, and gives one
//! window to two holders.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pyflake::lease::{EtcdStore, Grant, LeaseError, LeaseStore, Renewal};
use serde_json::{Value, json};

use crate::fleet::{EPOCH, now, request, unique};
use crate::gateway::{Change, gateway};
use crate::server::{get, leave_free, open, put, shared};

/// What comes between the steps of a store, and what the store leaves out.
#[derive(Default)]
struct Interference {
    /// Done once, before the next change is passed on.
    first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Whether changes compare nothing.
    compares_nothing: AtomicBool,
    /// Fields of what is found, and what they are shown as.
    shown: Mutex<Vec<(&'static str, Value)>>,
    /// What was shown instead of what is stored, as a store that is shown it compares it.
    stored: Mutex<Vec<(String, String)>>,
    /// Once changes are answered by this cluster.
    cluster: Mutex<Option<&'static str>>,
}

impl Change for Interference {
    fn request(&self, transaction: &mut Value) {
        if !changes(transaction) {
            return;
        }
        if let Some(first) = self.first.lock().unwrap().take() {
            first();
        }
        if self.compares_nothing.load(Ordering::SeqCst) {
            transaction["compare"] = json!([]);
        }
        let stored = self.stored.lock().unwrap();
        for compare in transaction["compare"].as_array_mut().into_iter().flatten() {
            if let Some((_, stored)) = stored.iter().find(|(shown, _)| compare["value"] == json!(shown)) {
                compare["value"] = json!(stored);
            }
        }
    }

    fn answer(&self, transaction: &mut Value) {
        let shown = self.shown.lock().unwrap();
        let mut found = false;
        for response in transaction["responses"].as_array_mut().into_iter().flatten() {
            for kv in response["response_range"]["kvs"].as_array_mut().into_iter().flatten() {
                found = true;
                let stored = kv["value"].as_str().unwrap().to_owned();
                let mut value: Value = serde_json::from_slice(&STANDARD.decode(&stored).unwrap()).unwrap();
                for (field, as_shown) in shown.iter() {
                    if let Some(field) = value.get_mut(field) {
                        *field = as_shown.clone();
                    }
                }
                let value = STANDARD.encode(value.to_string());
                kv["value"] = json!(value);
                self.stored.lock().unwrap().push((value, stored));
            }
        }
        if let (Some(cluster), false) = (*self.cluster.lock().unwrap(), found) {
            transaction["header"]["cluster_id"] = json!(cluster);
        }
    }
}

fn changes(transaction: &Value) -> bool {
    transaction["success"].as_array().into_iter().flatten().any(|operation| operation.get("request_put").is_some())
}

/// A realm with one free node: a store behind a gateway, and one that needs none.
struct Race {
    url: String,
    realm: String,
    store: EtcdStore,
    direct: Arc<EtcdStore>,
    interference: Arc<Interference>,
}

impl Race {
    fn new() -> Option<Self> {
        let url = shared()?;
        let (realm, interference) = (unique("race"), Arc::new(Interference::default()));
        let direct = Arc::new(open(&url, &realm, EPOCH));
        leave_free(&url, &realm, 1);
        // The realm knows the window, so that it is not in the way.
        let grant = direct.acquire(&request(60_000)).unwrap();
        direct.release(&grant, grant.floor).unwrap();
        let store = open(&gateway(&url, Arc::clone(&interference)), &realm, EPOCH);
        Some(Race { url, realm, store, direct, interference })
    }

    /// Lets another holder take the node of a grant before the next change arrives; where to find its grant.
    fn lose(&self, grant: &Grant) -> Arc<Mutex<Option<Grant>>> {
        let (direct, node, taken) = (Arc::clone(&self.direct), grant.node, Arc::default());
        let place: Arc<Mutex<_>> = Arc::clone(&taken);
        *self.interference.first.lock().unwrap() = Some(Box::new(move || {
            direct.evict(node).unwrap();
            *place.lock().unwrap() = Some(direct.acquire(&request(60_000)).unwrap());
        }));
        taken
    }

    fn compare_nothing(&self) {
        self.interference.compares_nothing.store(true, Ordering::SeqCst);
    }

    /// The realm's key.
    fn key(&self) -> String {
        format!("pyflake/{}/realm", self.realm)
    }

    /// Where the next holder starts.
    fn next_floor(&self) -> u64 {
        let node = self.direct.nodes().unwrap()[0].node;
        self.direct.evict(node).unwrap();
        self.direct.acquire(&request(60_000)).unwrap().floor
    }
}

#[test]
fn a_renewal_compares() {
    for naive in [false, true] {
        let Some(race) = Race::new() else { return };
        let grant = race.store.acquire(&request(60_000)).unwrap();
        let taken = race.lose(&grant);
        if naive {
            race.compare_nothing();
        }
        let renewed = race.store.renew(&Renewal::new(grant.clone(), grant.until + 5000));
        let taken = taken.lock().unwrap().take().unwrap();
        if naive {
            assert!(renewed.unwrap().until > taken.floor, "both issue in the windows that overlap");
        } else {
            assert!(matches!(renewed, Err(LeaseError::Lost { .. })), "{renewed:?}");
            assert_eq!(race.next_floor(), taken.until);
        }
    }
}

#[test]
fn a_release_compares() {
    for naive in [false, true] {
        let Some(race) = Race::new() else { return };
        let grant = race.store.acquire(&request(60_000)).unwrap();
        let taken = race.lose(&grant);
        if naive {
            race.compare_nothing();
        }
        let released = race.store.release(&grant, grant.floor);
        let taken = taken.lock().unwrap().take().unwrap();
        if naive {
            released.unwrap();
            assert!(race.next_floor() < taken.until, "the next one starts in a window that was given out");
        } else {
            assert!(matches!(released, Err(LeaseError::Lost { .. })), "{released:?}");
            assert_eq!(race.next_floor(), taken.until);
        }
    }
}

#[test]
fn an_acquire_compares() {
    for naive in [false, true] {
        let Some(race) = Race::new() else { return };
        let (direct, taken) = (Arc::clone(&race.direct), Arc::new(Mutex::default()));
        let place: Arc<Mutex<Option<Grant>>> = Arc::clone(&taken);
        *race.interference.first.lock().unwrap() =
            Some(Box::new(move || *place.lock().unwrap() = Some(direct.acquire(&request(60_000)).unwrap())));
        if naive {
            race.compare_nothing();
        }
        let granted = race.store.acquire(&request(60_000));
        let taken = taken.lock().unwrap().take().unwrap();
        if naive {
            let granted = granted.unwrap();
            assert_eq!((granted.node, granted.floor), (taken.node, taken.floor), "both have one window");
        } else {
            assert!(matches!(granted, Err(LeaseError::NoFreeNode { .. })), "{granted:?}");
        }
    }
}

#[test]
fn a_successor_starts_where_the_window_ended() {
    for naive in [false, true] {
        let Some(race) = Race::new() else { return };
        let grant = race.direct.acquire(&request(60_000)).unwrap();
        race.direct.evict(grant.node).unwrap();
        if naive {
            // It looks at its own clock alone.
            race.interference.shown.lock().unwrap().push(("until", json!(0)));
        }
        let next = race.store.acquire(&request(60_000)).unwrap();
        if naive {
            assert!(next.floor < grant.until, "the last holder may live, and issues until {}", grant.until);
        } else {
            assert_eq!(next.floor, grant.until);
        }
    }
}

/// An acquire that has looked before the realm was told that windows may have been lost.
#[test]
fn a_change_compares_the_realm() {
    for naive in [false, true] {
        let Some(race) = Race::new() else { return };
        let (url, key, rest) = (race.url.clone(), race.key(), now() + 100_000);
        *race.interference.first.lock().unwrap() = Some(Box::new(move || {
            let mut value = get(&url, &key);
            value["generation"] = json!(value["generation"].as_u64().unwrap() + 1);
            value["rest"] = json!(rest);
            put(&url, &key, &value.to_string());
        }));
        if naive {
            race.compare_nothing();
        }
        let grant = race.store.acquire(&request(60_000)).unwrap();
        if naive {
            assert!(grant.floor < rest, "it starts in windows that may have been lost");
        } else {
            assert_eq!(grant.floor, rest);
        }
    }
}

/// What was lost with a cluster is not longer than the longest window, which is noted before there is one.
#[test]
fn a_longer_window_is_noted_first() {
    for naive in [false, true] {
        let Some(race) = Race::new() else { return };
        if naive {
            race.interference.shown.lock().unwrap().push(("longest_window", json!(600_000)));
        }
        let grant = race.store.acquire(&request(600_000)).unwrap();
        let mut realm = get(&race.url, &race.key());
        realm["cluster"] = json!("another");
        put(&race.url, &race.key(), &realm.to_string());
        // By a store that knows nothing of the window.
        race.direct.acquire(&request(60_000)).unwrap();
        let lost = race.store.renew(&Renewal::new(grant.clone(), grant.until)).unwrap_err();
        assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
        let rest = get(&race.url, &race.key())["rest"].as_u64().unwrap();
        // Where a node starts whose window is forgotten.
        assert_eq!(rest < grant.until, naive, "{rest}, and {} was given out", grant.until);
    }
}

/// A change that another cluster has made is none, and every node rests.
#[test]
fn a_change_counts_on_the_realms_cluster_alone() {
    let Some(race) = Race::new() else { return };
    let grant = race.store.acquire(&request(60_000)).unwrap();
    *race.interference.cluster.lock().unwrap() = Some("1");
    let unknown = race.store.renew(&Renewal::new(grant.clone(), grant.until + 5000)).unwrap_err();
    assert!(matches!(unknown, LeaseError::Unavailable { .. }) && unknown.to_string().contains("lost"), "{unknown}");
    *race.interference.cluster.lock().unwrap() = None;
    let lost = race.store.renew(&Renewal::new(grant.clone(), grant.until + 5000)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    // A window and twice the skew.
    assert!(race.next_floor() >= now() + 60_000 + 20_000 - 2000);
}

/// Who comes between the look and the change of an eviction is not the one that was meant.
#[test]
fn an_eviction_leaves_the_next_holder_alone() {
    let Some(race) = Race::new() else { return };
    let grant = race.direct.acquire(&request(60_000)).unwrap();
    let taken = race.lose(&grant);
    assert_eq!(race.store.evict(grant.node).unwrap(), None);
    let taken = taken.lock().unwrap().take().unwrap();
    race.direct.renew(&Renewal::new(taken.clone(), taken.until)).unwrap();
}
