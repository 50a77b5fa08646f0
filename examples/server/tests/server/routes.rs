//! Tests of the responses of each route, to good and to bad requests.

use hyper::{Method, StatusCode};
use pyflake::Snowflake;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::load::{Connection, get};
use crate::process::{EPOCH, Server, server};

/// A server, and a runtime for requests.
struct Setup {
    runtime: Runtime,
    server: Server,
    _leases: TempDir,
}

fn setup() -> Setup {
    let leases = TempDir::new().unwrap();
    let server = Server::start(server(leases.path(), &["--label", "routes"])).unwrap();
    Setup { runtime: Runtime::new().unwrap(), server, _leases: leases }
}

#[test]
fn good_requests() {
    let Setup { runtime, server, _leases } = &setup();
    let ask = |path: &str| {
        let answer = get(runtime, server.address, path);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        answer
    };
    let one = ask("/id");
    assert_eq!(one.header("content-type"), Some("application/json"));
    let one = one.json();
    let id: Snowflake = one["id"].as_str().expect("a string").parse().unwrap();
    assert_eq!(one["timestamp"], id.timestamp(EPOCH));
    assert_eq!((&one["pid"], &one["seed"]), (&id.pid().into(), &id.seed().into()));
    assert_eq!(one, ask(&format!("/inspect/{id}")).json());

    for n in [1, 2, 10_000] {
        let many = ask(&format!("/ids?n={n}")).json();
        let many = many["ids"].as_array().unwrap();
        let ids: Vec<Snowflake> = many.iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(ids.len(), n);
        assert!(ids.is_sorted() && ids[0] > id);
    }

    let example = ask("/inspect/473032512445898752").json();
    let expected = serde_json::json!({
        "id": "473032512445898752", "timestamp": 1_668_081_259_486_u64, "pid": 6, "seed": 6, "sequence": 0
    });
    assert_eq!(example, expected);
    assert_eq!(ask(&format!("/inspect/{}", u64::MAX)).json()["sequence"], 4095);

    let health = ask("/health").json();
    assert_eq!((&health["status"], &health["lease"]["state"]), (&"ok".into(), &"held".into()));
    assert_eq!(health["lease"]["node"], id.node().to_string());
    assert!((1..=10_001).contains(&health["lease"]["window_millis"].as_u64().unwrap()), "{health}");
    let lifetime = &health["lifetime"];
    assert!(lifetime["days"].as_u64().unwrap() > lifetime["bigint_days"].as_u64().unwrap(), "{health}");

    let metrics = ask("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = str::from_utf8(&metrics.body).unwrap();
    for line in [
        "# TYPE pyflake_ids_total counter",
        "pyflake_ids_total 10004",
        &format!("pyflake_node{{pid=\"{}\",seed=\"{}\"}} 1", id.pid(), id.seed()),
        "pyflake_lease{state=\"held\"} 1",
        "pyflake_lease{state=\"expired\"} 0",
        "pyflake_lease{state=\"lost\"} 0",
    ] {
        assert!(metrics.lines().any(|there| there == line), "{line:?} is not in {metrics}");
    }
    // Each line is a comment, or a name, labels, and a number.
    for line in metrics.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("pyflake_") && value.parse::<f64>().is_ok(), "{line:?}");
    }
}

#[test]
fn bad_requests() {
    let Setup { runtime, server, _leases } = &setup();
    let most = u64::MAX.to_string();
    let bad = StatusCode::BAD_REQUEST;
    for (path, status, said) in [
        ("/ids", bad, vec!["n is missing", "1 to 10000", "/ids?n=100"]),
        ("/ids?n=", bad, vec!["n=\"\"", "1 to 10000"]),
        ("/ids?n=0", bad, vec!["n=\"0\"", "1 to 10000"]),
        ("/ids?n=10001", bad, vec!["n=\"10001\"", "1 to 10000", "send more requests"]),
        ("/ids?n=-1", bad, vec!["n=\"-1\"", "1 to 10000"]),
        ("/ids?n=ten", bad, vec!["n=\"ten\"", "1 to 10000"]),
        ("/ids?n=99999999999999999999999999", bad, vec!["n=\"99999999999999999999999999\""]),
        ("/ids?n=1&n=2", bad, vec!["duplicate field"]),
        ("/inspect/12x4", bad, vec!["\"12x4\"", "position 2", "decimal", &most]),
        ("/inspect/18446744073709551616", bad, vec!["too large", "position 19"]),
        ("/inspect/%31%C3%A9", bad, vec!["\"1é\"", "position 1"]),
        ("/inspect/%FF", bad, vec!["UTF-8"]),
        ("/inspect/", StatusCode::NOT_FOUND, vec!["/inspect/", "/health"]),
        ("/nothing", StatusCode::NOT_FOUND, vec!["/nothing", "/id", "/metrics"]),
    ] {
        let answer = get(runtime, server.address, path);
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")), "{path}: {answer:?}");
        let json = answer.json();
        for part in said {
            assert!(json["error"].as_str().unwrap().contains(part), "{path}: {part:?} is not in {json}");
        }
    }
    let position = |path| get(runtime, server.address, path).json()["position"].as_u64();
    assert_eq!(position("/inspect/12x4"), Some(2));
    assert_eq!(position("/inspect/18446744073709551616"), Some(19));
    assert_eq!(position("/ids?n=0"), None);

    let post = async { Connection::open(server.address).await?.request(Method::POST, "/id").await };
    let post = runtime.block_on(post).unwrap();
    assert_eq!((post.status, post.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET,HEAD")));
    // None of these requests issued an ID.
    let metrics = get(runtime, server.address, "/metrics").body;
    assert!(str::from_utf8(&metrics).unwrap().contains("\npyflake_ids_total 0\n"));
}

#[test]
fn a_failed_start_prints_the_reason() {
    let leases = TempDir::new().unwrap();
    let _first = Server::start(server(leases.path(), &[])).unwrap();
    // A directory is for one epoch.
    let said = Server::start(server(leases.path(), &["--epoch", "1"])).err().unwrap();
    assert!(said.starts_with("error: ") && said.contains("1555301520000"), "{said}");
    let said = Server::start(server(leases.path(), &["--window", "0"])).err().unwrap();
    assert!(said.contains("1..=86400"), "{said}");
}
