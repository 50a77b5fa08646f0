//! What is etcd's own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use pyflake::lease::{EtcdStore, Grant, LeaseError, LeaseState, LeaseStore, LeasedGenerator, Renewal};
use serde_json::json;

use crate::fleet::proxy::{Network, Proxy};
use crate::fleet::{EPOCH, certify, eventually, now, own_epoch, request, unique};
use crate::server::{Server, cluster_of, delete, free_ports, get, leave_free, open_within, port_of, put, shared, url};

#[test]
fn what_is_wrong_is_told_with_the_way_out() {
    let Some(shared) = shared() else { return };
    let told = |url: &str| EtcdStore::open(url, EPOCH).unwrap_err().to_string();
    let error = told("http://127.0.0.1:1");
    assert!(error.starts_with("opening the realm at http://127.0.0.1:1: ") && error.contains("refused"), "{error}");
    for (url, part) in [
        ("etcd.internal:2379", "\"etcd.internal:2379\" does not start with http://"),
        ("http://app:s3cret@127.0.0.1:1", "client certificate"),
        (&shared.replace("http:", "https:"), "EtcdStoreBuilder::agent"),
    ] {
        let error = EtcdStore::open(url, EPOCH).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LeaseError::InvalidConfig { .. }), "{error:?}");
        assert!(text.contains(part) && !text.contains("s3cret"), "{text}");
    }
    let missing = EtcdStore::builder(&shared).realm("nobody's").open_existing().unwrap_err();
    let text = missing.to_string();
    assert!(matches!(missing, LeaseError::NotFound { .. }) && text.contains("the realm \"nobody's\""), "{text}");
    for (name, part) in [("", "is empty"), ("a/b", "'/'"), ("a\0b", r"'\0'"), (&"r".repeat(100_000), "100000 bytes")] {
        let refused = EtcdStore::builder(&shared).realm(name).open(EPOCH).unwrap_err().to_string();
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_and_seen() {
    let Some(url) = shared() else { return };
    let name = unique("corrupt");
    let store = EtcdStore::builder(&url).realm(&name).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    let key = format!("pyflake/{name}/node/{:04}", grant.node.index());
    put(&url, &key, "until tomorrow");
    let corrupt = store.renew(&Renewal::new(grant.clone(), grant.until)).unwrap_err();
    assert!(matches!(corrupt, LeaseError::Corrupt { .. }) && corrupt.to_string().contains(&key), "{corrupt}");
    let problem = store.nodes().unwrap().into_iter().find_map(|node| node.problem).unwrap();
    assert!(problem.contains(&key), "{problem}");
    // The others go on.
    assert_ne!(store.acquire(&request(60_000)).unwrap().node, grant.node);
    put(&url, &format!("pyflake/{name}/realm"), "{}");
    assert!(matches!(store.acquire(&request(60_000)), Err(LeaseError::Corrupt { .. })));
}

#[test]
fn a_member_that_is_down_is_passed_over() {
    let Some(up) = shared() else { return };
    let name = unique("members");
    // Nobody is there; it has no name; there is no way to it.
    for down in ["http://127.0.0.1:1", "http://nosuch.invalid:2379", "http://255.255.255.255:2379"] {
        let store = EtcdStore::builder(&format!("{down}, {up}/")).realm(&name).open(EPOCH);
        let store = store.unwrap_or_else(|error| panic!("{down}: {error}"));
        let grant = store.acquire(&request(60_000)).unwrap();
        store.release(&grant, grant.floor).unwrap();
    }
}

/// Where it would go is not what was configured.
#[test]
fn it_is_not_redirected() {
    let Some(up) = shared() else { return };
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let here = url(listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]);
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {up}/version\r\ncontent-length: 0\r\n\r\n");
        client.write_all(answer.as_bytes()).unwrap();
    });
    let error = EtcdStore::open(&here, EPOCH).unwrap_err().to_string();
    assert!(error.contains("HTTP 302"), "{error}");
}

#[test]
fn a_server_without_its_gateway_is_named() {
    let Some(server) = Server::without_gateway() else { return };
    let mut told = String::new();
    eventually("it answers", || {
        told = EtcdStore::open(&server.url(), EPOCH).unwrap_err().to_string();
        told.contains("404")
    });
    assert!(told.contains("--enable-grpc-gateway=false"), "{told}");
}

