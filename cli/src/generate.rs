//! `pyflake generate`: many threads, one generator, IDs on stdout in batches.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use pyflake::layout::{IDS_PER_TICK, MAX_PID, MAX_SEED, PID_BITS, SEED_BITS};
use pyflake::lease::LeasedGenerator;
use pyflake::{Epoch, Error, Generator, Node, Snowflake, generate_seed};

use crate::args::{EpochArg, number};
use crate::failure::Failure;
use crate::say;
use crate::store::Location;

/// The most IDs a thread takes at a time: those of a millisecond.
const BATCH: u64 = IDS_PER_TICK;

/// Each thread queues a batch, so a millisecond, ahead of the clock, and a generator lets nobody wait for more than a
/// second.
const MAX_THREADS: u64 = 256;

/// From how many IDs on there is time to look at a progress bar: a quarter of a second.
const LONG_RUN: u64 = 1_000_000;

/// Generate IDs on stdout, one a line
#[derive(Args)]
#[command(after_help = "\
One thread prints increasing IDs. Of several threads each prints increasing IDs, in batches of up to 4096 that follow
each other in no particular order; `sort -n` puts them in order. A node (pid and seed) makes 4096 IDs a millisecond at
most, and two processes that run at the same time need different nodes: with --lease they get them.

Examples:
  pyflake generate --count 5 --pid 6 --seed 17
  pyflake generate --count 20000000 --threads 8 > ids.txt
  pyflake generate --count 3 --format json
  pyflake generate --count 5 --lease /var/lib/pyflake")]
pub(crate) struct Generate {
    /// How many IDs to make
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    #[arg(value_parser = number(0..=u64::MAX), allow_negative_numbers = true)]
    count: u64,
    /// How many threads make them, 1 to 256; order between threads is unspecified
    #[arg(long, short, value_name = "T", default_value_t = 1)]
    #[arg(value_parser = number(1..=MAX_THREADS), allow_negative_numbers = true)]
    threads: u64,
    #[command(flatten)]
    epoch: EpochArg,
    /// The pid of the node, 0 to 31 [default: drawn at random]
    #[arg(long, value_name = "P", value_parser = number(0..=MAX_PID.into()), allow_negative_numbers = true)]
    pid: Option<u64>,
    /// The seed of the node, 0 to 31 [default: drawn at random]
    #[arg(long, value_name = "S", value_parser = number(0..=MAX_SEED.into()), allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Hold a free node under a lease: kept in a directory, which is made if it is missing, or by the URL of a database,
    /// `postgres://user@host/database`, or of etcd, `http://host:2379`
    #[arg(long, value_name = "DIR|URL", conflicts_with_all = ["pid", "seed"])]
    lease: Option<OsString>,
    /// The realm of the database or cluster of --lease
    #[arg(long, default_value = "default", requires = "lease")]
    realm: String,
    /// How a line looks
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    format: Format,
}

/// What issues the IDs.
enum Issuer {
    Bare(Generator),
    Leased(LeasedGenerator),
}

impl Issuer {
    fn fill(&self, ids: &mut [Snowflake]) -> Result<(), Error> {
        match self {
            Issuer::Bare(generator) => generator.fill(ids),
            Issuer::Leased(generator) => generator.fill(ids),
        }
    }

