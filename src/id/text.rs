//! The texts of an ID: decimal, base32, base62, hex, binary and octal.

use core::fmt;
use core::str::FromStr;

use crate::error::{ParseError, shown};
use crate::id::snowflake::Snowflake;

/// The digits of all three forms are in ASCII order, so texts of one length sort as their numbers.
const BASE32: Form = Form {
    digits: b"0123456789ABCDEFGHJKMNPQRSTVWXYZ",
    length: Length::Exactly(13),
    expected: "13 characters of Crockford's base32: 0 to 9, and A to Z without I, L, O and U",
};
const BASE62: Form = Form {
    digits: b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    length: Length::Fewest,
    expected: "a number of base62, 0 to 9, A to Z and a to z, from 0 to LygHa16AHYF",
};
const HEX: Form = Form {
    digits: b"0123456789abcdef",
    length: Length::Fewest,
    expected: "a number of lower-case hex, 0 to 9 and a to f, from 0 to ffffffffffffffff",
};

/// The longest text of an ID in base62.
const BASE62_LENGTH: usize = 11;

/// The base32 form of an ID for `Display`, made by [`Snowflake::base32`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base32(Snowflake);

/// The base62 form of an ID for `Display`, made by [`Snowflake::base62`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base62(Snowflake);

impl fmt::Display for Snowflake {
    /// Writes the decimal number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_u64().fmt(f)
    }
}

impl FromStr for Snowflake {
    type Err = ParseError;

    /// Reads a decimal number up to `u64::MAX`: ASCII digits without signs or spaces.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.parse() {
            // `u64::from_str` accepts a leading plus sign.
            Ok(id) if !text.starts_with('+') => Ok(Snowflake::from_u64(id)),
            _ => Err(invalid(text)),
        }
    }
}

/// Makes the error of a text that is not a decimal number of 64 bits.
#[cold]
fn invalid(text: &str) -> ParseError {
    let number = number(text, b"0123456789", Length::Any);
    // `number` accepts no sign, so it rejects every text that `FromStr` rejects.
    let (position, reason) = number.err().unwrap_or_default();
    let expected = "a decimal number from 0 to 18446744073709551615";
    ParseError::Id { text: shown(text), position, reason, expected }
}

impl Snowflake {
    /// The ID in [Crockford's base32](https://www.crockford.com/base32.html): always 13 characters.
    ///
    /// The texts sort as the IDs do, so use them for keys and file names. They are in upper case,
    /// without a hyphen or a check symbol. Writing one allocates nothing.
    ///
    /// ```
    /// use pyflake::Snowflake;
    ///
    /// let id = Snowflake::from(473_032_512_445_898_752);
    /// assert_eq!(id.base32().to_string(), "0D44CJ1BRRR00");
    /// assert_eq!(format!("invoices/{}.pdf", id.base32()), "invoices/0D44CJ1BRRR00.pdf");
    /// assert_eq!(Snowflake::from_base32("0D44CJ1BRRR00")?, id);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    #[must_use]
    pub const fn base32(self) -> Base32 {
        Base32(self)
    }

    /// The ID in base62, for URLs: at most 11 characters.
    ///
    /// In the first six years of an epoch, 10 characters suffice. The digits are 0 to 9, A to Z and
    /// a to z. Case matters, so do not use it for file names or speech. Texts of different lengths
    /// do not sort as the IDs do. Writing one allocates nothing.
    ///
    /// ```
    /// use pyflake::Snowflake;
    ///
    /// let id = Snowflake::from(473_032_512_445_898_752);
    /// let url = format!("https://example.org/p/{}", id.base62());
    /// assert_eq!(url, "https://example.org/p/YwUceHMVZg");
    /// assert_eq!(Snowflake::from_base62("YwUceHMVZg")?, id);
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    #[must_use]
    pub const fn base62(self) -> Base62 {
        Base62(self)
    }

    /// Reads an ID in the form that [`base32`](Self::base32) writes: 13 characters in upper case.
    ///
    /// Each ID has exactly one text. Crockford's rules for typed text, by which `o` is 0 and `i` is
    /// 1, do not apply.
    ///
    /// # Errors
    ///
    /// [`ParseError::Id`] with the position for a wrong character, a wrong length, or a number past
    /// 64 bits.
    pub fn from_base32(text: &str) -> Result<Self, ParseError> {
        BASE32.read(text)
    }

