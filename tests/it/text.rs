//! The text forms beside the decimal one: base32, base62 and hex.

use crate::common::number;
use proptest::prelude::*;
use pyflake::{ParseError, Snowflake};

type Read = fn(&str) -> Result<Snowflake, ParseError>;

const BASE32: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const HEX: &str = "0123456789abcdef";

/// ID, base32, base62, hex: made by another program.
const GOLDEN: [(u64, &str, &str, &str); 8] = [
    (0, "0000000000000", "0", "0"),
    (31, "000000000000Z", "V", "1f"),
    (32, "0000000000010", "W", "20"),
    (61, "000000000001X", "z", "3d"),
    (62, "000000000001Y", "10", "3e"),
    (473_032_512_445_898_752, "0D44CJ1BRRR00", "YwUceHMVZg", "6908c90578c6000"),
    (i64::MAX.cast_unsigned(), "7ZZZZZZZZZZZZ", "AzL8n0Y58m7", "7fffffffffffffff"),
    (u64::MAX, "FZZZZZZZZZZZZ", "LygHa16AHYF", "ffffffffffffffff"),
];

fn write(id: Snowflake) -> [String; 3] {
    [id.base32().to_string(), id.base62().to_string(), format!("{id:x}")]
}

const FORMS: [(&str, Read); 3] =
    [(BASE32, Snowflake::from_base32), (BASE62, Snowflake::from_base62), (HEX, Snowflake::from_hex)];

/// Where and how a text is wrong.
fn wrong(read: Read, text: &str) -> (usize, &'static str) {
    match read(text) {
        Err(ParseError::Id { position, reason, .. }) => (position, reason),
        other => panic!("{text:?}: {other:?}"),
    }
}

const EMPTY: &str = "it is empty";
const NO_DIGIT: &str = "it has a character that is not a digit";
const ZERO: &str = "it has a leading zero";
const LARGE: &str = "it is too large for 64 bits";
const SHORT: &str = "it is too short";
const LONG: &str = "it is too long";

#[test]
fn golden_texts_are_written_and_read() {
    for (id, base32, base62, hex) in GOLDEN {
        let id = Snowflake::from(id);
        assert_eq!(write(id), [base32, base62, hex]);
        assert_eq!(Snowflake::from_base32(base32), Ok(id));
        assert_eq!(Snowflake::from_base62(base62), Ok(id));
        assert_eq!(Snowflake::from_hex(hex), Ok(id));
    }
}

#[test]
fn hex_and_the_adapters_take_the_usual_formats() {
    let id = Snowflake::from(0xabc);
    assert_eq!(format!("{id:x} {id:X} {id:#x} {id:016x} {id:#06X}"), "abc ABC 0xabc 0000000000000abc 0x0ABC");
    assert_eq!(format!("[{:>15}] [{:<15}]", id.base32(), id.base32()), "[  00000000002NW] [00000000002NW  ]");
    assert_eq!(format!("[{:>5}] [{:-^6}]", id.base62(), id.base62()), "[   iK] [--iK--]");
}

#[test]
fn base32_has_13_characters_of_crockfords_in_upper_case() {
    let read: Read = Snowflake::from_base32;
    for (text, position, reason) in [
        ("", 0, EMPTY),
        ("0", 1, SHORT),
        ("0D44CJ1BRRR0", 12, SHORT),
        ("0D44CJ1BRRR000", 13, LONG),
        ("00D44CJ1BRRR00", 13, LONG),
        ("G000000000000", 12, LARGE),
        ("ZZZZZZZZZZZZZ", 12, LARGE),
        ("ZZZZZZZZZZZZZZ", 12, LARGE),
        // What Crockford lets people type.
        ("0d44cj1brrr00", 1, NO_DIGIT),
        ("0D44CJ1BRRRO0", 11, NO_DIGIT),
        ("0D44CJIBRRR00", 6, NO_DIGIT),
        ("0D44CJLBRRR00", 6, NO_DIGIT),
        ("0D44CJUBRRR00", 6, NO_DIGIT),
        ("0D44-CJ1BRRR00", 4, NO_DIGIT),
        (" 0D44CJ1BRRR00", 0, NO_DIGIT),
        ("0D44CJ1BRRR00\n", 13, LONG),
        ("0D44CJ1BRRR0é", 12, NO_DIGIT),
        ("\u{ff10}D44CJ1BRRR00", 0, NO_DIGIT),
    ] {
        assert_eq!(wrong(read, text), (position, reason), "{text:?}");
    }
}

