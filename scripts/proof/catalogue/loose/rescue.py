"""`adopt --write`: from loose keys to the brokered path in one command, into a real OpenBao and through a real server,
and back again from any point."""

import json
import os
import random
import secrets
import signal
import threading
import time

from ...claim import demand
from ...gateway import Gateway, call, succeeded
from ...keys import secret_folder
from ...manifests import configuration, environment, together
from ...processes import until
from ...sweep import Sweep
from ...upstreams import Everything
from . import paste
from .home import CLIENTS, Home

AGENT = """kind: Agent
name: adopter
environments: [dev]
owner: support
purpose: uses what was adopted
risk_ceiling: write
proofs: [agent_token]
"""
WRITABLE = "    writable: [kv/adopted/]\n"


class House:
    """A gateway that may write to the store, a server behind a gate, and a home."""

    def __init__(self, stage):
        self.stage = stage
        stage.openbao.writable("adopted")
        self.upstream = Everything(stage, "adopt")
        self.gateway = Gateway(stage, "adopt", configuration(stage, ["issues"], paths=WRITABLE))
        self.gateway.start().log_in()
        self.gateway.apply(together(environment(), AGENT))
        self.journal = stage.folder / "adopt-journal"
        self.count = 0

    def home(self, files=None):
        self.count += 1
        home = Home(secret_folder(self.stage) / f"home-{self.count}", self.stage, self.upstream.url, files)
        for key in home.keys.values():
            self.upstream.accept(key)
        return home

    def arguments(self, home, gateway=None):
        return ["adopt", home.folder, "--write", "--owner", "support", "--agent", "adopter", "--store", "bao",
                "--below", "kv/adopted", "--gateway", gateway or self.gateway.public_url, "--journal", self.journal]

    def adopt(self, home, expect):
        code, out, err = self.gateway.try_cli(*self.arguments(home))
        self.silent(out + err)
        demand(code == expect, f"adopt --write ended with {code}: {(out + err)[-600:]}")
        return json.loads(out) if out.strip() else {}

    def start(self, home):
        """The same without waiting; what it prints goes to a log, which the sweep reads."""
        gateway = self.gateway
        command = [self.stage.program, "--control", gateway.control, "--token-file", gateway.token_file,
                   *self.arguments(home)]
        return self.stage.children.start("adopt-run", command, cwd=gateway.folder)

    def undo(self, number, values=None, expect=0):
        """With the values as the store's owner reads them, or with references in their place."""
        command = [self.stage.program, "--output", "json", "adopt", "undo", number, "--journal", self.journal]
        more = {}
        if values is not None:
            command.append("--values-stdin")
            more["input"] = json.dumps(values)
        code, out, err = self.stage.children.run(command, **more)
        self.silent(out + err)
        demand(code == expect, f"undo ended with {code}: {(out + err)[-400:]}")
        return json.loads(out) if out.strip() else {}

    def listed(self):
        command = [self.stage.program, "--output", "json", "adopt", "undo", "--journal", self.journal]
        return json.loads(self.stage.children.run(command)[1])["adoptions"]

    def values(self, references):
        """reference -> value, as an administrator of the store reads it."""
        found = {}
        for reference in references:
            path, _, field = reference.removeprefix("bao://").partition("#")
            found[reference] = self.stage.openbao.read(path)[field]
        return found

    def silent(self, text):
        shown = Sweep(self.stage.mint.needles()).bytes(text.encode())
        demand(not shown, f"the command printed {shown[:2]}")

    def swept(self, home):
        """No value in any file of the home, the journal, the gateway or the logs, nor in an argument."""
        sweep = Sweep(self.stage.mint.needles())
        private = {str(path) for path in (self.gateway.token_file, self.gateway.folder / "data" / "bootstrap-token")}
        files = 0
        for folder in (home.folder, self.journal, self.gateway.folder, self.stage.folder / "logs",
                       self.stage.folder / "shown"):
            hits, read, _ = sweep.folder(folder, private)
            demand(not hits, f"{hits[0][0]} holds {hits[0][1][:2]}" if hits else "")
            files += read
        shown = [name for line in self.stage.children.arguments for name in sweep.bytes(line)]
        demand(not shown, f"a process had {shown[:2]} among its arguments")
        return files


