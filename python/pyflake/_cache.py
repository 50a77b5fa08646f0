"""Which IDs a client remembers, and the mapping that shows them."""

from collections.abc import Iterator, Mapping


class CachePolicy:
    """The base of the policies."""

    __slots__ = ("limit",)

    def __init__(self, limit):
        self.limit = limit

    def __eq__(self, other):
        return type(self) is type(other) and self.limit == other.limit

    def __hash__(self):
        return hash((type(self), self.limit))


class All(CachePolicy):
    """Remembers every ID: 8 bytes each."""

    __slots__ = ()

    def __init__(self):
        super().__init__(None)

    def __repr__(self):
        return "All()"


class Recent(CachePolicy):
    """Remembers the last `n` IDs: 16 bytes each, allocated at once."""

    __slots__ = ()

    def __init__(self, n):
        from pyflake._errors import InvalidTypeError, InvalidValueError

        if isinstance(n, bool) or not isinstance(n, int):
            raise InvalidTypeError(f"n {n!r:.40} is not an int: use an int from 1 to 16777216, or Off()")
        if not 1 <= n <= 16_777_216:
            shown = n if n.bit_length() <= 128 else f"of {n.bit_length()} bits"
            raise InvalidValueError(f"n {shown} is out of range: use 1 to 16777216, or Off()")
        super().__init__(n)

    def __repr__(self):
        return f"Recent({self.limit})"


class Off(CachePolicy):
    """Remembers no ID."""

    __slots__ = ()

    def __init__(self):
        super().__init__(0)

    def __repr__(self):
        return "Off()"


class Cache(Mapping):
    """The IDs that a client remembers, by their numbers from 1. It is read-only, and shows the client as it is now."""

    __slots__ = ("_client",)

    def __init__(self, client):
        self._client = client

    def __getitem__(self, idx):
        record = None
        if isinstance(idx, int) and 0 < idx < 1 << 64:
            record = self._client._cached(int(idx))
        if record is None:
            raise KeyError(idx)
        return record

    def __len__(self) -> int:
        return self._client._cache_size()[0]

    def __iter__(self) -> Iterator[int]:
        kept, generated = self._client._cache_size()
        return iter(range(generated - kept + 1, generated + 1))

    def __repr__(self):
        return f"<pyflake cache of {len(self)} IDs>"
