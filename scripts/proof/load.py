"""Concurrent MCP calls over connections that stay open, on one asyncio loop in a thread of its own.

Raw sockets: what is measured is the gateway, and a client library would cost more than it does.
"""

import asyncio
import threading
import time
from urllib.parse import urlsplit

from .gateway import modern, modern_headers

LIMIT = 8 << 20


class Connection:
    """One connection; opened again where the other side closed it."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.host, self.port, self.path = parts.hostname, parts.port, parts.path
        self.reader = self.writer = None
        # What the last answer began with.
        self.head = ""

    async def send(self, body, headers):
        """Status and body of the answer. Raises OSError or EOFError where the connection broke."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=LIMIT)
        try:
            lines = [f"POST {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}",
                     f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
            self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            self.head = ""
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            self.head = head
            status = int(head[9:12])
            answer = await self._body(head)
            if "\r\nconnection: close" in head:
                self.close()
            return status, answer
        except BaseException:
            self.close()
            raise

    async def _body(self, head):
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name == "content-length":
                return await self.reader.readexactly(int(value))
            if name == "transfer-encoding":
                return await self._chunks()
        return await self.reader.read()

    async def _chunks(self):
        pieces = []
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            pieces.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(pieces)

    def close(self):
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


class Load:
    """`workers` connections that call one tool again and again until told to stop."""

    def __init__(self, url, token, tool, arguments=None, workers=16, pause=0.0):
        self.url, self.workers, self.pause = url, workers, pause
        self.headers = modern_headers(token, tool)
        self.body = modern(tool, arguments)
        self.succeeded = self.refused = self.broken = 0
        self.failures = []
        self.awaiting = 0
        self.answers = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @property
    def sent(self):
        return self.succeeded + self.refused + self.broken

    def start(self):
        self._thread.start()
        return self

    def stop(self, seconds=60):
        self._stop.set()
        self._thread.join(seconds)
        return self

    async def _run(self):
        await asyncio.gather(*(self._work() for _ in range(self.workers)))

    async def _work(self):
        connection = Connection(self.url)
        while not self._stop.is_set():
            self.awaiting += 1
            call = asyncio.ensure_future(connection.send(self.body, self.headers))
            try:
                while not call.done():
                    await asyncio.wait({call}, timeout=0.2)
                    if self._stop.is_set() and not call.done():
                        # What is still running when the load ends is nobody's failure.
                        await asyncio.wait({call}, timeout=5)
                        call.cancel()
                        break
                if not call.cancelled():
                    self._count(*(await call))
            except asyncio.CancelledError:
                break
            except (OSError, EOFError, ValueError) as error:
                self.broken += 1
                self._note(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.01)
            finally:
                self.awaiting -= 1
            if self.pause:
                await asyncio.sleep(self.pause)
        connection.close()

    def _count(self, status, body):
        if status == 200 and b'"result"' in body and b'"isError":true' not in body:
            self.succeeded += 1
        else:
            self.refused += 1
            self._note(f"{status} {body[:300].decode('utf-8', 'replace')}")

    def _note(self, text):
        if len(self.failures) < 20:
            self.failures.append(text)


def micros():
    """Microseconds since the epoch: the clock that the upstream's log uses, on the same machine."""
    return time.time_ns() // 1000
