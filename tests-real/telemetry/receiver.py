"""A receiver of telemetry on loopback, which is no product: it keeps what it takes, before it answers.

    receiver.py PORT FOLDER

POST /v1/logs and /v1/traces: OTLP/HTTP in JSON, parsed strictly with the official `opentelemetry-proto` messages
(an unknown field, a wrong type or a malformed id is a 400); records go to logs.jsonl, spans to spans.jsonl.
POST /audit: newline-delimited JSON, kept byte for byte in webhook.jsonl.
"""

import base64
import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from google.protobuf.json_format import ParseError, Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ID_LENGTHS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}
LOCK = Lock()


class Refused(Exception):
    """Not what the protocol says."""


def with_ids(value):
    """OTLP writes ids as hex, where protobuf's own JSON has base64: checked, and turned into that."""
    if isinstance(value, list):
        return [with_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    turned = {}
    for key, item in value.items():
        if key in ID_LENGTHS:
            if not re.fullmatch(f"[0-9a-fA-F]{{{ID_LENGTHS[key]}}}", item) or not int(item, 16):
                raise Refused(f"{key}: {item!r}")
            turned[key] = base64.b64encode(bytes.fromhex(item)).decode()
        else:
            turned[key] = with_ids(item)
    return turned


def parsed(body, message):
    try:
        return Parse(json.dumps(with_ids(json.loads(body))), message, ignore_unknown_fields=False)
    except (ParseError, ValueError) as error:
        raise Refused(str(error)) from error


def plain(attributes):
    found = {}
    for attribute in attributes:
        if attribute.key in found:
            raise Refused(f"{attribute.key} twice")
        kind = attribute.value.WhichOneof("value")
        found[attribute.key] = getattr(attribute.value, kind)
    return found


def logs(body):
    for resource in parsed(body, ExportLogsServiceRequest()).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield {
                    "service": plain(resource.resource.attributes).get("service.name"), "scope": scope.scope.name,
                    "event": record.event_name, "time": record.time_unix_nano, "severity": record.severity_number,
                    "body": record.body.string_value, "trace": record.trace_id.hex(),
                    "attributes": plain(record.attributes),
                }


def spans(body):
    for resource in parsed(body, ExportTraceServiceRequest()).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": plain(resource.resource.attributes).get("service.name"), "scope": scope.scope.name,
                    "name": span.name, "trace": span.trace_id.hex(), "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(), "state": span.trace_state, "kind": span.kind,
                    "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
                    "status": span.status.code, "message": span.status.message,
                    "attributes": plain(span.attributes),
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = 200, b"{}"
        try:
            kept = {"/v1/logs": (logs, "logs.jsonl"), "/v1/traces": (spans, "spans.jsonl")}.get(self.path)
            if kept:
                lines = [json.dumps(one).encode() + b"\n" for one in kept[0](body)]
                keep(kept[1], b"".join(lines))
            elif self.path == "/audit":
                keep("webhook.jsonl", body)
            else:
                status = 404
        except Refused as why:
            status, answer = 400, json.dumps({"message": str(why)[:500]}).encode()
            keep("refused.txt", f"{self.path}: {why}\n".encode())
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Says nothing: whoever asks reads the files."""


def keep(name, content):
    with LOCK:
        file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, content)
        finally:
            os.close(file)


FOLDER = Path(sys.argv[2])

if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    print(json.dumps({"ready": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()
