//! The files of a lease directory: bytes are a record or a realm exactly as the format says, or they are refused; and a
//! record that was torn while a renewal was written still covers every window that was acknowledged.
//!
//! The format is written down here once more, so that the oracle shares no code with the library.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use pyflake::Node;
use pyflake::lease::fuzzing::{Read, Slot, realm, realm_file, record, record_name};

/// Where the second slot begins.
const SLOT: usize = 4096;

#[derive(Debug)]
enum Input {
    /// Any bytes, for all parsers.
    Bytes(Vec<u8>),
    /// Lines with a title before them and the right checksum after them, for all parsers: chance would not find it.
    Sealed { title: &'static str, body: String },
    /// Two such texts in the places of the two slots.
    Slots(String, String),
    /// A tenure that is renewed, and whose last write is torn.
    Tenure(Slot, Vec<Renewal>, Tear),
}

#[derive(Debug, Arbitrary)]
struct Renewal {
    more: u64,
    window: u64,
    nonce: u64,
}

/// How much of the last write reached the disk, from the front or from the back, and what is there instead.
#[derive(Debug, Arbitrary)]
struct Tear {
    bytes: u16,
    from_the_back: bool,
    zeros: bool,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        const TITLES: [&str; 4] = ["pyflake lease 2\n", "pyflake lease 1\n", "pyflake realm 1\n", ""];
        Ok(match input.int_in_range(0..=3)? {
            0 => Input::Bytes(input.bytes(input.len())?.to_vec()),
            1 => {
                let title = *input.choose(&TITLES)?;
                Input::Sealed { title, body: rest(input)? }
            }
            2 => {
                let both = rest(input)?;
                let (first, second) = both.split_once('\0').unwrap_or((&both, ""));
                Input::Slots(first.to_owned(), second.to_owned())
            }
            _ => {
                let (pid, seed) = (input.int_in_range(0..=31)?, input.int_in_range(0..=31)?);
                let slot = Slot {
                    epoch: input.arbitrary()?,
                    node: Node::new(pid, seed).expect("in range"),
                    token: input.arbitrary()?,
                    count: 0,
                    until: input.arbitrary()?,
                    reach: u64::MAX,
                    nonce: input.arbitrary()?,
                    // One line, as a label that was made printable is.
                    label: input.arbitrary::<&str>()?.chars().filter(|char| !char.is_control()).take(128).collect(),
                };
                Input::Tenure(slot, input.arbitrary()?, input.arbitrary()?)
            }
        })
    }
}

fn rest(input: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    Ok(String::from_utf8_lossy(input.bytes(input.len())?).into_owned())
}

fuzz_target!(|input: Input| match input {
    Input::Bytes(bytes) => {
        parse(&bytes);
        if let Ok(name) = str::from_utf8(&bytes) {
            parse_name(name);
        }
    }
    Input::Sealed { title, body } => parse(sealed(title, &body).as_bytes()),
    Input::Slots(first, second) => {
        let mut file = sealed("pyflake lease 2\n", &first).into_bytes();
        file.resize(SLOT.max(file.len()), 0);
        file.extend(sealed("pyflake lease 2\n", &second).into_bytes());
        parse(&file);
    }
    Input::Tenure(slot, renewals, tear) => tenure(slot, &renewals, &tear),
});

