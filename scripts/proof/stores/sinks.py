"""The evidence at its sinks while they come and go, and one trace through caller, gateway and server."""

import json
import statistics
import time

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway, modern, modern_headers, succeeded
from ..keys import Authority
from ..load import Load
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..processes import until
from ..recorder import Recorder
from ..telemetry import Receiver, Rsyslog, promtool
from ..upstreams import Workshop

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OTHER_TRACE, OTHER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = {"authenticate", "identify", "authorize", "obtain", "record_intent", "upstream"}
ATTRIBUTES = {"mcp_gateway.request_id", "mcp_gateway.environment", "mcp_gateway.server", "mcp_gateway.mode",
              "mcp.method.name", "gen_ai.tool.name", "http.response.status_code"}
# Calls must not be slower for a dead sink: within this factor, and what a busy machine of two cores adds.
FACTOR, SLACK_SECONDS = 1.5, 0.002


class House:
    """A gateway with four sinks and traces, its server behind a recorder."""

    def __init__(self, stage):
        self.stage = stage
        authority = Authority(stage, "loghost")
        self.webhook, self.otlp = Receiver(stage, "sink-webhook"), Receiver(stage, "sink-otlp")
        self.plain, self.secured = Rsyslog(stage, "sink-syslog"), Rsyslog(stage, "sink-syslog-tls", authority)
        self.traces = Receiver(stage, "sink-traces")
        workshop = Workshop(stage, "sinks")
        self.recorder = Recorder(workshop.url)
        # The old spelling of a webhook stays valid, beside the list.
        sinks = (f', sink: {{ url: "{self.webhook.url}/audit" }}, sinks: ['
                 f'{{ otlp: {{ url: "{self.otlp.url}/v1/logs" }} }}, '
                 f'{{ syslog: {{ address: "{self.plain.address}", confirm_seconds: 3 }} }}, '
                 f'{{ syslog: {{ name: loghost, address: "{self.secured.address}", confirm_seconds: 3, '
                 f'ca_file: {authority.certificate} }} }}]')
        more = f'telemetry: {{ traces: {{ url: "{self.traces.url}/v1/traces", share: 0 }} }}\n'
        self.gateway = Gateway(stage, "sinks", configuration(stage, ("issues", "direct"), audit=sinks, more=more))
        secret = stage.mint.make("sinks")
        workshop.accept(secret)
        stage.openbao.put("kv/issues/sinks", secret)
        self.gateway.start().log_in()
        self.gateway.apply(together(
            environment(), policy(), agent(stage, "triage-bot"),
            server(self.recorder.url("issues"), "issues"), server(workshop.url, "direct"),
            *(binding(f"{name}-calls", "bao://kv/issues/sinks#token", "triage-bot", server_name=name)
              for name in ("issues", "direct"))))
        self.tokens = {name: stage.issuer.agent("triage-bot", self.gateway.door("dev", name))
                       for name in ("issues", "direct")}

    def receivers(self):
        return {"webhook": self.webhook, "otlp": self.otlp, "syslog": self.plain, "loghost": self.secured}

    def statuses(self):
        answer = web.request("GET", f"{self.gateway.control}/readyz")
        demand(answer.status == 200, f"a dead sink makes the gateway unready: {answer.text[:300]}")
        return {sink["name"]: sink for sink in answer.json()["sinks"]}

    def call(self, name, headers, meta):
        """One call with these headers and keys of `_meta` as the caller sends them."""
        body = json.loads(modern("echo", {"text": "hello"}))
        body["params"]["_meta"].update(meta)
        mark = len(self.recorder.seen)
        answer = web.request("POST", self.gateway.door("dev", name), json.dumps(body).encode(),
                             {**modern_headers(self.tokens[name], "echo"), **headers})
        demand(succeeded(answer), f"{name}: {answer.status} {answer.text[:300]}")
        return answer, self.recorder.at(name, mark)[-1]


