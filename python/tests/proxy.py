"""A way to a server that can be frozen: connections stay open, and nothing passes."""

import socket
import threading
import time
from urllib.parse import urlsplit


class Proxy:
    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.frozen = False
        self.url = f"{self._target.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client = self._listener.accept()[0]
            server = socket.create_connection((self._target.hostname or "", self._target.port or 0))
            for ends in [(client, server), (server, client)]:
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                while self.frozen:
                    time.sleep(0.01)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()
