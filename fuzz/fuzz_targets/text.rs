//! The texts of an ID: a parser accepts what a printer writes, and nothing else.
//!
//! The oracle is a slow parser of its own. The input is a text for every parser, and its first eight bytes are an ID for
//! every printer.

#![no_main]

use std::fmt::Display;

use libfuzzer_sys::fuzz_target;
use pyflake::{ParseError, Snowflake};

const DECIMAL: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const BASE32: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fuzz_target!(|bytes: &[u8]| {
    if let Some(id) = bytes.first_chunk() {
        print(u64::from_le_bytes(*id));
    }
    if let Ok(text) = str::from_utf8(bytes) {
        parse(text);
    }
});

fn print(number: u64) {
    let id = Snowflake::from(number);
    for (text, digits) in [
        (id.to_string(), DECIMAL),
        (format!("{id:x}"), HEX),
        (format!("{id:X}").to_lowercase(), HEX),
        (format!("{id:o}"), "01234567"),
        (format!("{id:b}"), "01"),
        (id.base62().to_string(), BASE62),
    ] {
        assert_eq!(value(&text, digits), Some(number), "{text}");
        assert!(text == "0" || !text.starts_with('0'), "{text} has a leading zero");
    }
    let text = id.base32().to_string();
    assert_eq!((value(&text, BASE32), text.len()), (Some(number), 13), "{text}");
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(Snowflake::from_hex(&format!("{id:x}")), Ok(id));
    assert_eq!(Snowflake::from_base32(&text), Ok(id));
    assert_eq!(Snowflake::from_base62(&id.base62().to_string()), Ok(id));
    let json = serde_json::to_string(&id).expect("an ID is a string");
    assert_eq!(json, format!("\"{id}\""));
    // The sign bit is the one that a `BIGINT` has no room for.
    assert_eq!(i64::try_from(id).ok(), i64::try_from(number).ok());
}

fn parse(text: &str) {
    // The decimal form alone takes leading zeros.
    compare(text, text.parse(), value(text, DECIMAL), |id| {
        let zeros = text.len() - text.trim_start_matches('0').len();
        text[zeros.min(text.len() - 1)..] == id.to_string()
    });
    compare(text, Snowflake::from_hex(text), value(text, HEX), |id| same(text, format_args!("{id:x}")));
    compare(text, Snowflake::from_base62(text), value(text, BASE62), |id| same(text, id.base62()));
    compare(text, Snowflake::from_base32(text), value(text, BASE32), |id| same(text, id.base32()));

    if let Ok(id) = serde_json::from_str::<Snowflake>(text) {
        // A string is the decimal form, and a number is the ID.
        let expected = match serde_json::from_str(text) {
            Ok(serde_json::Value::String(text)) => value(&text, DECIMAL),
            Ok(serde_json::Value::Number(number)) => number.as_u64(),
            _ => None,
        };
        assert_eq!(expected, Some(id.as_u64()), "{text:?} was read as {id}");
    }
}

/// Compares the outcome of a parser with the number that is in the text, if there is one: an ID is accepted exactly where
/// it is written like this.
fn compare(
    text: &str,
    outcome: Result<Snowflake, ParseError>,
    value: Option<u64>,
    is_canonical: impl Fn(Snowflake) -> bool,
) {
    match outcome {
        Ok(id) => {
            assert_eq!(value, Some(id.as_u64()), "{text:?} was read as {id}");
            assert!(is_canonical(id), "{text:?} is not how {id} is written");
        }
        Err(error) => {
            let missed = value.map(Snowflake::from).filter(|id| is_canonical(*id));
            assert_eq!(missed, None, "{text:?} was refused: {error}");
            let ParseError::Id { text: shown, position, .. } = &error else { panic!("{error:?}") };
            assert!(*position <= text.len() && text.starts_with(&**shown), "{error:?} is about {text:?}");
            assert!(error.to_string().len() < 1000, "the error is as long as the text");
        }
    }
}

fn same(text: &str, written: impl Display) -> bool {
    written.to_string() == text
}

/// The number in a text of some digits, also one with leading zeros.
fn value(text: &str, digits: &str) -> Option<u64> {
    let base = digits.len() as u128;
    let mut number = 0_u128;
    for char in text.chars() {
        number = number.checked_mul(base)? + digits.find(char)? as u128;
    }
    if text.is_empty() { None } else { u64::try_from(number).ok() }
}