    fn epoch(&self) -> Epoch {
        match self {
            Issuer::Bare(generator) => generator.epoch(),
            Issuer::Leased(generator) => generator.epoch(),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// The ID
    Plain,
    /// An object: timestamp, seed, pid, sequence, snowflake (a string) and idx, from 1
    Json,
}

impl Generate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let generator = self.issuer()?;
        let series = Series {
            generator,
            count: self.count,
            format: self.format,
            taken: AtomicU64::new(0),
            progress: progress(self.count),
        };
        let threads = self.threads.min(self.count.div_ceil(BATCH));
        let result = thread::scope(|scope| {
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, || series.work());
            let workers: Vec<_> = (0..threads).map(|n| spawn(n).inspect_err(|_| series.stop())).collect();
            workers.into_iter().try_for_each(|worker| {
                let worker = worker.map_err(|error| Failure::Runtime(format!("cannot start a thread: {error}")))?;
                worker.join().unwrap_or_else(|panic| resume_unwind(panic))
            })
        });
        series.progress.finish_and_clear();
        match series.generator {
            // The IDs are out; that the node could not be given back is worth a word.
            Issuer::Leased(generator) => result.and(generator.release().map_err(Failure::runtime)),
            Issuer::Bare(_) => result,
        }
    }

    fn issuer(&self) -> Result<Issuer, Failure> {
        if let Some(lease) = &self.lease {
            let store = Location::parse(lease, &self.realm)?.open(self.epoch.get())?;
            let generator = LeasedGenerator::new(store).map_err(Failure::lease)?;
            if let Some(node) = generator.state().node() {
                say("note", &format!("holds pid {}, seed {} under a lease", node.pid(), node.seed()));
            }
            return Ok(Issuer::Leased(generator));
        }
        let node = self.node()?;
        let generator = Generator::new(self.epoch.get(), node).map_err(Failure::input)?;
        if self.pid.is_none() || self.seed.is_none() {
            let (pid, seed) = (node.pid(), node.seed());
            let drawn = format!("drew --pid {pid} --seed {seed}; processes that run at once must not share both");
            say("note", &drawn);
        }
        Ok(Issuer::Bare(generator))
    }

    /// The node to issue as; what the user left out is drawn.
    fn node(&self) -> Result<Node, Failure> {
        let pid = self.pid.map_or_else(|| generate_seed(PID_BITS), Ok).map_err(Failure::input)?;
        let seed = self.seed.map_or_else(|| generate_seed(SEED_BITS), Ok).map_err(Failure::input)?;
        Node::new(pid, seed).map_err(Failure::input)
    }
}

/// The IDs of one run, which the threads share.
struct Series {
    generator: Issuer,
    count: u64,
    format: Format,
    /// How many of `count` the threads have taken on.
    taken: AtomicU64,
    progress: ProgressBar,
}

impl Series {
    /// One thread's part. If it fails, it is the end for all.
    fn work(&self) -> Result<(), Failure> {
        self.write_batches().inspect_err(|_| self.stop())
    }

    fn write_batches(&self) -> Result<(), Failure> {
        let mut ids = vec![Snowflake::default(); self.count.min(BATCH).try_into().map_err(Failure::runtime)?];
        let mut text = Vec::new();
        while let Some(numbers) = self.take() {
            let ids = &mut ids[..(numbers.end - numbers.start).try_into().map_err(Failure::runtime)?];
            self.generator.fill(ids).map_err(Failure::runtime)?;
            text.clear();
            self.format(ids, numbers, &mut text)?;
            // The text ends with a line, so `Stdout` passes it on in one piece and keeps nothing back.
            io::stdout().lock().write_all(&text).map_err(Failure::stdout)?;
            self.progress.inc(ids.len() as u64);
        }
        Ok(())
    }

    fn format(&self, ids: &[Snowflake], numbers: Range<u64>, text: &mut Vec<u8>) -> Result<(), Failure> {
        match self.format {
            Format::Plain => {
                let mut digits = itoa::Buffer::new();
                for id in ids {
                    text.extend_from_slice(digits.format(id.as_u64()).as_bytes());
                    text.push(b'\n');
                }
            }
            Format::Json => {
                for (id, number) in ids.iter().zip(numbers) {
                    let record = id.record(self.generator.epoch(), number + 1);
                    serde_json::to_writer(&mut *text, &record).map_err(Failure::stdout)?;
                    text.push(b'\n');
                }
            }
        }
        Ok(())
    }

    /// Takes on the next batch: the numbers of its IDs, from 0.
    fn take(&self) -> Option<Range<u64>> {
        let end = |start: u64| start.saturating_add(BATCH).min(self.count);
        // Relaxed: it is only a number, and each value is one thread's.
        let start = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |start| (start < self.count).then_some(end(start)));
        start.ok().map(|start| start..end(start))
    }

    /// Leaves nothing to take.
    fn stop(&self) {
        self.taken.store(self.count, Ordering::Relaxed);
    }
}

/// A bar for long runs, where it is seen and does not mix with the IDs.
fn progress(count: u64) -> ProgressBar {
    if count < LONG_RUN || io::stdout().is_terminal() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} left");
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
