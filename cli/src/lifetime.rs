//! `pyflake lifetime`: until when an epoch has IDs.

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::args::{EpochArg, Format};
use crate::failure::Failure;
use crate::print;

const SECONDS_OF_DAY: u64 = 24 * 60 * 60;
/// A year of the calendar on average: 365.2425 days.
const SECONDS_OF_YEAR: f64 = 31_556_952.0;

/// Tell when IDs stop fitting a signed 64-bit integer, and when there are no more
#[derive(Args)]
#[command(after_help = "\
Both dates are the first millisecond past the end, in UTC. What is left is counted from now in whole days, and is 0 once
it is over; that is no error.

Examples:
  pyflake lifetime --epoch 1420070400000
  pyflake lifetime --format json")]
pub(crate) struct Lifetime {
    #[command(flatten)]
    epoch: EpochArg,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    #[arg(help = "How the answer looks; the keys of the JSON: epoch, i64_ends, ends, i64_days_left, days_left")]
    format: Format,
}

/// The answer; the fields are the keys of the JSON, in their order.
#[derive(Serialize)]
struct Answer {
    epoch: String,
    i64_ends: String,
    ends: String,
    i64_days_left: u64,
    days_left: u64,
}

impl Lifetime {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let epoch = self.epoch.get();
        let lifetime = epoch.lifetime();
        // A clock before 1970 is before every epoch, by as good as nothing.
        let now = Timestamp::now().as_millisecond().max(0).cast_unsigned();
        let (i64_left, left) = (lifetime.i64_remaining(now), lifetime.remaining(now));
        let answer = Answer {
            epoch: date(epoch.as_unix_millis())?,
            i64_ends: date(lifetime.i64_ends)?,
            ends: date(lifetime.ends)?,
            i64_days_left: days(i64_left),
            days_left: days(left),
        };
        match self.format {
            Format::Table => {
                let Answer { epoch, i64_ends, ends, i64_days_left, days_left } = answer;
                print(format_args!("{:8}  {:24}  {:>9}  {:>10}", "EVENT", "DATETIME", "DAYS_LEFT", "YEARS_LEFT"))?;
                print(format_args!("{:8}  {epoch}  {:>9}  {:>10}", "epoch", "-", "-"))?;
                print(format_args!("{:8}  {i64_ends}  {i64_days_left:>9}  {:>10.1}", "i64_ends", years(i64_left)))?;
                print(format_args!("{:8}  {ends}  {days_left:>9}  {:>10.1}", "ends", years(left)))
            }
            Format::Json => print(serde_json::to_string(&answer).map_err(Failure::stdout)?),
        }
    }
}

/// A Unix time in milliseconds as a date in UTC.
fn date(unix_millis: u64) -> Result<String, Failure> {
    // By way of a duration: jiff takes no milliseconds after its last whole second, and the end of the last epoch that
    // `--epoch` accepts is one.
    Timestamp::from_duration(SignedDuration::from_millis(unix_millis.cast_signed()))
        .map(|date| format!("{date:.3}"))
        .map_err(|error| Failure::Input(format!("the time {unix_millis} has no date: {error}")))
}

fn days(left: Duration) -> u64 {
    left.as_secs() / SECONDS_OF_DAY
}

fn years(left: Duration) -> f64 {
    left.as_secs_f64() / SECONDS_OF_YEAR
}