def outages(stage, house):
    """Every receiver is killed and brought back again and again, under load. The load, and the median with all sinks
    alive and with one of them dead."""
    door, token = house.gateway.door("dev", "direct"), house.tokens["direct"]
    alive, dead = [], []

    def timed(times):
        began = time.monotonic()
        answer = web.request("POST", door, modern("echo", {"text": "hello"}), modern_headers(token, "echo"))
        times.append(time.monotonic() - began)
        demand(succeeded(answer), f"a call failed: {answer.status} {answer.text[:300]}")

    load = Load(door, token, "echo", {"text": "hello"}, workers=4, pause=0.01).start()
    kills = 0
    for _ in range(1 if stage.quick else 3):
        for name, receiver in house.receivers().items():
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                timed(alive)
            receiver.kill()
            kills += 1
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                timed(dead)
            if name == "webhook":
                until(f"{name} is seen to fail", lambda: house.statuses()[name]["failing"], 30)
            receiver.start()
    # The gateway itself, with records that no sink has yet.
    for receiver in house.receivers().values():
        receiver.kill()
        kills += 1
    load.stop()
    time.sleep(0.5)
    house.gateway.kill()
    house.gateway.start()
    for receiver in house.receivers().values():
        receiver.start()
    demand(load.refused == load.broken == 0, f"{load.refused} refused, {load.broken} broken: {load.failures[:3]}")
    return load, kills, statistics.median(alive), statistics.median(dead)


def chain(house):
    """The lines of the chain, as the files have them: number -> (line, event)."""
    lines = {}
    for segment in sorted(house.gateway.audit.glob("segment-*.jsonl")):
        for line in segment.read_text().splitlines():
            if line.startswith('{"seq":'):
                record = json.loads(line)
                lines[record["seq"]] = line
    return lines


def arrived(house):
    """Sink -> the (number, line) of records in order of arrival; and how many checkpoints came, and torn lines."""
    found, checkpoints, torn = {}, {}, 0
    lines = [line for line in (house.webhook.folder / "webhook.jsonl").read_text().splitlines()]
    found["webhook"] = [(json.loads(line)["seq"], line) for line in lines if line.startswith('{"seq":')]
    checkpoints["webhook"] = sum(line.startswith('{"checkpoint"') for line in lines)
    records = house.otlp.lines("logs.jsonl")
    named = [(one["attributes"], one["body"]) for one in records if one["event"] == "mcp_gateway.audit.record"]
    found["otlp"] = [(said["mcp_gateway.audit.sequence"], '{"seq":%d,"prev":"%s","event":%s,"hash":"%s"}' % (
        said["mcp_gateway.audit.sequence"], said["mcp_gateway.audit.prev"], body, said["mcp_gateway.audit.hash"]))
        for said, body in named]
    checkpoints["otlp"] = sum(one["event"] == "mcp_gateway.audit.checkpoint" for one in records)
    for name, receiver in (("syslog", house.plain), ("loghost", house.secured)):
        messages, broken = receiver.chain_lines()
        torn += broken
        for line, number, digest in messages:
            if number is not None:
                record = json.loads(line)
                demand((record["seq"], record["hash"]) == (number, digest), f"{name}: structured data disagrees: {line[:200]}")
        found[name] = [(number, line) for line, number, _ in messages if number is not None]
        checkpoints[name] = sum(line.startswith('{"checkpoint"') for line, _, _ in messages)
    return found, checkpoints, torn


def compare(house, kills):
    expected = chain(house)
    found, checkpoints, torn = arrived(house)
    again = {}
    for name, records in found.items():
        first = dict(reversed(records))
        order = list(dict.fromkeys(number for number, _ in records))
        missing = sorted(set(expected) - set(order))
        demand(not missing, f"{name}: {len(missing)} records never arrived, the first is {missing[:3]}")
        demand(order == sorted(order), f"{name}: not in order after de-duplication")
        differing = [number for number, line in first.items() if expected.get(number) != line]
        demand(not differing, f"{name}: {len(differing)} records are not as the chain has them: {differing[:3]}")
        demand(checkpoints[name] > 0, f"{name}: no checkpoint arrived")
        again[name] = len(records) - len(order)
    demand(torn <= kills, f"{torn} messages are none of ours")
    return len(expected), again


def spans_of(house, trace):
    def all_there():
        found = [span for span in house.traces.lines("spans.jsonl") if span["trace"] == trace]
        return found if {span["name"] for span in found} >= STAGES | {"mcp.call"} else None

    return until(f"the spans of {trace} arrive", all_there, 30)


