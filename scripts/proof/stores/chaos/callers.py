"""The load: callers of several kinds that never give up, each answer put down with what it may be put down to."""

import asyncio
import json
import re
import threading
import time
from collections import Counter

from ...gateway import modern, modern_headers
from ...load import Connection
from ...session import Session
from .house import BRIEF, ISSUES, PROCESS

# Longer than every time limit of the gateway's and every sleep of the schedule together.
HUNG_SECONDS = 45
REQUEST_ID = re.compile(r"\r\nx-request-id: ([^\r]+)")


class Tally:
    """What came of the calls; `wrong` is what must not come of any."""

    def __init__(self, stage, table):
        self.stage, self.table = stage, table
        self.succeeded, self.refused, self.excused = Counter(), Counter(), Counter()
        self.wrong, self.breaks, self.cut = [], [], []
        self._lock = threading.Lock()

    @property
    def sent(self):
        return sum(self.succeeded.values()) + sum(self.refused.values()) + len(self.breaks) + len(self.wrong)

    def answer(self, caller, status, body, head=""):
        """An answer that came whole."""
        with self._lock:
            if status == 200 and b'"result"' in body and b'"isError":true' not in body:
                if caller.may:
                    self.succeeded[caller.kind] += 1
                else:
                    self.wrong.append(f"{caller.kind} was served")
                return
            self.stage.keep("chaos-refusals", f"{status}\n{head}\n{body.decode('utf-8', 'replace')}")
            code, rpc = refusal(body)
            if code not in self.table:
                self.wrong.append(f"{caller.kind} at {caller.station.name}: {status} without a code: {body[:200]!r}")
                return
            expected = self.table[code]
            # Over an event stream the head has gone out before the refusal.
            if rpc != expected[1] or status not in (expected[0], 200):
                self.wrong.append(f"{caller.kind}: {code} came as {status} and {rpc}, the table says {expected}")
            self.refused[code] += 1

    def broken(self, caller, opened, why, head="", refused=False):
        """A connection that ended before the answer did; what it may be put down to is known later."""
        with self._lock:
            self.breaks.append((caller, opened, time.monotonic(), why, head, refused))

    def judge_breaks(self):
        """Each to a death, or to a cut that the evidence must explain, or to nothing that is allowed."""
        for caller, opened, noticed, why, head, refused in self.breaks:
            found = REQUEST_ID.search(head)
            if caller.station.excuses(opened, noticed, refused):
                self.excused[caller.kind] += 1
            elif found:
                self.cut.append((caller.station, found.group(1)))
            else:
                self.wrong.append(f"{caller.kind} at {caller.station.name}: {why}, and nobody had died")


def refusal(body):
    """The gateway's code and the JSON-RPC code, of a JSON answer or of the last event."""
    for line in [body, *(line[5:] for line in reversed(body.split(b"\n")) if line.startswith(b"data:"))]:
        try:
            error = json.loads(line).get("error") or {}
            if error:
                return (error.get("data") or {}).get("code"), error.get("code")
        except (ValueError, AttributeError):
            continue
    return None, None


