//! `generate --lease` and `nodes`.

use std::path::PathBuf;

use crate::{assert_error, pyflake, run, stderr, stdout};

/// A directory of its own, which does not exist yet and is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        Directory(std::env::temp_dir().join(format!("pyflake-cli-{name}-{}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_lease_gives_each_process_a_node_and_takes_it_back() {
    let dir = Directory::new("lease");
    let lease = ["generate", "--count", "100000000", "--lease", dir.path()];
    let mut holders: Vec<_> = (0..3).map(|_| pyflake(&lease).spawn().unwrap()).collect();
    // Each says a line when it holds its node.
    let mut notes: Vec<String> = holders
        .iter_mut()
        .map(|holder| {
            let mut note = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stderr.take().unwrap()), &mut note)
                .unwrap();
            note
        })
        .collect();
    notes.sort();
    notes.dedup();
    assert_eq!(notes.len(), 3, "{notes:?}");
    let rows = run(&["nodes", dir.path(), "--format", "json"]);
    let rows: Vec<serde_json::Value> = stdout(&rows).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().filter(|row| row["held"] == true).count(), 3, "{rows:?}");
    assert!(rows.iter().all(|row| row["until"].is_string() && row["token"] == 1 && row["problem"].is_null()));
    for holder in &mut holders {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
    let table = run(&["nodes", dir.path()]);
    let text = std::str::from_utf8(&table.stdout).unwrap();
    assert!(text.starts_with("PID  SEED  HELD  UNTIL"), "{text}");
    assert_eq!(text.lines().count(), 4);
    assert!(!text.contains("yes"), "{text}");
    assert!(stderr(&table).contains("0 of 1024 nodes held"));
}

