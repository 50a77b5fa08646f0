"""Memory: flat with a bounded cache, and 8 bytes an ID where all are remembered."""

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.long

SCRIPT = """
import sys, pyflake

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

policy = {"recent": pyflake.Recent(1000), "all": pyflake.All()}[sys.argv[1]]
client = pyflake.PyflakeClient(1555301520000, cache=policy)
client.create_generator(1, 1)
generate = client.generate
for _ in range(100_000):
    generate()
before = resident()
for _ in range(10_000_000):
    generate()
after = resident()
assert client._generated == 10_100_000
print(after - before)
"""


def test_10_million_ids_with_a_bounded_cache_take_no_memory(run: Callable[..., str]) -> None:
    grown = int(run(SCRIPT, "recent", timeout=300))
    print(f"\n10 million IDs with Recent(1000): {grown} bytes more")
    assert grown < 1 << 20


def test_10_million_remembered_ids_take_9_bytes_each(run: Callable[..., str]) -> None:
    grown = int(run(SCRIPT, "all", timeout=300))
    print(f"\n10 million IDs with All(): {grown / 10_000_000:.2f} bytes an ID")
    assert 7 < grown / 10_000_000 < 9
