//! placeholder
use std::fmt::Write as _;

use crate::sections::Results;

pub(crate) fn document(results: &Results) -> String {
    let mut s = String::new();
    let floor = crate::sections::row(&results.single, crate::peers::FLOOR);
    for row in &results.single {
        _ = writeln!(s, "single {:60} {:8.2} ns  {:6.2} x", row.name, row.result.median(), row.result.ratio(floor));
    }
    for row in &results.batches {
        _ = writeln!(s, "batch {:60} {:8.3} ns", row.name, row.result.median());
    }
    for row in &results.latency {
        _ = write!(s, "latency {:60}", row.name);
        for l in &row.result {
            let m = |f: fn(&crate::measure::Latency) -> f64| {
                let mut v: Vec<f64> = l.iter().map(f).collect();
                v.sort_by(f64::total_cmp);
                v[v.len() / 2]
            };
            _ = write!(s, " | {:8.0} {:8.0} {:8.0}", m(|l| l.p50), m(|l| l.p99), m(|l| l.p999));
        }
        s.push('\n');
    }
    for row in &results.together {
        _ = writeln!(s, "together {:60} {:8.2} {:8.2}", row.name, row.result[0].median(), row.result[1].median());
    }
    for (name, x) in ["fill 1", "fill 2", "single 1", "single 2"].iter().zip(&results.sharded) {
        _ = writeln!(s, "sharded {name} {:.1} M/s", x.median() / 1e6);
    }
    for row in &results.saturated {
        _ = write!(s, "saturated {:60}", row.name);
        for r in &row.result {
            _ = write!(s, " | {:6.3} {:5.2} {:5.2}", r.rate() / 4_096_000.0, r.cores, r.fairness());
        }
        s.push('\n');
    }
    s
}
