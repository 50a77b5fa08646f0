//! Nodes: indices, texts, environment variables, host names and chance.

use std::collections::HashSet;
use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use pyflake::{Error, Node, ParseError};

fn node(pid: u64, seed: u64) -> Node {
    Node::new(pid, seed).unwrap()
}

#[test]
fn an_index_is_a_node_and_back() {
    let mut nodes = HashSet::new();
    let mut last = None;
    for index in 0..1024_u16 {
        let node = Node::from_index(index.into()).unwrap();
        assert_eq!(node.index(), index);
        assert_eq!((u16::from(node.pid()), u16::from(node.seed())), (index % 32, index / 32));
        assert!(last < Some(node), "in the order of the indices");
        last = Some(node);
        nodes.insert(node);
    }
    assert_eq!(nodes.len(), Node::COUNT);
    for index in [1024, 1025, 65_536, 65_543, u64::MAX] {
        assert_eq!(Node::from_index(index), Err(Error::NodeOutOfRange { index }));
    }
    let error = Node::from_index(1024).unwrap_err().to_string();
    assert_eq!(error, "node 1024 is out of range: an index has 10 bits, so use 0 to 1023");
}

#[test]
fn texts_that_are_nodes() {
    for (text, expected) in [
        ("0", node(0, 0)),
        ("7", node(7, 0)),
        ("32", node(0, 1)),
        ("519", node(7, 16)),
        ("1023", node(31, 31)),
        ("007", node(7, 0)),
        ("0/0", node(0, 0)),
        ("7/16", node(7, 16)),
        ("31/31", node(31, 31)),
    ] {
        assert_eq!(text.parse(), Ok(expected), "{text:?}");
    }
}

const NOT_NODES: [(&str, &str); 20] = [
    ("", "it is empty"),
    ("1024", "its index is above 1023"),
    ("65536", "its index is above 1023"),
    ("18446744073709551616", "its index is above 1023"),
    ("99999999999999999999999999999999999999999", "its index is above 1023"),
    ("32/0", "its pid is above 31"),
    ("18446744073709551616/0", "its pid is above 31"),
    ("0/32", "its seed is above 31"),
    ("0/18446744073709551616", "its seed is above 31"),
    ("-1", "it has a character that is not a digit"),
    ("+1", "it has a character that is not a digit"),
    (" 1", "it has a character that is not a digit"),
    ("1\n", "it has a character that is not a digit"),
    ("0x1", "it has a character that is not a digit"),
    ("1.0", "it has a character that is not a digit"),
    ("\u{0667}", "it has a character that is not a digit"),
    ("/", "it has a character that is not a digit"),
    ("1/", "it has a character that is not a digit"),
    ("/1", "it has a character that is not a digit"),
    ("1/2/3", "it has a character that is not a digit"),
];

#[test]
fn texts_that_are_no_nodes() {
    for (text, reason) in NOT_NODES {
        let shown = text.chars().take(32).collect();
        assert_eq!(text.parse::<Node>(), Err(ParseError::Node { text: shown, reason }));
    }
    assert_eq!(
        "32/0".parse::<Node>().unwrap_err().to_string(),
        "\"32/0\" is not a node: its pid is above 31; expected an index from 0 to 1023, or a pid/seed of 0 to 31 and 0 \
         to 31"
    );
}

/// What [`reads_the_environment`] prints in a process with one more variable, or with none.
fn from_env(value: Option<&OsStr>) -> String {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "node::reads_the_environment", "--ignored", "--nocapture"]).stdin(Stdio::null());
    child.env_remove("PYFLAKE_TEST_NODE");
    if let Some(value) = value {
        child.env("PYFLAKE_TEST_NODE", value);
    }
    let output = child.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text.lines().find_map(|line| line.split_once("answer: "));
    answer.unwrap_or_else(|| panic!("no answer in {text:?}")).1.to_owned()
}

#[test]
#[ignore = "runs in the child processes of the tests below, as a process should not change its own environment"]
fn reads_the_environment() {
    // A line of its own, whatever the test harness has begun.
    match Node::from_env("PYFLAKE_TEST_NODE") {
        Ok(node) => println!("\nanswer: {node:?}"),
        Err(error @ Error::InvalidNodeVariable { .. }) => println!("\nanswer: {error}"),
        Err(error) => println!("\nanswer: another error: {error:?}"),
    }
}

#[test]
fn a_variable_names_a_node() {
    assert_eq!(from_env(Some("519".as_ref())), format!("{:?}", node(7, 16)));
    assert_eq!(from_env(Some("7/16".as_ref())), format!("{:?}", node(7, 16)));
    assert_eq!(from_env(Some("0".as_ref())), format!("{:?}", node(0, 0)));
}

