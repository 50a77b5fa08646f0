//! Arguments: each is read by hand, so that a wrong one is refused with its value, its limit and a way out.

use std::time::Duration;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDateTime, PyDict, PyFloat, PyInt, PyString};

use pyflake::{CachePolicy, Epoch, Snowflake, TimeUnit};

use crate::errors::{self, Kind};

/// The largest number of IDs that a call returns, or that a cache keeps: 16,777,216.
const MOST_IDS: u64 = 1 << 24;

/// The longest `max_wait` and `sleep`.
const LONGEST_WAIT: f64 = 3600.0;

/// A value as an error shows it: cut, as it may be of any length, and without failing.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    if value.is_exact_instance_of::<PyInt>() {
        // Python refuses to write a very long int.
        let bits = value.call_method0("bit_length").and_then(|bits| bits.extract::<u64>()).unwrap_or(u64::MAX);
        if bits > 128 {
            return format!("an int of {bits} bits");
        }
    }
    let text = value.repr().map_or_else(|_| "?".into(), |text| text.to_string_lossy().into_owned());
    if text.chars().count() <= 40 { text } else { text.chars().take(40).chain("...".chars()).collect() }
}

/// The name of a value's type, with an article.
fn type_of(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string_lossy().into_owned());
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) { "an" } else { "a" };
    if value.is_none() { "None".into() } else { format!("{article} {name}") }
}

/// The exception for a value of a wrong type.
fn wrong_type(name: &str, value: &Bound<'_, PyAny>, way_out: &str) -> PyErr {
    let shown = shown(value);
    let what = if value.is_none() { "is not a value for it".into() } else { format!("is {}", type_of(value)) };
    Kind::InvalidType.error(format!("{name} {shown} {what}: use {way_out}"))
}

/// An int that fits 64 bits, and is no bool.
pub(crate) fn uint(name: &str, value: &Bound<'_, PyAny>, way_out: &str) -> PyResult<u64> {
    if value.is_instance_of::<PyBool>() {
        return Err(wrong_type(name, value, way_out));
    }
    let value = if value.is_instance_of::<PyInt>() {
        value.clone()
    } else {
        // An int of another library, such as numpy's.
        match value.lookup_special_index() {
            Some(index) => index?,
            None => return Err(wrong_type(name, value, way_out)),
        }
    };
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            Kind::InvalidValue.error(format!("{name} {} is out of range: use {way_out}", shown(&value)))
        } else {
            error
        }
    })
}

/// `__index__`, where a type has it.
trait Index<'py> {
    fn lookup_special_index(&self) -> Option<PyResult<Bound<'py, PyAny>>>;
}

impl<'py> Index<'py> for Bound<'py, PyAny> {
    fn lookup_special_index(&self) -> Option<PyResult<Bound<'py, PyAny>>> {
        let index = self.get_type().getattr("__index__").ok()?;
        Some(index.call1((self,)))
    }
}

/// An epoch, in Unix milliseconds.
pub(crate) fn epoch(value: &Bound<'_, PyAny>) -> PyResult<Epoch> {
    uint("epoch", value, "an int of Unix milliseconds, such as 1555301520000").map(Epoch::from_unix_millis)
}

/// A pid or a seed; the crate checks its range.
pub(crate) fn part(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    uint(name, value, "an int from 0 to 31")
}

/// A number of IDs.
pub(crate) fn count(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let n = uint("n", value, "an int from 0 to 16777216")?;
    let n = if n <= MOST_IDS { usize::try_from(n).ok() } else { None };
    n.ok_or_else(|| Kind::InvalidValue.error(format!("n {} is out of range: use 0 to {MOST_IDS}", shown(value))))
}

/// An ID: an int, a decimal text, or the dict that a generator yields.
pub(crate) fn id(value: &Bound<'_, PyAny>) -> PyResult<Snowflake> {
    const WAY_OUT: &str = "an int from 0 to 18446744073709551615, its decimal str, or the dict of a generator";
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_string_lossy().parse().map_err(|error| errors::of_parse(&error));
    }
    if let Ok(record) = value.cast::<PyDict>() {
        let Some(id) = record.get_item("snowflake")? else { return Err(wrong_type("id", value, WAY_OUT)) };
        return uint("id", &id, WAY_OUT).map(Snowflake::from);
    }
    uint("id", value, WAY_OUT).map(Snowflake::from)
}