#[test]
fn base62_and_hex_have_no_leading_zeros() {
    let (base62, hex): (Read, Read) = (Snowflake::from_base62, Snowflake::from_hex);
    for (read, text, position, reason) in [
        (base62, "", 0, EMPTY),
        (base62, "00", 0, ZERO),
        (base62, "0YwUceHMVZg", 0, ZERO),
        (base62, "LygHa16AHYG", 10, LARGE),
        (base62, "LygHa16AHYF0", 11, LARGE),
        (base62, "zzzzzzzzzzz", 10, LARGE),
        (base62, "YwUce-HMVZg", 5, NO_DIGIT),
        (base62, "YwUceHMVZ_", 9, NO_DIGIT),
        (base62, "+1", 0, NO_DIGIT),
        (base62, "1é", 1, NO_DIGIT),
        (hex, "", 0, EMPTY),
        (hex, "00", 0, ZERO),
        (hex, "0abc", 0, ZERO),
        (hex, "0xabc", 1, NO_DIGIT),
        (hex, "aBc", 1, NO_DIGIT),
        (hex, "abg", 2, NO_DIGIT),
        (hex, "-1", 0, NO_DIGIT),
        (hex, "10000000000000000", 16, LARGE),
        (hex, "fffffffffffffffff", 16, LARGE),
    ] {
        assert_eq!(wrong(read, text), (position, reason), "{text:?}");
    }
}

#[test]
fn the_error_says_where_and_what_is_expected() {
    let message = Snowflake::from_base32("0D44CJ1BRRRO0").unwrap_err().to_string();
    for part in ["\"0D44CJ1BRRRO0\"", "not a digit", "position 11", "13 characters", "without I, L, O and U"] {
        assert!(message.contains(part), "{message:?} does not say {part}");
    }
    let ParseError::Id { text, .. } = Snowflake::from_hex(&"a".repeat(1000)).unwrap_err() else { panic!() };
    assert_eq!(&*text, "a".repeat(32));
}

/// The number in a text, by arithmetic that cannot overflow here.
fn reference(digits: &str, text: &str) -> Option<u128> {
    text.chars().try_fold(0_u128, |number, digit| {
        number.checked_mul(digits.len() as u128)?.checked_add(digits.find(digit)? as u128)
    })
}

/// Texts that are IDs or nearly so.
fn text() -> impl Strategy<Value = String> {
    let digits = |set: &str| prop::string::string_regex(&format!("[{set}]{{0,18}}")).unwrap();
    let damaged = (number(), 0..3_usize, any::<prop::sample::Index>(), "[0-9A-Za-z\u{e9} -]{0,2}").prop_map(
        |(id, form, at, insert)| {
            let mut text = write(Snowflake::from(id))[form].clone();
            let at = at.index(text.len() + 1);
            text.replace_range(at..(at + insert.len().min(1)).min(text.len()), &insert);
            text
        },
    );
    prop_oneof![digits(BASE32), digits(BASE62), digits(HEX), "[0-9A-HJKMNP-TV-Z]{13}", "\\PC{0,14}", damaged]
}

proptest! {
    #[test]
    fn every_id_has_texts_that_give_it_back(id in number()) {
        let id = Snowflake::from(id);
        for (text, (digits, read)) in write(id).into_iter().zip(FORMS) {
            prop_assert_eq!(reference(digits, &text), Some(u128::from(id.as_u64())));
            prop_assert_eq!(read(&text), Ok(id));
        }
        prop_assert_eq!(id.base32().to_string().len(), 13);
        prop_assert_eq!(format!("{id:X}"), format!("{id:x}").to_uppercase());
    }

    #[test]
    fn base32_sorts_as_the_ids_do(a in number(), b in number()) {
        let text = |id| Snowflake::from(id).base32().to_string();
        prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
    }

    /// One text an ID: what is read is exactly what is written.
    #[test]
    fn a_text_that_is_read_is_the_one_that_is_written(text in text()) {
        for (form, (digits, read)) in FORMS.into_iter().enumerate() {
            match read(&text) {
                Ok(id) => prop_assert_eq!(&write(id)[form], &text),
                Err(ParseError::Id { position, reason, .. }) => {
                    // Its beginning is that of some ID; with the next character it is not.
                    prop_assert!(position <= text.chars().count());
                    let begin: String = text.chars().take(position).collect();
                    prop_assert!(reference(digits, &begin).is_some_and(|number| number >> 64 == 0), "{}", text);
                    let next = text.chars().nth(position);
                    match reason {
                        NO_DIGIT => prop_assert!(next.is_some_and(|next| !digits.contains(next)), "{}", text),
                        LARGE => {
                            let end: String = text.chars().take(position + 1).collect();
                            prop_assert!(reference(digits, &end).is_some_and(|number| number >> 64 != 0), "{}", text);
                        }
                        ZERO => prop_assert!(text.starts_with('0') && text.len() > 1 && form != 0),
                        EMPTY => prop_assert!(text.is_empty()),
                        SHORT => prop_assert!(form == 0 && next.is_none() && position < 13),
                        LONG => prop_assert!(form == 0 && next.is_some() && position == 13),
                        _ => prop_assert!(false, "{}", reason),
                    }
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}

#[test]
fn binary_and_octal_are_those_of_the_number() {
    let id = Snowflake::from_u64(473_032_512_445_898_752);
    assert_eq!(format!("{id:b}"), format!("{:b}", id.as_u64()));
    assert_eq!(format!("{id:#o}"), format!("{:#o}", id.as_u64()));
}
