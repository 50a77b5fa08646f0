//! Generate and inspect 64-bit snowflake IDs from the command line.

mod args;
mod evict;
mod failure;
mod generate;
mod inspect;
mod lifetime;
mod nodes;
mod store;
mod timestamp;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::args::{number, one_line};
use crate::evict::Evict;
use crate::failure::Failure;
use crate::generate::Generate;
use crate::inspect::Inspect;
use crate::lifetime::Lifetime;
use crate::nodes::Nodes;
use crate::timestamp::Timestamp;

/// Generate and inspect 64-bit snowflake IDs
#[derive(Parser)]
#[command(
    name = "pyflake",
    version,
    arg_required_else_help = false,
    after_help = "\
Examples:
  pyflake generate --count 5 --pid 6 --seed 17
  pyflake inspect 473032512445898752
  pyflake generate --count 1000 | pyflake inspect --format json
  pyflake timestamp 473032512445898752 --unit s
  pyflake lifetime
  pyflake seed 5

Exit codes: 0 done, or the reader of the output left; 1 the system failed; 2 the input is at fault."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(Generate),
    Inspect(Inspect),
    Nodes(Nodes),
    Evict(Evict),
    /// Draw a random number of at most BITS bits, from 1 to 2^BITS-1; 5 bits make a pid or a seed
    Seed {
        /// How many bits, 1 to 64
        #[arg(value_parser = number(1..=64), allow_negative_numbers = true)]
        bits: u64,
    },
    Timestamp(Timestamp),
    Lifetime(Lifetime),
}

fn main() -> ExitCode {
    let (text, code) = match run() {
        Ok(()) | Err(Failure::ReaderLeft) => return ExitCode::SUCCESS,
        Err(Failure::Runtime(text)) => (text, 1),
        Err(Failure::Input(text)) => (text, 2),
    };
    say("error", &text);
    ExitCode::from(code)
}

fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) if matches!(answer.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return answer.print().map_err(Failure::stdout);
        }
        Err(error) => return Err(Failure::Input(one_line(&error))),
    };
    match cli.command {
        Command::Generate(generate) => generate.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Nodes(nodes) => nodes.run(),
        Command::Evict(evict) => evict.run(),
        Command::Seed { bits } => {
            let bits = u32::try_from(bits).map_err(Failure::input)?;
            print(pyflake::generate_seed(bits).map_err(Failure::input)?)
        }
        Command::Timestamp(timestamp) => timestamp.run(),
        Command::Lifetime(lifetime) => lifetime.run(),
    }
}

/// Prints a line on stdout; unlike `println!` it tells of a failure instead of panicking.
fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(Failure::stdout)
}

/// Writes a line on stderr. Where even that fails there is nobody left to tell.
fn say(what: &str, text: &str) {
    let _ = writeln!(io::stderr(), "{what}: {text}");
}