/// A text.
pub(crate) fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    match value.cast::<PyString>() {
        Ok(text) => match text.to_cow() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(Kind::InvalidValue.error(format!("{name} {} is not valid Unicode: use a str", shown(value)))),
        },
        Err(_) => Err(wrong_type(name, value, "a str")),
    }
}

/// The unit of a timestamp.
pub(crate) fn unit(value: &Bound<'_, PyAny>) -> PyResult<TimeUnit> {
    match text("fmt", value)?.as_str() {
        "ms" => Ok(TimeUnit::Millis),
        "s" => Ok(TimeUnit::Seconds),
        _ => Err(Kind::InvalidValue.error(format!("fmt {} is no unit: use 'ms' or 's'", shown(value)))),
    }
}

/// A Unix time in milliseconds: an int, or a datetime that knows its zone.
pub(crate) fn time(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    const WAY_OUT: &str = "an int of Unix milliseconds, or a datetime with a tzinfo";
    if value.is_instance_of::<PyDateTime>() {
        if value.getattr("tzinfo")?.is_none() {
            return Err(Kind::InvalidValue.error(format!(
                "when {} has no tzinfo: use a datetime with one, such as datetime.now(timezone.utc)",
                shown(value)
            )));
        }
        let millis = value.py().import("pyflake._times")?.getattr("to_millis")?.call1((value,))?;
        return uint("when", &millis, WAY_OUT);
    }
    uint("when", value, WAY_OUT)
}

/// A number that is finite and in a range; an int or a float.
fn number(name: &str, value: &Bound<'_, PyAny>, most: f64, unit: &str) -> PyResult<f64> {
    let way_out = format!("an int or a float of {unit} from 0 to {most}");
    if value.is_instance_of::<PyBool>() || !(value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>()) {
        return Err(wrong_type(name, value, &way_out));
    }
    // An int past the range of a float is out of this one too.
    let number = value.extract().unwrap_or(f64::INFINITY);
    if (0.0..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Kind::InvalidValue.error(format!("{name} {} is out of range: use {way_out}", shown(value))))
    }
}

/// A wait in seconds.
pub(crate) fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    number(name, value, LONGEST_WAIT, "seconds").map(Duration::from_secs_f64)
}

/// A sleep in milliseconds.
pub(crate) fn sleep(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    number("sleep", value, 1000.0, "milliseconds").map(|millis| Duration::from_secs_f64(millis / 1000.0))
}

/// The length of a lease's window in seconds.
pub(crate) fn window(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    const LIMITS: &str = "an int or a float of seconds from 0.03 to 86400";
    let seconds = number("window", value, 86400.0, "seconds")?;
    if seconds < 0.03 {
        return Err(Kind::InvalidValue.error(format!("window {} is out of range: use {LIMITS}", shown(value))));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A policy of `pyflake._cache`: its `limit` is `None` for all IDs, and otherwise their number.
pub(crate) fn cache(value: Option<&Bound<'_, PyAny>>) -> PyResult<CachePolicy> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(CachePolicy::All) };
    let policy = value.py().import("pyflake._cache")?.getattr("CachePolicy")?;
    if !value.is_instance(&policy)? {
        return Err(wrong_type("cache", value, "All(), Recent(n) or Off()"));
    }
    let limit = value.getattr("limit")?;
    if limit.is_none() {
        return Ok(CachePolicy::All);
    }
    let n = uint("Recent", &limit, "an int from 1 to 16777216")?;
    match usize::try_from(n) {
        Ok(0) => Ok(CachePolicy::Off),
        Ok(n) if n as u64 <= MOST_IDS => Ok(CachePolicy::Recent(n)),
        _ => Err(Kind::InvalidValue.error(format!("Recent {n} is out of range: use 1 to {MOST_IDS}"))),
    }
}

/// A path, absolute, of a `str` or an `os.PathLike`.
pub(crate) fn path(name: &str, value: &Bound<'_, PyAny>) -> PyResult<std::path::PathBuf> {
    let path: std::path::PathBuf =
        value.extract().map_err(|_| wrong_type(name, value, "a directory, or the URL of a database or of etcd"))?;
    Ok(std::path::absolute(path)?)
}

/// Whether a value is `bytes`, which `PathBuf` would take on some systems and not on others.
pub(crate) fn refuse_bytes(name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_instance_of::<pyo3::types::PyBytes>() {
        return Err(wrong_type(name, value, "a directory, or the URL of a database or of etcd"));
    }
    Ok(())
}
