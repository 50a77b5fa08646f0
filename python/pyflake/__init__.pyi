"""64-bit snowflake IDs that are never issued twice: a drop-in for the pure Python pyflake, in Rust."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Final, Literal, SupportsIndex, TypeAlias, TypedDict, final, overload, type_check_only

from typing_extensions import Self

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

__version__: Final[str]

@type_check_only
class _Parts(TypedDict):
    timestamp: int
    seed: int
    pid: int
    sequence: int
    snowflake: int

@type_check_only
class _Record(_Parts):
    idx: int

@type_check_only
class _Info(TypedDict):
    pid: int | None
    seed: int | None
    epoch: int
    generated: int
    generator: bool

_Id: TypeAlias = SupportsIndex | str | Mapping[str, Any]
_State: TypeAlias = Literal["held", "degraded", "expired", "lost", "pending", "released"]

# Errors

class PyflakeError(Exception):
    """The base of all exceptions of this package."""

class InvalidValueError(PyflakeError, ValueError):
    """A value is out of range, or no ID."""

class InvalidTypeError(PyflakeError, TypeError):
    """A value has a wrong type, or cannot be pickled."""

class NoGeneratorError(PyflakeError, AttributeError):
    """The client has no generator."""

class StateError(PyflakeError, RuntimeError):
    """The call does not fit the state of the object or of the process."""

class ForkedError(PyflakeError, RuntimeError):
    """The generator was inherited through fork, and its parent goes on issuing from it."""

class WaitError(PyflakeError, RuntimeError):
    """The wait is longer than max_wait, or the clock stands still."""

class ExhaustedError(PyflakeError, RuntimeError):
    """All IDs of this millisecond are issued, and the caller asked not to wait."""

    retry_after: float

class LeaseError(PyflakeError, RuntimeError):
    """A node cannot be taken, kept or given back."""

# Which IDs a client remembers

class CachePolicy:
    """The base of the policies."""

    limit: int | None
    def __init__(self, limit: int | None) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class All(CachePolicy):
    """Remembers every ID: 8 bytes each."""

    def __init__(self) -> None: ...

class Recent(CachePolicy):
    """Remembers the last `n` IDs: 16 bytes each, allocated at once."""

    def __init__(self, n: int) -> None: ...

class Off(CachePolicy):
    """Remembers no ID."""

    def __init__(self) -> None: ...

# The manual's

def generate_seed(bits: SupportsIndex) -> int:
    """Draws a random number of at most `bits` bits, from 1 on; `bits` is 1 to 64. A pid or a seed has 5."""

def pyflake_generator(epoch: SupportsIndex, pid: SupportsIndex, seed: SupportsIndex, sleep: float = 1) -> RecordIterator:
    """Makes an iterator of IDs for one node.

    `epoch` is in Unix milliseconds; `pid` and `seed` are 0 to 31. When the 4096 IDs of a millisecond are issued, the next
    call sleeps for `sleep` milliseconds (1 by default) until the next one; other threads run meanwhile.
    """

@overload
def to_timestamp(epoch: SupportsIndex, id: _Id, fmt: Literal["ms"] = ...) -> int:
    """Reads the time out of an ID: Unix time, an int of milliseconds ('ms'), or a float of seconds ('s')."""

@overload
def to_timestamp(epoch: SupportsIndex, id: _Id, fmt: Literal["s"]) -> float: ...
@overload
def to_timestamp(epoch: SupportsIndex, id: _Id, fmt: str) -> int | float: ...
@final
class RecordIterator:
    """Yields IDs without end, taken apart and numbered from 1. Threads may share it."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _Record: ...

