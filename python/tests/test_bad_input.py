# mypy: disable-error-code="arg-type, call-overload"
"""Bad input gets an exception of Python's kind, with the value, the limit and the way out; a panic is one too."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyflake
import pytest
from conftest import EPOCH
from pyflake import Generator, PyflakeClient, Recent, generate_seed, pyflake_generator, to_timestamp

BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Epochs.
    (lambda: PyflakeClient("1555301520000"), TypeError, "epoch '1555301520000' is a str: use an int of Unix milli"),
    (lambda: PyflakeClient(1555301520000.0), TypeError, "epoch 1555301520000.0 is a float: use an int of Unix milli"),
    (lambda: PyflakeClient(True), TypeError, "epoch True is a bool: use an int"),
    (lambda: PyflakeClient(None), TypeError, "epoch None is not a value for it: use an int"),
    (lambda: PyflakeClient(-1), ValueError, "epoch -1 is out of range: use an int of Unix milliseconds"),
    (lambda: PyflakeClient(2**64), ValueError, "epoch 18446744073709551616 is out of range: use"),
    (lambda: PyflakeClient(10**5000), ValueError, "epoch an int of 16610 bits is out of range: use"),
    (lambda: PyflakeClient(b"1555301520000"), TypeError, "epoch b'1555301520000' is a bytes: use an int"),
    (lambda: Generator(2**63, 1, 2), ValueError, "use an epoch in the past"),
    (lambda: Generator(EPOCH, 1, [6]), TypeError, "seed [6] is a list: use an int from 0 to 31"),
    # Pids and seeds.
    (lambda: Generator(EPOCH, 32, 0), ValueError, "pid 32 is out of range: a pid has 5 bits, so use 0 to 31"),
    (lambda: Generator(EPOCH, 0, 32), ValueError, "seed 32 is out of range: a seed has 5 bits, so use 0 to 31"),
    (lambda: Generator(EPOCH, -1, 0), ValueError, "pid -1 is out of range: use an int from 0 to 31"),
    (lambda: Generator(EPOCH, True, 0), TypeError, "pid True is a bool: use an int from 0 to 31"),
    (lambda: Generator(EPOCH, 1.0, 0), TypeError, "pid 1.0 is a float: use an int from 0 to 31"),
    (lambda: Generator(EPOCH, math.nan, 0), TypeError, "pid nan is a float: use an int from 0 to 31"),
    (lambda: Generator(EPOCH, 2**64, 0), ValueError, "pid 18446744073709551616 is out of range: use an int from 0 to 31"),
    (lambda: Generator(EPOCH, "x" * 10**6, 0), TypeError, "xxx... is a str: use an int from 0 to 31"),
    # Seeds to draw.
    (lambda: generate_seed(0), ValueError, "cannot draw a seed of 0 bits: use 1 to 64"),
    (lambda: generate_seed(65), ValueError, "cannot draw a seed of 65 bits: use 1 to 64"),
    (lambda: generate_seed("5"), TypeError, "bits '5' is a str: use an int from 1 to 64"),
    # Waits.
    (lambda: pyflake_generator(EPOCH, 0, 0, math.nan), ValueError, "sleep nan is out of range: use an int or a float of"),
    (lambda: pyflake_generator(EPOCH, 0, 0, -1), ValueError, "sleep -1 is out of range: use an int or a float of milli"),
    (lambda: pyflake_generator(EPOCH, 0, 0, math.inf), ValueError, "sleep inf is out of range: use"),
    (lambda: pyflake_generator(EPOCH, 0, 0, 10**400), ValueError, "sleep an int of 1329 bits is out of range: use"),
    (lambda: pyflake_generator(EPOCH, 0, 0, "1"), TypeError, "sleep '1' is a str: use an int or a float of milliseconds"),
    (lambda: Generator(EPOCH, 0, 0, max_wait=-0.5), ValueError, "max_wait -0.5 is out of range: use an int or a float"),
    # IDs.
    (lambda: to_timestamp(EPOCH, -1), ValueError, "id -1 is out of range: use an int from 0 to 18446744073709551615"),
    (lambda: to_timestamp(EPOCH, 2**64), ValueError, "id 18446744073709551616 is out of range: use an int from 0 to"),
    (lambda: to_timestamp(EPOCH, 1.5), TypeError, "id 1.5 is a float: use an int from 0 to 18446744073709551615"),
    (lambda: to_timestamp(EPOCH, None), TypeError, "id None is not a value for it: use"),
    (lambda: to_timestamp(EPOCH, b"1"), TypeError, "id b'1' is a bytes: use an int"),
    (lambda: to_timestamp(EPOCH, {"id": 1}), TypeError, "id {'id': 1} is a dict: use an int"),
    (lambda: to_timestamp(EPOCH, ""), ValueError, "it is empty"),
    (lambda: to_timestamp(EPOCH, "12x"), ValueError, '"12x" is not a snowflake ID'),
    (lambda: to_timestamp(EPOCH, " 1"), ValueError, "position 0"),
    (lambda: to_timestamp(EPOCH, "+1"), ValueError, "position 0"),
    (lambda: to_timestamp(EPOCH, "1" * 10**6), ValueError, "too large for 64 bits"),
    (lambda: to_timestamp(EPOCH, "\ud800"), ValueError, "is not a snowflake ID"),
    (lambda: to_timestamp(EPOCH, 1, 5), TypeError, "fmt 5 is an int: use a str"),
    (lambda: to_timestamp(EPOCH, 1, "sec"), ValueError, "fmt 'sec' is no unit: use 'ms' or 's'"),
    # Runs and caches.
    (lambda: Generator(EPOCH, 0, 1).next_ids(-1), ValueError, "n -1 is out of range: use an int from 0 to 16777216"),
    (lambda: Generator(EPOCH, 0, 1).next_ids(10**9), ValueError, "n 1000000000 is out of range: use 0 to 16777216"),
    (lambda: Generator(EPOCH, 0, 1).next_ids(1.0), TypeError, "n 1.0 is a float: use an int from 0 to 16777216"),
    (lambda: PyflakeClient(EPOCH, cache=1000), TypeError, "cache 1000 is an int: use All(), Recent(n) or Off()"),
    (lambda: Recent(0), ValueError, "n 0 is out of range: use 1 to 16777216, or Off()"),
    (lambda: Recent(10**9), ValueError, "n 1000000000 is out of range: use 1 to 16777216"),
    (lambda: Recent("many"), TypeError, "n 'many' is not an int"),
    # Times and texts.
    (lambda: pyflake.first_id_at(EPOCH, datetime(2022, 1, 1)), ValueError, "has no tzinfo: use a datetime with one"),
    (lambda: pyflake.first_id_at(EPOCH, EPOCH - 1), ValueError, "lies 1 ms after the time"),
    (lambda: pyflake.first_id_at(EPOCH, "now"), TypeError, "when 'now' is a str: use an int of Unix milliseconds, or a"),
    (lambda: pyflake.from_base32("o"), ValueError, "13 characters of Crockford's base32"),
    (lambda: pyflake.from_base62("-"), ValueError, "a number of base62"),
    (lambda: pyflake.from_base62(12), TypeError, "text 12 is an int: use a str"),
    # Leases.
    (lambda: PyflakeClient.leased("redis://host", EPOCH), ValueError, "redis://: use a directory, postgres://, http"),
    (lambda: PyflakeClient.leased("", EPOCH), ValueError, "where '' is empty: use a directory, or a URL"),
    (lambda: PyflakeClient.leased(5, EPOCH), TypeError, "where 5 is an int: use a directory"),
    (lambda: PyflakeClient.leased(b"/tmp", EPOCH), TypeError, "where b'/tmp' is a bytes: use a directory"),
    (lambda: PyflakeClient.leased("x", EPOCH, window=0), ValueError, "window 0 is out of range: use an int or a float of"),
    (lambda: PyflakeClient.leased("x", EPOCH, on_lost="die"), ValueError, "use 'reacquire' or 'stop'"),
    (lambda: PyflakeClient.leased("http://127.0.0.1:1", EPOCH, realm="a/b"), ValueError, "contains '/': use 1 to 100"),
    (lambda: PyflakeClient.leased("http://u@127.0.0.1:1", EPOCH), ValueError, "use a client certificate"),
    (lambda: PyflakeClient.leased("/dev/null/x", EPOCH), ValueError, "give the path of a directory"),
    (lambda: PyflakeClient.leased("x", EPOCH, label=5), TypeError, "label 5 is an int: use a str"),
    (lambda: pyflake.migrate("/tmp"), ValueError, "use a URL that begins with postgres://"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input(number: int) -> None:
    call, kind, message = BAD[number]
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, pyflake.PyflakeError)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    # The interpreter lives on.
    Generator(EPOCH, 0, 0).next_id()


def test_there_are_more_than_30_kinds() -> None:
    assert len(BAD) >= 30


def test_a_password_is_not_in_the_error() -> None:
    with pytest.raises(pyflake.PyflakeError) as caught:
        PyflakeClient.leased("mysql://user:secret@host/db", EPOCH)
    assert "secret" not in str(caught.value)
    with pytest.raises(pyflake.PyflakeError) as caught:
        PyflakeClient.leased("postgres://user:secret@127.0.0.1:1/db", EPOCH)
    assert "secret" not in str(caught.value)


def test_a_panic_is_an_exception_and_the_interpreter_lives(capfd: pytest.CaptureFixture[str]) -> None:
    from pyflake import _pyflake

    generator = Generator(EPOCH, 0, 2)
    before = generator.next_id()
    for _ in range(100):
        with pytest.raises(BaseException, match="a panic for the tests") as caught:
            _pyflake._panic()
        assert type(caught.value).__name__ == "PanicException"
    assert generator.next_id() > before


def test_ints_of_other_libraries_are_taken() -> None:
    class Index:
        def __index__(self) -> int:
            return 6

    assert pyflake.parts(EPOCH, Generator(EPOCH, Index(), Index()).next_id())["pid"] == 6
