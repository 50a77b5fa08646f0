//! What the commands' arguments have in common: numbers with limits, the epoch, and errors of one line.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::HumanDuration;
use jiff::Timestamp;
use pyflake::Epoch;
use pyflake::layout::MAX_TICK;

/// The option `--epoch`.
#[derive(Args)]
pub(crate) struct EpochArg {
    /// The instant that IDs count from, in Unix milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_555_301_520_000)]
    #[arg(value_parser = number(0..=latest_epoch()), allow_negative_numbers = true)]
    epoch: u64,
}

impl EpochArg {
    pub(crate) fn get(&self) -> Epoch {
        Epoch::from_unix_millis(self.epoch)
    }
}

/// The last epoch of which every ID has a date: a later one is a mistake, such as one in microseconds.
fn latest_epoch() -> u64 {
    // By the second: jiff takes no milliseconds after the last whole one.
    Timestamp::MAX.as_second().unsigned_abs() * 1000 - MAX_TICK
}

/// How rows look.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// Columns below a header
    Table,
    /// An object a line
    Json,
}

/// The unit of a time.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Unit {
    /// Milliseconds
    Ms,
    /// Seconds, with three decimals
    S,
}

/// A parser of whole numbers in a range.
pub(crate) fn number(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("use a whole number from {} to {}", range.start(), range.end()))
    }
}

/// The message of a clap error on one line, without its label and the usage.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let parts = rendered
        .trim_start_matches("error: ")
        .split("\n\n")
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"))
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    format!("{} (see --help)", parts.collect::<Vec<_>>().join("; "))
}

/// How long ago an instant was, for people.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let age = then.duration_until(now);
    let length = age.unsigned_abs();
    match HumanDuration(length) {
        _ if length < Duration::from_secs(1) => "now".into(),
        length if age.is_negative() => format!("{length} in the future"),
        length => format!("{length} ago"),
    }
}
