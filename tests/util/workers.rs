//! What the tests with worker processes share: clocks that are set, and IDs that are written down as they are handed out.

#[path = "faketime.rs"]
mod faketime;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use pyflake::{Error, Snowflake};

pub(crate) use faketime::{faketime, set_wall_clock};

/// Issues from two threads, up to so many IDs a turn, into a file each and without a buffer: what is in the files has been
/// handed out.
pub(crate) fn issue(output: &Path, a_turn: usize, next_id: impl Fn() -> Result<Snowflake, Error> + Sync) {
    thread::scope(|scope| {
        for name in ["a", "b"] {
            let (mut file, next_id) = (File::create(output.with_extension(name)).unwrap(), &next_id);
            scope.spawn(move || {
                loop {
                    let ids: Vec<u8> =
                        (0..a_turn).map_while(|_| next_id().ok()).flat_map(|id| id.as_u64().to_le_bytes()).collect();
                    file.write_all(&ids).unwrap();
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
}
