//! Feature `serde`: the forms of the types in JSON, TOML and postcard, a binary format.

use std::fmt::Debug;

use crate::common::{EPOCH, manual, ms, node, number};
use proptest::prelude::*;
use pyflake::lease::LeaseState;
use pyflake::{Epoch, Generator, Info, Node, PyflakeClient, Record, Snowflake};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, from_str, json, to_string};

/// An ID in every form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Forms {
    plain: Snowflake,
    #[serde(with = "pyflake::serde_as::number")]
    number: Snowflake,
    #[serde(with = "pyflake::serde_as::number::option")]
    some_number: Option<Snowflake>,
    #[serde(with = "pyflake::serde_as::i64")]
    signed: Snowflake,
    #[serde(with = "pyflake::serde_as::i64::option", default)]
    some_signed: Option<Snowflake>,
}

impl Forms {
    fn of(id: u64) -> Self {
        let id = Snowflake::from(id);
        Forms { plain: id, number: id, some_number: Some(id), signed: id, some_signed: Some(id) }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Signed(#[serde(with = "pyflake::serde_as::i64")] Snowflake);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Config {
    epoch: Epoch,
    node: Node,
    id: Snowflake,
}

/// A value comes back from JSON and from postcard.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(&from_str::<T>(&to_string(value).unwrap()).unwrap(), value);
    assert_eq!(&postcard::from_bytes::<T>(&postcard::to_stdvec(value).unwrap()).unwrap(), value);
}

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

#[test]
fn the_helpers_write_numbers() {
    let json = r#"{"plain":"7","number":7,"some_number":7,"signed":7,"some_signed":7}"#;
    assert_eq!(to_string(&Forms::of(7)).unwrap(), json);
    let none = Forms { some_number: None, some_signed: None, ..Forms::of(7) };
    let json = r#"{"plain":"7","number":7,"some_number":null,"signed":7,"some_signed":null}"#;
    assert_eq!(to_string(&none).unwrap(), json);
    comes_back(&none);
}

#[test]
fn the_helpers_read_numbers_and_strings() {
    let json = r#"{"plain":7,"number":"7","some_number":"7","signed":"7","some_signed":"7"}"#;
    assert_eq!(from_str::<Forms>(json).unwrap(), Forms::of(7));
    let json = r#"{"plain":7,"number":7,"some_number":null,"signed":7}"#;
    assert_eq!(from_str::<Forms>(json).unwrap(), Forms { some_number: None, some_signed: None, ..Forms::of(7) });
    // There is a default only where it is asked for.
    assert!(from_str::<Forms>(r#"{"plain":7,"number":7,"signed":7}"#).is_err());
}

#[test]
fn a_signed_number_is_never_negative() {
    let edge = 1 << 63;
    comes_back(&Signed(Snowflake::from(edge - 1)));
    for id in [edge, u64::MAX] {
        let error = to_string(&Signed(Snowflake::from(id))).unwrap_err().to_string();
        assert!(error.contains(&id.to_string()) && error.contains("signed"), "{error}");
        assert!(postcard::to_stdvec(&Signed(Snowflake::from(id))).is_err());
        let error = from_str::<Signed>(&id.to_string()).unwrap_err().to_string();
        assert!(error.contains(&id.to_string()), "{error}");
    }
    assert!(from_str::<Signed>("-1").is_err());
    let negative = postcard::to_stdvec(&-1_i64).unwrap();
    assert!(postcard::from_bytes::<Signed>(&negative).is_err());
    // The same bytes are an ID where an i64 is not what is meant: a control for the above.
    assert_eq!(postcard::from_bytes::<Snowflake>(&negative), Ok(Snowflake::from(1)));
}

#[test]
fn a_binary_format_has_the_number() {
    let id = 473_032_512_445_898_752;
    assert_eq!(postcard::to_stdvec(&Snowflake::from(id)).unwrap(), postcard::to_stdvec(&id).unwrap());
    assert_eq!(postcard::to_stdvec(&node(7, 16)).unwrap(), postcard::to_stdvec(&519_u16).unwrap());
    assert_eq!(postcard::to_stdvec(&EPOCH).unwrap(), postcard::to_stdvec(&EPOCH.as_unix_millis()).unwrap());
    let signed = postcard::to_stdvec(&Signed(Snowflake::from(id))).unwrap();
    assert_eq!(signed, postcard::to_stdvec(&id.cast_signed()).unwrap());
    assert!(postcard::from_bytes::<Node>(&postcard::to_stdvec(&1024_u16).unwrap()).is_err());
}

#[test]
fn a_node_is_read_as_a_pid_and_a_seed_or_an_index() {
    assert_eq!(to_string(&node(7, 16)).unwrap(), "\"7/16\"");
    for text in ["\"7/16\"", "\"519\"", "519"] {
        assert_eq!(from_str::<Node>(text).unwrap(), node(7, 16), "{text}");
    }
    for text in ["1024", "-1", "\"32/0\"", "\"\"", "7.0", "null", "{\"pid\":7,\"seed\":16}"] {
        assert!(from_str::<Node>(text).is_err(), "{text}");
    }
    let error = from_str::<Node>("1024").unwrap_err().to_string();
    assert!(error.contains("1024") && error.contains("1023"), "{error}");
    for index in 0..1024 {
        comes_back(&Node::from_index(index).unwrap());
    }
}

#[test]
fn a_configuration_file_in_toml() {
    let config = Config { epoch: EPOCH, node: node(7, 16), id: Snowflake::from(473_032_512_445_898_752) };
    let text = "epoch = 1555301520000\nnode = \"7/16\"\nid = \"473032512445898752\"\n";
    assert_eq!(toml::to_string(&config).unwrap(), text);
    assert_eq!(toml::from_str::<Config>(text).unwrap(), config);
    // TOML's integers are signed.
    let numbers = "epoch = 1555301520000\nnode = 519\nid = 473032512445898752\n";
    assert_eq!(toml::from_str::<Config>(numbers).unwrap(), config);
    for (good, bad) in [("519", "-519"), ("473032512445898752", "-1"), ("1555301520000", "-1")] {
        assert!(toml::from_str::<Config>(&numbers.replace(good, bad)).is_err(), "{bad}");
    }
}

#[test]
fn info_and_stats_have_their_fields() {
    let client = PyflakeClient::new(EPOCH);
    let json = r#"{"pid":null,"seed":null,"epoch":1555301520000,"generated":0,"generator":false}"#;
    assert_eq!(to_string(&client.info()).unwrap(), json);
    client.create_generator(6, 17).unwrap();
    client.generate().unwrap();
    let json = r#"{"pid":6,"seed":17,"epoch":1555301520000,"generated":1,"generator":true}"#;
    assert_eq!(to_string(&client.info()).unwrap(), json);
    assert_eq!(from_str::<Info>(json).unwrap(), client.info());
    comes_back(&client.info());

    let stats = Generator::new(EPOCH, node(6, 18)).unwrap().stats();
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["waits"], stats.waits);
    assert_eq!(json["waited"], json!({"secs": 0, "nanos": 0}));
    assert_eq!(json["clock"]["syncs"], stats.clock.syncs);
    assert_eq!(json["window"], Value::Null);
    assert_eq!(json["lead"], json!({"secs": 0, "nanos": 0}));

    let ahead = manual().1.max_lead(ms(2)).allow_repeats_after_restart().build().unwrap();
    ahead.reserve(3 * 4096).unwrap();
    let json = serde_json::to_value(ahead.stats()).unwrap();
    assert_eq!(json["lead"], json!({"secs": 0, "nanos": 2_000_000}));
}

proptest! {
    #[test]
    fn everything_comes_back(id in number(), epoch in number()) {
        let snowflake = Snowflake::from(id);
        comes_back(&snowflake);
        comes_back(&Epoch::from_unix_millis(epoch));
        comes_back(&snowflake.node());
        comes_back(&snowflake.record(EPOCH, epoch));
        match i64::try_from(id) {
            Ok(_) => comes_back(&Forms::of(id)),
            Err(_) => prop_assert!(to_string(&Forms::of(id)).is_err()),
        }
    }
}

#[test]
fn the_state_of_a_lease_is_a_word_and_what_goes_with_it() {
    let held = LeaseState::Held { node: Node::new(7, 16).unwrap(), until: 1_668_081_269_486 };
    for (state, json) in [
        (held, json!({ "state": "held", "node": "7/16", "until": 1_668_081_269_486_u64 })),
        (LeaseState::Degraded { since: 5 }, json!({ "state": "degraded", "since": 5 })),
        (LeaseState::Lost, json!({ "state": "lost" })),
    ] {
        assert_eq!(serde_json::to_value(state).unwrap(), json);
    }
}
