//! pyflake beside its peers: everything in one process, as one Markdown document and one chart.
//!
//! `cargo run --release --package peers` takes about three minutes and writes `RESULTS.md` and `speed.svg` beside this
//! package's manifest; with `--quick` it takes half a minute, prints the document and writes nothing.
//!
//! Nothing here fails on a slow machine: the document says what was measured, and whether that is what we aim for.

mod chart;
mod machine;
mod measure;
mod peers;
mod report;
mod sections;
mod subject;
mod targets;

use std::path::Path;
use std::{env, fs};

fn main() {
    let quick = env::args().any(|arg| arg == "--quick");
    let results = sections::run(if quick { 10 } else { 1 });
    let document = report::document(&results);
    print!("{document}");
    if !quick {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::write(here.join("RESULTS.md"), document).expect("the package's directory can be written");
        fs::write(here.join("speed.svg"), chart::svg(&results)).expect("the package's directory can be written");
    }
}
