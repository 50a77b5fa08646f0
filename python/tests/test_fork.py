"""Fork is a non-event: what a child inherits issues nothing twice, and a leased object goes on."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from proxy import Proxy

Run: TypeAlias = Callable[..., str]

HEAD = """
import json, os, sys, threading, time
import pyflake
from pyflake import Generator, PyflakeClient, ForkedError, Recent

EPOCH = 1555301520000

def in_child(f):
    \"\"\"Runs f in the child of a fork, and returns what it returned.\"\"\"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(write, json.dumps(f()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)
"""


@pytest.fixture
def script(run: Run) -> Run:
    return lambda body, *args, **options: run(HEAD + body, *args, **options)


def test_an_unleased_generator_raises_forked_error_in_the_child(script: Run) -> None:
    script("""
generator = Generator(EPOCH, 1, 2)
client = PyflakeClient(EPOCH)
client.create_generator(1, 3)
records = pyflake.pyflake_generator(EPOCH, 1, 4)
mine = [generator.next_id(), int(client.generate()), next(records)["snowflake"]]

def child():
    found = []
    for call in [generator.next_id, generator.try_next_id, lambda: generator.next_ids(5), client.generate,
                 lambda: next(records), lambda: next(client._generator), lambda: Generator(EPOCH, 1, 2)]:
        try:
            call()
            found.append("issued")
        except ForkedError as error:
            assert isinstance(error, RuntimeError)
            assert "belongs to the parent: build one on another node" in str(error), error
            found.append("refused")
    # The way out: another node.
    client.renew_generator(2, 3)
    client.generate()
    Generator(EPOCH, 2, 2).next_id()
    return found

assert in_child(child) == ["refused"] * 7
# The parent goes on.
assert generator.next_id() > mine[0]
client.generate()
next(records)
""")


def test_a_leased_object_takes_a_node_of_its_own_at_the_childs_first_id(script: Run, tmp_path: Path) -> None:
    script("""
with PyflakeClient.leased(sys.argv[1], EPOCH) as client, Generator.leased(sys.argv[1], EPOCH) as generator:
    ids = [int(client.generate()), generator.next_id()]
    nodes = [pyflake.parts(EPOCH, id)["pid"] + 32 * pyflake.parts(EPOCH, id)["seed"] for id in ids]
    assert client._generated == 1

    def child():
        assert (client.state, client._generated, dict(client._cache)) == ("pending", 0, {})
        assert client.can_issue
        assert (generator.state, generator.node) == ("pending", None)
        ids = [int(client.generate()), generator.next_id(), *generator.next_ids(10), next(client._generator)["snowflake"]]
        assert (client.state, client._generated, generator.state) == ("held", 1, "held")
        def grandchild():
            return [int(client.generate()), generator.next_id()]
        ids += in_child(grandchild)
        client.release(); generator.release()
        return ids

    for _ in range(5):
        ids += in_child(child)
    # The parent has its nodes as before.
    assert client.state == generator.state == "held"
    after = [int(client.generate()), generator.next_id()]
    assert [pyflake.parts(EPOCH, id)["pid"] + 32 * pyflake.parts(EPOCH, id)["seed"] for id in after] == nodes
    assert client._generated == 2
    ids += after
    assert len(set(ids)) == len(ids)
    # Child and grandchild had nodes of their own.
    assert len({id >> 12 & 1023 for id in ids}) >= 6
""", tmp_path / "lease")


def test_a_lease_of_the_parent_outlives_its_children(script: Run, tmp_path: Path) -> None:
    """A child that ends in the ordinary way gives back its own node, and never its parent's."""
    script("""
client = PyflakeClient.leased(sys.argv[1], EPOCH, window=0.5)
client.generate()
for use in [True, False] * 5:
    child = os.fork()
    if child == 0:
        if use:
            client.generate()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
time.sleep(1)
assert client.state == "held", (client.state, client.last_error)
client.generate()
# All nodes of the children were given back, so a few were enough.
assert len([name for name in os.listdir(sys.argv[1]) if name.endswith(".lock")]) <= 11
""", tmp_path / "lease")


def test_a_release_in_the_child_leaves_the_parents_node(script: Run, tmp_path: Path) -> None:
    script("""
client = PyflakeClient.leased(sys.argv[1], EPOCH)
client.generate()
def child():
    client.release()
    try:
        client.generate()
    except pyflake.LeaseError as error:
        return str(error)
assert "given back by release()" in in_child(child)
client.generate()
client.release()
# A release in the parent ends the object for its children too.
assert "given back by release()" in in_child(child)
""", tmp_path / "lease")


