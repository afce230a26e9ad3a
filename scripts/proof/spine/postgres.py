"""The same path with PostgreSQL as the state."""

from ..claim import demand
from ..gateway import Gateway, call, succeeded
from ..manifests import basic, binding, configuration
from ..postgres import Postgres
from ..upstreams import Workshop


def judge(stage):
    database = Postgres(stage)
    upstream = Workshop(stage, "postgres")
    text = configuration(stage, ["issues"], state=database.url,
                         more=f"state_password_file: {database.gateway_password}\n")
    gateway = Gateway(stage, "on-postgres", text)
    old, new = stage.mint.make("postgres old"), stage.mint.make("postgres new")
    upstream.accept(old)
    stage.openbao.put("kv/issues/stateful", old)
    gateway.start().log_in()
    gateway.apply(basic(stage, upstream, [binding("stateful", "bao://kv/issues/stateful#token", "triage-bot")]))
    door = gateway.door("dev", "issues")
    token = stage.issuer.agent("triage-bot", door)

    def seen():
        mark = upstream.log.mark()
        answer = call(stage, door, token, "echo", {"text": "hello"})
        lines = [line for line in upstream.log.since(mark) if line["method"] == "tools/call"]
        return answer, {line["credential_sha256"] for line in lines}

    answer, digests = seen()
    demand(succeeded(answer) and digests == {old.sha256}, f"call: {answer.status} {answer.text[:200]}")
    upstream.accept(new)
    stage.openbao.put("kv/issues/stateful", new)
    gateway.cli("binding", "rotate", "dev/stateful")
    answer, digests = seen()
    demand(succeeded(answer) and digests == {new.sha256}, f"after the rotation: {answer.status} {answer.text[:200]}")
    gateway.stop()
    gateway.start()
    answer, digests = seen()
    demand(succeeded(answer), f"after a restart: {answer.status} {answer.text[:200]}")
    gateway.cli("binding", "revoke", "dev/stateful", "--confirm", "stateful")
    answer, digests = seen()
    demand(not succeeded(answer) and not digests, "a call went through after the revocation")
    gateway.keep_metrics()
    gateway.stop()
    code, told = gateway.verify()
    demand(code == 0, f"the chain does not verify: {told[-300:]}")
    return f"applied, called, rotated, restarted, revoked (then {answer.status} {answer.code()}); chain verified"
