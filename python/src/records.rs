//! The iterator of `pyflake_generator`.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use pyflake::{Epoch, Node, Wait};

use crate::generator::{Bare, Source};
use crate::handle::Handle;
use crate::ids::record;
use crate::{args, errors, refuse_pickle};

/// Yields IDs without end, taken apart and numbered from 1.
#[pyclass(frozen, module = "pyflake", name = "RecordIterator")]
pub(crate) struct Records {
    source: Source,
    epoch: Epoch,
    issued: AtomicU64,
}

impl Records {
    pub(crate) fn new(source: Source, epoch: Epoch) -> Self {
        Records { source, epoch, issued: AtomicU64::new(0) }
    }
}

#[pymethods]
impl Records {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let id = self.source.next(py)?;
        // Relaxed: it counts, and the number is this thread's alone.
        let idx = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
        record(py, &id.record(self.epoch, idx))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickle("a generator"))
    }
}

/// Makes an iterator of IDs for one node.
#[pyfunction]
#[pyo3(signature = (epoch, pid, seed, sleep = None), text_signature = "(epoch, pid, seed, sleep=1)")]
pub(crate) fn pyflake_generator(
    epoch: &Bound<'_, PyAny>,
    pid: &Bound<'_, PyAny>,
    seed: &Bound<'_, PyAny>,
    sleep: Option<&Bound<'_, PyAny>>,
) -> PyResult<Records> {
    let epoch = args::epoch(epoch)?;
    let (pid, seed) = (args::part("pid", pid)?, args::part("seed", seed)?);
    let sleep = sleep.map_or(Ok(std::time::Duration::from_millis(1)), args::sleep)?;
    let build = |node: Node| pyflake::Generator::builder(epoch, node).wait(Wait::Sleep(sleep)).build();
    let generator = Node::new(pid, seed).and_then(build).map_err(|error| errors::of(&error))?;
    Ok(Records::new(Source::Own(Handle::plain(Bare::Plain(generator))), epoch))
}
