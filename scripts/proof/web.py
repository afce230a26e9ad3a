"""One HTTP request on a connection of its own, without proxies and redirects."""

import http.client
import json
from urllib.parse import urlsplit


class Answer:
    """An answer as it came."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def code(self):
        """The stable code of a refusal, of either plane."""
        body = self.json()
        if not isinstance(body, dict):
            return None
        return (body.get("error") or {}).get("data", {}).get("code") or body.get("code")


def request(method, url, body=None, headers=None, seconds=60):
    """Sends it; a dict goes as JSON, bytes as they are."""
    parts = urlsplit(url)
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        path = parts.path or "/"
        connection.request(method, path + (f"?{parts.query}" if parts.query else ""), body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()
