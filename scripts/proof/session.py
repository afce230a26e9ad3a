"""A session of 2025-11-25 over Streamable HTTP, down to the bytes: a client that declares everything,
answers what servers ask of clients, and keeps all that it was shown for the sweep."""

import http.client
import itertools
import json
import threading
from urllib.parse import urlsplit

from .claim import Unproven, demand

EVERYTHING = {
    "roots": {"listChanged": True}, "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
    "tasks": {"list": {}, "cancel": {},
              "requests": {"elicitation": {"create": {}}, "sampling": {"createMessage": {}}}},
}
# What this client says when a server asks.
ANSWERS = {
    "roots/list": {"roots": [{"uri": "file:///nowhere", "name": "nowhere"}]},
    "sampling/createMessage": {"role": "assistant", "model": "none", "content": {"type": "text", "text": "said"}},
    "elicitation/create": {"action": "accept", "content": {"name": "somebody"}},
    "ping": {},
}


class Reply:
    """The answer to one request: HTTP status, JSON-RPC message, and how many messages came before it."""

    def __init__(self, status, headers, message, before=0):
        self.status, self.headers, self.message, self.before = status, headers, message, before

    @property
    def result(self):
        return self.message.get("result")

    def text(self):
        """The first text of a tool's result."""
        for block in (self.result or {}).get("content", ()):
            if block["type"] == "text":
                return block["text"]
        raise Unproven(f"no text in {self}")

    def code(self):
        """The gateway's own code, where it refused."""
        return ((self.message.get("error") or {}).get("data") or {}).get("code")

    def __repr__(self):
        return f"{self.status} {json.dumps(self.message)[:300]}"


class Session:
    """`open` begins it, `listen` takes what belongs to no request, `end` ends it."""

    def __init__(self, stage, door, token, name="sessions", capabilities=None):
        self.stage, self.token, self.name = stage, token, name
        self.parts = urlsplit(door)
        self.capabilities = EVERYTHING if capabilities is None else capabilities
        self.id = None
        self.ids = itertools.count(1)
        self.asked = []
        # The head of the last answer, in small letters; nothing while none has come.
        self.head = ""
        self._ear = None

    def try_open(self):
        params = {"protocolVersion": "2025-11-25", "capabilities": self.capabilities,
                  "clientInfo": {"name": "prove", "version": "1"}}
        reply = self.ask("initialize", params)
        self.id = reply.headers.get("Mcp-Session-Id")
        if reply.status == 200:
            self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return reply

    def open(self):
        reply = self.try_open()
        demand(reply.status == 200 and self.id, f"no session: {reply}")
        return self

    def call(self, tool, arguments=None, seconds=60, **more):
        return self.ask("tools/call", {"name": tool, "arguments": arguments or {}, **more}, seconds)

    def ask(self, method, params, seconds=60):
        number = next(self.ids)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        connection, response = self._request("POST", body, seconds)
        try:
            if "event-stream" not in response.headers.get("Content-Type", ""):
                return Reply(response.status, response.headers, self._json(response.read()))
            before = 0
            for message in self._events(response):
                if message.get("id") == number and "method" not in message:
                    return Reply(response.status, response.headers, message, before)
                before += 1
                self._answer(message)
            return Reply(response.status, response.headers, {}, before)
        finally:
            connection.close()

    def send(self, message):
        """A notification or an answer; the HTTP status."""
        connection, response = self._request("POST", message, 30)
        try:
            self._keep(response.read())
            return response.status
        finally:
            connection.close()

    def listen(self):
        """Opens the stream of what belongs to no request."""
        refused = self.try_listen()
        demand(refused is None, f"no stream: {refused}")
        return self

    def try_listen(self):
        """The same; the answer where there is no stream."""
        connection, response = self._request("GET", None, 600)
        if response.status != 200:
            return Reply(response.status, response.headers, self._json(response.read()))
        self._ear = connection

        def hear():
            try:
                for message in self._events(response):
                    self._answer(message)
            except (OSError, ValueError, http.client.HTTPException, AttributeError):
                # The stream was closed: by `end`, or with the session.
                return

        threading.Thread(target=hear, daemon=True).start()
        return None

    def hang_up(self):
        """Closes the stream, as a client does that is gone."""
        if self._ear is not None:
            self._ear.close()

    def end(self):
        connection, response = self._request("DELETE", None, 30)
        self._keep(response.read())
        connection.close()
        self.hang_up()
        return response.status

    def _answer(self, message):
        if "method" in message and "id" in message:
            self.asked.append(message["method"])
            result = ANSWERS.get(message["method"])
            said = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no"}}
            self.send({"jsonrpc": "2.0", "id": message["id"], **said})

    def _request(self, method, body, seconds):
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json, text/event-stream",
                   "MCP-Protocol-Version": "2025-11-25"}
        if self.id:
            headers["Mcp-Session-Id"] = self.id
        if method == "GET":
            headers["Accept"] = "text/event-stream"
        if body is not None:
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=seconds)
        self.head = ""
        connection.request(method, self.parts.path, body, headers)
        response = connection.getresponse()
        self.head = "".join(f"\r\n{name.lower()}: {value}" for name, value in response.headers.items())
        self._keep(f"{response.status}\n{response.headers}".encode())
        return connection, response

    def _events(self, response):
        """The messages of an event stream, as they come."""
        while line := response.readline():
            self._keep(line)
            if line.startswith(b"data:"):
                message = self._json(line[5:])
                if message:
                    yield message

    def _json(self, body):
        self._keep(body)
        try:
            return json.loads(body)
        except ValueError:
            return {}

    def _keep(self, shown):
        self.stage.keep(self.name, shown.decode("utf-8", "replace").rstrip("\n"))
