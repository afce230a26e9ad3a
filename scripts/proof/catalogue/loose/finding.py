"""`adopt` looks: every planted key is found, what only looks like one is left alone, and no value is ever printed."""

import collections
import json
import secrets

from ...claim import demand
from ...keys import secret_folder
from . import sarif
from .corpus import Corpus

# Of the clean values, and of the seeds each run plays: a fresh one first, so that no run repeats another.
TOLERATED = 0.02


def judge(stage):
    seeds = [secrets.randbelow(1 << 32) for _ in range(2 if stage.quick else 8)]
    looks = [Look(stage, seed) for seed in seeds]
    for look in looks:
        look.finds_all()
    false, near = sum(look.false for look in looks), sum(len(look.corpus.near) for look in looks)
    demand(false <= TOLERATED * near, f"{false} of {near} clean values are flagged: {looks[0].flagged}")
    first = looks[0]
    first.reports_keep_silent()
    gone = first.gate()
    known = first.baseline()
    plan = first.plan()
    keys = sum(len(look.corpus.keys) for look in looks)
    rules = collections.Counter(finding["rule"] for look in looks for finding in look.findings)
    return (f"seeds {', '.join(map(str, seeds))}: {len(first.corpus.files)} files each, {keys} of {keys} planted keys found "
            f"by {len(rules)} rules, {false} of {near} clean values flagged ({100 * false / near:.1f} %); no value in "
            f"{first.outputs} outputs; {gone}; {known}; {plan}")


