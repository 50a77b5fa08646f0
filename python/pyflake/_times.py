"""Unix milliseconds and datetimes, without a float between them."""

from datetime import datetime, timedelta, timezone

from pyflake._errors import InvalidValueError

_UNIX = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def from_millis(millis):
    try:
        return _UNIX + timedelta(milliseconds=millis)
    except OverflowError:
        raise InvalidValueError(
            f"the time {millis} (Unix milliseconds) is past the year 9999, the last of datetime: use to_timestamp"
        ) from None


def to_millis(when):
    millis = (when - _UNIX) // _MILLISECOND
    if millis < 0:
        raise InvalidValueError(f"when {when} lies before 1970, where no ID is: use a later time")
    return millis
