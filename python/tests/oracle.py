"""The manual's layout and algorithm in pure Python, written from the manual alone: what the tests compare with."""

import time
from collections.abc import Iterator


def pack(epoch: int, millis: int, pid: int, seed: int, sequence: int) -> int:
    """42 bits of time, then the seed above the pid (5 bits each), then 12 bits of sequence."""
    return (millis - epoch) << 22 | seed << 17 | pid << 12 | sequence


def unpack(epoch: int, snowflake: int) -> dict[str, int]:
    return {
        "timestamp": (snowflake >> 22) + epoch,
        "seed": snowflake >> 17 & 31,
        "pid": snowflake >> 12 & 31,
        "sequence": snowflake & 4095,
        "snowflake": snowflake,
    }


def pure_generator(epoch: int, pid: int, seed: int, sleep: int = 1) -> Iterator[dict[str, int]]:
    """The manual's algorithm, with nothing against a fork: the negative control."""
    last, sequence, idx = -1, 0, 0
    while True:
        now = time.time_ns() // 1_000_000
        if now < last:
            time.sleep(sleep / 1000)
            continue
        if now == last:
            sequence = sequence + 1 & 4095
            if sequence == 0:
                while now <= last:
                    time.sleep(sleep / 1000)
                    now = time.time_ns() // 1_000_000
        else:
            sequence = 0
        last = now
        idx += 1
        snowflake = pack(epoch, now, pid, seed, sequence)
        yield {
            "timestamp": now,
            "seed": seed,
            "pid": pid,
            "sequence": sequence,
            "snowflake": snowflake,
            "idx": idx,
        }


class PureClient:
    """The manual's client on that generator."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._cache: dict[int, dict[str, int]] = {}
        self._generated = 0
        self._generator: Iterator[dict[str, int]] | None = None

    def create_generator(self, pid: int, seed: int) -> None:
        self._generator = pure_generator(self._epoch, pid, seed)

    def generate(self) -> str:
        assert self._generator is not None
        while True:
            try:
                record = next(self._generator)
                break
            except ValueError:  # another thread is in the generator
                time.sleep(0)
        self._generated += 1
        self._cache[self._generated] = record
        return str(record["snowflake"])
