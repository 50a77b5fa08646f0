"""Speed of one ID, against the packages that people use: the table of README.md.

    ci/python.sh python python/benches/speed.py

Below saturation: at the start of each millisecond a run of 2000 calls is timed, so that no call waits for the next
millisecond. A row is the median over many runs, and all rows take turns within one process.
"""

import statistics
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import uuid

import uuid_utils
from oracle import PureClient, pure_generator

import pyflake

EPOCH = 1_555_301_520_000
CALLS, RUNS, ROUNDS = 2000, 40, 7


def nanoseconds(call: Callable[[], object]) -> float:
    """The median time of a call in a run, less the loop's own."""
    clock, runs = time.perf_counter_ns, []
    for _ in range(RUNS):
        # The start of a millisecond that no call has been made in.
        begun = time.time_ns() // 1_000_000 + 1
        while time.time_ns() // 1_000_000 < begun:
            pass
        start = clock()
        for _ in repeat(None, CALLS):
            call()
        runs.append((clock() - start) / CALLS)
    return statistics.median(runs)


def main() -> None:
    client = pyflake.PyflakeClient(EPOCH)
    client.create_generator(1, 1)
    off = pyflake.PyflakeClient(EPOCH, cache=pyflake.Off())
    off.create_generator(1, 2)
    generator = pyflake.Generator(EPOCH, 1, 3)
    records = pyflake.pyflake_generator(EPOCH, 1, 4)
    pure_client = PureClient(EPOCH)
    pure_client.create_generator(1, 1)
    pure = pure_generator(EPOCH, 1, 2)
    rows: dict[str, Callable[[], object]] = {
        "`generate()`, remembers all": client.generate,
        "`generate()`, `cache=Off()`": off.generate,
        "`next_id()`": generator.next_id,
        "`next(pyflake_generator(…))`": records.__next__,
        "`str(uuid_utils.uuid7())`": lambda: str(uuid_utils.uuid7()),
        "`uuid_utils.uuid7()`": uuid_utils.uuid7,
        "`str(uuid.uuid4())`": lambda: str(uuid.uuid4()),
        "pure Python, `client.generate()`": pure_client.generate,
        "pure Python, `next(generator)`": pure.__next__,
        "an empty call": (lambda: None),
    }
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, call in rows.items():
            found[name].append(nanoseconds(call))
    many = []
    for _ in range(200):
        time.sleep(0.003)
        begun = time.time_ns() // 1_000_000 + 1
        while time.time_ns() // 1_000_000 < begun:
            pass
        start = time.perf_counter_ns()
        generator.next_ids(4096)
        many.append((time.perf_counter_ns() - start) / 4096)
    medians = {name: statistics.median(times) for name, times in found.items()}
    print("| call | ns |\n|---|---:|")
    for name, ns in medians.items():
        print(f"| {name} | {ns:.0f} |")
    print(f"| `next_ids(4096)`, an ID | {statistics.median(many):.1f} |")
    generate, next_id = medians["`generate()`, remembers all"], medians["`next_id()`"]
    ratios = [
        ("generate() / str(uuid_utils.uuid7())", generate / medians["`str(uuid_utils.uuid7())`"], 0.6),
        ("next_id() / uuid_utils.uuid7()", next_id / medians["`uuid_utils.uuid7()`"], 0.55),
        ("generate() / the pure client", generate / medians["pure Python, `client.generate()`"], 0.1),
        ("next_id() / the pure generator", next_id / medians["pure Python, `next(generator)`"], 0.1),
        ("next_ids(4096), ns an ID", statistics.median(many), 25.0),
    ]
    print()
    for name, ratio, limit in ratios:
        print(f"{name}: {ratio:.2f} of at most {limit}{'' if ratio <= limit else ': TOO SLOW'}")


if __name__ == "__main__":
    main()
