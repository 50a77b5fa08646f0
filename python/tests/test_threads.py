"""Threads share one object, and waiting does not stop the others."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyflake
import pytest
from conftest import EPOCH
from pyflake import Generator, Off, PyflakeClient, Recent


def test_8_threads_on_one_client() -> None:
    client = PyflakeClient(EPOCH)
    client.create_generator(20, 1)
    with ThreadPoolExecutor(8) as threads:
        ids = [id for part in threads.map(lambda _: [client.generate() for _ in range(20_000)], range(8)) for id in part]
    assert len(set(ids)) == 160_000 == client._generated
    assert list(client._cache) == list(range(1, 160_001))
    cached = [client._cache[idx] for idx in range(1, 160_001)]
    assert [record["idx"] for record in cached] == list(range(1, 160_001))
    assert {str(record["snowflake"]) for record in cached} == set(ids)


def test_8_threads_on_one_iterator_have_idx_without_holes() -> None:
    records = pyflake.pyflake_generator(EPOCH, 21, 1)
    with ThreadPoolExecutor(8) as threads:
        found = [r for part in threads.map(lambda _: [next(records) for _ in range(5000)], range(8)) for r in part]
    assert sorted(record["idx"] for record in found) == list(range(1, 40_001))
    assert len({record["snowflake"] for record in found}) == 40_000


def test_threads_generate_while_another_renews() -> None:
    client = PyflakeClient(EPOCH, cache=Off())
    client.create_generator(22, 1)
    stop = threading.Event()

    def renew() -> None:
        while not stop.is_set():
            for pid in (22, 23, 24):
                client.renew_generator(pid, 1)

    renewer = threading.Thread(target=renew)
    renewer.start()
    with ThreadPoolExecutor(4) as threads:
        ids = [id for part in threads.map(lambda _: [client.generate() for _ in range(20_000)], range(4)) for id in part]
    stop.set()
    renewer.join()
    assert len(set(ids)) == 80_000


def test_a_wait_lets_other_threads_run() -> None:
    """A wait of half a second for a run of IDs: another thread counts on meanwhile."""
    generator = Generator(EPOCH, 23, 2)
    waiter = threading.Thread(target=generator.next_ids, args=(2_000_000,))
    start = time.monotonic()
    waiter.start()
    turns = 0
    while waiter.is_alive():
        turns += 1
        time.sleep(0.001)
    assert time.monotonic() - start > 0.4
    assert turns > 50


def test_try_next_id_says_how_long() -> None:
    generator = Generator(EPOCH, 24, 2)
    generator.next_ids(4096 * 20)
    with pytest.raises(pyflake.ExhaustedError, match="try again in") as caught:
        for _ in range(200_000):
            generator.try_next_id()
    assert 0 < caught.value.retry_after <= 0.1


def test_max_wait_is_a_limit() -> None:
    generator = Generator(EPOCH, 25, 2, max_wait=0.01)
    with pytest.raises(pyflake.WaitError, match="max_wait is 10ms: ask for fewer IDs at a time"):
        generator.next_ids(1_000_000)
    assert len(generator.next_ids(1000)) == 1000
    assert generator.next_ids(0) == []


def test_cache_policies() -> None:
    for policy, kept in [(None, 100), (pyflake.All(), 100), (Recent(10), 10), (Off(), 0)]:
        client = PyflakeClient(EPOCH, cache=policy)
        client.create_generator(26, 2)
        ids = [int(client.generate()) for _ in range(100)]
        cache = client._cache
        assert len(cache) == kept
        assert [record["snowflake"] for record in cache.values()] == (ids[-kept:] if kept else [])
        assert client._generated == 100
        client.clear_cache()
        assert len(cache) == 0 and dict(cache) == {}
        client.generate()
        assert client._generated == 101 and list(cache) == ([101] if kept else [])