#[test]
fn a_lease_is_given_back_at_the_end() {
    let dir = Directory::new("release");
    let output = run(&["generate", "--count", "3", "--lease", dir.path()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("under a lease"));
    let row = run(&["nodes", dir.path(), "--format", "json"]);
    let row: serde_json::Value = serde_json::from_str(stdout(&row)).unwrap();
    assert_eq!((&row["held"], &row["token"]), (&false.into(), &1.into()));
}

#[test]
#[cfg(not(feature = "lease-postgres"))]
fn a_database_takes_a_feature() {
    assert_error(&run(&["nodes", "postgres://postgres@127.0.0.1/postgres"]), 2, &["--features lease-postgres"]);
}

#[test]
#[cfg(not(feature = "lease-etcd"))]
fn etcd_takes_a_feature() {
    assert_error(&run(&["nodes", "http://127.0.0.1:2379"]), 2, &["--features lease-etcd"]);
}

#[test]
#[cfg(feature = "lease-postgres")]
fn a_holder_in_a_database_is_seen_and_can_be_evicted() {
    use crate::skip::needed;
    use pyflake::lease::PostgresStore;

    let what = "a PostgreSQL server: ci/postgres.sh COMMAND starts one for a command";
    let url = std::env::var("PYFLAKE_POSTGRES_URL").ok();
    let Some(url) = needed(url, "PYFLAKE_REQUIRE_POSTGRES", what) else { return };
    PostgresStore::migrate(&url).unwrap();
    let store = PostgresStore::builder(&url).realm(realm()).open(pyflake::Epoch::TWITTER).unwrap();
    a_holder_is_seen_and_can_be_evicted(&url, store);
}

#[test]
#[cfg(feature = "lease-etcd")]
fn a_holder_in_etcd_is_seen_and_can_be_evicted() {
    use crate::skip::needed;
    use pyflake::lease::EtcdStore;

    let what = "an etcd server: ci/etcd.sh COMMAND starts one for a command";
    let url = std::env::var("PYFLAKE_ETCD_URL").ok();
    let Some(url) = needed(url, "PYFLAKE_REQUIRE_ETCD", what) else { return };
    let store = EtcdStore::builder(&url).realm(realm()).open(pyflake::Epoch::TWITTER).unwrap();
    a_holder_is_seen_and_can_be_evicted(&url, store);
}

#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
fn realm() -> String {
    format!("cli-{}", std::process::id())
}

#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
fn a_holder_is_seen_and_can_be_evicted(url: &str, store: impl pyflake::lease::LeaseStore + 'static) {
    let generator = pyflake::lease::LeasedGenerator::builder(store).label("api-7").build().unwrap();
    let (node, realm) = (generator.next_id().unwrap().node().to_string(), realm());

    let rows = run(&["nodes", url, "--realm", &realm, "--format", "json"]);
    let row: serde_json::Value = serde_json::from_str(stdout(&rows)).unwrap();
    assert_eq!((&row["held"], &row["owner"], &row["token"]), (&true.into(), &"api-7".into(), &1.into()));
    assert!(row["until"].is_string() && row["acquired"].is_string(), "{row}");
    let table = run(&["nodes", url, "--realm", &realm]);
    assert!(stderr(&table).contains("1 of 1024 nodes held, epoch 1288834974657"));

    let evict = ["evict", url, &node, "--realm", &realm];
    assert_error(&run(&evict), 2, &["--force", "a holder that lives"]);
    let forced = run(&[&evict[..], &["--force"]].concat());
    assert_eq!(forced.status.code(), Some(0), "{}", stderr(&forced));
    assert!(stderr(&forced).starts_with("warning: a holder that lives"));
    assert_eq!(str::from_utf8(&forced.stdout).unwrap(), format!("evicted api-7 from {node}\n"));
    assert_error(&run(&[&evict[..], &["--force"]].concat()), 2, &["nobody holds"]);
    assert_error(&run(&["nodes", url, "--realm", "nobody's"]), 1, &["nobody's"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    for force in [&[][..], &["--force"]] {
        assert_error(&run(&[&["evict", "/tmp", "7/16"], force].concat()), 2, &["nothing to do", "end that"]);
    }
    assert_error(&run(&["evict", "/tmp", "7/32", "--force"]), 2, &["its seed is above 31"]);
    let dir = Directory::new("refused");
    assert_error(&run(&["nodes", dir.path()]), 1, &[dir.path()]);
    assert_error(&run(&["generate", "--lease", dir.path(), "--pid", "3"]), 2, &["--pid", "--lease"]);
    run(&["generate", "--lease", dir.path()]);
    let other = run(&["generate", "--lease", dir.path(), "--epoch", "1420070400000"]);
    assert_error(&other, 2, &["1420070400000", "1555301520000"]);
}

/// A URL is never a directory of that name: two machines would each have their own.
#[test]
fn a_url_of_no_store_is_refused() {
    let dir = Directory::new("url");
    std::fs::create_dir(&dir.0).unwrap();
    let urls = ["redis://x@y/z", "Mysql://y/z", "postgre://x:secret@y/z", "a+b.c-d://e"];
    for url in urls {
        for command in [&["generate", "--lease", url][..], &["nodes", url], &["evict", url, "7/16", "--force"]] {
            let output = pyflake(command).current_dir(&dir.0).output().unwrap();
            assert_error(&output, 2, &["no store has URLs", "postgres://"]);
            assert!(!stderr(&output).contains("secret"));
        }
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0, "a directory was made");
}

#[test]
fn a_url_of_a_store_is_never_a_directory() {
    let dir = Directory::new("store-url");
    std::fs::create_dir(&dir.0).unwrap();
    for url in ["postgres://x@127.0.0.1:1/z", "POSTGRES://x@127.0.0.1:1/z", "postgresql://127.0.0.1:1/z"] {
        let output = pyflake(&["generate", "--lease", url]).current_dir(&dir.0).output().unwrap();
        let built = cfg!(feature = "lease-postgres");
        assert_error(
            &output,
            if built { 1 } else { 2 },
            &[if built { "127.0.0.1:1" } else { "--features lease-postgres" }],
        );
    }
    for url in ["http://127.0.0.1:1", "HTTPS://127.0.0.1:1"] {
        let output = pyflake(&["generate", "--lease", url]).current_dir(&dir.0).output().unwrap();
        let built = cfg!(feature = "lease-etcd");
        assert_error(
            &output,
            if built { 1 } else { 2 },
            &[if built { "127.0.0.1:1" } else { "--features lease-etcd" }],
        );
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0, "a directory was made");
}

#[test]
fn a_directory_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;

    let dir = Directory::new("name");
    std::fs::create_dir(&dir.0).unwrap();
    for name in [&b"caf\xe9"[..], b"./a://b", b"1://2"] {
        let name = std::ffi::OsStr::from_bytes(name);
        let leased = pyflake(&["generate", "--lease"]).arg(name).current_dir(&dir.0).output().unwrap();
        assert_eq!(leased.status.code(), Some(0), "{}", stderr(&leased));
        let nodes = pyflake(&["nodes"]).arg(name).current_dir(&dir.0).output().unwrap();
        assert!(stderr(&nodes).contains("0 of 1024 nodes held"), "{}", stderr(&nodes));
    }
}
