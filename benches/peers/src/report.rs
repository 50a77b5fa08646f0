//! The document: one table a section, then what each crate does, then what we aim for.

use std::fmt::Write as _;

use crate::machine::{self, COMMAND};
use crate::measure::{Latency, Samples};
use crate::peers::FLOOR;
use crate::sections::{Results, Row, THREADS, row};
use crate::subject::{Sharing, Time};
use crate::targets;

const CRATES: [&str; 8] =
    ["ferroid", "snowflake_me", "snowflaked", "snowdon", "snowid", "rs-snowflake", "uuid", "pyflake"];

/// What each crate does, read in its source.
const SEMANTICS: &str = "\
| crate | the time in an ID | threads | when the millisecond is used up | when the wall clock is set back | two generators of one node |
|---|---|---|---|---|---|
| pyflake | read for each ID; with `CoarseClock` a thread writes it down, some 60 µs late | `&self`, lock-free | sleeps until shortly before the next | IDs go on increasing, the clock slews | share one timeline |
| ferroid | **a thread writes it down each millisecond**; begins at the wall clock and never looks at it again | `&self`, lock-free | calls a closure: here `yield_now`, as in its examples; sleeping loses IDs | not seen while it runs; after a restart IDs may repeat | repeat each other's IDs |
| snowflake_me | read for each ID | `&self`, lock-free | spins 64 times, then yields | waits until it has caught up, by default without a bound | repeat each other's IDs; clones share |
| snowflaked | read for each ID | `&self`, lock-free | spins | **panics** | repeat each other's IDs |
| snowdon | read for each ID | `&self`, lock-free | an error: the bench spins and tries again | an error | repeat each other's IDs; clones share |
| snowid | read for each ID, **but may run ahead** | `&self`, lock-free | **borrows from milliseconds to come, without a bound**; after a restart those may repeat | stays at the last time | repeat each other's IDs |
| rs-snowflake | read for each ID; with `lazy_generate` **counted, never read** | **`&mut self`**: behind a `Mutex` where threads share it | spins | **takes the earlier time and repeats IDs** | repeat each other's IDs, as do copies |
| uuid v7 | read for each ID | `&self`, a lock inside | does not happen: 42 bits count from a random start | stays at the last time | 128 bits, no node: random |
";

pub(crate) fn document(results: &Results) -> String {
    let mut document = String::new();
    write(&mut document, results).expect("a string takes everything");
    document
}

fn write(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "# pyflake beside its peers\n")?;
    writeln!(
        out,
        "All in one process: `{COMMAND}`, {}, on {}, {}.\n",
        machine::date(),
        machine::cpu(),
        machine::rustc()
    )?;
    let versions = CRATES.map(|name| format!("{name} {}", machine::version(name)));
    writeln!(out, "{}.\n", versions.join(", "))?;
    writeln!(
        out,
        "Times are medians of many short runs. The subjects take turns in every round, each round begins with another \
         one, and ratios are medians over the rounds. Every generator has 12 bits of sequence, 4096 IDs a millisecond, \
         but for uuid. Each has its fastest documented set-up; an ID goes through `black_box`.\n"
    )?;

    writeln!(out, "## One ID at a time, one thread, below saturation\n")?;
    writeln!(out, "2048 calls in a fresh millisecond, again where the millisecond ended meanwhile.\n")?;
    writeln!(out, "| | ns an ID | × floor | remark |\n|---|--:|--:|---|")?;
    let floor = row(&results.single, FLOOR);
    for row in sorted(&results.single) {
        let (time, ratio) = (row.result.median(), row.result.ratio(floor));
        writeln!(out, "| {} | {time:.2} | {ratio:.2} | {} |", row.name, remark(row))?;
    }

    writeln!(out, "\n## Batches of 4096, one thread\n")?;
    writeln!(out, "Into a buffer that is in the cache; the other crates have no such call.\n")?;
    writeln!(out, "| | ns an ID |\n|---|--:|")?;
    for row in &results.batches {
        writeln!(out, "| {} | {:.3} |", row.name, row.result.median())?;
    }

    saturated(out, results)?;
    contention(out, results)?;
    shards(out, &results.sharded)?;
    writeln!(out, "\n## What they do\n\n{SEMANTICS}")?;
    targets::write(out, results)
}