def judge(stage):
    house = House(stage)
    home = house.home()
    moved, after = adopted(house, home)
    pasted = paste.judged(house, home.answer["adopted"][0]["url"])
    if stage.sabotage == "left":
        path, content = next(iter(home.before.items()))
        (home.folder / f"{path}.old").write_bytes(content)
    files = house.swept(home)
    back = undone(house, home)
    crashes = killed(house, home, after, 3 if stage.quick else 10)
    awkward = stubborn(house)
    meanwhile = disturbed(house)
    outage = store_down(house)
    return (f"{len(home.keys)} clients' files, {moved}; {pasted}; no value in {files} files nor in "
            f"{len(stage.children.arguments)} command lines; {back}; {crashes}; {awkward}; {meanwhile}; {outage}")


def adopted(house, home):
    """Everything at once; the calls before and after are in the gate's own log."""
    mark, modes = house.upstream.log.mark(), home.modes()
    answer = house.adopt(home, 0)
    demand(not answer["left"], f"left: {answer['left'][:2]}")
    done = {one["file"]: one for one in answer["adopted"]}
    demand(set(done) == set(home.before), f"not adopted: {sorted(set(home.before) - set(done))}")
    demand(all(one["before"] == "works" for one in done.values()), "a key was not tried before")
    arrived = len(house.upstream.log.since(mark))
    demand(arrived >= 2 * len(done), f"the gate saw {arrived} requests for {len(done)} servers before and after")
    after = home.now()
    demand(set(after) == set(home.before), f"files came or went: {sorted(set(after) ^ set(home.before))}")
    for path, content in after.items():
        demand(content != home.before[path], f"{path} did not change")
        demand((b"\r\n" in content) == (b"\r\n" in home.before[path]) and
               content.startswith(b"\xef\xbb\xbf") == home.before[path].startswith(b"\xef\xbb\xbf"),
               f"{path}: line breaks or byte order mark changed")
        if b"\r\n" in content:
            demand(b"\n" not in content.replace(b"\r\n", b""), f"{path}: line breaks are mixed")
        demand(done[path]["url"].encode() in content, f"{path} does not point at the gateway")
    demand(home.modes() == modes, "permissions changed")
    code, report, _ = house.gateway.try_cli("adopt", home.folder, "--check")
    demand(code == 0, f"what was adopted is not clean: {report[-300:]}")
    token = issued(house)
    for one in done.values():
        made = call(house.stage, one["url"], token, "echo", {"message": "adopted"})
        demand(succeeded(made), f"{one['file']}: the call through the gateway: {made.status} {made.text[:200]}")
    home.answer = answer
    return f"{len(done)} keys in OpenBao, called before and after", after


def issued(house):
    file = secret_folder(house.stage) / f"adopter-{secrets.token_hex(4)}.token"
    house.gateway.cli("agent", "token", "issue", "adopter", "--environment", "dev", "--write", file)
    return house.stage.mint.also("the adopter's token", file.read_text().strip())


def undone(house, home):
    """Once with references, then with the values: the bytes are those from before."""
    number = home.answer["id"]
    references = {one["file"]: one["reference"] for one in home.answer["adopted"]}
    after = home.now()
    house.undo(number)
    for path, content in home.now().items():
        key = home.keys[path].value
        for written in (key, json.dumps(key)[1:-1]):
            wanted = home.before[path].replace(written.encode(), references[path].encode())
            if content == wanted:
                break
        else:
            demand(False, f"{path}: undone it is not what it was but for the value")
    house.swept(home)
    for path, content in after.items():
        (home.folder / path).write_bytes(content)
    house.undo(number, house.values(references.values()))
    demand(home.now() == home.before, "with the values, undoing is not byte for byte")
    return "undone with references, and with the values byte for byte"


def killed(house, home, after, rounds):
    """Ended by SIGKILL while files change. The moment is a count of changed files and no time: a fast disk takes all of
    them within milliseconds, and a run that was over before its end came is begun anew."""
    dice = random.Random()
    states, middle, runs = {"old": 0, "new": 0}, 0, 0
    while middle < rounds:
        demand(runs < 10 * rounds, f"of {runs} runs only {middle} were ended in the middle")
        runs += 1
        known = {one["id"] for one in house.listed()}
        child = house.start(home)
        if runs % 5 == 0:
            time.sleep(dice.uniform(0, 0.8))
        else:
            changing(house, home, child, dice.randrange(len(home.before)))
        child.end(signal.SIGKILL)
        files = {path: content for path, content in home.now().items() if not path.endswith(".new")}
        for path, content in files.items():
            demand(content in (home.before[path], after[path]), f"{path} is neither as it was nor as it becomes")
            states["old" if content == home.before[path] else "new"] += 1
        begun = [one for one in house.listed() if one["id"] not in known]
        middle += bool(begun) and child.process.returncode == -signal.SIGKILL
        for one in begun:
            house.undo(one["id"], house.values(one["references"]))
        demand(home.now() == home.before, f"run {runs}: undoing after SIGKILL is not byte for byte")
    return (f"{middle} SIGKILLs in the middle of {runs} runs left {states['old']} files old and {states['new']} new, none "
            "half, and each undid byte for byte")


