"""Demands a database password in `Authorization: Bearer`, and knows it by logging in to PostgreSQL with it: the server
of a team whose callers are database roles.

    lease_gate.py --upstream URL --psql PATH --port PORT --log FILE       (the superuser's password in PGPASSWORD)

Which role a password belongs to is found by trying the roles that are there. Prints {"ready": ADDRESS}; LOG gets one
line for each request: {status, role, rpc, tool}, never the password. Standard library only.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED = ("content-type", "accept", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name")


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("upstream", "psql", "port", "log"):
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args(argv)


class Database:
    """Asked by the real client program; passwords go by the environment."""

    def __init__(self, psql: str, port: str) -> None:
        self.command = [psql, "-h", "127.0.0.1", "-p", port, "-AtX", "-d", "postgres"]
        self.owner = os.environ["PGPASSWORD"]
        self.known: dict[str, str] = {}

    def ask(self, user: str, password: str, query: str) -> str | None:
        done = subprocess.run([*self.command, "-U", user, "-c", query], env={**os.environ, "PGPASSWORD": password},
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def role_of(self, password: str) -> str | None:
        """The role that this password logs in as, just now."""
        known = self.known.get(password)
        if known and self.ask(known, password, "select current_user") == known:
            return known
        names = self.ask("gateway", self.owner, "select rolname from pg_roles where rolcanlogin and not rolsuper") or ""
        for name in names.split():
            if self.ask(name, password, "select current_user") == name:
                self.known[password] = name
                return name
        return None


def main(argv: list[str]) -> None:
    given = options(argv)
    database = Database(given.psql, given.port)
    log = open(given.log, "a", encoding="utf-8", buffering=1)

    class Gate(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            scheme, _, password = self.headers.get("Authorization", "").partition(" ")
            role = database.role_of(password) if scheme == "Bearer" and password else None
            if role is None:
                return self.answer(401, b"{}", "application/json", role, body)
            headers = {name: self.headers[name] for name in PASSED if name in self.headers}
            request = urllib.request.Request(given.upstream, body, headers, method="POST")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=60) as response:
                    kind = response.headers.get("Content-Type", "application/json")
                    more = {"Mcp-Session-Id": response.headers.get("Mcp-Session-Id")}
                    self.answer(response.status, response.read(), kind, role, body, more)
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read(), "application/json", role, body)

        def do_GET(self) -> None:
            self.answer(405, b"", "text/plain", None, b"")

        def do_DELETE(self) -> None:
            self.answer(405, b"", "text/plain", None, b"")

        def answer(self, status, text, kind, role, body, more=None) -> None:
            message = json.loads(body or b"{}")
            entry = {"status": status, "role": role, "rpc": message.get("method"),
                     "tool": (message.get("params") or {}).get("name")}
            log.write(json.dumps(entry) + "\n")
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(text)), **(more or {})}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    print(json.dumps({"ready": f"http://127.0.0.1:{server.server_address[1]}/mcp"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
