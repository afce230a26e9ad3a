"""A relay that remembers every byte on its way to an upstream: what a header check could overlook.

The bytes hold the credential, so they stay in memory.
"""

import socket
import threading
from urllib.parse import urlsplit


class Wire:
    """Listens on loopback in front of the URL's host; `url` is the same place, seen through it."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port)
        self._taken, self._lock = bytearray(), threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}{parts.path}"
        threading.Thread(target=self._serve, daemon=True).start()

    def mark(self):
        with self._lock:
            return len(self._taken)

    def since(self, mark):
        with self._lock:
            return bytes(self._taken[mark:])

    def end(self):
        self._door.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._door.accept()
                upstream = socket.create_connection(self.target)
            except OSError:
                return
            for source, sink, remember in ((client, upstream, True), (upstream, client, False)):
                threading.Thread(target=self._pass, args=(source, sink, remember), daemon=True).start()

    def _pass(self, source, sink, remember):
        try:
            while data := source.recv(65536):
                if remember:
                    with self._lock:
                        self._taken += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
