"""64-bit snowflake IDs that are never issued twice: a drop-in for the pure Python pyflake, in Rust."""

from pyflake import _exit
from pyflake._cache import All, CachePolicy, Off, Recent
from pyflake._errors import (
    ExhaustedError,
    ForkedError,
    InvalidTypeError,
    InvalidValueError,
    LeaseError,
    NoGeneratorError,
    PyflakeError,
    StateError,
    WaitError,
)
from pyflake._pyflake import (
    Generator,
    PyflakeClient,
    RecordIterator,
    __version__,
    first_id_at,
    from_base32,
    from_base62,
    generate_seed,
    last_id_at,
    migrate,
    parts,
    pyflake_generator,
    to_base32,
    to_base62,
    to_datetime,
    to_timestamp,
)

__all__ = [
    "All",
    "CachePolicy",
    "ExhaustedError",
    "ForkedError",
    "Generator",
    "InvalidTypeError",
    "InvalidValueError",
    "LeaseError",
    "NoGeneratorError",
    "Off",
    "PyflakeClient",
    "PyflakeError",
    "RecordIterator",
    "Recent",
    "StateError",
    "WaitError",
    "__version__",
    "first_id_at",
    "from_base32",
    "from_base62",
    "generate_seed",
    "last_id_at",
    "migrate",
    "parts",
    "pyflake_generator",
    "to_base32",
    "to_base62",
    "to_datetime",
    "to_timestamp",
]

del _exit