#[test]
fn a_variable_that_names_none_is_an_error_with_its_value_and_the_limit() {
    let way_out =
        "; give each process a value of its own, an index from 0 to 1023, or a pid/seed of 0 to 31 and 0 to 31";
    let variable = "the environment variable PYFLAKE_TEST_NODE";
    assert_eq!(from_env(None), format!("{variable} is not a node: it is not set{way_out}"));
    for (value, reason) in [NOT_NODES[0], NOT_NODES[1], NOT_NODES[5], NOT_NODES[12]] {
        assert_eq!(from_env(Some(value.as_ref())), format!("{variable}={value:?} is not a node: {reason}{way_out}"));
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_an_error() {
    use std::os::unix::ffi::OsStrExt;

    let error = from_env(Some(OsStr::from_bytes(b"7\xff")));
    assert!(error.contains("PYFLAKE_TEST_NODE=\"7\u{fffd}\"") && error.contains("not valid Unicode"), "{error}");
}

#[test]
fn a_name_that_no_variable_can_have_is_one_not_set() {
    for name in ["", "=", "A=B", "A\0B"] {
        let unset = Error::InvalidNodeVariable { name: name.into(), value: None, reason: "it is not set" };
        assert_eq!(Node::from_env(name), Err(unset));
    }
}

#[test]
fn names_with_an_ordinal() {
    for (name, index) in [
        ("web-0", 0),
        ("web-7", 7),
        ("web-70", 70),
        ("web-1023", 1023),
        ("my-web-2-31", 31),
        ("web--7", 7),
        ("7-7", 7),
        ("web-7.", 7),
        ("web-7.web.default.svc.cluster.local", 7),
        ("web-7.other-9", 7),
    ] {
        assert_eq!(Node::from_ordinal(name).map(Node::index), Ok(index), "{name:?}");
    }
    assert_eq!(Node::from_ordinal("web-70"), Ok(node(6, 2)));
}

#[test]
fn names_without_one() {
    let none = "it does not end in a hyphen and an ordinal";
    let zeros = "its ordinal has leading zeros";
    let above = "its ordinal is above 1023";
    for (name, reason) in [
        ("", none),
        ("(none)", none),
        ("localhost", none),
        ("web", none),
        ("web7", none),
        ("7", none),
        ("-7", none),
        ("-", none),
        ("web-", none),
        ("web-x", none),
        ("web-7x", none),
        ("web-+7", none),
        ("web-7 ", none),
        ("web-7\n", none),
        ("web-\u{0667}", none),
        ("web.x-7", none),
        (".web-7", none),
        ("web-00", zeros),
        ("web-07", zeros),
        ("web-0001024", zeros),
        ("web-1024", above),
        ("web-65543", above),
        ("web-18446744073709551616", above),
        ("web-18446744073709551623", above),
    ] {
        assert_eq!(Node::from_ordinal(name), Err(Error::InvalidOrdinal { name: name.into(), reason }));
    }
    assert_eq!(
        Node::from_ordinal("web-1024").unwrap_err().to_string(),
        "the name \"web-1024\" gives no node: its ordinal is above 1023; expected a name such as web-7, with an \
         ordinal from 0 to 1023, as a Kubernetes StatefulSet gives its pods; elsewhere use Node::from_env or Node::new"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_host_name_is_the_kernels() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(Node::from_hostname_ordinal(), Node::from_ordinal(name.trim_end()));
}

#[test]
fn random_nodes_are_uniform() {
    let mut drawn = [0_u32; Node::COUNT];
    for _ in 0..Node::COUNT * 100 {
        drawn[usize::from(Node::random().index())] += 1;
    }
    // 100 of each are expected, with a deviation of 10: seven of those are past all doubt.
    for (index, times) in drawn.into_iter().enumerate() {
        assert!((30..=170).contains(&times), "node {index} was drawn {times} times of {}", Node::COUNT * 100);
    }
}

/// The probability that at least two of `processes` get the same of `nodes`.
fn collision(processes: u32, nodes: u32) -> f64 {
    1.0 - (0..processes).map(|others| 1.0 - f64::from(others) / f64::from(nodes)).product::<f64>()
}

#[test]
fn how_often_random_nodes_collide() {
    // `Node::random`: all nodes.
    assert!(collision(37, 1024) < 0.5 && collision(38, 1024) >= 0.5);
    assert_eq!(format!("{:.2} {:.2}", collision(5, 1024), collision(10, 1024)), "0.01 0.04");
    // Two of `generate_seed(5)`: 0 is never drawn.
    assert!(collision(36, 31 * 31) < 0.5 && collision(37, 31 * 31) >= 0.5);
}

proptest! {
    #[test]
    fn any_text_is_a_node_or_an_error(text in "\\PC*|[0-9/]{0,8}|web-[0-9]{0,6}") {
        let parsed = text.parse::<Node>();
        if let Some((pid, seed)) = text.split_once('/') {
            let pair = pid.parse::<u64>().ok().zip(seed.parse::<u64>().ok());
            let expected = pair.and_then(|(pid, seed)| Node::new(pid, seed).ok());
            prop_assert!(parsed.ok() == expected || text.contains('+'));
        } else {
            let expected = text.parse::<u64>().ok().and_then(|index| Node::from_index(index).ok());
            prop_assert!(parsed.ok() == expected || text.contains('+'));
        }
        if let Ok(node) = Node::from_ordinal(&text) {
            let end = format!("-{}", node.index());
            prop_assert!(text.split('.').next().is_some_and(|label| label.ends_with(&end)));
        }
    }
}
