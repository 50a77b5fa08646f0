"""The manual of the pure Python package: each block runs unchanged, and each sentence has a test.

`manual.md` is that package's manual, word for word. The functions `test_block_…` run its blocks; the others are named
for its sentences, in the manual's order; README.md has the table.
"""

import ast
import re
import textwrap
import time
from typing import Any

import pytest
from conftest import EPOCH, MANUAL

import pyflake
from pyflake import PyflakeClient, generate_seed, pyflake_generator, to_timestamp

KEYS = ["timestamp", "seed", "pid", "sequence", "snowflake", "idx"]
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL)]


def is_program(block: str) -> bool:
    """Whether a block is code, and not an example of what is printed."""
    body = ast.parse(block.strip()).body
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in body)


PROGRAMS = [block for block in BLOCKS if is_program(block)]


def test_the_manual_has_its_blocks() -> None:
    assert (len(BLOCKS), len(PROGRAMS)) == (14, 10)


@pytest.mark.parametrize("upto", range(1, 11))
def test_block(upto: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader runs the blocks from the top: those that begin with an import also run alone."""
    blocks = PROGRAMS[:upto]
    if "import" in blocks[-1]:
        exec(compile(blocks[-1], f"block {upto}", "exec"), {})
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"block {number}", "exec"), names)
    printed = capsys.readouterr().out.split("\n")
    assert len(printed) >= 1


def test_the_example_dict_is_the_id_it_names() -> None:
    example = ast.literal_eval(BLOCKS[3].strip())
    assert list(example) == KEYS
    assert pyflake.parts(EPOCH, example["snowflake"]) | {"idx": 1} == example


def test_generate_seed_is_no_longer_than_its_bits() -> None:
    assert {generate_seed(5) for _ in range(2000)} == set(range(1, 32))
    assert all(1 <= generate_seed(bits) < 1 << bits for bits in range(1, 65))


def test_pid_and_seed_are_limited_to_31() -> None:
    next(pyflake_generator(EPOCH, 31, 31))
    for pid, seed in [(32, 0), (0, 32)]:
        with pytest.raises(ValueError, match="32 is out of range: a (pid|seed) has 5 bits, so use 0 to 31"):
            pyflake_generator(EPOCH, pid, seed)


def test_an_epoch_has_at_most_42_bits_of_time_after_it() -> None:
    with pytest.raises(ValueError, match="in the past"):
        pyflake_generator(int(time.time() * 1000) + 60_000, 0, 0)


def test_sleep_is_optional_and_in_milliseconds() -> None:
    for generator in [pyflake_generator(EPOCH, 1, 9), pyflake_generator(EPOCH, 1, 9, 1), pyflake_generator(EPOCH, 1, 9, sleep=2)]:
        ids = [next(generator)["snowflake"] for _ in range(9000)]
        assert ids == sorted(set(ids))


def test_a_millisecond_has_4096_ids_and_none_twice() -> None:
    # The manual says 4095; 12 bits have 4096 values, and all are used.
    ids = pyflake.Generator(EPOCH, 2, 9).next_ids(20_000)
    assert len(set(ids)) == 20_000
    sequences: dict[int, list[int]] = {}
    for id in ids:
        sequences.setdefault(id >> 22, []).append(id & 4095)
    assert all(found == list(range(4096)) for found in list(sequences.values())[1:-1])


def test_next_yields_a_dict_with_six_keys_in_order() -> None:
    generator = pyflake_generator(EPOCH, 6, 17)
    assert iter(generator) is generator
    before = time.time_ns() // 1_000_000
    for idx in range(1, 100):
        record = next(generator)
        assert type(record) is dict
        assert list(record) == KEYS
        assert all(type(value) is int for value in record.values())
        assert (record["pid"], record["seed"], record["idx"]) == (6, 17, idx)
        assert before - 200 <= record["timestamp"] <= time.time_ns() // 1_000_000 + 200


def test_a_client_needs_a_generator_first() -> None:
    client = PyflakeClient(EPOCH)
    assert client._generator is None
    with pytest.raises(AttributeError, match="create_generator first"):
        client.generate()


def test_create_generator_twice_is_refused_with_the_way_out() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(3, 9)
    with pytest.raises(RuntimeError, match="use renew_generator"):
        client.create_generator(4, 9)


def test_destroy_generator_may_be_called_at_any_time() -> None:
    client = PyflakeClient(EPOCH)
    assert client.destroy_generator() is False
    client.create_generator(4, 9)
    assert client._generator is not None
    assert client.destroy_generator() is True
    assert client._generator is None
    with pytest.raises(AttributeError):
        client.generate()


def test_renew_generator_gives_other_nodes_and_no_id_twice() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(5, 9)
    ids = []
    for round in range(600):
        client.renew_generator(5 + round % 3, 9)
        ids.append(client.generate())
    assert len(set(ids)) == 600
    assert client._generated == 600


def test_generate_returns_a_str() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(8, 9)
    id = client.generate()
    assert type(id) is str and id == str(int(id))


def test_every_id_is_cached_under_generated_plus_1() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(9, 9)
    assert dict(client._cache) == {} and len(client._cache) == 0
    for idx in range(1, 2000):
        id = client.generate()
        assert client._generated == idx
        assert client._cache[idx]["snowflake"] == int(id)
    client.renew_generator(10, 9)
    client.generate()
    cache = client._cache
    assert list(cache) == list(range(1, 2001))
    assert [record["idx"] for record in cache.values()] == list(cache.keys())
    assert list(cache[2000]) == KEYS and type(cache[2000]) is dict and cache[2000]["pid"] == 10
    assert cache.get(2001) is None and 2000 in cache and 0 not in cache
    with pytest.raises(KeyError):
        cache[-1]
    with pytest.raises(TypeError):
        cache[1] = {}  # type: ignore[index]


def test_get_info_is_a_dict_of_five() -> None:
    client = PyflakeClient(EPOCH)
    assert client.get_info() == {"pid": None, "seed": None, "epoch": EPOCH, "generated": 0, "generator": False}
    client.create_generator(11, 9)
    client.generate()
    info = client.get_info()
    assert type(info) is dict and list(info) == ["pid", "seed", "epoch", "generated", "generator"]
    assert info == {"pid": 11, "seed": 9, "epoch": EPOCH, "generated": 1, "generator": True}
    assert info["generator"] is True
    client.destroy_generator()
    assert client.get_info() == {"pid": 11, "seed": 9, "epoch": EPOCH, "generated": 1, "generator": False}


def test_to_timestamp_is_in_ms_or_s() -> None:
    id = 473032512445898752
    assert to_timestamp(EPOCH, id) == to_timestamp(EPOCH, id, "ms") == 1668081259486
    assert to_timestamp(EPOCH, id, "s") == to_timestamp(EPOCH, id, fmt="s") == 1668081259.486
    assert type(to_timestamp(EPOCH, id)) is int and type(to_timestamp(EPOCH, id, "s")) is float
    assert to_timestamp(EPOCH, str(id)) == to_timestamp(EPOCH, {"snowflake": id}) == 1668081259486
    with pytest.raises(ValueError, match="fmt 'm' is no unit: use 'ms' or 's'"):
        to_timestamp(EPOCH, id, "m")


def test_the_clients_to_timestamp_uses_its_epoch() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(12, 9)
    id = client.generate()
    client.renew_generator(13, 9)
    assert client.to_timestamp(id) == client.to_timestamp(int(id), "ms") == client._cache[1]["timestamp"]
    assert client.to_timestamp(id, "s") == client._cache[1]["timestamp"] / 1000
    assert PyflakeClient(EPOCH + 1000).to_timestamp(id) == client.to_timestamp(id) + 1000


def test_the_epoch_of_a_client_stays() -> None:
    client = PyflakeClient(EPOCH)
    assert client._epoch == EPOCH
    with pytest.raises(AttributeError, match="make a new client"):
        client._epoch = 0  # type: ignore[misc]


def test_the_clients_generator_yields_dicts_too() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(14, 9)
    id = client.generate()
    assert client._generator is not None
    record = next(client._generator)
    assert list(record) == KEYS and record["pid"] == 14 and record["snowflake"] > int(id)
