"""What SARIF 2.1.0 (OASIS) demands of a document that code scanning takes, as far as ours uses it."""

import re

from ...claim import demand

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"none", "note", "warning", "error"}
STATES = {"new", "unchanged", "updated", "absent"}
# 3.10.2: a relative reference of RFC 3986; what is not unreserved is percent-encoded.
RELATIVE = re.compile(r"(?!/)(?:[A-Za-z0-9/._~-]|%[0-9A-F]{2})+")


def checked(document):
    """The results of the one run, where the document keeps to the standard."""
    demand(document.get("version") == "2.1.0" and document.get("$schema") == SCHEMA, "3.13: version or schema")
    demand(len(document["runs"]) == 1, "3.13.4: one run")
    run = document["runs"][0]
    driver = run["tool"]["driver"]
    demand(isinstance(driver["name"], str) and driver["name"], "3.19.8: the driver has no name")
    rules = [rule["id"] for rule in driver["rules"]]
    demand(rules and len(rules) == len(set(rules)), "3.19.23: rules are not unique")
    for rule in driver["rules"]:
        demand(rule["shortDescription"]["text"], f"3.49.9: {rule['id']} says nothing")
        demand(rule["defaultConfiguration"]["level"] in LEVELS, f"3.50.3: {rule['id']}")
    demand(run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints"), "3.14.17: columnKind")
    for invocation in run["invocations"]:
        demand(isinstance(invocation["executionSuccessful"], bool), "3.20.14: executionSuccessful")
        for note in invocation.get("toolExecutionNotifications", []):
            demand(note["message"]["text"] and note["level"] in LEVELS, "3.58: a notification")
    for result in run["results"]:
        _result(result, rules)
    prints = [next(iter(result["partialFingerprints"].values())) for result in run["results"]]
    demand(len(prints) == len(set(prints)), "two results have one fingerprint: code scanning would merge them")
    return run["results"]


def _result(result, rules):
    demand(rules[result["ruleIndex"]] == result["ruleId"], "3.27.6: ruleIndex and ruleId disagree")
    demand(result["message"]["text"] and result["level"] in LEVELS, "3.27: message or level")
    demand(result.get("baselineState", "new") in STATES, "3.27.24: baselineState")
    demand(all(isinstance(value, str) for value in result["partialFingerprints"].values()), "3.27.17")
    for location in result["locations"]:
        place = location["physicalLocation"]
        demand(RELATIVE.fullmatch(place["artifactLocation"]["uri"]), f"3.4.3: {place['artifactLocation']['uri']}")
        region = place["region"]
        numbers = [region[name] for name in ("startLine", "startColumn", "endLine", "endColumn")]
        demand(all(isinstance(number, int) and number >= 1 for number in numbers), "3.30.5: lines count from 1")
        demand((numbers[0], numbers[1]) < (numbers[2], numbers[3]), "3.30: a region ends before it begins")
        demand("snippet" not in region and "contextRegion" not in place, "a snippet holds the value")