/// A key as the version before stored it, without the time of the renewal.
#[test]
fn a_key_of_an_earlier_version_is_read() {
    let Some(url) = shared() else { return };
    let name = unique("earlier");
    let store = EtcdStore::builder(&url).realm(&name).open(EPOCH).unwrap();
    leave_free(&url, &name, 1);
    let grant = store.acquire(&request(1000)).unwrap();
    let without = |key: String, field: &str| {
        let mut value = get(&url, &key);
        assert!(value.as_object_mut().unwrap().remove(field).is_some());
        put(&url, &key, &value.to_string());
    };
    without(format!("pyflake/{name}/node/0000"), "renewed");
    without(format!("pyflake/{name}/realm"), "cause");
    let other = EtcdStore::builder(&url).realm(&name).open(EPOCH).unwrap();
    assert!(matches!(other.acquire(&request(1000)), Err(LeaseError::NoFreeNode { .. })), "it is held");
    let renewed = store.renew(&Renewal::new(grant.clone(), grant.until + 1000)).unwrap();
    without(format!("pyflake/{name}/node/0000"), "renewed");
    let mut next = None;
    eventually("it is taken for dead", || {
        next = other.acquire(&request(1000)).ok();
        next.is_some()
    });
    assert_eq!(next.unwrap().floor, renewed.until);
}

/// Whoever is taken for dead, and has no successor yet, is alive again.
#[test]
fn a_renewal_puts_back_that_its_holder_lives() {
    let Some(url) = shared() else { return };
    let name = unique("alive");
    let store = EtcdStore::builder(&url).realm(&name).open(EPOCH).unwrap();
    leave_free(&url, &name, 1);
    let grant = store.acquire(&request(300)).unwrap();
    let held = || store.nodes().unwrap().iter().any(|node| node.held && node.node == grant.node);
    eventually("it is taken for dead", || !held());
    store.renew(&Renewal::new(grant.clone(), now() + 5000)).unwrap();
    assert!(held());
    let refused = store.acquire(&request(60_000));
    assert!(matches!(refused, Err(LeaseError::NoFreeNode { .. })), "{refused:?}");
}

/// A holder knows what was acknowledged to it: a store that has less went back, whatever its revision is.
#[test]
fn what_a_holder_was_told_and_the_store_does_not_have_ends_every_lease() {
    let Some(url) = shared() else { return };
    for (what, releases) in
        [("until", false), ("until", true), ("renewal", false), ("token", false), ("key", false), ("key", true)]
    {
        let name = unique("behind");
        let store = EtcdStore::builder(&url).realm(&name).open(EPOCH).unwrap();
        let first = store.acquire(&request(60_000)).unwrap();
        // For the second tenure of its node.
        store.release(&first, first.floor).unwrap();
        let node = |index: u16| format!("pyflake/{name}/node/{:04}", index % 1024);
        let key = node(first.node.index());
        let released = get(&url, &key);
        leave_free(&url, &name, 0);
        put(&url, &key, &released.to_string());
        let grant = store.acquire(&request(60_000)).unwrap();
        assert_eq!(grant.node, first.node);
        delete(&url, &node(first.node.index() + 1));
        let bystander = store.acquire(&request(60_000)).unwrap();
        let mut value = get(&url, &key);
        match what {
            "until" => value["until"] = json!(grant.until - 1),
            // What an earlier renewal had stored.
            "renewal" => {
                value["until"] = json!(grant.until - 1);
                value["nonce"] = json!(grant.owner.nonce ^ 1);
            }
            _ => value["token"] = json!(grant.token - 1),
        }
        if what == "key" {
            delete(&url, &key);
        } else {
            put(&url, &key, &value.to_string());
        }
        let before = now();
        let call = || {
            if releases {
                store.release(&grant, grant.until)
            } else {
                store.renew(&Renewal::new(grant.clone(), grant.until)).map(drop)
            }
        };
        for _ in 0..2 {
            let lost = call().unwrap_err();
            assert!(matches!(lost, LeaseError::Lost { .. }), "{what}, {releases}: {lost}");
        }
        let realm = get(&url, &format!("pyflake/{name}/realm"));
        assert!(realm["rest"].as_u64().unwrap() >= before + 60_000 + 20_000 - 5, "{what}, {releases}: {realm}");
        let lost = store.renew(&Renewal::new(bystander.clone(), bystander.until)).unwrap_err();
        assert!(matches!(lost, LeaseError::Lost { .. }), "{what}, {releases}: {lost}");
        // Operators see that nobody holds anything, and until when it is so.
        let rest = realm["rest"].as_u64().unwrap();
        assert!(store.nodes().unwrap().iter().all(|node| !node.held && node.until >= rest));
    }
}

