//! `pyflake inspect`: what IDs say, row by row.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};

use clap::Args;
use jiff::Timestamp;
use pyflake::{Epoch, Snowflake};
use serde::{Serialize, Serializer};

use crate::args::{EpochArg, Format, age};
use crate::failure::Failure;
use crate::say;

/// How many bytes are read and written at a time.
const BUFFER: usize = 1 << 16;

/// The longest line of stdin, so that memory is bounded whatever is fed; an ID has 20 digits.
const LINE: usize = 1024;

/// Take IDs apart: time, pid, seed and sequence, the date in UTC, and the age
#[derive(Args)]
#[command(after_help = "\
Without an ID it reads them from stdin, one a line, as many as there are; blank lines are skipped.

Examples:
  pyflake inspect 473032512445898752
  pyflake inspect --format json < ids.txt
  pyflake inspect 175928847299117063 --epoch 1420070400000    # an ID of Discord's")]
pub(crate) struct Inspect {
    /// The IDs, decimal numbers [default: those on stdin]
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    ids: Vec<Snowflake>,
    #[command(flatten)]
    epoch: EpochArg,
    /// How a row looks; the keys of the JSON: snowflake (a string), timestamp, pid, seed, sequence, datetime
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let mut rows = Rows { out, epoch: self.epoch.get(), format: self.format };
        rows.header()?;
        // What was written before an error is good, and is shown.
        let result = if self.ids.is_empty() { rows.stdin() } else { self.ids.iter().try_for_each(|id| rows.row(*id)) };
        let flushed = rows.flush();
        result.and(flushed)
    }
}

/// The output, row by row.
struct Rows<W> {
    out: W,
    epoch: Epoch,
    format: Format,
}

/// What an ID says; the fields are the keys of the JSON, in their order.
#[derive(Serialize)]
struct Parts {
    snowflake: Snowflake,
    timestamp: u64,
    pid: u8,
    seed: u8,
    sequence: u16,
    #[serde(serialize_with = "rfc3339")]
    datetime: Timestamp,
}

impl<W: Write> Rows<W> {
    fn header(&mut self) -> Result<(), Failure> {
        match self.format {
            Format::Table => writeln!(
                self.out,
                "{:>20}  {:>13}  {:>3}  {:>4}  {:>8}  {:24}  AGE",
                "SNOWFLAKE", "TIMESTAMP", "PID", "SEED", "SEQUENCE", "DATETIME"
            )
            .map_err(Failure::stdout),
            Format::Json => Ok(()),
        }
    }

    fn row(&mut self, id: Snowflake) -> Result<(), Failure> {
        let parts = Parts::of(id, self.epoch)?;
        match self.format {
            Format::Table => {
                let Parts { snowflake, timestamp, pid, seed, sequence, datetime } = parts;
                // Now, at each row: a stream may run for long.
                let age = age(datetime, Timestamp::now());
                writeln!(
                    self.out,
                    "{snowflake:>20}  {timestamp:>13}  {pid:>3}  {seed:>4}  {sequence:>8}  {datetime:.3}  {age}"
                )
                .map_err(Failure::stdout)
            }
            Format::Json => {
                serde_json::to_writer(&mut self.out, &parts).map_err(Failure::stdout)?;
                self.out.write_all(b"\n").map_err(Failure::stdout)
            }
        }
    }

    /// Rows for the IDs on stdin.
    fn stdin(&mut self) -> Result<(), Failure> {
        if io::stdin().is_terminal() {
            say("note", "reading IDs from the terminal, one a line; Ctrl-D ends");
        }
        let mut input = BufReader::with_capacity(BUFFER, io::stdin().lock());
        let mut line = Vec::with_capacity(LINE);
        for number in 1_u64.. {
            if input.buffer().is_empty() {
                // The next read may wait for its writer: show what there is.
                self.flush()?;
            }
            line.clear();
            let length = input.by_ref().take(LINE as u64).read_until(b'\n', &mut line);
            let length = length.map_err(|error| Failure::stdin(&error))?;
            if length == 0 {
                break;
            }
            if length == LINE && !line.ends_with(b"\n") {
                return Err(Failure::Input(format!(
                    "line {number} of stdin is longer than {LINE} bytes: give one ID a line"
                )));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if !text.is_empty() {
                let id = text.parse();
                self.row(id.map_err(|error| Failure::Input(format!("line {number} of stdin: {error}")))?)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::stdout)
    }
}

impl Parts {
    fn of(snowflake: Snowflake, epoch: Epoch) -> Result<Self, Failure> {
        let timestamp = snowflake.timestamp(epoch);
        // The limit of `--epoch` leaves no ID without a date.
        let datetime = Timestamp::from_millisecond(timestamp.cast_signed())
            .map_err(|error| Failure::Input(format!("the time {timestamp} of ID {snowflake} has no date: {error}")))?;
        let (pid, seed, sequence) = (snowflake.pid(), snowflake.seed(), snowflake.sequence());
        Ok(Parts { snowflake, timestamp, pid, seed, sequence, datetime })
    }
}

fn rfc3339<S: Serializer>(datetime: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{datetime:.3}"))
}
