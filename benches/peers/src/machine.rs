//! Where and of what the figures are.

use std::process::Command;
use std::{fs, thread};

use jiff::Timestamp;

/// The command that makes the document.
pub(crate) const COMMAND: &str = "cargo run --release --package peers";

/// Today's date in UTC.
pub(crate) fn date() -> String {
    Timestamp::now().strftime("%-d %B %Y").to_string()
}

/// The processor as the system names it, and how many cores of it there are.
pub(crate) fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown processor".into());
    let family = match (field("cpu family"), field("model\t")) {
        (Some(family), Some(number)) => format!(" (family {family}, model {number})"),
        _ => String::new(),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let plural = if cores == 1 { "" } else { "s" };
    format!("{model}{family}, {cores} core{plural}")
}

/// The compiler in the path, which Cargo has used.
pub(crate) fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(|_| "rustc unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version of a crate that this was built with.
pub(crate) fn version(name: &str) -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    let entry = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, rest)| rest);
    entry.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}