class Look:
    """One corpus on the disk, and what the program says about it."""

    def __init__(self, stage, seed):
        self.stage, self.seed = stage, seed
        self.corpus = Corpus(seed)
        self.folder = self.corpus.write(secret_folder(stage) / f"corpus-{seed}")
        self.outputs, self.flagged = 0, []
        code, report = self.json("adopt", self.folder)
        demand(code == 0, f"seed {seed}: adopt ended with {code}")
        self.findings = report["findings"]
        demand(report["files"] == len(self.corpus.files), f"{report['files']} files of {len(self.corpus.files)}")

    def run(self, *arguments):
        """Runs it, and looks for every value in what it printed."""
        code, out, err = self.stage.children.run([self.stage.program, *arguments])
        printed = (out + err).replace("\n", "")
        shown = [str(key) for key in self.corpus.keys if any(form in printed for form in shapes(key.value))]
        demand(not shown, f"seed {self.seed}: {arguments[1:]} printed the value of {shown[:3]}")
        self.outputs += 1
        return code, out, err

    def json(self, *arguments):
        code, out, _ = self.run("--output", "json", *arguments)
        return code, json.loads(out)

    def finds_all(self):
        missed = [str(key) for key in self.corpus.keys if not self._covered(key)]
        demand(not missed, f"seed {self.seed}: not found: {'; '.join(missed)}")
        false = [one for one in self.findings if not any(key.meets(one) for key in self.corpus.keys)]
        self.flagged = [f"{one['file']}:{one['line']}:{one['column']} {one['rule']}" for one in false]

    @property
    def false(self):
        return len(self.flagged)

    def _covered(self, key):
        """A finding that begins at the key or before, and ends at its end or behind: nothing of it may stay."""
        return any(key.meets(one) and (one["line"], one["column"]) <= key.start
                   and key.end <= (one["end_line"], one["end_column"]) for one in self.findings)

    def reports_keep_silent(self):
        """Each place of one value has one fingerprint, and no other value has it; the next run's are others."""
        prints = collections.defaultdict(set)
        for key in self.corpus.keys:
            exact = [one["fingerprint"] for one in self.findings
                     if (one["file"], one["line"], one["column"]) == (key.file, *key.start)]
            prints[key.value] |= set(exact)
        demand(all(len(found) <= 1 for found in prints.values()), "one value has two fingerprints")
        single = [found for found in prints.values() if found]
        demand(len(set.union(*single)) == len(single), "two values share a fingerprint")
        _, again = self.json("adopt", self.folder)
        both = {one["fingerprint"] for one in again["findings"]} & set.union(*single)
        demand(not both, "fingerprints last longer than a run: values could be tried against a report")
        self.run("adopt", self.folder)

    def gate(self):
        """The exit codes that CI hangs on."""
        cases = {
            "a clean file": (0, "adopt", self.folder / "n03", "--check"),
            "a key": (1, "adopt", self.folder / "c01", "--check"),
            "a key, without --check": (0, "adopt", self.folder / "c01"),
            "no such path": (2, "adopt", self.folder / "nowhere", "--check"),
            "no such baseline": (2, "adopt", self.folder / "n03", "--check", "--baseline", self.folder / "nowhere.json"),
            "two acts at once": (2, "adopt", self.folder / "n03", "--check", "--plan"),
        }
        for what, (expected, *arguments) in cases.items():
            code, out, err = self.run(*arguments)
            demand(code == expected, f"{what}: ended with {code}, not {expected}: {(out + err)[-200:]}")
        return f"{len(cases)} exit codes"

    def baseline(self):
        file = secret_folder(self.stage) / f"baseline-{self.seed}.json"
        code, _, err = self.run("adopt", self.folder, "--baseline", file, "--write-baseline")
        demand(code == 0, f"no baseline: {err}")
        text = file.read_text()
        held = [str(key) for key in self.corpus.keys if key.value in text]
        demand(not held, f"the baseline holds values: {held[:3]}")
        code, _, _ = self.run("adopt", self.folder, "--check", "--baseline", file)
        demand(code == 0, f"what the baseline knows ends with {code}")
        # Lines move, a key appears, a file goes.
        moved, added = self.folder / "t01" / ".env", self.folder / "n08" / ".env"
        before = moved.read_bytes(), added.read_bytes(), (self.folder / "t34/.npmrc").read_bytes()
        moved.write_bytes(b"# moved\n\n" + before[0])
        fresh = self.corpus.forge.make("base62")
        added.write_bytes(before[1] + f"NEW_API_TOKEN={fresh}\n".encode())
        (self.folder / "t34/.npmrc").unlink()
        code, out, _ = self.run("adopt", self.folder, "--check", "--baseline", file, "--format", "sarif")
        demand(code == 1 and fresh not in out, f"a new key ends with {code}")
        results = sarif.checked(json.loads(out))
        new = [one for one in results if one["baselineState"] == "new"]
        places = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in new]
        demand(places == ["n08/.env"], f"new are {places}")
        _, report = self.json("adopt", self.folder, "--baseline", file)
        demand((report["new"], report["gone"]) == (1, 1), f"new {report['new']}, gone {report['gone']}")
        for path, content in zip((moved, added, self.folder / "t34/.npmrc"), before):
            path.write_bytes(content)
        return f"SARIF of {len(results)} results valid, 1 new among them by the baseline"

    def plan(self):
        """Every finding is a move, an object's secret or left to a person by name; nothing is forgotten."""
        manifests = secret_folder(self.stage) / f"manifests-{self.seed}.yaml"
        code, plan = self.json("adopt", self.folder, "--plan", "--owner", "support", "--agent", "triage-bot",
                               "--store", "bao", "--manifests", manifests)
        demand(code == 0, f"no plan: {code}")
        text = manifests.read_text() + json.dumps(plan)
        held = [str(key) for key in self.corpus.keys if any(form in text for form in shapes(key.value))]
        demand(not held, f"the plan holds values: {held[:3]}")
        told = {(one["file"], one["line"], one["column"]) for part in ("changes", "open") for one in plan[part]}
        told |= {tuple(place.rsplit(":", 2)) for move in plan["moves"] for place in move["from"]}
        told = {(file, int(line or 0), int(column or 0)) for file, line, column in told}
        forgotten = [one for one in self.findings if (one["file"], one["line"], one["column"]) not in told]
        demand(not forgotten, f"the plan forgets {forgotten[:2]}")
        return f"a plan of {len(plan['moves'])} moves and {manifests.read_text().count('kind: ')} objects forgets none"


def shapes(value):
    """A value as it would stand in JSON, and broken over lines."""
    return {value.replace("\n", ""), json.dumps(value)[1:-1]}
