//! `PyflakeClient`.

use std::sync::Arc;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use pyflake::lease::{LeaseError, LeasedGenerator};
use pyflake::{CachePolicy, Epoch, Error, Snowflake};

use crate::args;
use crate::errors;
use crate::generator::Source;
use crate::handle::{Handle, Issuer};
use crate::ids::{self, record};
use crate::plan::{Options, Plan};
use crate::records::Records;
use crate::refuse_pickle;

impl Issuer for pyflake::PyflakeClient {
    type Options = CachePolicy;

    fn with_lease(generator: LeasedGenerator, cache: &CachePolicy) -> Self {
        pyflake::PyflakeClient::leased(generator, *cache)
    }

    #[inline]
    fn try_id(&self) -> Result<Snowflake, Error> {
        self.try_generate()
    }

    fn id(&self) -> Result<Snowflake, Error> {
        self.generate()
    }

    fn lease(&self) -> Option<&LeasedGenerator> {
        pyflake::PyflakeClient::lease(self)
    }

    fn can_issue(&self) -> bool {
        pyflake::PyflakeClient::can_issue(self)
    }

    fn release(self) -> Result<(), LeaseError> {
        pyflake::PyflakeClient::release(self)
    }
}

/// Manages one generator at a time, numbers the IDs it generates and remembers them.
#[pyclass(frozen, module = "pyflake")]
pub(crate) struct PyflakeClient {
    epoch: Epoch,
    pub(crate) handle: Arc<Handle<pyflake::PyflakeClient>>,
}

#[pymethods]
impl PyflakeClient {
    #[new]
    #[pyo3(signature = (epoch, *, cache = None))]
    fn new(epoch: &Bound<'_, PyAny>, cache: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let epoch = args::epoch(epoch)?;
        let client = pyflake::PyflakeClient::builder(epoch).cache(args::cache(cache)?).build();
        Ok(PyflakeClient { epoch, handle: Arc::new(Handle::plain(client)) })
    }

    #[classmethod]
    #[pyo3(
        signature = (r#where, epoch, *, cache = None, realm = None, label = None, window = None, max_wait = None, on_lost = None),
        text_signature = "($cls, where, epoch, *, cache=None, realm='default', label=None, window=10.0, max_wait=1.0, on_lost='reacquire')"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn leased(
        class: &Bound<'_, PyType>,
        r#where: &Bound<'_, PyAny>,
        epoch: &Bound<'_, PyAny>,
        cache: Option<&Bound<'_, PyAny>>,
        realm: Option<&Bound<'_, PyAny>>,
        label: Option<&Bound<'_, PyAny>>,
        window: Option<&Bound<'_, PyAny>>,
        max_wait: Option<&Bound<'_, PyAny>>,
        on_lost: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let plan = Plan::read(r#where, epoch, &Options { realm, label, window, max_wait, on_lost })?;
        let epoch = plan.epoch;
        let handle = Handle::leased(class.py(), plan, args::cache(cache)?)?;
        Ok(PyflakeClient { epoch, handle })
    }

    fn create_generator(&self, py: Python<'_>, pid: &Bound<'_, PyAny>, seed: &Bound<'_, PyAny>) -> PyResult<()> {
        let (pid, seed) = (args::part("pid", pid)?, args::part("seed", seed)?);
        self.with(py, |client| client.create_generator(pid, seed))
    }

    fn destroy_generator(&self, py: Python<'_>) -> bool {
        self.handle.present(py).is_some_and(|client| client.destroy_generator())
    }

    fn renew_generator(&self, py: Python<'_>, pid: &Bound<'_, PyAny>, seed: &Bound<'_, PyAny>) -> PyResult<()> {
        let (pid, seed) = (args::part("pid", pid)?, args::part("seed", seed)?);
        self.with(py, |client| client.renew_generator(pid, seed))
    }

    fn generate<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let id = self.handle.next(py)?;
        Ok(PyString::new(py, itoa::Buffer::new().format(id.as_u64())))
    }

    fn generate_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyflake._async")?.getattr("generate")?.call1((slf,))
    }

