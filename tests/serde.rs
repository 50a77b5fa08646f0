//! Feature `serde`: the JSON of an ID and of a record.

#![cfg(feature = "serde")]

mod common;

use common::EPOCH;
use pyflake::{Record, Snowflake};
use serde_json::{Value, from_str, json, to_string};

/// The manual's example, with its fields in their order.
const RECORD: &str =
    r#"{"timestamp":1668081259486,"seed":6,"pid":6,"sequence":0,"snowflake":"473032512445898752","idx":1}"#;

#[test]
fn a_record_has_the_fields_of_the_manual_in_their_order() {
    let record = Snowflake::from(473_032_512_445_898_752).record(EPOCH, 1);
    assert_eq!(to_string(&record).unwrap(), RECORD);
    assert_eq!(from_str::<Record>(RECORD).unwrap(), record);
    let with_number = RECORD.replace("\"473032512445898752\"", "473032512445898752");
    assert_eq!(from_str::<Record>(&with_number).unwrap(), record);
    assert!(from_str::<Record>(&RECORD.replace("idx", "index")).is_err());
}

#[test]
fn an_id_is_a_string() {
    for id in [0, 1, 473_032_512_445_898_752, u64::MAX] {
        let id = Snowflake::from(id);
        assert_eq!(to_string(&id).unwrap(), format!("\"{id}\""));
        assert_eq!(serde_json::to_value(id).unwrap(), Value::String(id.to_string()));
    }
}

#[test]
fn an_id_is_read_from_a_string_or_a_number() {
    for number in [0, 1, 473_032_512_445_898_752, u64::MAX] {
        let id = Snowflake::from(number);
        assert_eq!(from_str::<Snowflake>(&format!("\"{number}\"")).unwrap(), id);
        assert_eq!(from_str::<Snowflake>(&format!(" {number} ")).unwrap(), id);
        assert_eq!(serde_json::from_value::<Snowflake>(json!(number)).unwrap(), id);
        assert_eq!(serde_json::from_value::<Snowflake>(json!(number.to_string())).unwrap(), id);
        assert_eq!(serde_json::from_slice::<Snowflake>(number.to_string().as_bytes()).unwrap(), id);
        assert_eq!(serde_json::from_reader::<_, Snowflake>(format!("\"{number}\"").as_bytes()).unwrap(), id);
    }
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "-1",
        "\"-1\"",
        "\"+1\"",
        "18446744073709551616",
        "\"18446744073709551616\"",
        "1.0",
        "1e3",
        "\"1.0\"",
        "\"0x1f\"",
        "\"\"",
        "\" 1\"",
        "\"one\"",
        "null",
        "true",
        "[1]",
        "{}",
    ] {
        assert!(from_str::<Snowflake>(text).is_err(), "{text}");
    }
    let error = from_str::<Snowflake>("\"-7\"").unwrap_err().to_string();
    assert!(error.contains("\"-7\" is not a snowflake ID"), "{error}");
    let error = from_str::<Snowflake>("-7").unwrap_err().to_string();
    assert!(error.contains("-7") && error.contains("a snowflake ID"), "{error}");
}

#[test]
fn an_id_is_the_key_of_a_map() {
    let map: std::collections::BTreeMap<_, _> = [(Snowflake::from(7), "x".to_owned())].into();
    assert_eq!(to_string(&map).unwrap(), r#"{"7":"x"}"#);
    assert_eq!(from_str::<std::collections::BTreeMap<Snowflake, String>>(r#"{"7":"x"}"#).unwrap(), map);
}
