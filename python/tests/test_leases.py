"""Leases in a directory, a PostgreSQL database and an etcd cluster, also over TLS."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import LEASED_EPOCH as EPOCH

import pyflake
from pyflake import Generator, LeaseError, PyflakeClient


@pytest.fixture(params=["directory", "postgres", "etcd"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "directory":
        return str(tmp_path / "lease")
    url: str = request.getfixturevalue(f"{request.param}_url")
    if request.param == "postgres":
        pyflake.migrate(url)
    return url


def test_each_has_a_node_of_its_own(where: str) -> None:
    with PyflakeClient.leased(where, EPOCH) as client, Generator.leased(where, EPOCH, label="a test") as generator:
        assert client.state == generator.state == "held"
        assert client.can_issue and generator.can_issue
        assert client.last_error is generator.last_error is None
        info = client.get_info()
        assert generator.node is not None and (info["pid"], info["seed"]) != generator.node
        ids = [int(client.generate()) for _ in range(5000)] + generator.next_ids(5000)
        assert len(set(ids)) == 10_000
        assert client._generated == 5000 == len(client._cache)
        with pytest.raises(RuntimeError, match="issues on the node of its lease"):
            client.create_generator(1, 2)
        with pytest.raises(RuntimeError, match="issues on the node of its lease"):
            client.renew_generator(1, 2)
        assert client.destroy_generator() is False
    assert [str(lease.state) for lease in (client, generator)] == ["released"] * 2
    assert not client.can_issue and not generator.can_issue
    calls: list[Callable[[], object]] = [client.generate, generator.next_id, generator.try_next_id]
    calls.append(lambda: generator.next_ids(1))
    for call in calls:
        with pytest.raises(LeaseError, match="given back by release"):
            call()


def test_the_next_holder_begins_behind_the_last(where: str) -> None:
    last = 0
    for _ in range(5):
        with Generator.leased(where, EPOCH) as generator:
            id = generator.next_id()
            assert id >> 22 >= last >> 22
            last = id


def test_a_store_is_for_one_epoch(where: str) -> None:
    Generator.leased(where, EPOCH).release()
    with pytest.raises(LeaseError, match="open it as it was created, or use another store"):
        Generator.leased(where, EPOCH + 1)


def test_realms_are_stores_of_their_own(postgres_url: str, etcd_url: str) -> None:
    pyflake.migrate(postgres_url)
    for url in [postgres_url, etcd_url]:
        with Generator.leased(url, EPOCH + 5, realm="another") as generator:
            generator.next_id()


def test_a_store_that_is_not_there() -> None:
    for url in ["postgres://x@127.0.0.1:1/x", "http://127.0.0.1:1", "/proc/nothing/here"]:
        with pytest.raises(LeaseError) as caught:
            PyflakeClient.leased(url, EPOCH)
        assert isinstance(caught.value, RuntimeError) and len(str(caught.value)) > 20


def test_a_directory_follows_no_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with PyflakeClient.leased("lease", EPOCH) as client:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        client.generate()
    assert (tmp_path / "lease" / "realm").exists() and not (tmp_path / "elsewhere" / "lease").exists()


def test_migrate_can_be_run_again(postgres_url: str) -> None:
    pyflake.migrate(postgres_url)
    pyflake.migrate(postgres_url)


@pytest.fixture
def certificates(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An authority, and a server's certificate for 127.0.0.1 with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    authority, server = tmp_path / "authority.pem", tmp_path / "server.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    key, server_key = tmp_path / "authority.key", tmp_path / "server.key"

    def openssl(*arguments: object) -> None:
        subprocess.run([*new, *map(str, arguments)], check=True, capture_output=True)

    openssl("-keyout", key, "-out", authority, "-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl(
        *("-keyout", server_key, "-out", server, "-subj", "/CN=server", "-CA", authority, "-CAkey", key),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
    )
    server.write_text(server.read_text() + server_key.read_text())
    yield authority, server


def tls_in_front(url: str, certificate: Path) -> int:
    """A port that speaks TLS and passes on to a server; it knows PostgreSQL's request for TLS."""
    target = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def serve(client: socket.socket) -> None:
        try:
            if target.scheme.startswith("postgres"):
                assert client.recv(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"
                client.sendall(b"S")
            secure = context.wrap_socket(client, server_side=True)
        except OSError:
            return
        server = socket.create_connection((target.hostname or "", target.port or 0))
        threading.Thread(target=pump, args=(server, secure), daemon=True).start()
        pump(secure, server)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("server", ["postgres", "etcd"])
def test_tls_trusts_the_systems_certificates(
    server: str,
    request: pytest.FixtureRequest,
    certificates: tuple[Path, Path],
    run: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain: str = request.getfixturevalue(f"{server}_url")
    authority, certificate = certificates
    port = tls_in_front(plain, certificate)
    if server == "postgres":
        pyflake.migrate(plain)
        url = f"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=require"
    else:
        url = f"https://127.0.0.1:{port}"
    script = """
import os, sys, pyflake
client = pyflake.PyflakeClient.leased(sys.argv[1], 1555301521000)
parent = client.generate()
child = os.fork()
if child == 0:
    assert client.generate() != parent
    client.release()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
client.release()
"""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    run(script, url)
    # The negative control: an authority that the system does not know.
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(AssertionError, match="LeaseError.*(certificate|UnknownIssuer)"):
        run(script, url)