def traced(stage, house):
    """One call with a context in both places, and what becomes of it; then contexts that are none."""
    parent = f"00-{OTHER_TRACE}-{OTHER_SPAN}-01"
    answer, seen = house.call("issues", {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "h=1"},
                              {"traceparent": parent, "tracestate": "m=1", "baggage": "k=v"})
    spans = spans_of(house, OTHER_TRACE)
    one = {span["name"]: span for span in spans}
    root, upstream = one["mcp.call"], one["upstream"]
    demand(root["parent"] == OTHER_SPAN and root["state"] == "m=1", "the call is not below the caller's span")
    demand(all(span["parent"] == root["span"] for span in spans if span is not root), "a stage is not below the call")
    demand(len({span["span"] for span in spans}) == len(spans), "two spans share an id")
    demand(all(root["start"] <= span["start"] <= span["end"] <= root["end"] for span in spans), "times do not nest")
    meta = json.loads(seen.body)["params"]["_meta"]
    below = f"00-{OTHER_TRACE}-{upstream['span']}-01"
    demand(seen.all("traceparent") == [below] and meta["traceparent"] == below, "the server is not below the gateway's span")
    demand(seen.all("tracestate") == ["m=1"] and meta["tracestate"] == "m=1" and meta["baggage"] == "k=v", "state or baggage")
    request_id = answer.headers["x-request-id"]
    demand(root["attributes"]["mcp_gateway.request_id"] == request_id, "the span names another request")
    records = house.gateway.records(request_id=request_id)
    demand({record.get("trace_id") for record in records} == {OTHER_TRACE}, "the evidence names another trace")
    attributes = {name for span in spans for name in span["attributes"]}
    demand(attributes <= ATTRIBUTES, f"attributes outside the set: {attributes - ATTRIBUTES}")
    untouched = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    _, seen = house.call("issues", untouched, untouched)
    demand(seen.all("traceparent") == [untouched["traceparent"]], "a context that is not recorded was changed")
    _, seen = house.call("issues", {}, {})
    sent = json.loads(modern("echo", {"text": "hello"}))
    demand(json.loads(seen.body) == sent and not seen.all("traceparent"), "a call without context was given one")
    house.call("issues", {"traceparent": "00-nonsense-x-01"}, {"traceparent": 7, "tracestate": "=,="})
    demand(not house.traces.refused() and not house.otlp.refused(),
           f"not as OTLP spells it: {(house.traces.refused() + house.otlp.refused())[:300]}")
    stage.keep("spans", json.dumps(spans))
    return len(spans)


def judged_metrics(house):
    text = web.request("GET", f"{house.gateway.control}/metrics").text
    code, said = promtool(text)
    demand(code == 0 and not said.strip(), f"promtool: {said[:300]}")
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    for name in ("webhook", "otlp", "syslog", "loghost"):
        demand(f'mcp_gateway_audit_sink_lag_records{{sink="{name}"' in text, f"no lag of {name}")
    return len(names)


def judge(stage):
    house = House(stage)
    spans = traced(stage, house)
    load, kills, alive, dead = outages(stage, house)
    limit = alive * FACTOR + SLACK_SECONDS
    demand(dead <= limit, f"p50 {dead * 1000:.2f} ms with a dead sink, {alive * 1000:.2f} ms without")
    until("every sink has everything", lambda: all(sink["lag"] == 0 for sink in house.statuses().values()), 120, 0.2)
    house.gateway.keep_metrics()
    figures = judged_metrics(house)
    house.gateway.stop()
    # What was written at the end of the process is sent by the next one.
    house.gateway.start()
    until("every sink has the end", lambda: all(sink["lag"] == 0 for sink in house.statuses().values()), 60, 0.2)
    house.gateway.kill()
    records, again = compare(house, kills)
    house.recorder.end()
    repeated = ", ".join(f"{name} {count}" for name, count in again.items())
    return (f"{records} records at 4 sinks (webhook, OTLP, rsyslogd over TCP and TLS), {kills} kills, 0 lost, in order; "
            f"sent again: {repeated}; {load.succeeded} calls, 0 failed, p50 {alive * 1000:.2f} ms and "
            f"{dead * 1000:.2f} ms with a dead sink; {spans} spans of one call below the caller's; "
            f"{figures} figures pass promtool")


CLAIMS = (
    Claim("sinks", "evidence reaches every sink whole and in order, however often they die, and no call waits for one; "
                   "one trace goes through caller, gateway and server", judge),
)
