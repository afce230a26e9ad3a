"""An upstream that keeps what it was sent, headers and body, and passes it on to a real server."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")


class Message:
    """One request as it arrived."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body

    def all(self, name):
        return self.headers.get_all(name) or []


class Recorder:
    """Any path leads to the one server behind it, so that one recorder can stand for several."""

    def __init__(self, server):
        self.server, self.seen = urlsplit(server), []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                recorder.pass_on(self)

            do_GET = do_DELETE = do_POST

            def log_message(self, *_):
                """Says nothing: whoever asks reads `seen`."""

        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.listener.server_port}/{name}/mcp"

    def at(self, name, since=0):
        """The messages to this server, from the place `since` on."""
        return [message for message in self.seen[since:] if message.path == f"/{name}/mcp"]

    def pass_on(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.seen.append(Message(request.path, request.headers, body))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(self.server.hostname, self.server.port, timeout=30)
        try:
            connection.request(request.command, self.server.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        request.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def end(self):
        self.listener.shutdown()
        self.listener.server_close()
