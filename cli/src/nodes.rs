//! `pyflake nodes`: who holds which node of a lease directory.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use pyflake::lease::{FileStore, NodeStatus};
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::say;

/// Show who holds which node of a lease directory, and until when
#[derive(Args)]
#[command(after_help = "\
It shows every node that was ever used. A holder issues IDs before UNTIL, and moves that ahead of use; the next holder
starts there. Nothing is created or changed.

Example:
  pyflake nodes /var/lib/pyflake")]
pub(crate) struct Nodes {
    /// The directory that was given to --lease
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// How a row looks; the keys of the JSON: pid, seed, held, until (RFC 3339), token, owner, problem
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A row; the fields are the keys of the JSON, in their order.
#[derive(Serialize)]
struct Row<'a> {
    pid: u8,
    seed: u8,
    held: bool,
    until: Option<String>,
    token: u64,
    owner: &'a str,
    problem: Option<&'a str>,
}

impl Nodes {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let (epoch, nodes) = FileStore::inspect(&self.dir).map_err(Failure::runtime)?;
        let mut out = BufWriter::new(io::stdout().lock());
        if let Format::Table = self.format {
            writeln!(out, "{:>3}  {:>4}  {:4}  {:24}  {:>8}  OWNER", "PID", "SEED", "HELD", "UNTIL", "TOKEN")
                .map_err(Failure::stdout)?;
        }
        for node in &nodes {
            self.write(&mut out, &Row::of(node)).map_err(Failure::stdout)?;
        }
        out.flush().map_err(Failure::stdout)?;
        if let Format::Table = self.format {
            let held = nodes.iter().filter(|node| node.held).count();
            say("note", &format!("{held} of {} nodes held, epoch {epoch}", pyflake::Node::COUNT));
        }
        Ok(())
    }

    fn write(&self, out: &mut impl Write, row: &Row) -> io::Result<()> {
        let Row { pid, seed, held, until, token, owner, problem } = row;
        match self.format {
            Format::Table => {
                let (held, until) = (if *held { "yes" } else { "no" }, until.as_deref().unwrap_or("-"));
                let problem = problem.map(|problem| format!("  {problem}")).unwrap_or_default();
                writeln!(out, "{pid:>3}  {seed:>4}  {held:4}  {until:24}  {token:>8}  {owner}{problem}")
            }
            Format::Json => {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")
            }
        }
    }
}

impl<'a> Row<'a> {
    fn of(node: &'a NodeStatus) -> Self {
        // Zero: nothing was given out yet, or it cannot be read. Past the last date: no date, rather than a wrong one.
        let until = i64::try_from(node.until).ok().filter(|until| *until != 0);
        let until = until.and_then(|until| Timestamp::from_millisecond(until).ok());
        Row {
            pid: node.node.pid(),
            seed: node.node.seed(),
            held: node.held,
            until: until.map(|until| format!("{until:.3}")),
            token: node.token,
            owner: &node.owner_label,
            problem: node.problem.as_deref(),
        }
    }
}