/// Gives bytes to each parser: one that takes them read what the format has in these bytes.
fn parse(bytes: &[u8]) {
    if let Ok((epoch, layout)) = realm(bytes) {
        let body = format!("epoch {epoch}\nlayout {layout}\n");
        assert_eq!(sealed("pyflake realm 1\n", &body).as_bytes(), bytes);
        let written = realm_file(epoch);
        assert_eq!(realm(&written), Ok((epoch, "42/5/5/12".into())));
    }
    let Ok(Read { latest, other, end }) = record(bytes) else { return };
    if bytes.len() < SLOT && bytes.starts_with(b"pyflake lease 1\n") {
        let Slot { epoch, node, token, until, nonce, label, .. } = &latest;
        let (pid, seed) = (node.pid(), node.seed());
        let body = format!(
            "epoch {epoch}\npid {pid}\nseed {seed}\ntoken {token}\nuntil {until}\nowner {nonce}\nlabel {label}\n"
        );
        assert_eq!(sealed("pyflake lease 1\n", &body).as_bytes(), bytes);
        assert_eq!(end, *until);
        return;
    }
    for slot in [Some(&latest), other.as_ref()].into_iter().flatten() {
        let text = text(slot);
        assert_eq!(slot.text(), text.as_bytes(), "a slot is written otherwise");
        let begin = if slot.count % 2 == 0 { 0 } else { SLOT };
        assert!(bytes[begin..].starts_with(text.as_bytes()), "{slot:?} was read from other bytes");
        let padding = &bytes[begin + text.len()..if begin == 0 { SLOT } else { bytes.len() }];
        assert!(padding.iter().all(|byte| *byte == 0), "something follows {slot:?}");
        assert!(begin == 0 || padding.is_empty(), "something follows {slot:?}");
    }
    if let Some(other) = &other {
        assert_eq!(latest.count, other.count + 1);
        assert_eq!((latest.epoch, latest.node, latest.token), (other.epoch, other.node, other.token));
        assert_eq!((latest.until, &latest.label), (end, &other.label));
    } else {
        assert_eq!(end, latest.reach);
    }
}

/// A name is that of a record exactly where it is written like this.
fn parse_name(name: &str) {
    if let Some((node, token)) = record_name(name) {
        assert_eq!(format!("node-{:02}-{:02}.{token}", node.pid(), node.seed()), name);
    }
}

/// Renews a tenure, tears the last write, and reads what is left.
fn tenure(mut slot: Slot, renewals: &[Renewal], tear: &Tear) {
    let mut file = slot.file();
    slot.count = 1;
    assert_eq!(record(&file).map(|read| read.latest), Ok(slot.clone()));
    let mut before = (slot.clone(), file.clone());
    for renewal in renewals.iter().take(8) {
        before = (slot.clone(), file.clone());
        // No further than the last write allows.
        let until = slot.until.saturating_add(renewal.more).min(slot.reach);
        let reach = until.saturating_add(renewal.window);
        slot = Slot { count: slot.count + 1, until, reach, nonce: renewal.nonce, ..slot };
        let offset = usize::try_from(slot.offset()).expect("it is 0 or 4096");
        assert_eq!(offset, if slot.count.is_multiple_of(2) { 0 } else { SLOT });
        let text = slot.text();
        file[offset..offset + text.len()].copy_from_slice(&text);
        let read = record(&file).expect("it was just written");
        assert_eq!((&read.latest, read.other.as_ref(), read.end), (&slot, Some(&before.0), until));
    }
    if renewals.is_empty() {
        return;
    }
    // The write that is torn may be any but the acknowledged one.
    let (acknowledged, old) = before;
    let offset = usize::try_from(slot.offset()).expect("it is 0 or 4096");
    let length = slot.text().len();
    let cut = offset + usize::from(tear.bytes) % (length + 1);
    let lost = if tear.from_the_back { offset..cut } else { cut..offset + length };
    let mut torn = file;
    if tear.zeros {
        torn[lost].fill(0);
    } else {
        torn[lost.clone()].copy_from_slice(&old[lost]);
    }
    parse(&torn);
    let read = record(&torn).expect("the acknowledged slot is whole");
    assert!(read.latest == slot || read.latest == acknowledged, "{read:?} was never written");
    assert!(read.end >= acknowledged.until, "{read:?} ends before {acknowledged:?}");
    if read.latest == acknowledged {
        assert!(read.end >= slot.until || read.other.is_some(), "{read:?} may end before {slot:?}");
    }
}

/// A slot, as the format has it.
fn text(slot: &Slot) -> String {
    let Slot { epoch, node, token, count, until, reach, nonce, label } = slot;
    let body = format!(
        "epoch {epoch}\npid {}\nseed {}\ntoken {token}\ncount {count:020}\nuntil {until:020}\nreach {reach:020}\n\
         owner {nonce:020}\nlabel {label}\n",
        node.pid(),
        node.seed()
    );
    sealed("pyflake lease 2\n", &body)
}

/// A text with its checksum, FNV-1a.
fn sealed(title: &str, body: &str) -> String {
    let text = format!("{title}{body}");
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{text}sum {sum:016x}\n")
}
