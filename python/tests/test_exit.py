"""The end of the interpreter gives nodes back, and neither hangs nor crashes."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LEASED_EPOCH as EPOCH
from proxy import Proxy

import pyflake

BUSY = """
import os, sys, threading, time
import pyflake
client = pyflake.PyflakeClient.leased(sys.argv[1], 1555301521000, cache=pyflake.Recent(100), window=2)
# Of another epoch: a lease may get any node of its own.
generator = pyflake.Generator(1555301520000, 31, 31)
bare = pyflake.Generator.leased(sys.argv[1], 1555301521000, window=2)
def work(call):
    while True:
        try:
            call()
        except pyflake.WaitError:
            pass  # a busy machine keeps four threads from one millisecond for longer than a second
        except pyflake.LeaseError:
            return
for call in [client.generate, generator.next_id, lambda: generator.next_ids(9000), bare.next_id]:
    threading.Thread(target=work, args=(call,), daemon=True).start()
time.sleep(float(sys.argv[2]))
"""


def held(directory: Path) -> int:
    """How many nodes of a directory are locked now: what the crate's own lock says, and not the package."""
    import fcntl

    count = 0
    for path in directory.glob("*.lock"):
        with path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                count += 1
    return count


def until(record: Path) -> int:
    """The end of the window in a record of a lease directory: of its two slots, the one with the larger count."""
    slots = [dict(line.split(" ", 1) for line in text.splitlines()) for text in record.read_text().split("\0") if text]
    return int(max(slots, key=lambda slot: int(slot["count"]))["until"])


def test_200_exits_at_random_moments_with_busy_threads(tmp_path: Path) -> None:
    rng, batch, released, nodes = random.Random(15), 4, 0, 0
    seen: set[Path] = set()
    for _ in range(200 // batch):
        command = [sys.executable, "-c", BUSY, str(tmp_path / "lease")]
        processes = [
            subprocess.Popen([*command, str(rng.random() * 0.05)], stderr=subprocess.PIPE, text=True) for _ in range(batch)
        ]
        for process in processes:
            _, stderr = process.communicate(timeout=60)
            assert (process.returncode, stderr) == (0, "")
        # A node that was given back has no window any more; one that rests has up to 2 seconds of it.
        now = time.time_ns() // 1_000_000
        records = set((tmp_path / "lease").glob("node-*.[0-9]*")) - seen
        seen |= records
        nodes += len(records)
        released += sum(until(record) <= now + 100 for record in records)
    assert held(tmp_path / "lease") == 0
    print(f"\n200 exits: {released} of {nodes} nodes given back, the others rest")
    assert released > 0.9 * nodes and nodes > 300


def test_the_node_of_a_process_that_ends_is_free_at_once(tmp_path: Path, run: Callable[..., str]) -> None:
    run(BUSY, tmp_path / "lease", 0)
    nodes = len(list((tmp_path / "lease").glob("*.lock")))
    for _ in range(3):
        run(BUSY, tmp_path / "lease", 0)
    assert held(tmp_path / "lease") == 0


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise SystemExit", "pass", "signal.raise_signal(signal.SIGTERM)"])
def test_ways_to_end(run: Callable[..., str], tmp_path: Path, how: str) -> None:
    run(f"""
import signal, sys, pyflake
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
client = pyflake.PyflakeClient.leased(sys.argv[1], {EPOCH})
client.generate()
{how}
""", tmp_path / "lease")
    assert held(tmp_path / "lease") == 0


def test_a_store_that_hangs_does_not_keep_the_interpreter(etcd_url: str) -> None:
    """The server stops to answer; the end takes at most the 5 seconds that it allows, and not two windows."""
    proxy = Proxy(etcd_url)
    script = """
import sys, time, pyflake
client = pyflake.PyflakeClient.leased(sys.argv[1], 1555301521000)
client.generate()
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", script, proxy.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    proxy.frozen = True
    start = time.monotonic()
    process.stdin.close()
    assert process.wait(60) == 0
    assert time.monotonic() - start < 15
    proxy.frozen = False


def test_release_ends_the_object_and_frees_the_node(tmp_path: Path) -> None:
    client = pyflake.PyflakeClient.leased(tmp_path, EPOCH)
    client.generate()
    assert (client.state, held(tmp_path)) == ("held", 1)
    client.release()
    client.release()
    assert (client.state, held(tmp_path)) == ("released", 0)
    with pytest.raises(pyflake.LeaseError, match="call leased\\(\\) again"):
        client.generate()
    del client


def test_garbage_collection_frees_the_node(tmp_path: Path) -> None:
    client = pyflake.PyflakeClient.leased(tmp_path, EPOCH)
    assert held(tmp_path) == 1
    del client
    assert held(tmp_path) == 0


def test_release_while_threads_generate(tmp_path: Path) -> None:
    """The node's next holder begins behind all that the threads got."""
    for _ in range(20):
        client = pyflake.PyflakeClient.leased(tmp_path, EPOCH)
        ids: list[int] = []

        def work(client: pyflake.PyflakeClient = client, ids: list[int] = ids) -> None:
            try:
                while True:
                    ids.append(int(client.generate()))
            except pyflake.LeaseError:
                pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        client.release()
        for thread in threads:
            thread.join()
        with pyflake.PyflakeClient.leased(tmp_path, EPOCH) as after:
            assert int(after.generate()) not in ids
        assert len(set(ids)) == len(ids)


def test_sigkill_leaves_a_node_that_rests(run: Callable[..., str], tmp_path: Path) -> None:
    script = f"""
import os, signal, sys, pyflake
client = pyflake.PyflakeClient.leased(sys.argv[1], {EPOCH}, window=1)
print(client.generate(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ids = [int(run(script, tmp_path / "lease", code=-signal.SIGKILL)) for _ in range(5)]
    assert len(set(ids)) == 5
    assert held(tmp_path / "lease") == 0
