//! What we aim for, beside what was measured.

use std::fmt::{self, Write as _};

use crate::measure::{Latency, Samples};
use crate::peers::{CLIENT, COARSE, FERROID, FILL, FLOOR, NEXT_ID, NEXT_IDS_INTO};
use crate::sections::{Results, Row, row};
use crate::subject::{Sharing, Time};

/// How a value compares with its target.
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

pub(crate) fn write(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## Targets\n")?;
    writeln!(out, "| | measured | target | |\n|---|--:|--:|---|")?;
    for (what, value, aim) in all(results) {
        let (met, target) = match aim {
            Aim::AtMost(bound) => (value <= bound, format!("≤ {bound:.2}")),
            Aim::AtLeast(bound) => (value >= bound, format!("≥ {bound:.2}")),
        };
        writeln!(out, "| {what} | {value:.3} | {target} | {} |", if met { "hit" } else { "**missed**" })?;
    }
    Ok(())
}

fn all(results: &Results) -> Vec<(String, f64, Aim)> {
    use Aim::{AtLeast, AtMost};
    let single = |name| row(&results.single, name);
    let next_id = single(NEXT_ID);
    let best = best_true(&results.single);
    let fill = row(&results.batches, FILL);
    let mut aims = vec![
        ("`next_id` over the floor".into(), next_id.ratio(single(FLOOR)), AtMost(1.10)),
        (
            format!("`next_id` over {}, the best peer with a true clock", best.name),
            next_id.ratio(&best.result),
            AtMost(0.35),
        ),
        ("`next_id` on `CoarseClock` over ferroid".into(), single(COARSE).ratio(single(FERROID)), AtMost(0.85)),
        ("`fill(4096)`, ns an ID".into(), fill.median(), AtMost(0.8)),
        ("`fill(4096)` over `next_ids_into`".into(), fill.ratio(row(&results.batches, NEXT_IDS_INTO)), AtMost(0.35)),
    ];
    for run in row(&results.saturated, NEXT_ID) {
        let threads = match run.ids.len() {
            1 => "1 thread".into(),
            threads => format!("{threads} threads"),
        };
        aims.push((format!("saturated, {threads}: share"), run.rate() / 4_096_000.0, AtLeast(0.99)));
        aims.push((format!("saturated, {threads}: cores"), run.cores, AtMost(0.5)));
    }
    let [_, fill2, _, single2] = results.sharded.each_ref().map(|rate| rate.median() / 1e6);
    let [one, two] = row(&results.together, CLIENT);
    let [_, eight] = row(&results.latency, NEXT_ID);
    let [.., run] = row(&results.saturated, NEXT_ID);
    aims.extend([
        ("32 shards, `fill` from 2 threads, million IDs a second".into(), fill2, AtLeast(120.0)),
        ("32 shards, `next_id` from 2 threads, million IDs a second".into(), single2, AtLeast(60.0)),
        ("`client.generate` above `next_id`, ns".into(), single(CLIENT).above(next_id), AtMost(20.0)),
        ("`client.generate`, total rate of 2 threads over that of 1".into(), one.ratio(two), AtLeast(1.0)),
        (
            "8 threads: p99.9, ns, against the best lock-free peer's".into(),
            p999(eight),
            AtMost(best_p999(&results.latency)),
        ),
        ("8 threads: slowest over fastest".into(), run.fairness(), AtLeast(0.5)),
    ]);
    aims
}

/// The fastest peer that reads a clock for each ID.
fn best_true(rows: &[Row<Samples>]) -> &Row<Samples> {
    let peers = rows.iter().filter(|row| row.time == Time::True && !row.name.starts_with("pyflake"));
    peers.min_by(|a, b| a.result.median().total_cmp(&b.result.median())).expect("there are peers")
}

fn best_p999(rows: &[Row<[Vec<Latency>; 2]>]) -> f64 {
    let ours = |row: &&Row<_>| row.name.starts_with("pyflake") || row.time == Time::None;
    let peers = rows.iter().filter(|row| !ours(row) && row.sharing == Sharing::LockFree);
    peers.map(|row| p999(&row.result[1])).fold(f64::INFINITY, f64::min)
}

fn p999(latencies: &[Latency]) -> f64 {
    latencies.iter().map(|latency| latency.p999).collect::<Samples>().median()
}
