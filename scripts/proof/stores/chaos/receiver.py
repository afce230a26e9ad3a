"""The audit sink's other end: a webhook that keeps every line it took, doubles too."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A gateway that is killed resets its connections; anything else is worth seeing.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Receiver:
    """Takes newline-delimited JSON. With `busy` it answers 503 and keeps nothing, as one does that is overloaded."""

    def __init__(self, path):
        self.path, self.busy, self.batches = path, False, 0
        self._file, self._lock = open(path, "wb"), threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(503 if receiver.busy else receiver.take(body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Says nothing: whoever asks reads the file."""

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._listener.server_port}/records"
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def take(self, body):
        """Keeps a whole batch, or nothing of one that did not arrive whole."""
        if not body.endswith(b"\n"):
            return 400
        with self._lock:
            self.batches += 1
            self._file.write(body)
            self._file.flush()
        return 200

    def lines(self):
        """Every line, in the order of arrival, with doubles."""
        with self._lock:
            return self.path.read_bytes().split(b"\n")[:-1]

    def end(self):
        self._listener.shutdown()
        self._listener.server_close()
        with self._lock:
            self._file.close()


class Taken:
    """What a receiver has, after it put away what it got twice."""

    def __init__(self, lines):
        self.records, self.others, self.contradictions, self.arrived = {}, [], 0, len(lines)
        for line in lines:
            found = json.loads(line)
            if "seq" not in found:
                if line not in self.others:
                    self.others.append(line)
                continue
            known = self.records.setdefault(found["seq"], line)
            # The same place with other content: the sink was sent a record that the chain took back.
            self.contradictions += known != line

    @property
    def doubles(self):
        return self.arrived - len(self.records) - len(self.others)

    def write(self, path):
        """One line each, as `audit verify --against` reads them."""
        lines = [self.records[seq] for seq in sorted(self.records)] + self.others
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path
