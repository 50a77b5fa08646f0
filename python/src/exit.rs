//! The end of the interpreter: every node that this process holds is given back, in a bounded time.

use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::gil::GilCell;
use crate::handle::Release;

/// The longest that the interpreter's end waits for the stores.
const PATIENCE: Duration = Duration::from_secs(5);

/// The handles with a lease.
static LEASED: GilCell<Vec<Weak<dyn Release>>> = GilCell::new(Vec::new());

/// Has a handle released at the end.
pub(crate) fn register(py: Python<'_>, handle: Weak<dyn Release>) -> PyResult<()> {
    LEASED.with(py, |leased| {
        leased.retain(|handle| handle.strong_count() > 0);
        leased.push(handle);
    });
    Ok(())
}

/// Gives back every node that this process holds; each in a thread of its own, so that one store that does not answer
/// does not keep the others.
///
/// A node whose store does not answer in time rests until its window has passed.
#[pyfunction]
#[pyo3(name = "_release_all")]
pub(crate) fn release_all(py: Python<'_>) {
    let handles: Vec<Arc<dyn Release>> = LEASED.with(py, |leased| leased.iter().filter_map(Weak::upgrade).collect());
    let releases: Vec<_> = handles.iter().filter_map(|handle| handle.end_at_exit(py)).collect();
    let expected = releases.len();
    if expected == 0 {
        return;
    }
    py.detach(|| {
        let (done, ends) = mpsc::channel();
        for release in releases {
            let done = done.clone();
            // Without a thread, the node rests until its window has passed.
            let _ = thread::Builder::new().name("pyflake-release".into()).spawn(move || {
                release();
                // Nobody may be waiting any more.
                let _ = done.send(());
            });
        }
        drop(done);
        let end = Instant::now() + PATIENCE;
        for _ in 0..expected {
            if ends.recv_timeout(end.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
    });
}