/// A realm that has an earlier generation than was seen went back.
#[test]
fn an_earlier_generation_ends_every_lease() {
    let Some(url) = shared() else { return };
    let name = unique("generation");
    let store = EtcdStore::builder(&url).realm(&name).open(EPOCH).unwrap();
    let key = format!("pyflake/{name}/realm");
    let mut realm = get(&url, &key);
    realm["generation"] = json!(5);
    put(&url, &key, &realm.to_string());
    store.acquire(&request(60_000)).unwrap();
    let mut realm = get(&url, &key);
    realm["generation"] = json!(3);
    put(&url, &key, &realm.to_string());
    let before = now();
    let grant = store.acquire(&request(60_000)).unwrap();
    assert!(grant.floor >= before + 60_000 + 20_000 - 5, "{grant:?}");
    assert_eq!(get(&url, &key)["generation"], 6);
}

#[test]
fn it_talks_tls_with_the_agent_of_the_application() {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};

    let Some(_) = shared() else { return };
    let dir = std::env::temp_dir().join(unique("pyflake-etcd-tls"));
    std::fs::create_dir(&dir).unwrap();
    let (certificate, key) = certify(Command::new("openssl"), &dir);
    let url = format!("https://127.0.0.1:{}", free_ports());
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let options = ["--listen-client-urls", &format!("URL,{url}"), "--cert-file", certificate, "--key-file", key];
    let server = Server::with(&options).unwrap();
    let agent = |roots: &[Certificate<'static>]| -> ureq::Agent {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(roots));
        ureq::Agent::config_builder().proxy(None).tls_config(tls.build()).build().into()
    };
    let distrusted = EtcdStore::builder(&url).agent(agent(&[])).open(EPOCH).unwrap_err().to_string();
    assert!(distrusted.contains("certificate"), "{distrusted}");
    let root = Certificate::from_pem(&std::fs::read(certificate).unwrap()).unwrap();
    let store = EtcdStore::builder(&url).agent(agent(&[root])).open(EPOCH).unwrap();
    let grant = store.acquire(&request(60_000)).unwrap();
    store.release(&grant, grant.floor).unwrap();
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}

/// Each member crashes in its turn, the leader among them. What it had acknowledged is with the others.
#[test]
fn the_crash_of_a_member_loses_nothing() {
    let Some(members) = Server::cluster() else { return };
    let urls = members.each_ref().map(Server::url).join(",");
    let epoch = own_epoch();
    let store = open_within(&urls, "default", epoch, Duration::from_millis(900)).unwrap();
    let generator = LeasedGenerator::builder(store).window(Duration::from_secs(6)).build().unwrap();
    let mut last = generator.next_id().unwrap();
    for member in &members {
        let LeaseState::Held { node, until } = generator.state() else { panic!("{:?}", generator.state()) };
        member.crash();
        let crashed = now();
        // While a leader is elected they answer that they do not know.
        let mut others = Vec::new();
        eventually("the others answer", || {
            let answer = EtcdStore::open(&urls, epoch).and_then(|store| store.nodes());
            answer.map(|nodes| others = nodes).is_ok()
        });
        assert!(others.iter().any(|other| other.node == node && other.until >= until), "{others:?}, not {until}");
        let took = eventually("it is renewed by the others", || {
            let id = generator.next_id().unwrap();
            assert!(id > last && id.node() == node);
            last = id;
            matches!(generator.state(), LeaseState::Held { until, .. } if until > crashed + 6000)
        });
        println!("renewed without a member after {took:?}");
        member.up();
    }
}

/// Whatever a call asks, and however often: it ends in time.
#[test]
fn a_call_ends_in_time() {
    let Some(shared) = shared() else { return };
    let (proxy, timeout) = (Proxy::to(port_of(&shared)), Duration::from_millis(300));
    let store = open_within(&url(proxy.port()), &unique("in-time"), EPOCH, timeout).unwrap();
    for network in [Network::LosesAcknowledgements, Network::Partitioned] {
        proxy.set(Network::Works);
        let grant = store.acquire(&request(60_000)).unwrap();
        proxy.set(network);
        let ends = |call: &dyn Fn() -> Result<(), LeaseError>| {
            let start = Instant::now();
            let error = call().unwrap_err();
            let took = start.elapsed();
            assert!(matches!(error, LeaseError::Unavailable { .. }), "{error}");
            assert!((timeout..timeout + Duration::from_millis(200)).contains(&took), "{network:?}: {took:?}");
        };
        // The realm has to be told of a longer window first.
        ends(&|| store.acquire(&request(61_000)).map(drop));
        ends(&|| store.renew(&Renewal::new(grant.clone(), grant.until + 1)).map(drop));
        ends(&|| store.release(&grant, grant.floor));
    }
}

