"""Bad input of every kind, and the stable code that each gets.

A `^` in a text marks where the problem must be reported; it is taken out before use.
"""

import re

from ..claim import demand
from ..gateway import Gateway, modern, modern_headers
from ..manifests import basic, binding, configuration, together
from ..upstreams import Workshop
from ..web import request

BINDING = """kind: Binding
name: triage
environment: dev
server: issues
actor: { agents: [triage-bot] }
mode: service_account
secret: bao://kv/issues/triage#token
inject: { header: Authorization }
policy: support-calls
risk: write
owner: support
"""

# name, text, code
FILES = (
    ("malformed YAML", "kind: Server\nname: [\nowner: x\n", "config.yaml"),
    ("unknown field", BINDING + "^colour: red\n", "config.unknown_field"),
    ("missing field", "^" + BINDING.replace("server: issues\n", ""), "config.missing_field"),
    ("duplicate key", BINDING + "^risk: read\n", "config.duplicate_key"),
    ("literal secret", BINDING.replace("bao://kv/issues/triage#token", "^hunter2-hunter2-hunter2"),
     "config.literal_secret"),
    ("field for a secret", BINDING + "^token: hunter2-hunter2\n", "config.literal_secret"),
    ("malformed reference", BINDING.replace("bao://kv", "^bao://../kv"), "config.reference"),
    ("unknown store", BINDING.replace("bao://", "^vault://"), "config.unknown_store"),
    ("wrong environment", BINDING.replace("environment: dev", "environment: production")
     .replace("bao://", "^bao://"), "config.environment_mismatch"),
    ("unknown kind", BINDING.replace("Binding", "^Bindings"), "config.unknown_kind"),
    ("wrong type", BINDING.replace("policy: support-calls", "policy: ^[a]"), "config.wrong_type"),
    ("the same object twice", BINDING + "---\n" + BINDING.replace("name: triage", "name: ^triage"),
     "manifest.duplicate"),
)

# name, what a line of gateway.yaml is replaced by, code
CONFIGURATIONS = (
    ("unknown field in gateway.yaml", ("public_url:", "^lisen: 1\npublic_url:"), "config.unknown_field"),
    ("password in the state", ("state: sqlite://./data/state.db", "state: ^postgres://me:hunter2-hunter2@db/x"),
     None),
    ("limit out of bounds", ("operators:", "limits: { drain_seconds: ^9999 }\noperators:"), "config.out_of_bounds"),
    ("plain text to the network", ("listen: 127", "listen: ^0.0.0.0:1 # "), "config.plain_listener"),
)


def judge(stage):
    upstream = Workshop(stage, "bad-input")
    gateway = Gateway(stage, "bad-input", configuration(stage, ["issues"])).start().log_in()
    credential = stage.mint.make("bad input")
    upstream.accept(credential)
    gateway.apply(basic(stage, upstream, []))
    checked = files(stage, gateway) + configurations(stage, gateway)
    checked += applied(gateway)
    token = stage.issuer.agent("triage-bot", gateway.door("dev", "issues"))
    mark = upstream.log.mark()
    checked += secrets_of_binding(stage, gateway, token)
    stage.openbao.put("kv/issues/good", credential)
    write(gateway, "bao://kv/issues/good#token")
    checked += ambiguous(stage, gateway)
    checked += requests(stage, gateway, token)
    arrived = upstream.log.since(mark)
    demand(not arrived, f"{len(arrived)} bad requests reached the upstream")
    gateway.keep_metrics()
    gateway.stop()
    wrong = [f"{name}: {got}, not {wanted}" for name, wanted, got in checked if wanted != got]
    demand(not wrong, f"{len(wrong)} of {len(checked)}: " + "; ".join(wrong))
    places = sum(":" in wanted for _, wanted, _ in checked)
    return f"{len(checked)} kinds of bad input, {places} with file:line:column, 0 upstream calls"


def marked(text):
    """The text without its mark, and the mark's `line:column`."""
    before, mark, after = text.partition("^")
    if not mark:
        return text, None
    return before + after, f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"


def told(text, name):
    """(line:column, code) of everything that was said about the file."""
    return re.findall(rf"{re.escape(name)}:(\d+:\d+):? (\w+\.\w+)", text)


def compare(name, said, place, code):
    """What was wanted and what was got, where the mark and the code are to be met by one finding."""
    wanted = f"{place or 'some:place'} {code or 'some.code'}"
    for found, said_code in said:
        if place in (None, found) and code in (None, said_code):
            return name, wanted, wanted
    return name, wanted, " ".join(" ".join(pair) for pair in said) or "nothing"


def files(stage, gateway):
    results = []
    for number, (name, text, code) in enumerate(FILES):
        file = gateway.folder / f"bad-{number}.yaml"
        text, place = marked(text)
        file.write_text(text)
        exit_code, out, err = check(stage, gateway, gateway.file, file)
        demand(exit_code != 0, f"{name}: accepted")
        demand("hunter2" not in out + err, f"{name}: the value is repeated")
        results.append(compare(name, told(out + err, file.name), place, code))
    return results


