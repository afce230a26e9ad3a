"""Directly against through the gateway: check by check, body by body, and in absolute numbers."""

import json
import re
from collections import Counter, defaultdict

from ..claim import demand

# A pass that nobody counted proves nothing: no run may find fewer passing checks than were found when these
# numbers were written down, with suite 0.2.0-alpha.12 and rmcp 3.11.0.
FLOOR = {
    ("server", "2025-11-25"): 84,
    ("server", "2026-07-28"): 197,
    ("client", "2025-11-25"): 20,
    ("client", "2026-07-28"): 64,
}
# What no two runs have in common, whoever is between them; and the address, which is another one by nature.
VOLATILE = {
    "taskId", "createdAt", "lastUpdatedAt", "requestState", "requestStateSent", "requestStateReceived", "sessionId",
    "sessionIdSent", "subscriptionId", "io.modelcontextprotocol/subscriptionId", "actualDelayMs",
    # How often a task was asked for its state is a matter of time.
    "messagesValidated",
    # Which of several streams opened at once gets which event id.
    "event",
}
# A refusal of the gateway's own carries this; the suite judges its status and code, the wording is ours.
OWN_REFUSAL = '"fixer": '
ADDRESS = re.compile(r"(127\.0\.0\.1|localhost):\d+")
COUNTED = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED")


class Comparison:
    """Two runs of one leg at one revision."""

    def __init__(self, leg, revision, requirements, direct, through):
        self.leg, self.revision, self.requirements = leg, revision, requirements
        self.direct, self.through = direct, through

    def differences(self):
        """Each check that came out another way: (direct, through, scenario, check, name, status)."""
        direct, through = self.direct.checks(), self.through.checks()
        return [(direct[key], through[key], *key) for key in sorted(direct.keys() | through.keys())
                if direct[key] != through[key]]

    def bodies(self):
        """Each check for which the suite saw something else, though its verdict was the same: (direct, through, key).

        A verdict can be reached with a wrong body: `tools-call-simple-text` is content with an error. Where the
        gateway refused by itself what the upstream would have refused, codes and statuses are compared.
        """
        direct, through = seen(self.direct), seen(self.through)
        for key in sorted(direct.keys() | through.keys()):
            here, there = direct[key], through[key]
            if any(OWN_REFUSAL in text for text in there):
                here, there = coded(here), coded(there)
            if here != there:
                yield here, there, key

    def refused_here(self):
        """In how many checks the gateway's own refusal stood for the upstream's."""
        return sum(any(OWN_REFUSAL in text for text in noted) for noted in seen(self.through).values())

    def missing(self, run):
        """Scenarios without a single passed check, of those that the revision requires; or not run at all."""
        passed = {scenario for scenario, _, _, status in run.checks() if status == "SUCCESS"}
        return [name for name in self.requirements.required if name not in passed] + [
            name for name in self.requirements.unscored if name not in run.scenarios]

    def failed(self, run):
        """Checks of required scenarios that failed, or that only warn."""
        return [key for key in sorted(run.checks())
                if key[3] in ("FAILURE", "WARNING") and key[0] in self.requirements.required]

    def rows(self):
        """The table: one line a scenario that is not all passes on both sides, and the sums."""
        yield f"{self.leg}, {self.revision}: scenario | direct: passed failed warned skipped | through: the same"
        for scenario in self.requirements.all():
            sides = [tuple(run.count(status, scenario) for status in COUNTED) for run in (self.direct, self.through)]
            mark = " " if sides[0] == sides[1] else "!"
            yield f"{mark} {scenario:<48} {numbers(sides[0])}  |  {numbers(sides[1])}"
        sums = [tuple(run.count(status) for status in COUNTED) for run in (self.direct, self.through)]
        yield f"  {'sum':<48} {numbers(sums[0])}  |  {numbers(sums[1])}"
        for direct, through, scenario, check, name, status in self.differences():
            yield f"! {scenario}: {check} ({name}): {status} {direct} times directly, {through} through the gateway"
        for direct, through, key in self.bodies():
            yield f"! {key[0]}: {key[1]} ({key[2]}): seen directly {only(direct, through)}"
            yield f"! {' ' * len(key[0])}  through the gateway {only(through, direct)}"

    def judge(self):
        """Fails unless both runs are complete, nothing required failed, and they are equal. Returns the figure."""
        where = f"{self.leg} {self.revision}"
        for side, run in (("directly", self.direct), ("through the gateway", self.through)):
            missing, failed = self.missing(run), self.failed(run)
            demand(not missing, f"{where}: {side} nothing passed in {', '.join(missing)}")
            demand(not failed, f"{where}: {side} {len(failed)} required checks failed: {named(failed)}")
            floor = FLOOR[self.leg, self.revision]
            demand(run.count("SUCCESS") >= floor,
                   f"{where}: {side} only {run.count('SUCCESS')} checks passed where {floor} did before")
        differences = self.differences()
        demand(not differences, f"{where}: {len(differences)} checks came out another way: "
                                f"{named([entry[2:] for entry in differences])}")
        bodies = [key for _, _, key in self.bodies()]
        demand(not bodies, f"{where}: in {len(bodies)} checks the suite saw other bodies: "
                           f"{', '.join('/'.join(key[:2]) for key in bodies[:6])}")
        return (f"{len(self.direct.scenarios)} scenarios; directly {self.direct.count('SUCCESS')} passed and "
                f"{self.direct.count('FAILURE')} failed, through the gateway {self.through.count('SUCCESS')} and "
                f"{self.through.count('FAILURE')}; difference: 0 checks, 0 bodies "
                f"({self.refused_here()} of them our own refusals, by code)")


def seen(run):
    """What each check of a run notes down of the answers that it judged, without what is different each time."""
    noted = defaultdict(Counter)
    for scenario, checks in run.scenarios.items():
        for check in checks:
            if check["status"] != "INFO":
                noted[scenario, check["id"], check["name"]][json.dumps(steady(check.get("details")))] += 1
    return noted


def steady(value):
    if isinstance(value, dict):
        return {name: steady(member) for name, member in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [steady(member) for member in value]
    return ADDRESS.sub("ADDRESS", value) if isinstance(value, str) else value


def coded(noted):
    """The same without the words of refusals."""
    plain = Counter()
    for text, count in noted.items():
        plain[json.dumps(wordless(json.loads(text)))] += count
    return plain


def wordless(value):
    if isinstance(value, dict):
        error = value.get("error")
        if isinstance(error, dict) and "code" in error:
            value = {**value, "error": {"code": error["code"]}}
        # The body of a refusal before the protocol is spoken is nobody's to prescribe.
        return {name: wordless(member) for name, member in value.items() if name != "body"}
    return [wordless(member) for member in value] if isinstance(value, list) else value


def only(here, there):
    return " ".join(f"{text[:400]} ({count} times)" for text, count in (here - there).items()) or "nothing"


def numbers(counts):
    return " ".join(f"{count:>4}" for count in counts)


def named(keys):
    listed = [f"{scenario}/{name} {status}" for scenario, _, name, status in keys[:6]]
    return "; ".join(listed + (["…"] if len(keys) > 6 else []))