fn saturated(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## Asked for more than there is\n")?;
    writeln!(
        out,
        "2 seconds each: the share of 4096 IDs a millisecond, the process's processor time in cores (ferroid's ticker and \
         that of `CoarseClock` in all rows), and the slowest thread's IDs over the fastest's. A share above 1 means IDs of \
         a time that has not come (snowid), or no bound (uuid: the figure is its rate over the same 4096).\n"
    )?;
    writeln!(out, "| | share: 1 · 2 · 8 threads | cores: 1 · 2 · 8 | fairness: 2 · 8 |\n|---|---|---|---|")?;
    for row in &results.saturated {
        let [one, two, eight] = &row.result;
        let share = row.result.each_ref().map(|run| format!("{:.3}", run.rate() / 4_096_000.0)).join(" · ");
        let cores = [one, two, eight].map(|run| format!("{:.2}", run.cores)).join(" · ");
        let fairness = [two, eight].map(|run| format!("{:.2}", run.fairness())).join(" · ");
        writeln!(out, "| {} | {share} | {cores} | {fairness} |", row.name)?;
    }
    Ok(())
}

fn contention(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "\n## Threads on one generator, below saturation\n")?;
    writeln!(
        out,
        "Together they issue 2048 IDs at the beginning of each millisecond. Each call is timed with two reads of the \
         counter, whose cost, the first row, is in all figures (the counter of this kind of processor may move in steps: 10 ns are one). A call that loses its compare-and-swap again and again is in the tail; where threads outnumber cores, a thread that loses its \
         core in a call is in the tail, for all alike.\n"
    )?;
    writeln!(
        out,
        "| ns a call | 2 threads: p50 · p99 · p99.9 | 8 threads: p50 · p99 · p99.9 | remark |\n|---|---|---|---|"
    )?;
    for row in &results.latency {
        let [two, eight] = row.result.each_ref().map(|latencies| {
            let quantiles: [fn(&Latency) -> f64; 3] = [|l| l.p50, |l| l.p99, |l| l.p999];
            quantiles.map(|at| format!("{:.0}", latencies.iter().map(at).collect::<Samples>().median())).join(" · ")
        });
        writeln!(out, "| {} | {two} | {eight} | {} |", row.name, remark(row))?;
    }
    writeln!(out, "\nIn total, from the first thread's beginning to the last one's end:\n")?;
    writeln!(out, "| ns an ID | 1 thread | {} threads |\n|---|--:|--:|", THREADS[1])?;
    for row in &results.together {
        let [one, two] = row.result.each_ref().map(Samples::median);
        writeln!(out, "| {} | {one:.2} | {two:.2} |", row.name)?;
    }
    Ok(())
}

fn shards(out: &mut String, [fill1, fill2, single1, single2]: &[Samples; 4]) -> std::fmt::Result {
    writeln!(out, "\n## pyflake's `ShardedGenerator`, 32 shards\n")?;
    writeln!(out, "There are 131.1 million IDs a second to be had.\n")?;
    writeln!(out, "| million IDs a second | 1 thread | 2 threads |\n|---|--:|--:|")?;
    let millions = |rate: &Samples| rate.median() / 1e6;
    writeln!(out, "| `fill`, 4096 at a time | {:.1} | {:.1} |", millions(fill1), millions(fill2))?;
    writeln!(out, "| `next_id` | {:.1} | {:.1} |", millions(single1), millions(single2))
}

/// The fastest first.
pub(crate) fn sorted(rows: &[Row<Samples>]) -> Vec<&Row<Samples>> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by(|a, b| a.result.median().total_cmp(&b.result.median()));
    rows
}

/// What one must know to read a row's figures.
pub(crate) fn remark<T>(row: &Row<T>) -> String {
    let time = match row.time {
        Time::True | Time::None => "",
        Time::Late => "a thread writes the time down",
        Time::Invented => "counts instead of reading a clock",
    };
    let sharing = match row.sharing {
        Sharing::LockFree => "",
        Sharing::LockInside => "lock inside",
        Sharing::Mutex => "`&mut self`",
    };
    let ahead = if row.name.starts_with("snowid") { "may run ahead" } else { "" };
    [time, sharing, ahead].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}