def changing(house, home, child, count):
    """Returns when so many files have changed, or the run is over. Without a pause once the journal is there."""
    journals = set(house.journal.glob("*.json"))
    places = [home.folder / path for path in home.before]
    before = [place.stat().st_ino for place in places]
    until("a journal is kept or the run ends",
          lambda: set(house.journal.glob("*.json")) - journals or not child.alive(), 60, 0.0005)
    until(f"{count} files changed or the run ends",
          lambda: sum(place.stat().st_ino != old for place, old in zip(places, before)) >= count or not child.alive(),
          60, 0)


def stubborn(house):
    """Read-only files, second names and links stay, and the others are adopted all the same."""
    templates = {path: CLIENTS[path] for path in (".cursor/mcp.json", "repo/.mcp.json", ".gemini/settings.json")}
    home = house.home(templates)
    readonly, linked = home.folder / ".cursor/mcp.json", home.folder / "repo/.mcp.json"
    readonly.chmod(0o440)
    outside = secret_folder(house.stage) / "second-name.json"
    os.link(linked, outside)
    target = secret_folder(house.stage) / "elsewhere.json"
    target.write_bytes(home.before["repo/.mcp.json"])
    (home.folder / "link.json").symlink_to(target)
    answer = house.adopt(home, 1)
    left = json.dumps(answer["left"])
    demand("read-only" in left and "hard link" in left, f"left: {left[:300]}")
    demand([one["file"] for one in answer["adopted"]] == [".gemini/settings.json"], "the others were not adopted")
    now = home.now()
    demand(now[".cursor/mcp.json"] == home.before[".cursor/mcp.json"], "a read-only file changed")
    demand(now["repo/.mcp.json"] == home.before["repo/.mcp.json"] == target.read_bytes(), "a link's file changed")
    house.undo(answer["id"], house.values({one["reference"] for one in answer["adopted"]}))
    return "read-only, hard-linked and linked files untouched and told"


def disturbed(house):
    """Somebody saves a file while it is adopted: theirs stays, and nobody's edit is lost."""
    home = house.home({"librechat.yaml": CLIENTS["librechat.yaml"], "repo/.mcp.json": CLIENTS["repo/.mcp.json"]})
    mark, edited = house.upstream.log.mark(), home.before["librechat.yaml"] + b"# saved meanwhile\n"

    def save():
        until("the first key is tried", lambda: house.upstream.log.since(mark), 30, 0.001)
        (home.folder / "librechat.yaml").write_bytes(edited)

    saver = threading.Thread(target=save)
    saver.start()
    answer = house.adopt(home, 1)
    saver.join()
    demand("changed while it was adopted" in json.dumps(answer["left"]), f"left: {answer['left']}")
    demand(home.now()["librechat.yaml"] == edited, "an edit was lost")
    demand([one["file"] for one in answer["adopted"]] == ["repo/.mcp.json"], "the other was not adopted")
    return "a file saved meanwhile kept"


def store_down(house):
    """The store goes away when the first key is tried: no file changes; then it is back, and all is adopted."""
    home = house.home()
    mark = house.upstream.log.mark()

    def stop():
        until("the first key is tried", lambda: house.upstream.log.since(mark), 30, 0.001)
        house.stage.openbao.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    code, out, err = house.gateway.try_cli(*house.arguments(home))
    stopper.join()
    house.silent(out + err)
    demand(code not in (0, 101), f"without its store adopt --write ended with {code}")
    now = home.now()
    adopted = json.loads(out)["adopted"] if out.strip().startswith("{") and '"adopted"' in out else []
    changed = {path for path in now if now[path] != home.before[path]}
    demand(changed == {one["file"] for one in adopted}, f"changed without being told: {sorted(changed)}")
    house.stage.openbao.start_again()
    until("the gateway reaches its store again", lambda: house.gateway.try_cli(*house.arguments(home))[0] == 0, 60, 1)
    house.swept(home)
    return f"store stopped in the middle: exit {code}, {len(changed)} files changed; adopted once it was back"
