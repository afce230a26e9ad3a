"""A TCP relay with moods, on loopback: what a network, a crashed peer or a full one does to a connection."""

import asyncio
import random
import re
import socket
import struct
import threading
from urllib.parse import urlsplit

from ...load import micros

# Closing with this sends RST in place of FIN, as a peer does that crashed.
ABRUPT = struct.pack("ii", 1, 0)
MOODS = ("pass", "refuse", "hang", "cut")
REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.I)


class Relay:
    """In front of the URL's host; `url` is the same place, seen through it.

    `pass` passes on; `refuse` resets every connection, old and new; `hang` passes nothing on until the mood changes;
    `cut` passes requests on and resets most connections when the answer comes, half of it gone out.

    What hangs here has been sent, and nobody can call it back: `sent` says when each request came in, by its id.
    """

    def __init__(self, url, seed=0, share=0.7):
        parts = urlsplit(url)
        self.target, self.share = (parts.hostname, parts.port), share
        self.chance = random.Random(seed)
        self.mood, self.broken = "pass", 0
        self.pairs, self.sent = set(), {}
        self.loop = asyncio.new_event_loop()
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}{parts.path}"
        threading.Thread(target=self._run, daemon=True).start()

    def set(self, mood):
        """Changes the mood, also for the connections that are there."""
        asyncio.run_coroutine_threadsafe(self._set(mood), self.loop).result(10)

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.calm = asyncio.Event()
        self.calm.set()
        self.loop.create_task(asyncio.start_server(self._serve, sock=self.door))
        self.loop.run_forever()

    async def _set(self, mood):
        self.mood = mood
        if mood == "hang":
            self.calm.clear()
        else:
            self.calm.set()
        if mood == "refuse":
            for pair in list(self.pairs):
                self._break(pair)

    async def _serve(self, reader, writer):
        if self.mood == "refuse":
            self._break((writer,))
            return
        try:
            back_reader, back_writer = await asyncio.open_connection(*self.target)
        except OSError:
            self._break((writer,))
            return
        pair = (writer, back_writer)
        self.pairs.add(pair)
        there = self._pass(reader, back_writer, pair, answers=False)
        back = self._pass(back_reader, writer, pair, answers=True)
        await asyncio.gather(there, back)
        self.pairs.discard(pair)
        for end in pair:
            end.close()

    async def _pass(self, reader, writer, pair, answers):
        try:
            while data := await reader.read(65536):
                if not answers:
                    self.sent.update((found.decode(), micros()) for found in REQUEST_ID.findall(data))
                await self.calm.wait()
                if answers and self.mood == "cut" and self.chance.random() < self.share:
                    writer.write(data[:len(data) // 2])
                    await writer.drain()
                    self._break(pair)
                    return
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (OSError, RuntimeError):
            self._break(pair)

    def _break(self, ends):
        self.broken += 1
        for end in ends:
            found = end.transport.get_extra_info("socket")
            try:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
            except (OSError, AttributeError):
                pass
            end.transport.abort()
