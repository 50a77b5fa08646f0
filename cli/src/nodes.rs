//! `pyflake nodes`: who holds which node of a store.

use std::io::{self, BufWriter, Write};

use clap::Args;
use jiff::Timestamp;
use pyflake::lease::NodeStatus;
use serde::Serialize;

use crate::args::{Format, age};
use crate::failure::Failure;
use crate::say;
use crate::store::StoreArgs;

/// Show who holds which node of a store, since when, and until when
#[derive(Args)]
#[command(after_help = "\
It shows every node that was ever used. A holder issues IDs before UNTIL, and moves that ahead of use; the next holder
starts there. ACQUIRED is when the last owner came, where the store keeps that. Nothing is created or changed.

Examples:
  pyflake nodes /var/lib/pyflake
  pyflake nodes postgres://app@db.internal/app --format json
  pyflake nodes http://etcd-0.internal:2379")]
pub(crate) struct Nodes {
    #[command(flatten)]
    store: StoreArgs,
    /// How a row looks; the keys of the JSON: pid, seed, held, until, acquired (RFC 3339 both), token, owner, problem
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
    acquired: Option<String>,
    #[serde(skip)]
    age: Option<String>,
    token: u64,
    owner: &'a str,
    problem: Option<&'a str>,
}

impl Nodes {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let store = self.store.location()?.open_existing()?;
        let (epoch, nodes) = (store.epoch(), store.nodes().map_err(Failure::lease)?);
        let mut out = BufWriter::new(io::stdout().lock());
        if let Format::Table = self.format {
            let (pid, seed, held, until, acquired, token) = ("PID", "SEED", "HELD", "UNTIL", "ACQUIRED", "TOKEN");
            writeln!(out, "{pid:>3}  {seed:>4}  {held:4}  {until:24}  {acquired:14}  {token:>8}  OWNER")
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
        let Row { pid, seed, held, until, acquired: _, age, token, owner, problem } = row;
        match self.format {
            Format::Table => {
                let (held, until) = (if *held { "yes" } else { "no" }, until.as_deref().unwrap_or("-"));
                let age = age.as_deref().unwrap_or("-");
                let problem = problem.map(|problem| format!("  {problem}")).unwrap_or_default();
                writeln!(out, "{pid:>3}  {seed:>4}  {held:4}  {until:24}  {age:14}  {token:>8}  {owner}{problem}")
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
        // Zero: nothing was given out yet, or it cannot be read.
        let until = Some(node.until).filter(|until| *until != 0).and_then(date);
        let acquired = node.acquired.and_then(date);
        Row {
            pid: node.node.pid(),
            seed: node.node.seed(),
            held: node.held,
            until: until.map(|until| format!("{until:.3}")),
            acquired: acquired.map(|acquired| format!("{acquired:.3}")),
            age: acquired.map(|acquired| age(acquired, Timestamp::now())),
            token: node.token,
            owner: &node.owner_label,
            problem: node.problem.as_deref(),
        }
    }
}

/// The date of a time, if it is not past the last one: no date, rather than a wrong one.
fn date(unix_millis: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(unix_millis).ok()?).ok()
}
