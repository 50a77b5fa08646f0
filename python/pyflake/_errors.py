"""The exceptions. Each also derives from the one of Python's that callers already catch."""


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

    #: Seconds until the next IDs.
    retry_after: float = 0.0


class LeaseError(PyflakeError, RuntimeError):
    """A node cannot be taken, kept or given back."""
