//! `Generator`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};

use pyflake::lease::{LeaseError, LeasedGenerator};
use pyflake::{Block, Epoch, Error, Node, Snowflake};

use crate::args;
use crate::client::PyflakeClient;
use crate::errors;
use crate::handle::{Handle, Issuer};
use crate::plan::{Options, Plan};
use crate::refuse_pickle;

/// A generator of the crate, with a lease or without.
pub(crate) enum Bare {
    Plain(pyflake::Generator),
    Leased(LeasedGenerator),
}

impl Issuer for Bare {
    type Options = ();

    fn with_lease(generator: LeasedGenerator, (): &()) -> Self {
        Bare::Leased(generator)
    }

    #[inline]
    fn try_id(&self) -> Result<Snowflake, Error> {
        match self {
            Bare::Plain(generator) => generator.try_next_id(),
            Bare::Leased(generator) => generator.try_next_id(),
        }
    }

    fn id(&self) -> Result<Snowflake, Error> {
        match self {
            Bare::Plain(generator) => generator.next_id(),
            Bare::Leased(generator) => generator.next_id(),
        }
    }

    fn lease(&self) -> Option<&LeasedGenerator> {
        match self {
            Bare::Plain(_) => None,
            Bare::Leased(generator) => Some(generator),
        }
    }

    fn can_issue(&self) -> bool {
        match self {
            Bare::Plain(generator) => generator.can_issue(),
            Bare::Leased(generator) => generator.can_issue(),
        }
    }

    fn release(self) -> Result<(), LeaseError> {
        match self {
            Bare::Plain(_) => Ok(()),
            Bare::Leased(generator) => generator.release(),
        }
    }
}

impl Bare {
    fn reserve(&self, n: usize) -> Result<Block, Error> {
        match self {
            Bare::Plain(generator) => generator.reserve(n),
            Bare::Leased(generator) => generator.reserve(n),
        }
    }
}

/// Where records come from.
pub(crate) enum Source {
    Own(Handle<Bare>),
    /// A leased client, whose node they share.
    Client(Py<PyflakeClient>),
}

impl Source {
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Snowflake> {
        match self {
            Source::Own(handle) => handle.next(py),
            Source::Client(client) => {
                let handle = &client.get().handle;
                let client = handle.own(py)?;
                handle.call(py, client, |client| match client.lease() {
                    Some(lease) => lease.next_id(),
                    None => Err(Error::NoGenerator),
                })
            }
        }
    }
}

/// Issues IDs for one node, as ints.
#[pyclass(frozen, module = "pyflake")]
pub(crate) struct Generator {
    epoch: Epoch,
    handle: Arc<Handle<Bare>>,
}

#[pymethods]
impl Generator {
    #[new]
    #[pyo3(signature = (epoch, pid, seed, *, max_wait = None), text_signature = "(epoch, pid, seed, *, max_wait=1.0)")]
    fn new(
        epoch: &Bound<'_, PyAny>,
        pid: &Bound<'_, PyAny>,
        seed: &Bound<'_, PyAny>,
        max_wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let epoch = args::epoch(epoch)?;
        let (pid, seed) = (args::part("pid", pid)?, args::part("seed", seed)?);
        let node = Node::new(pid, seed).map_err(|error| errors::of(&error))?;
        let mut builder = pyflake::Generator::builder(epoch, node);
        if let Some(max_wait) = max_wait {
            builder = builder.max_wait(args::seconds("max_wait", max_wait)?);
        }
        let generator = builder.build().map_err(|error| errors::of(&error))?;
        Ok(Generator { epoch, handle: Arc::new(Handle::plain(Bare::Plain(generator))) })
    }

    #[classmethod]
    #[pyo3(
        signature = (r#where, epoch, *, realm = None, label = None, window = None, max_wait = None, on_lost = None),
        text_signature = "($cls, where, epoch, *, realm='default', label=None, window=10.0, max_wait=1.0, on_lost='reacquire')"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn leased(
        class: &Bound<'_, PyType>,
        r#where: &Bound<'_, PyAny>,
        epoch: &Bound<'_, PyAny>,
        realm: Option<&Bound<'_, PyAny>>,
        label: Option<&Bound<'_, PyAny>>,
        window: Option<&Bound<'_, PyAny>>,
        max_wait: Option<&Bound<'_, PyAny>>,
        on_lost: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let plan = Plan::read(r#where, epoch, &Options { realm, label, window, max_wait, on_lost })?;
        let epoch = plan.epoch;
        Ok(Generator { epoch, handle: Handle::leased(class.py(), plan, ())? })
    }

    fn next_id(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.next(py).map(Snowflake::as_u64)
    }

    fn try_next_id(&self, py: Python<'_>) -> PyResult<u64> {
        if let Some(Ok(id)) = self.handle.try_next(py) {
            return Ok(id.as_u64());
        }
        // The process may be the child of a fork that has no node yet: then the ID is of its new node.
        let id = self.handle.own(py)?.try_id();
        id.map(Snowflake::as_u64).map_err(|error| self.handle.explain(py, &error))
    }

    /// An ID without waiting for anything, for the async form.
    fn _try_next_id(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        match self.handle.try_next(py) {
            Some(Ok(id)) => Ok(Some(id.as_u64())),
            Some(Err(error @ Error::Exhausted { .. })) => Err(errors::of(&error)),
            _ => Ok(None),
        }
    }

    fn next_ids<'py>(&self, py: Python<'py>, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let n = args::count(n)?;
        let issuer = self.handle.own(py)?;
        let block = self.handle.call(py, issuer, move |issuer| issuer.reserve(n))?;
        PyList::new(py, block.map(Snowflake::as_u64))
    }

    fn next_id_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyflake._async")?.getattr("next_id")?.call1((slf,))
    }

    fn next_ids_async<'py>(slf: &Bound<'py, Self>, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyflake._async")?.getattr("next_ids")?.call1((slf, n))
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.epoch.as_unix_millis()
    }

    #[getter]
    fn node(&self, py: Python<'_>) -> Option<(u8, u8)> {
        let issuer = self.handle.present(py)?;
        let node = match &*issuer {
            Bare::Plain(generator) => Some(generator.node()),
            Bare::Leased(generator) => generator.state().node(),
        }?;
        Some((node.pid(), node.seed()))
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> Option<&'static str> {
        self.handle.state(py)
    }

    #[getter]
    fn can_issue(&self, py: Python<'_>) -> bool {
        self.handle.can_issue(py)
    }

    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<String> {
        self.handle.last_error(py)
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.release(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.handle.release(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickle("Generator"))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let node = self.node(py).map_or_else(String::new, |(pid, seed)| format!(" pid={pid} seed={seed}"));
        let lease = self.state(py).map_or_else(String::new, |state| format!(" lease={state}"));
        format!("<pyflake.Generator epoch={}{node}{lease}>", self.epoch)
    }
}