    /// An ID without waiting, for the async form.
    fn _try_generate<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        match self.handle.try_next(py) {
            Some(Ok(id)) => Ok(Some(PyString::new(py, itoa::Buffer::new().format(id.as_u64())))),
            Some(Err(error @ Error::Exhausted { .. })) => Err(errors::of(&error)),
            _ => Ok(None),
        }
    }

    fn get_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = self.handle.present(py).map(|client| client.info());
        let dict = PyDict::new(py);
        dict.set_item("pid", info.and_then(|info| info.pid))?;
        dict.set_item("seed", info.and_then(|info| info.seed))?;
        dict.set_item("epoch", self.epoch.as_unix_millis())?;
        dict.set_item("generated", info.map_or(0, |info| info.generated))?;
        dict.set_item("generator", info.is_some_and(|info| info.generator))?;
        Ok(dict)
    }

    #[pyo3(signature = (id, fmt = None), text_signature = "($self, id, fmt='ms')")]
    fn to_timestamp<'py>(
        &self,
        py: Python<'py>,
        id: &Bound<'py, PyAny>,
        fmt: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        ids::timestamp(py, self.epoch, args::id(id)?, fmt)
    }

    fn clear_cache(&self, py: Python<'_>) {
        if let Some(client) = self.handle.present(py) {
            client.clear_cache();
        }
    }

    #[getter]
    fn _epoch(&self) -> u64 {
        self.epoch.as_unix_millis()
    }

    #[setter(_epoch)]
    fn set_epoch(&self, epoch: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "_epoch cannot become {}: the client's IDs count from {}; make a new client for another epoch",
            args::shown(epoch),
            self.epoch
        )))
    }

    #[getter(_generated)]
    fn generated(&self, py: Python<'_>) -> u64 {
        self.handle.present(py).map_or(0, |client| client.info().generated)
    }

    #[getter]
    fn _cache<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyflake._cache")?.getattr("Cache")?.call1((slf,))
    }

    #[getter]
    fn _generator(slf: &Bound<'_, Self>) -> PyResult<Option<Records>> {
        let (py, this) = (slf.py(), slf.get());
        if this.handle.is_leased() {
            return Ok(Some(Records::new(Source::Client(slf.clone().unbind()), this.epoch)));
        }
        let info = this.handle.present(py).map(|client| client.info());
        let Some((pid, seed)) = info.filter(|info| info.generator).and_then(|info| info.pid.zip(info.seed)) else {
            return Ok(None);
        };
        let node = pyflake::Node::new(pid.into(), seed.into()).map_err(|error| errors::of(&error))?;
        let generator = pyflake::Generator::new(this.epoch, node).map_err(|error| errors::of(&error))?;
        Ok(Some(Records::new(Source::Own(Handle::plain(crate::generator::Bare::Plain(generator))), this.epoch)))
    }

    /// The record of a number, for the cache.
    fn _cached<'py>(&self, py: Python<'py>, idx: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        let cached = self.handle.present(py).and_then(|client| client.cached(idx));
        cached.map(|cached| record(py, &cached)).transpose()
    }

    /// How many IDs are remembered, and how many were generated.
    fn _cache_size(&self, py: Python<'_>) -> (u64, u64) {
        self.handle.present(py).map_or((0, 0), |client| (client.cache_len(), client.info().generated))
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
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.handle.release(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickle("PyflakeClient"))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let lease = self.state(py).map_or_else(String::new, |state| format!(", lease {state}"));
        format!("<pyflake.PyflakeClient epoch={} generated={}{lease}>", self.epoch, self.generated(py))
    }
}

impl PyflakeClient {
    /// Calls a method that changes the generator; a leased client takes its node first.
    fn with(&self, py: Python<'_>, f: impl FnOnce(&pyflake::PyflakeClient) -> Result<(), Error>) -> PyResult<()> {
        let client = self.handle.own(py)?;
        f(&client).map_err(|error| errors::of(&error))
    }
}
