"""Random vectors both ways, against the oracle, which knows the manual's layout and not this crate."""

import random
from datetime import datetime, timezone

import pyflake
from conftest import EPOCH
from oracle import pack, unpack

VECTORS = [
    (EPOCH, 1668081259486, 6, 6, 0, 473032512445898752),
    (EPOCH, 1668081259486, 3, 17, 5, 473032512447328261),
    (EPOCH, 1555301520000, 0, 0, 0, 0),
    (EPOCH, 5953348031103, 31, 31, 4095, 18446744073709551615),
    (0, 1700000000000, 1, 0, 4095, 7130316800000008191),
    (1420070400000, 1462015105796, 0, 1, 7, 175928847299117063),
]


def test_golden_vectors() -> None:
    for epoch, millis, pid, seed, sequence, id in VECTORS:
        assert pack(epoch, millis, pid, seed, sequence) == id
        assert pyflake.parts(epoch, id) == unpack(epoch, id)
        assert pyflake.to_timestamp(epoch, id) == millis


def test_random_ids_come_apart_as_the_manual_says() -> None:
    rng = random.Random(15)
    for _ in range(20_000):
        epoch, id = rng.randrange(1 << 41), rng.getrandbits(64)
        parts = pyflake.parts(epoch, id)
        assert parts == unpack(epoch, id)
        assert pack(epoch, parts["timestamp"], parts["pid"], parts["seed"], parts["sequence"]) == id
        assert pyflake.to_timestamp(epoch, str(id)) == parts["timestamp"]
        assert pyflake.to_timestamp(epoch, id, "s") == parts["timestamp"] / 1000
        assert pyflake.first_id_at(epoch, parts["timestamp"]) == pack(epoch, parts["timestamp"], 0, 0, 0)
        assert pyflake.last_id_at(epoch, parts["timestamp"]) == pack(epoch, parts["timestamp"], 31, 31, 4095)
        assert pyflake.from_base32(pyflake.to_base32(id)) == id
        assert pyflake.from_base62(pyflake.to_base62(id)) == id


def test_issued_ids_are_what_the_oracle_packs() -> None:
    rng = random.Random(16)
    for _ in range(200):
        epoch, pid, seed = rng.randrange(1 << 40), rng.randrange(32), rng.randrange(32)
        for record, _ in zip(pyflake.pyflake_generator(epoch, pid, seed), range(20), strict=False):
            id = pack(epoch, record["timestamp"], pid, seed, record["sequence"])
            assert (record["snowflake"], record["pid"], record["seed"]) == (id, pid, seed)


def test_datetimes() -> None:
    id = 473032512445898752
    when = datetime(2022, 11, 10, 11, 54, 19, 486000, tzinfo=timezone.utc)
    assert pyflake.to_datetime(EPOCH, id) == when
    assert pyflake.first_id_at(EPOCH, when) == pyflake.first_id_at(EPOCH, 1668081259486) == id - id % (1 << 22)
    assert pyflake.last_id_at(EPOCH, when) == pyflake.first_id_at(EPOCH, 1668081259487) - 1
    assert pyflake.to_base32(id) == "0D44CJ1BRRR00"
    assert pyflake.to_base62(id) == "YwUceHMVZg"
