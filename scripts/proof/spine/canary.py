"""The leak canary over everything that this run left behind."""

import os

from ..claim import demand
from ..credential import forms
from ..gateway import Gateway, call
from ..manifests import basic, binding, configuration
from ..sweep import Sweep
from ..upstreams import Workshop


def judge(stage):
    leaked = provoke(stage)
    if stage.sabotage == "leak":
        with open(stage.folder / "logs" / "sabotage.log", "w") as log:
            log.write(f'level=TRACE value="{leaked.value}"\n')
    return swept(stage, leaked)


def swept(stage, credential):
    """The sweep itself, over everything so far; `credential` is the one that control forms are made of."""
    sweep = Sweep(stage.mint.needles())
    planted = control(stage, sweep, credential)
    hits, files, size = sweep.folder(stage.folder, excluded(stage))
    demand(not hits, "; ".join(f"{os.path.relpath(path, stage.folder)} holds {', '.join(names[:3])}"
                               for path, names in hits[:5]))
    shown = [name for line in stage.children.arguments for name in sweep.bytes(line)]
    demand(not shown, f"a process had {', '.join(shown[:3])} among its arguments")
    return (f"0 hits for {len(stage.mint.made)} credentials and {len(stage.mint.foreign)} tokens "
            f"({len(sweep.needles)} needles) in {files} files ({size / 1e6:.0f} MB) and "
            f"{len(stage.children.arguments)} command lines; {planted} of {planted} planted forms found")


def provoke(stage):
    """An upstream that gives the credential back in every encoding; a gateway at trace level before it."""
    upstream = Workshop(stage, "canary")
    gateway = Gateway(stage, "canary", configuration(stage, ["issues"]))
    credential = stage.mint.make("canary")
    upstream.accept(credential)
    stage.openbao.put("kv/issues/canary", credential)
    gateway.start().log_in()
    gateway.apply(basic(stage, upstream, [binding("canary", "bao://kv/issues/canary#token", "triage-bot")]))
    door = gateway.door("dev", "issues")
    token = stage.issuer.agent("triage-bot", door)
    answers = [call(stage, door, token, "leak") for _ in range(5)]
    demand(all(answer.status == 200 for answer in answers), f"{answers[0].status} {answers[0].text[:200]}")
    seen = upstream.log.all()
    demand(any(line["credential_sha256"] == credential.sha256 for line in seen), "the upstream never saw the canary")
    upstream.reject(credential)
    call(stage, door, token, "whoami")
    gateway.cli("secret", "check", "bao://kv/issues/canary#token", "--environment", "dev")
    gateway.cli("export")
    gateway.cli("binding", "get", "dev/canary")
    gateway.try_cli("binding", "rotate", "dev/canary", "--to", "bao://kv/issues/nothing#token")
    gateway.cli("audit", "search")
    gateway.keep_metrics()
    gateway.stop()
    return credential


def control(stage, sweep, credential):
    """The sweeper must find each form of a whole value, wherever it begins."""
    folder = stage.folder / "planted"
    folder.mkdir(exist_ok=True)
    listed = forms(credential.value)
    for number, (_, form) in enumerate(listed):
        (folder / str(number)).write_bytes(b"x" * number + form + b"\n")
    hits, _, _ = sweep.folder(folder, set())
    missed = {str(folder / str(number)) for number in range(len(listed))} - {path for path, _ in hits}
    forms_missed = [listed[int(os.path.basename(path))][0] for path in missed]
    demand(not missed, f"the sweeper misses {', '.join(forms_missed)}")
    return len(listed)


def excluded(stage):
    """The stores' own files, the token and login files of their owners, and what was planted.

    The conformance suite's own servers write down each request they get, and there the credential arrives.
    """
    own = [path for path in stage.folder.iterdir() if path.name.startswith("openbao")]
    own += [stage.folder / "tokens", *stage.folder.glob("tokens-*"), stage.folder / "planted"]
    own += stage.folder.glob("*/operator.token")
    own += [*stage.folder.glob("*/data/bootstrap-token"), *stage.folder.glob("*/secret-id")]
    # A browser's profile is its person's, and the keys of a provider are its own; a reader keeps what a page says.
    own += [stage.folder / "browser", *stage.folder.glob("provider-*/keys.json")]
    own += [*stage.folder.glob("reader-*/*.key"), *stage.folder.glob("reader-*/*.header")]
    own += stage.folder.glob("reader-*/agent.json")
    # rsyslogd runs as its own user, and reads its own private key.
    own += stage.folder.glob("sink-*/*.key")
    own += stage.folder.glob("conformance/client-through-*/*/checks.json")
    return {str(path) for path in own}