@final
class PyflakeClient:
    """Manages one generator at a time, numbers the IDs it generates and remembers them.

    Threads may share it: every method may be called by any thread at any time. By default every ID is remembered, 8 bytes
    each; a server wants `cache=Recent(1000)` or `Off()`, and a node of its own: see `leased`.
    """

    def __new__(cls, epoch: SupportsIndex, *, cache: CachePolicy | None = ...) -> Self: ...
    @classmethod
    def leased(
        cls,
        where: str | PathLike[str],
        epoch: SupportsIndex,
        *,
        cache: CachePolicy | None = ...,
        realm: str = ...,
        label: str | None = ...,
        window: float = ...,
        max_wait: float = ...,
        on_lost: Literal["reacquire", "stop"] = ...,
    ) -> Self:
        """Makes a client that issues on a node of its own, which no other process has.

        `where` is a directory that the processes of one machine share, or the URL of a PostgreSQL database
        (`postgres://user@host/database`) or of an etcd cluster (`http://host:2379,http://host:2379`) that a fleet shares.
        TLS trusts the system's certificates. It reads and writes the store, so it may block for a few seconds.

        The child of a fork takes a node of its own at its first ID; it then counts from 1 and remembers its own IDs.

        `window` is how many seconds the lease reaches ahead (10 by default), `label` names the holder for people.
        """

    def create_generator(self, pid: SupportsIndex, seed: SupportsIndex) -> None:
        """Creates the generator that `generate` uses. An existing one is a StateError: use `renew_generator`."""

    def destroy_generator(self) -> bool:
        """Destroys the generator, and returns whether there was one. That of a lease stays."""

    def renew_generator(self, pid: SupportsIndex, seed: SupportsIndex) -> None:
        """Replaces the generator, or creates the first one. Threads that generate meanwhile use the one or the other."""

    def generate(self) -> str:
        """Generates an ID, numbers it and remembers it as the cache policy says.

        When the 4096 IDs of a millisecond are issued it waits for the next one; other threads run meanwhile.
        """

    async def generate_async(self) -> str:
        """Generates an ID as `generate` does, without blocking the event loop."""

    def get_info(self) -> _Info:
        """Returns the pid, the seed, the epoch, how many IDs were generated, and whether there is a generator."""

    @overload
    def to_timestamp(self, id: _Id, fmt: Literal["ms"] = ...) -> int:
        """Reads the time out of an ID by the client's epoch, as `pyflake.to_timestamp` does."""

    @overload
    def to_timestamp(self, id: _Id, fmt: Literal["s"]) -> float: ...
    @overload
    def to_timestamp(self, id: _Id, fmt: str) -> int | float: ...
    def clear_cache(self) -> None:
        """Forgets the IDs generated so far; the numbers go on."""

    @property
    def _epoch(self) -> int: ...
    @property
    def _generated(self) -> int: ...
    @property
    def _generator(self) -> RecordIterator | None: ...
    @property
    def _cache(self) -> Mapping[int, _Record]: ...
    @property
    def state(self) -> _State | None:
        """The state of the lease; None without one.

        held: renewed when it was due. degraded: renewing fails, and IDs are issued until the window ends. expired: the
        window has ended, and no IDs until the store answers. lost: no IDs until another node is taken. pending: this child of a fork takes its node at its first ID. released: given back.
        """

    @property
    def can_issue(self) -> bool:
        """Whether IDs can be issued, for health checks: there is a generator, and its lease is held or degraded.

        A child of a fork whose lease is pending can: its first ID takes a node.
        """

    @property
    def last_error(self) -> str | None:
        """Why the store's last failing call failed, for logs."""

    def release(self) -> None:
        """Gives the node of a lease back; without a lease it does nothing. The end of the interpreter does it too."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

# Beyond the manual

@final
class Generator:
    """Issues IDs for one node, as ints: the short way, without numbers and without a cache. Threads may share it."""

    def __new__(
        cls, epoch: SupportsIndex, pid: SupportsIndex, seed: SupportsIndex, *, max_wait: float = ...
    ) -> Self: ...
    @classmethod
    def leased(
        cls,
        where: str | PathLike[str],
        epoch: SupportsIndex,
        *,
        realm: str = ...,
        label: str | None = ...,
        window: float = ...,
        max_wait: float = ...,
        on_lost: Literal["reacquire", "stop"] = ...,
    ) -> Self:
        """Makes a generator on a node of its own, as `PyflakeClient.leased` does."""

    def next_id(self) -> int:
        """Issues the next ID; waits for the next millisecond where it must, for at most `max_wait` seconds."""

    def try_next_id(self) -> int:
        """Issues the next ID without waiting for the next millisecond.

        Raises ExhaustedError, with `retry_after` in seconds, where `next_id` would wait. In the child of a fork the first
        call of a leased generator takes a node, which waits for the store.
        """

    def next_ids(self, n: SupportsIndex) -> list[int]:
        """Issues `n` consecutive IDs: the cheapest way to many. It may wait, for at most `max_wait` seconds."""

    async def next_id_async(self) -> int:
        """Issues the next ID without blocking the event loop."""

    async def next_ids_async(self, n: SupportsIndex) -> list[int]:
        """Issues `n` consecutive IDs without blocking the event loop."""

    @property
    def epoch(self) -> int:
        """The epoch that the IDs count from, Unix milliseconds."""

    @property
    def node(self) -> tuple[int, int] | None:
        """The pid and the seed; None while there is no node."""

    @property
    def state(self) -> _State | None:
        """The state of the lease, as `PyflakeClient.state`."""

    @property
    def can_issue(self) -> bool:
        """Whether IDs can be issued, for health checks."""

    @property
    def last_error(self) -> str | None:
        """Why the store's last failing call failed, for logs."""

    def release(self) -> None:
        """Gives the node of a lease back; without a lease it does nothing."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

def parts(epoch: SupportsIndex, id: _Id) -> _Parts:
    """Takes an ID apart: a dict of timestamp, seed, pid, sequence and snowflake."""

def to_datetime(epoch: SupportsIndex, id: _Id) -> datetime:
    """Reads the time out of an ID: a datetime in UTC, exact to the millisecond."""

def first_id_at(epoch: SupportsIndex, when: SupportsIndex | datetime) -> int:
    """The smallest ID of a time, of any node: the first bound of a search by time.

    `when` is in Unix milliseconds, or a datetime with a tzinfo, whose microseconds are cut off.
    """

def last_id_at(epoch: SupportsIndex, when: SupportsIndex | datetime) -> int:
    """The largest ID of a time, of any node: the last bound of a search by time."""

def to_base32(id: _Id) -> str:
    """Writes an ID in Crockford's base32: always 13 characters, which sort as the IDs do."""

def from_base32(text: str) -> int:
    """Reads what `to_base32` writes, and only that."""

def to_base62(id: _Id) -> str:
    """Writes an ID in base62, for URLs: at most 11 characters."""

def from_base62(text: str) -> int:
    """Reads what `to_base62` writes, and only that."""

def migrate(url: str) -> None:
    """Creates the tables of a PostgreSQL store where they are missing."""