/// A store that is put back to what it held before: the one that has seen more says so for all. It lacks a renewal, and a
/// tenure.
#[test]
fn a_restored_backup_ends_every_lease() {
    let Some(server) = Server::start() else { return };
    let open = || EtcdStore::builder(&server.url()).max_skew(Duration::from_secs(1)).open(EPOCH).unwrap();
    let store = open();
    let grant = store.acquire(&request(3000)).unwrap();
    server.crash();
    server.back_up();
    server.up();
    let renew = |grant: Grant, _| store.renew(&Renewal::new(grant.clone(), grant.until + 1)).unwrap();
    let renewed = (0..5).fold(grant, renew);
    let unheard = store.acquire(&request(3000)).unwrap();
    server.crash();
    server.restore();
    server.up();
    let before = now();
    let lost = store.renew(&Renewal::new(renewed.clone(), renewed.until)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }) && lost.to_string().contains("went back"), "{lost}");
    assert!(matches!(store.renew(&Renewal::new(unheard.clone(), unheard.until)), Err(LeaseError::Lost { .. })));
    // Also for those that have seen nothing.
    let next = open().acquire(&request(3000)).unwrap();
    // The server's clock is rounded down to a second, for which there is one more.
    assert!(next.floor >= before + 3000 + 2000 - 5 && next.floor > renewed.until.max(unheard.until), "{next:?}");
    // It rests once.
    assert_eq!(store.acquire(&request(3000)).unwrap().floor, next.floor);
}

/// The control, and a limit that is documented: nobody asks who has seen more.
#[test]
fn negative_control_a_restored_backup_that_nobody_notices_repeats_windows() {
    let Some(server) = Server::start() else { return };
    let open = || EtcdStore::open(&server.url(), EPOCH).unwrap();
    let grant = open().acquire(&request(3000)).unwrap();
    server.crash();
    server.back_up();
    server.up();
    let renewed = open().renew(&Renewal::new(grant.clone(), grant.until + 5000)).unwrap();
    server.crash();
    server.restore();
    server.up();
    open().evict(grant.node).unwrap();
    let fresh = open();
    let next = std::iter::repeat_with(|| fresh.acquire(&request(3000)).unwrap()).find(|next| next.node == grant.node);
    assert!(next.unwrap().floor < renewed.until);
}

/// As `etcdctl snapshot restore` does: what it keeps is another cluster, which everybody notices.
#[test]
fn another_cluster_ends_every_lease() {
    let Some(server) = Server::start() else { return };
    let open = || EtcdStore::open(&server.url(), EPOCH).unwrap();
    let grant = open().acquire(&request(3000)).unwrap();
    server.restore_as("another");
    let before = now();
    let lost = open().renew(&Renewal::new(grant.clone(), grant.until)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }) && lost.to_string().contains("another one"), "{lost}");
    let next = open().acquire(&request(3000)).unwrap();
    assert!(next.floor >= before + 3000 + 20_000 - 5, "{next:?}");
}

/// A cluster whose realm says that it has always been there, of which a process knows better.
#[test]
fn another_cluster_of_the_same_generation_ends_every_lease() {
    let Some(server) = Server::start() else { return };
    let store = EtcdStore::open(&server.url(), EPOCH).unwrap();
    let grant = store.acquire(&request(3000)).unwrap();
    server.restore_as("another");
    let (url, key) = (server.url(), "pyflake/default/realm");
    let mut realm = get(&url, key);
    realm["cluster"] = cluster_of(&url);
    // More changes than were made before, too.
    for _ in 0..10 {
        put(&url, key, &realm.to_string());
    }
    let lost = store.renew(&Renewal::new(grant.clone(), grant.until)).unwrap_err();
    assert!(matches!(lost, LeaseError::Lost { .. }), "{lost}");
    assert_eq!(get(&url, key)["generation"], 2);
}
