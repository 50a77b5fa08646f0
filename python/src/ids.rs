//! Functions of IDs: pure values, no generator.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};
use pyo3::{intern, types::PyAnyMethods};

use pyflake::{Epoch, Record, Snowflake, TimeUnit};

use crate::{args, errors};

/// The dict of a record, with its six keys in the manual's order.
pub(crate) fn record<'py>(py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyDict>> {
    let dict = parts_of(py, record)?;
    dict.set_item(intern!(py, "idx"), record.idx)?;
    Ok(dict)
}

fn parts_of<'py>(py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "timestamp"), record.timestamp)?;
    dict.set_item(intern!(py, "seed"), record.seed)?;
    dict.set_item(intern!(py, "pid"), record.pid)?;
    dict.set_item(intern!(py, "sequence"), record.sequence)?;
    dict.set_item(intern!(py, "snowflake"), record.snowflake.as_u64())?;
    Ok(dict)
}

/// The time of an ID: an int of milliseconds, or a float of seconds.
pub(crate) fn timestamp<'py>(
    py: Python<'py>,
    epoch: Epoch,
    id: Snowflake,
    fmt: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match fmt.map_or(Ok(TimeUnit::Millis), args::unit)? {
        TimeUnit::Millis => Ok(PyInt::new(py, id.timestamp(epoch)).into_any()),
        TimeUnit::Seconds => Ok(PyFloat::new(py, pyflake::to_timestamp(epoch, id, TimeUnit::Seconds)).into_any()),
    }
}

#[pyfunction]
pub(crate) fn generate_seed(bits: &Bound<'_, PyAny>) -> PyResult<u64> {
    let bits = args::uint("bits", bits, "an int from 1 to 64")?;
    // More than 32 bits of bits are out of range too.
    pyflake::generate_seed(u32::try_from(bits).unwrap_or(u32::MAX)).map_err(|error| errors::of(&error))
}

#[pyfunction]
#[pyo3(signature = (epoch, id, fmt = None), text_signature = "(epoch, id, fmt='ms')")]
pub(crate) fn to_timestamp<'py>(
    py: Python<'py>,
    epoch: &Bound<'py, PyAny>,
    id: &Bound<'py, PyAny>,
    fmt: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    timestamp(py, args::epoch(epoch)?, args::id(id)?, fmt)
}

#[pyfunction]
pub(crate) fn parts<'py>(
    py: Python<'py>,
    epoch: &Bound<'py, PyAny>,
    id: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    parts_of(py, &args::id(id)?.record(args::epoch(epoch)?, 0))
}

#[pyfunction]
pub(crate) fn to_datetime<'py>(
    py: Python<'py>,
    epoch: &Bound<'py, PyAny>,
    id: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let millis = args::id(id)?.timestamp(args::epoch(epoch)?);
    py.import("pyflake._times")?.getattr("from_millis")?.call1((millis,))
}

#[pyfunction]
pub(crate) fn first_id_at(epoch: &Bound<'_, PyAny>, when: &Bound<'_, PyAny>) -> PyResult<u64> {
    let id = Snowflake::first_at(args::epoch(epoch)?, args::time(when)?);
    id.map(Snowflake::as_u64).map_err(|error| errors::of(&error))
}

#[pyfunction]
pub(crate) fn last_id_at(epoch: &Bound<'_, PyAny>, when: &Bound<'_, PyAny>) -> PyResult<u64> {
    let id = Snowflake::last_at(args::epoch(epoch)?, args::time(when)?);
    id.map(Snowflake::as_u64).map_err(|error| errors::of(&error))
}

#[pyfunction]
pub(crate) fn to_base32<'py>(py: Python<'py>, id: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    Ok(PyString::new(py, &args::id(id)?.base32().to_string()))
}

#[pyfunction]
pub(crate) fn to_base62<'py>(py: Python<'py>, id: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    Ok(PyString::new(py, &args::id(id)?.base62().to_string()))
}

#[pyfunction]
pub(crate) fn from_base32(text: &Bound<'_, PyAny>) -> PyResult<u64> {
    let id = Snowflake::from_base32(&args::text("text", text)?);
    id.map(Snowflake::as_u64).map_err(|error| errors::of_parse(&error))
}

#[pyfunction]
pub(crate) fn from_base62(text: &Bound<'_, PyAny>) -> PyResult<u64> {
    let id = Snowflake::from_base62(&args::text("text", text)?);
    id.map(Snowflake::as_u64).map_err(|error| errors::of_parse(&error))
}
