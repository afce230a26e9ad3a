"""A relay in front of a server that can be taken down and put up again, at the same address: an outage of a party
that forgets nothing meanwhile."""

import socket
import threading
from urllib.parse import urlsplit


class Relay:
    """Listens on loopback in front of the URL's host until `down`; `url` is the same origin, seen through it."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port)
        self._door = self._open(0)
        self.port = self._door.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._sockets, self._lock = set(), threading.Lock()
        self._serve(self._door)

    def down(self):
        """Nobody answers any more, and nothing under way is finished."""
        door, self._door = self._door, None
        # A thread that waits in `accept` would take one more.
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        with self._lock:
            taken, self._sockets = self._sockets, set()
        for one in taken:
            one.close()

    def up(self):
        self._door = self._open(self.port)
        self._serve(self._door)

    @staticmethod
    def _open(port):
        return socket.create_server(("127.0.0.1", port))

    def _serve(self, door):
        threading.Thread(target=self._accept, args=(door,), daemon=True).start()

    def _accept(self, door):
        while True:
            try:
                client, _ = door.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            with self._lock:
                self._sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