def test_threads_of_a_child_share_the_node_that_one_of_them_takes(script: Run, tmp_path: Path) -> None:
    script("""
client = PyflakeClient.leased(sys.argv[1], EPOCH, cache=Recent(10))
client.generate()
def child():
    ids, start = [], threading.Barrier(8)
    def work():
        start.wait()
        ids.extend([int(client.generate()) for _ in range(500)])
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(set(ids)) == 4000
    assert len({id >> 12 & 1023 for id in ids}) == 1
    return client._generated
assert in_child(child) == 4000
""", tmp_path / "lease")


def test_a_store_that_fails_in_the_child_is_an_error_and_then_none(script: Run, tmp_path: Path) -> None:
    script("""
import shutil
client = PyflakeClient.leased(sys.argv[1], EPOCH)
client.generate()
os.rename(sys.argv[1] + "/realm", sys.argv[1] + "/gone")
def child():
    failures = 0
    for _ in range(3):
        try:
            client.generate()
        except pyflake.LeaseError as error:
            failures += 1
    os.rename(sys.argv[1] + "/gone", sys.argv[1] + "/realm")
    time.sleep(0.15)
    client.generate()
    return failures
assert in_child(child) == 3
""", tmp_path / "lease")


def test_200_forks_from_a_parent_of_four_busy_threads(script: Run, tmp_path: Path) -> None:
    printed = script("""
client = PyflakeClient.leased(sys.argv[1], EPOCH, cache=Recent(1000))
generator = Generator.leased(sys.argv[1], EPOCH)
stop = False
issued = [[] for _ in range(4)]
def work(mine, call):
    while not stop:
        mine.append(call())
        if len(mine) % 64 == 0:
            time.sleep(0.001)
calls = [client.generate, generator.next_id, client.generate, lambda: generator.next_ids(3)[0]]
threads = [threading.Thread(target=work, args=(mine, call)) for mine, call in zip(issued, calls)]
for thread in threads: thread.start()
ids = []
for _ in range(200):
    ids += in_child(lambda: [int(client.generate()), generator.next_id(), *generator.next_ids(3)])
stop = True
for thread in threads: thread.join()
parents = [int(id) for mine in issued for id in mine]
ids += parents
assert len(set(ids)) == len(ids), len(ids) - len(set(ids))
assert client.state == generator.state == "held"
print(len(ids))
""", tmp_path / "lease", timeout=300)
    assert int(printed) > 1000


def test_spawn_and_forkserver_refuse_to_send_it(run: Run, tmp_path: Path) -> None:
    run("""
    import copy, multiprocessing, pickle, sys
    from pyflake import Generator, PyflakeClient, pyflake_generator

    def work(client):
        pass

    if __name__ == "__main__":
        client = PyflakeClient.leased(sys.argv[1], 1555301520000)
        for method in ["spawn", "forkserver"]:
            try:
                multiprocessing.get_context(method).Process(target=work, args=(client,)).start()
                raise SystemExit(f"{method} sent it")
            except TypeError as error:
                assert "make one in each process, with leased()" in str(error), error
        for thing in [client, Generator(1555301520000, 1, 2), pyflake_generator(1555301520000, 1, 3)]:
            for attempt in [copy.copy, copy.deepcopy, pickle.dumps, lambda thing: thing.__reduce_ex__(4)]:
                try:
                    attempt(thing)
                    raise SystemExit(f"{attempt} copied {thing}")
                except TypeError as error:
                    assert "cannot be pickled or copied" in str(error), error
    """, tmp_path / "lease")


def test_a_child_waits_for_no_lock_that_a_thread_of_its_parent_holds(script: Run, etcd_url: str) -> None:
    """The store hangs while a thread of the middle process takes a node, and that process forks: its child inherits a
    node that is being taken by nobody. It takes one itself, with an error while the store hangs, and an ID after."""
    proxy = Proxy(etcd_url)

    def freeze() -> None:
        time.sleep(1.5)
        proxy.frozen = True
        time.sleep(8)
        proxy.frozen = False

    threading.Thread(target=freeze, daemon=True).start()
    script("""
client = PyflakeClient.leased(sys.argv[1], EPOCH, realm="fork")
client.generate()
time.sleep(2.5)

def middle():
    def take():
        try:
            client.generate()
        except pyflake.LeaseError:
            pass
    thread = threading.Thread(target=take)
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive() and client.state == "pending"
    def child():
        start, failed = time.monotonic(), 0
        while time.monotonic() < start + 40:
            try:
                client.generate()
                client.release()
                return failed
            except pyflake.LeaseError:
                failed += 1
        raise SystemExit("the child never got a node")
    failed = in_child(child)
    thread.join()
    return failed

assert in_child(middle) > 0
""", proxy.url)
