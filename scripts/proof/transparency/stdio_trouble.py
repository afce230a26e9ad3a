"""A process that crashes, hangs, floods, writes garbage or ignores every request harms only its own calls."""

import time

from ..claim import demand
from ..processes import until
from . import processes
from .stdio_ends import Caller

FLOOD = 20_000


def judge(scene, whoami):
    """Steady sessions of another agent, and of the same agent at another server, go on all the while."""
    steady = [Caller(scene.session("trouble", "steady"), whoami), Caller(scene.session("everything-env"), echo)]
    told = {}
    try:
        for trouble in (crash, hang, flood, garbage, endless_garbage, endless_line, deaf):
            told[trouble.__name__] = trouble(scene, whoami)
            for caller in steady:
                demand(not caller.failure, f"{trouble.__name__}: a steady session failed: {caller.failure}")
    finally:
        for caller in steady:
            caller.stop()
    calls = sum(caller.calls for caller in steady)
    demand(not any(caller.failure for caller in steady), "a steady session failed")
    demand(calls > 20, f"only {calls} calls of the steady sessions")
    codes = ", ".join(f"{name.replace('_', ' ')}: {code}" for name, code in told.items())
    return f"trouble stays its own ({codes}): 0 of {calls} calls of two steady sessions failed"


def echo(session):
    reply = session.call("echo", {"message": "on"})
    demand(reply.status == 200 and reply.result, f"echo: {reply}")
    return {"pid": 0, "sha256": ""}


def patient(scene, server):
    """A session, as soon as the back-off after the last trouble allows one."""

    def opened():
        session = scene.unopened(server)
        reply = session.try_open()
        if reply.status == 200:
            return session
        demand(reply.code() == "upstream.process_backoff", f"a new session after trouble: {reply}")
        demand(int(reply.headers.get("Retry-After", "0")) > 0, "a back-off without Retry-After")
        return None

    return until("the back-off is over", opened, 60, 0.2)


def refused(reply, status, code):
    demand((reply.status, reply.code()) == (status, code), f"{status} {code} was expected: {reply}")
    return code


def gone(pid):
    return until("the process is gone", lambda: not processes.alive(pid), 15)


def crash(scene, whoami):
    session = patient(scene, "trouble")
    pid = whoami(session)["pid"]
    code = refused(session.call("crash"), 502, "upstream.process_ended")
    gone(pid)
    after = session.call("whoami")
    demand(after.status == 404, f"the session of a process that is gone: {after}")
    held = scene.unopened("trouble").try_open()
    refused(held, 503, "upstream.process_backoff")
    return f"{code}, then session 404, then upstream.process_backoff"


def hang(scene, whoami):
    session = patient(scene, "impatient")
    pid = whoami(session)["pid"]
    code = refused(session.call("hang"), 504, "upstream.timeout")
    gone(pid)
    return code


def flood(scene, whoami):
    session = patient(scene, "trouble")
    reply = session.call("flood", {"messages": FLOOD}, 120)
    demand(reply.text() == "dry" and reply.before == FLOOD, f"{reply.before} of {FLOOD} messages: {reply}")
    session.end()
    return f"{FLOOD} messages and the answer arrive"


def garbage(scene, whoami):
    session = patient(scene, "trouble")
    demand(session.call("garbage", {"lines": 500}).text() == "after the garbage", "no answer after garbage")
    session.end()
    return "passed over"


def endless_garbage(scene, whoami):
    session = patient(scene, "trouble")
    pid = whoami(session)["pid"]
    code = refused(session.call("garbage"), 502, "upstream.process_ended")
    gone(pid)
    return code


def endless_line(scene, whoami):
    session = patient(scene, "trouble")
    pid = whoami(session)["pid"]
    code = refused(session.call("endless_line"), 502, "upstream.process_ended")
    gone(pid)
    return code


def deaf(scene, whoami):
    session = patient(scene, "trouble")
    pid = whoami(session, "deaf")["pid"]
    began = time.monotonic()
    demand(session.end() in (200, 202, 204), "the session did not end")
    gone(pid)
    return f"gone {time.monotonic() - began:.1f} s after its session"