def error_table(page):
    """code -> (HTTP status, JSON-RPC code), of the refusals of calls as docs/errors.md lists them."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\d{3}) \| (-?\d+) \|", page.read_text(), re.M)
    return {code: (int(status), int(rpc)) for code, status, rpc in rows}


class Caller:
    """One that calls a tool again and again; `may` says whether it can ever be served."""

    def __init__(self, kind, station, door, token, tool, arguments=None, may=True, pause=0.1):
        self.kind, self.station, self.door, self.may, self.pause = kind, station, door, may, pause
        self.body, self.headers = modern(tool, arguments), modern_headers(token, tool)
        if token is None:
            del self.headers["Authorization"]

    async def run(self, tally, over):
        connection, opened = Connection(self.door), 0.0
        while not over.is_set():
            if connection.writer is None:
                opened = time.monotonic()
            try:
                async with asyncio.timeout(HUNG_SECONDS):
                    status, body = await connection.send(self.body, self.headers)
                tally.answer(self, status, body, connection.head)
            except TimeoutError:
                tally.wrong.append(f"{self.kind} at {self.station.name}: no answer in {HUNG_SECONDS} s")
            except (OSError, EOFError, ValueError) as error:
                refused = isinstance(error, ConnectionRefusedError)
                tally.broken(self, opened, f"{type(error).__name__}: {error}", connection.head, refused)
                await asyncio.sleep(0.05)
            await asyncio.sleep(self.pause)
        connection.close()


class CutStream(Exception):
    """An event stream that ended before the answer."""

    def __init__(self, reply):
        super().__init__(f"{reply.status}, and no answer in the stream")
        self.head = "".join(f"\r\n{name.lower()}: {value}" for name, value in reply.headers.items())


class SessionCaller:
    """A client of the older generation: opens a session and its listening stream, calls, ends it, and again."""

    def __init__(self, house, station, server_name, tools, kind):
        self.house, self.station, self.server_name, self.tools, self.kind = house, station, server_name, tools, kind
        self.may, self.began = True, 0.0

    def work(self, tally, over):
        while not over.is_set():
            session = Session(self.house.stage, self.house.door(self.station, self.server_name),
                              self.house.token(self.station, self.server_name), "chaos-sessions")
            try:
                self._once(session, tally, over)
            except CutStream as cut:
                tally.broken(self, self.began, str(cut), cut.head)
            except Exception as error:  # noqa: BLE001 - whatever breaks a session is what is judged
                refused = isinstance(error, ConnectionRefusedError)
                tally.broken(self, self.began, f"{type(error).__name__}: {error}", session.head, refused)
            finally:
                session.hang_up()
            over.wait(0.1)

    def _once(self, session, tally, over):
        self._put_down(tally, self._timed(session.try_open))
        if not session.id:
            return
        if refused := self._timed(session.try_listen):
            self._put_down(tally, refused)
        for tool, arguments in self.tools * 3:
            if over.is_set():
                break
            reply = self._timed(lambda: session.call(tool, arguments, HUNG_SECONDS))  # noqa: B023 - called at once
            self._put_down(tally, reply)
            if reply.status == 404:
                return
            over.wait(0.1)
        self._timed(session.end)

    def _timed(self, act):
        self.began = time.monotonic()
        return act()

    def _put_down(self, tally, reply):
        if not reply.message:
            raise CutStream(reply)
        tally.answer(self, reply.status, json.dumps(reply.message, separators=(",", ":")).encode(), str(reply.headers))


def everybody(house, weight):
    """The callers of all stations; `weight` multiplies the pauses."""
    found = []
    for station in house.stations:
        door, token = house.door(station), house.token(station)

        def caller(kind, tool, arguments=None, pause=0.2, token=token, station=station, door=door, **more):
            found.append(Caller(kind, station, door, token, tool, arguments, pause=pause * weight, **more))

        for _ in range(3):
            caller("read", "echo", {"text": "hello"})
            caller("write", "add_comment", {"issue": 1, "text": "hello"})
            caller("slow", "slow", {"millis": 400, "progress": 2})
        caller("steady", "echo", {"text": "steady"}, token=house.token(station, who="steady-bot"))
        caller("leak", "leak", pause=0.5)
        caller("destructive", "delete_everything", pause=0.5, may=False)
        caller("unbound", "echo", pause=0.5, token=house.token(station, who="dev-bot"), may=False)
        caller("no token", "echo", pause=0.5, token=None, may=False)
        caller("forged token", "echo", pause=0.5, token=forged(token), may=False)
    for station in house.pair:
        token = house.token(station, BRIEF)
        found += [Caller("brief", station, house.door(station, BRIEF), token, "echo", pause=0.05 * weight) for _ in range(2)]
    alone = house.alone
    foreign = house.token(alone, PROCESS)
    found.append(Caller("another door's token", alone, house.door(alone), foreign, "echo", may=False, pause=0.5 * weight))
    return found


def sessions(house):
    echo = [("echo", {"text": "hello"}), ("slow", {"millis": 200, "progress": 2})]
    whoami = [("whoami", {}), ("slow", {"millis": 100})]
    return [SessionCaller(house, station, ISSUES, echo, "session") for station in house.stations] + [
        SessionCaller(house, house.alone, PROCESS, whoami, "process") for _ in range(2)]


def forged(token):
    """The same token with another signature."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{signature[::-1]}"


class Crowd:
    """All of them at work, until `stop`."""

    def __init__(self, house, tally, weight=1.0):
        self.tally, self._over = tally, threading.Event()
        callers = everybody(house, weight)
        self._threads = [threading.Thread(target=lambda: asyncio.run(self._run(callers)), daemon=True)]
        self._threads += [threading.Thread(target=one.work, args=(tally, self._over), daemon=True)
                          for one in sessions(house)]
        self.size = len(callers) + len(self._threads) - 1

    async def _run(self, callers):
        await asyncio.gather(*(caller.run(self.tally, self._over) for caller in callers))

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join(HUNG_SECONDS + 15)
        return all(not thread.is_alive() for thread in self._threads)
