//! The chart: horizontal bars on a card of its own colour, so that any page behind it will do.

use std::fmt::{self, Write as _};

use crate::machine::{self, COMMAND};
use crate::measure::Samples;
use crate::report::{remark, sorted};
use crate::sections::{Results, Row};
use crate::subject::Time;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 340.0;
const BARS: f64 = 300.0;
const LINE: f64 = 26.0;
const STYLE: &str = "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
    .title{font-size:17px;font-weight:600}.head{font-weight:600}.small{font-size:11px;fill:#59636e}";

pub(crate) fn svg(results: &Results) -> String {
    let mut body = String::new();
    let height = draw(&mut body, results).expect("a string takes everything");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<style>{STYLE}</style>\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#ffffff\" stroke=\"#d1d9e0\"/>\n{body}</svg>\n",
        WIDTH - 1.0,
        height - 1.0
    )
}

/// Draws everything and answers the height.
fn draw(out: &mut String, results: &Results) -> Result<f64, fmt::Error> {
    let text = |out: &mut String, y: f64, class: &str, text: &str| {
        writeln!(out, "<text x=\"20\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(text))
    };
    text(out, 32.0, "title", "Nanoseconds an ID (shorter is faster)")?;
    let single: Vec<_> =
        sorted(&results.single).into_iter().filter(|row| row.time != Time::None || is_floor(row)).collect();
    let longest = single.iter().map(|row| row.result.median()).fold(0.0, f64::max);
    let mut y = 62.0;
    text(out, y, "head", "One at a time, one thread, below saturation")?;
    for row in single {
        y += LINE;
        bar(out, y, row, longest, 1)?;
    }
    y += 38.0;
    text(out, y, "head", "4096 at a call (bars thirty times as long)")?;
    for row in sorted(&results.batches) {
        y += LINE;
        bar(out, y, row, longest / 30.0, 3)?;
    }
    y += 36.0;
    text(out, y, "small", &format!("{}, {}, {}", machine::cpu(), machine::rustc(), machine::date()))?;
    y += 17.0;
    text(
        out,
        y,
        "small",
        &format!("{COMMAND}: medians of paired runs in one process; all figures in benches/peers/RESULTS.md"),
    )?;
    Ok(y + 18.0)
}

fn is_floor(row: &Row<Samples>) -> bool {
    row.name == crate::peers::FLOOR
}

fn bar(out: &mut String, y: f64, row: &Row<Samples>, longest: f64, digits: usize) -> fmt::Result {
    let value = row.result.median();
    let width = (value / longest * BARS).max(1.0);
    let colour = match row.name {
        name if name.starts_with("pyflake") => "#1a7f5a",
        _ if row.time == Time::None => "#d0d7de",
        _ => "#8fa3b8",
    };
    let label = escaped(row.name);
    writeln!(out, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{label}</text>", LABELS + 20.0)?;
    let (x, top) = (LABELS + 30.0, y - 13.0);
    writeln!(out, "<rect x=\"{x}\" y=\"{top}\" width=\"{width:.1}\" height=\"18\" rx=\"2\" fill=\"{colour}\"/>")?;
    let remark = escaped(&remark(row));
    let after = x + width + 8.0;
    writeln!(
        out,
        "<text x=\"{after:.1}\" y=\"{y}\">{value:.digits$}<tspan class=\"small\" dx=\"8\">{remark}</tspan></text>"
    )
}

/// As XML has it, and without Markdown's marks of code.
fn escaped(text: &str) -> String {
    text.replace('`', "").replace('&', "&amp;").replace('<', "&lt;")
}
