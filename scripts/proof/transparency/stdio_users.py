"""Processes with a user of their own each, which only root can start."""

import os

from ..claim import demand
from ..gateway import Gateway
from ..manifests import agent, configuration, environment, policy, together
from ..session import Session
from . import processes

FIRST, COUNT, SESSIONS = 20_000, 50, 3


def judge(stage, whoami):
    if os.geteuid() != 0:
        return "users of their own were not tried: that needs root"
    # A process passes through to its own directory and program, and sees nothing else on the way.
    stage.folder.chmod(0o711)
    folder = stage.folder / "stdio-user-programs"
    folder.mkdir(mode=0o755)
    command = processes.trouble(folder, processes.VARIABLE)
    users = {"first": FIRST, "count": COUNT}
    private = stage.folder / "stdio-user-private"
    more = processes.section([command], users=users, directory=str(private))
    gateway = Gateway(stage, "stdio-users", configuration(stage, ["trouble"], more=more)).start().log_in()
    credential = stage.mint.make("stdio users")
    stage.openbao.put("kv/stdio/users", credential)
    gateway.apply(together(
        environment(), agent(stage, "triage-bot"), policy(condition="true"), processes.server("trouble", command),
        processes.binding("users", "trouble", "bao://kv/stdio/users#token", "triage-bot"),
    ))
    door = gateway.door("dev", "trouble")
    token = stage.issuer.agent("triage-bot", door)
    sessions = [Session(stage, door, token, "stdio-sessions").open() for _ in range(SESSIONS)]
    who = [whoami(session) for session in sessions]
    uids = {one["uid"] for one in who}
    demand(len(uids) == SESSIONS and all(FIRST <= uid < FIRST + COUNT for uid in uids), f"users: {sorted(uids)}")
    demand(all(one["sha256"] == credential.sha256 for one in who), "a process has another credential")
    secrets = [f"/proc/{who[1]['pid']}/environ", f"/proc/{gateway.child.pid}/environ",
               str(gateway.folder / "data" / "state.db"), str(stage.openbao.secret_id_file), who[1]["directory"]]
    for path in secrets:
        said = sessions[0].call("read", {"path": path}).text()
        demand(said == "PermissionError", f"a process could read {path}: {said}")
    own = sessions[0].call("read", {"path": f"/proc/{who[0]['pid']}/environ"}).text()
    demand(own.startswith("read "), f"the control: {own}")
    gateway.stop()
    left = [one["pid"] for one in who if processes.alive(one["pid"])]
    demand(not left, f"{len(left)} processes outlived the gateway's own end")
    return f"as root, {SESSIONS} sessions ran as {SESSIONS} users, and none could read {len(secrets)} places of others"