    /// Reads an ID in the form that [`base62`](Self::base62) writes, without leading zeros.
    ///
    /// Each ID has exactly one text.
    ///
    /// # Errors
    ///
    /// [`ParseError::Id`] with the position for a wrong character, a leading zero, an empty text,
    /// or a number past 64 bits.
    pub fn from_base62(text: &str) -> Result<Self, ParseError> {
        BASE62.read(text)
    }

    /// Reads an ID in the form that `{:x}` writes: lower case, without leading zeros and `0x`.
    ///
    /// Each ID has exactly one text.
    ///
    /// ```
    /// use pyflake::Snowflake;
    ///
    /// let id = Snowflake::from(473_032_512_445_898_752);
    /// assert_eq!(format!("{id:x}"), "6908c90578c6000");
    /// assert_eq!(Snowflake::from_hex("6908c90578c6000")?, id);
    /// assert!(Snowflake::from_hex("06908c90578c6000").is_err());
    /// # Ok::<(), pyflake::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseError::Id`] with the position for a wrong character, a leading zero, an empty text,
    /// or a number past 64 bits.
    pub fn from_hex(text: &str) -> Result<Self, ParseError> {
        HEX.read(text)
    }
}

impl fmt::Display for Base32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 13];
        BASE32.write(self.0, &mut text);
        pad(f, &text)
    }
}

impl fmt::Display for Base62 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; BASE62_LENGTH];
        BASE62.write(self.0, &mut text);
        let zeros = text[..BASE62_LENGTH - 1].iter().take_while(|&&digit| digit == b'0').count();
        pad(f, &text[zeros..])
    }
}

macro_rules! as_its_number {
    ($($format:ident),*) => {$(
        impl fmt::$format for Snowflake {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::$format::fmt(&self.as_u64(), f)
            }
        }
    )*};
}

as_its_number!(Binary, LowerHex, Octal, UpperHex);

/// Writes digits with the width and the alignment of the caller's format.
fn pad(f: &mut fmt::Formatter<'_>, digits: &[u8]) -> fmt::Result {
    // Never fails: digits are ASCII.
    f.pad(core::str::from_utf8(digits).map_err(|_| fmt::Error)?)
}

/// The number of digits of a text.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    Exactly(usize),
    /// As few as the number needs.
    Fewest,
    /// Any number, with leading zeros or without.
    Any,
}

/// A text form of IDs: the digits of a base, and the length.
struct Form {
    /// The digits in the order of their values.
    digits: &'static [u8],
    length: Length,
    /// A description of the form, for errors.
    expected: &'static str,
}

impl Form {
    /// Fills `text` with the digits of an ID. `text` must be long enough for every ID.
    fn write(&self, id: Snowflake, text: &mut [u8]) {
        let mut rest = id.as_u64();
        let base = self.digits.len() as u64;
        for place in text.iter_mut().rev() {
            #[expect(clippy::cast_possible_truncation, reason = "less than the base")]
            let digit = (rest % base) as usize;
            *place = self.digits[digit];
            rest /= base;
        }
        debug_assert_eq!(rest, 0, "the text is too short for the ID");
    }

    fn read(&self, text: &str) -> Result<Snowflake, ParseError> {
        number(text, self.digits, self.length).map(Snowflake::from).map_err(|(position, reason)| ParseError::Id {
            text: shown(text),
            position,
            reason,
            expected: self.expected,
        })
    }
}

/// The number in a text, or the position and the defect.
///
/// All characters before the defect are single bytes, so a position in bytes is a position in
/// characters.
pub(crate) fn number(text: &str, digits: &[u8], length: Length) -> Result<u64, (usize, &'static str)> {
    if text.is_empty() {
        return Err((0, "it is empty"));
    }
    let mut number = 0_u64;
    for (position, byte) in text.bytes().enumerate() {
        if matches!(length, Length::Exactly(length) if position == length) {
            return Err((position, "it is too long"));
        }
        let Some(digit) = digits.iter().position(|&digit| digit == byte) else {
            return Err((position, "it has a character that is not a digit"));
        };
        if matches!(length, Length::Fewest) && position == 1 && number == 0 {
            return Err((0, "it has a leading zero"));
        }
        number = number
            .checked_mul(digits.len() as u64)
            .and_then(|number| number.checked_add(digit as u64))
            .ok_or((position, "it is too large for 64 bits"))?;
    }
    match length {
        Length::Exactly(length) if text.len() < length => Err((text.len(), "it is too short")),
        _ => Ok(number),
    }
}
