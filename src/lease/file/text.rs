//! A file's text: a few lines for people, and a checksum at the end.
//!
//! A file counts only if it is exactly, byte for byte, what this version writes for what it reads out of it.

use core::fmt;
use core::str::{FromStr, Lines};

/// A kind of file. What is wrong with one is told as the end of a sentence that begins with its name.
pub(super) trait Text: fmt::Display + Sized {
    /// The first line, up to the version of the format.
    const TITLE: &str;

    /// The version of the format.
    const VERSION: &str;

    /// Reads the lines between the title and the checksum.
    fn read(fields: &mut Fields<'_>) -> Result<Self, String>;

    fn to_text(&self) -> String {
        let body = format!("{} {}\n{self}", Self::TITLE, Self::VERSION);
        let sum = checksum(body.as_bytes());
        format!("{body}sum {sum:016x}\n")
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("is empty".into());
        }
        let text = str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
        let first = text.lines().next().unwrap_or_default();
        match first.strip_prefix(Self::TITLE) {
            None => return Err(format!("does not begin with \"{}\"", Self::TITLE)),
            Some(version) if version.strip_prefix(' ') == Some(Self::VERSION) => {}
            Some(version) => {
                let known = Self::VERSION;
                return Err(format!("is of format{version}, and this version of pyflake knows format {known}"));
            }
        }
        let mut fields = Fields(text.lines());
        fields.0.next();
        let this = Self::read(&mut fields)?;
        // The one test of the checksum, of what follows it, of signs, leading zeros, line ends and anything else.
        if this.to_text() == text { Ok(this) } else { Err("is torn or was changed: its checksum is wrong".into()) }
    }
}

/// The lines of a file, each a name, a space and a value.
pub(super) struct Fields<'a>(Lines<'a>);

impl Fields<'_> {
    pub(super) fn next<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        let line = self.0.next().ok_or_else(|| format!("is cut short: it has no line \"{name}\""))?;
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        let value = value.and_then(|value| value.parse().ok());
        value.ok_or_else(|| format!("has the line {line:?} where \"{name}\" and its value belong"))
    }
}

/// FNV-1a, which notices every change of a single byte for certain. It guards against accidents, not against people.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
