"""Prefork servers as they run: gunicorn, celery and multiprocessing, with workers killed and replaced.

Each has a negative control: the same app on the manual's algorithm in pure Python issues thousands of IDs twice.
"""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import need

pytestmark = pytest.mark.long

APPS = Path(__file__).parent / "apps"


def issued(root: Path) -> tuple[int, int, int]:
    """How many IDs were issued, how many of them twice, and in how many processes."""
    ids: list[int] = []
    files = list(root.glob("ids-*"))
    for file in files:
        data = file.read_bytes()
        ids += [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data) - 7, 8)]
    return len(ids), len(ids) - len(set(ids)), len(files)


def environment(root: Path, issuer: str, where: str = "") -> dict[str, str]:
    paths = f"{APPS}{os.pathsep}{APPS.parent}"
    mine = {"PREFORK_ROOT": str(root), "PREFORK_ISSUER": issuer, "PREFORK_WHERE": where, "PYTHONPATH": paths}
    return os.environ | mine


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextlib.contextmanager
def running(
    command: list[str], root: Path, env: dict[str, str], must_end: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server in a session of its own. It must end on SIGTERM, unless its pool may be broken."""
    log = (root / "log").open("wb")
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=root, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40 if must_end else 10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if must_end:
                pytest.fail("it did not end on SIGTERM: " + (root / "log").read_text()[-3000:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().count(b"\n") == 199
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def gunicorn(root: Path, issuer: str, seconds: float, where: str = "") -> tuple[int, int, int]:
    """Loads gunicorn while workers are killed and replaced."""
    need("gunicorn")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "4", "--threads", "2"]
    command += ["--bind", f"127.0.0.1:{port}", "--max-requests", "300", "--max-requests-jitter", "100"]
    command += ["--graceful-timeout", "10", "--chdir", str(APPS), "wsgi:app"]
    with running(command, root, environment(root, issuer, where)) as server:
        deadline = time.monotonic() + 60
        while not get(port):
            assert time.monotonic() < deadline and server.poll() is None, (root / "log").read_text()[-3000:]
            time.sleep(0.1)
        end = time.monotonic() + seconds
        answers = [0] * 4

        def load(worker: int) -> None:
            while time.monotonic() < end:
                answers[worker] += get(port)

        threads = [threading.Thread(target=load, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        rng, killed, round = random.Random(15), 0, 0
        while time.monotonic() < end:
            time.sleep(1.5)
            round += 1
            if round % 4 == 0:
                server.send_signal(signal.SIGHUP)
            elif workers := children(server.pid):
                os.kill(rng.choice(workers), signal.SIGKILL)
                killed += 1
        for thread in threads:
            thread.join()
        assert sum(answers) > 50, (answers, (root / "log").read_text()[-3000:])
        assert server.poll() is None
    assert server.returncode == 0, (root / "log").read_text()[-3000:]
    return issued(root)


def test_gunicorn_preload_issues_no_id_twice(tmp_path: Path) -> None:
    ids, twice, processes = gunicorn(tmp_path, "pyflake", 20)
    print(f"\ngunicorn: {ids} IDs of {processes} processes, {twice} twice")
    assert twice == 0 and processes > 8


def test_gunicorn_with_the_pure_algorithm_repeats_ids(tmp_path: Path) -> None:
    ids, twice, processes = gunicorn(tmp_path, "pure", 8)
    print(f"\ngunicorn, pure Python: {ids} IDs of {processes} processes, {twice} twice")
    assert twice > 1000


@pytest.mark.parametrize("server", ["postgres", "etcd"])
def test_gunicorn_preload_with_a_fleets_store(tmp_path: Path, server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{server}_url")
    if server == "postgres":
        import pyflake

        pyflake.migrate(url)
    ids, twice, processes = gunicorn(tmp_path, "pyflake", 8, url)
    print(f"\ngunicorn on {server}: {ids} IDs of {processes} processes, {twice} twice")
    assert twice == 0 and processes > 4


def celery(root: Path, issuer: str, seconds: float, kills: bool = True) -> tuple[int, int, int]:
    """Runs celery's prefork pool while its workers are killed and replaced.

    They are killed in the middle of a task: an idle worker may hold the lock of the pool's queue, and its death would stop
    the pool.
    """
    need("celery")
    env = environment(root, issuer)
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "4"]
    command += ["--max-tasks-per-child", "20", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    send = f"""
import sys, time
sys.path.insert(0, {str(APPS)!r})
from celery import Celery
app = Celery()
import os
root = {str(root)!r}
for folder in ["queue", "done", "control"]:
    os.makedirs(root + "/" + folder, exist_ok=True)
app.conf.update(broker_url="filesystem://", broker_transport_options=dict(
    data_folder_in=root + "/queue", data_folder_out=root + "/queue", processed_folder=root + "/done",
    control_folder=root + "/control"))
end = time.monotonic() + {seconds}
kill = time.monotonic() + 1
while time.monotonic() < end:
    if {kills} and time.monotonic() > kill:
        app.send_task("tasks.killed")
        kill += 1.5
    if len(os.listdir(root + "/queue")) < 40:
        for _ in range(20):
            app.send_task("tasks.many")
    time.sleep(0.02)
"""
    with running(command, root, env, must_end=not kills) as server:
        sender = subprocess.Popen([sys.executable, "-c", send], cwd=root)
        try:
            deadline = time.monotonic() + 60
            while issued(root)[0] == 0:
                assert time.monotonic() < deadline and server.poll() is None, (root / "log").read_text()[-3000:]
                time.sleep(0.2)
            sender.wait()
        finally:
            sender.kill()
            sender.wait()
    return issued(root)


def test_celery_prefork_issues_no_id_twice(tmp_path: Path) -> None:
    ids, twice, processes = celery(tmp_path, "pyflake", 20)
    print(f"\ncelery: {ids} IDs of {processes} processes, {twice} twice")
    assert twice == 0 and processes > 4 and ids > 5_000


def test_celery_ends_on_sigterm(tmp_path: Path) -> None:
    ids, twice, processes = celery(tmp_path, "pyflake", 4, kills=False)
    assert twice == 0 and ids > 1000


def test_celery_with_the_pure_algorithm_repeats_ids(tmp_path: Path) -> None:
    ids, twice, processes = celery(tmp_path, "pure", 10)
    print(f"\ncelery, pure Python: {ids} IDs of {processes} processes, {twice} twice")
    assert twice > 1000


def multiprocessing(root: Path, issuer: str) -> tuple[int, int, int]:
    command = [sys.executable, str(APPS / "processes.py")]
    done = subprocess.run(command, env=environment(root, issuer), capture_output=True, text=True, timeout=200)
    if issuer == "pyflake":
        assert done.returncode == 0, done.stderr[-3000:]
    return issued(root)


def test_multiprocessing_fork_issues_no_id_twice(tmp_path: Path) -> None:
    ids, twice, processes = multiprocessing(tmp_path, "pyflake")
    print(f"\nmultiprocessing: {ids} IDs of {processes} processes, {twice} twice")
    assert twice == 0 and processes > 10 and ids > 20_000


def test_multiprocessing_with_the_pure_algorithm_repeats_ids(tmp_path: Path) -> None:
    # Its threads fail with "generator already executing" too, so it issues fewer.
    ids, twice, processes = multiprocessing(tmp_path, "pure")
    print(f"\nmultiprocessing, pure Python: {ids} IDs of {processes} processes, {twice} twice")
    assert twice > 1000