def configurations(stage, gateway):
    results = []
    for number, (name, (before, after), code) in enumerate(CONFIGURATIONS):
        file = gateway.folder / f"gateway-{number}.yaml"
        text, place = marked(gateway.file.read_text().replace(before, after, 1))
        file.write_text(text)
        exit_code, out, err = check(stage, gateway, file)
        demand(exit_code != 0, f"{name}: accepted")
        demand("hunter2" not in out + err, f"{name}: the value is repeated")
        results.append(compare(name, told(out + err, file.name), place, code))
    return results


def check(stage, gateway, configuration_file, *manifests):
    command = [stage.program, "check", "--config", configuration_file, *manifests]
    result = stage.children.run(command, cwd=gateway.folder)
    stage.keep("checks", result[1] + result[2])
    return result


def applied(gateway):
    """What only the gateway can know."""
    cases = (
        ("tie", together(BINDING, BINDING.replace("name: triage", "name: other")), "binding.tied"),
        ("undeclared server", BINDING.replace("server: issues", "server: nothing"), "server.undeclared"),
        ("undeclared agent", BINDING.replace("[triage-bot]", "[nobody]"), "agent.undeclared"),
        ("undeclared policy", BINDING.replace("policy: support-calls", "policy: none"), "policy.undeclared"),
        ("Cedar that does not compile", "kind: Policy\nname: bad\nenvironment: dev\ncedar: permit (\n", "policy.invalid"),
    )
    results = []
    for number, (name, text, code) in enumerate(cases):
        file = gateway.folder / f"applied-{number}.yaml"
        file.write_text(text)
        exit_code, out, err = gateway.try_cli("apply", "-f", file)
        found = code if f'"{code}"' in err + out else (err + out).strip()[:200]
        results.append((name, f"exit 1 {code}", f"exit {exit_code} {found}"))
    return results


def write(gateway, reference):
    gateway.apply(binding("stored", reference, "triage-bot"))


def secrets_of_binding(stage, gateway, token):
    """What is wrong with the value shows when it is used."""
    stage.openbao.put("kv/bad/field", stage.mint.make("another field"), field="other")
    stage.openbao.put("kv/bad/empty", "")
    for path, value in (("crlf", "\r\nX-Injected: 1"), ("control", "\x07")):
        stage.openbao.put(f"kv/bad/{path}", stage.mint.make(path).value + value)
    stage.openbao.put("kv/bad/short", "short")
    cases = (
        ("missing secret", "nothing", "503 secret.missing"), ("missing field", "field", "503 secret.missing"),
        ("empty value", "empty", "503 secret.empty"), ("CR LF in a secret", "crlf", "503 secret.unusable"),
        ("control character in a secret", "control", "503 secret.unusable"),
        ("short secret", "short", "503 secret.unusable"),
    )
    results = []
    for name, path, wanted in cases:
        write(gateway, f"bao://kv/bad/{path}#token")
        results.append((name, wanted, post(stage, gateway, token)))
    return results


def ambiguous(stage, gateway):
    """A person of two groups, each with a binding of its own: nobody could see that when they were written."""
    both = [binding(name, "bao://kv/issues/good#token", "").replace("agents: []", f"groups: [{name}]")
            for name in ("red", "blue")]
    gateway.apply(together(*both))
    door = gateway.door("dev", "issues")
    token = stage.issuer.person("dora", door).read_text()
    return [("ambiguous bindings", "409 binding.ambiguous", post(stage, gateway, token))]


def post(stage, gateway, token, body=None, **changed):
    """One request, a good one where nothing is changed; status and code of the answer."""
    headers = modern_headers(token, "echo")
    for name, value in changed.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    body = modern("echo", {"text": "hello"}) if body is None else body
    try:
        answer = request("POST", gateway.door("dev", "issues"), body, headers)
    except (BrokenPipeError, ConnectionResetError):
        return "closed"
    stage.keep("bad-requests", f"{answer.status}\n{answer.text}")
    return f"{answer.status} {answer.code()}"


def requests(stage, gateway, token):
    good = modern("echo", {"text": "hello"})
    limit = 4 << 20

    def case(name, wanted, body=None, **changed):
        return name, wanted, post(stage, gateway, changed.pop("token", token), body, **changed)

    return [
        case("oversized body", "413 request.too_large", modern("echo", {"text": "x" * limit})),
        case("malformed JSON", "400 request.malformed", good[:-1]),
        case("no JSON-RPC", "400 request.malformed", b'{"hello": 1}'),
        case("batch", "400 request.batch", b"[" + good + b"]"),
        case("duplicate key", "400 request.duplicate_key", good[:-1] + b', "method": "tools/list"}'),
        case("header differs from body", "400 request.header_mismatch", Mcp_Name="leak"),
        case("header missing", "400 request.header_mismatch", Mcp_Method=None),
        case("unknown protocol version", "400 request.protocol_version",
             good.replace(b"2026-07-28", b"2031-01-01"), MCP_Protocol_Version="2031-01-01"),
        case("content type", "415 request.content_type", Content_Type="text/plain"),
        case("no token", "401 token.missing", Authorization=None),
        case("no JWT", "401 token.invalid", Authorization="Bearer nonsense"),
        case("unsigned token", "401 token.invalid", Authorization=f"Bearer {token.rpartition('.')[0]}."),
    ]
