//! The texts of a node, and the places that one is read from: a text is a node by the grammar in the manual, or refused.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use pyflake::{Error, Node, ParseError};

const VARIABLE: &str = "PYFLAKE_FUZZ_NODE";

fuzz_target!(|bytes: &[u8]| {
    from_env(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    match text.parse::<Node>() {
        Ok(node) => assert_eq!(Some(round(node)), of_text(text), "{text:?}"),
        Err(error) => {
            assert_eq!(of_text(text), None, "{text:?} was refused: {error}");
            let ParseError::Node { text: shown, .. } = &error else { panic!("{error:?}") };
            assert!(text.starts_with(&**shown) && error.to_string().len() < 1000, "{error}");
        }
    }
    match Node::from_ordinal(text) {
        Ok(node) => assert_eq!(Some(round(node)), of_ordinal(text), "{text:?}"),
        Err(Error::InvalidOrdinal { name, .. }) => {
            assert_eq!(of_ordinal(text), None, "{text:?} was refused");
            assert!(text.starts_with(&*name));
        }
        Err(error) => panic!("{text:?}: {error:?}"),
    }
    if let Ok(node) = serde_json::from_str::<Node>(text) {
        let expected = match serde_json::from_str(text) {
            Ok(serde_json::Value::String(text)) => of_text(&text),
            Ok(serde_json::Value::Number(number)) => number.as_u64().filter(|index| *index < 1024),
            _ => None,
        };
        assert_eq!(expected, Some(round(node)), "{text:?} was read as {node}");
    }
});

/// Prints a node in each form, reads it again, and returns its index.
fn round(node: Node) -> u64 {
    let index = u64::from(node.index());
    assert_eq!((u64::from(node.pid()), u64::from(node.seed())), (index % 32, index / 32));
    assert_eq!(Node::with_index(index), Ok(node));
    assert_eq!(Node::new(index % 32, index / 32), Ok(node));
    assert_eq!(node.to_string().parse(), Ok(node));
    assert_eq!(index.to_string().parse(), Ok(node));
    assert_eq!(Node::from_ordinal(&format!("web-{index}.web.default.svc")), Ok(node));
    let json = serde_json::to_string(&node).expect("a node is a string");
    assert_eq!(json, format!("\"{node}\""));
    index
}

/// An environment variable can have any bytes but zero.
fn from_env(bytes: &[u8]) {
    if bytes.contains(&0) {
        return;
    }
    #[expect(unsafe_code, reason = "a fuzz target has one thread")]
    unsafe {
        std::env::set_var(VARIABLE, OsStr::from_bytes(bytes));
    }
    match Node::from_env(VARIABLE) {
        Ok(node) => assert_eq!(str::from_utf8(bytes).ok().and_then(of_text), Some(round(node))),
        Err(Error::InvalidNodeVariable { name, .. }) => {
            assert_eq!((&*name, str::from_utf8(bytes).ok().and_then(of_text)), (VARIABLE, None));
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// The index of the node in a text: `519`, or `7/16`.
fn of_text(text: &str) -> Option<u64> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [index] => number(index, 1023),
        [pid, seed] => Some(number(seed, 31)? * 32 + number(pid, 31)?),
        _ => None,
    }
}

/// The index of the node that a host's name ends in: `web-7`, also before a domain.
fn of_ordinal(name: &str) -> Option<u64> {
    let label = name.split('.').next()?;
    let hyphen = label.rfind('-').filter(|hyphen| *hyphen > 0)?;
    let ordinal = &label[hyphen + 1..];
    if ordinal.len() > 1 && ordinal.starts_with('0') { None } else { number(ordinal, 1023) }
}

/// A number of decimal digits, with leading zeros or without, up to a limit.
fn number(text: &str, most: u64) -> Option<u64> {
    if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    let number = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    (number <= most).then_some(number)
}
