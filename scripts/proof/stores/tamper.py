"""The evidence, tampered with in many places: `audit verify` finds each and names the first bad record.

The tamperer knows the chain's format from docs/audit.md alone, and re-hashes and re-signs as anybody can who holds
the files. What it expects to be named it works out from where it laid its hand, never from the verifier.
"""

import datetime
import hashlib
import json
import shutil
import struct

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..keys import base64url, openssl, secret_folder
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..processes import until
from ..upstreams import Workshop

SMALL = ", segment_bytes: 8192, checkpoint_seconds: 1, checkpoint_records: 20"
KEEP = ", retention: { max_bytes: 60000, archive: ./data/archive }"
DOMAINS = {"header": b"mcpgw.audit.seg1", "record": b"mcpgw.audit.rec1", "checkpoint": b"mcpgw.audit.ckp1",
           "anchor": b"mcpgw.audit.anc1", "handover": b"mcpgw.audit.key1"}


def number(value):
    return struct.pack(">Q", value)


class Forger:
    """An Ed25519 key that no verifier was told of."""

    def __init__(self, stage):
        self.folder = secret_folder(stage)
        self.file = self.folder / "forger.pem"
        pem = openssl("genpkey", "-algorithm", "ed25519").decode()
        stage.private(self.file, pem)
        stage.mint.also("the forger's private key", pem.splitlines()[1])
        self.x = base64url(openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-32:])
        thumb = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": self.x}, separators=(",", ":"))
        self.key_id = base64url(hashlib.sha256(thumb.encode()).digest())

    def sign(self, message):
        file = self.folder / "message"
        file.write_bytes(message)
        return base64url(openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", file))

    def checkpoint(self, said):
        said = {**said, "key_id": self.key_id}
        body = (DOMAINS["checkpoint"] + bytes.fromhex(said["chain"]) + number(said["sequence"]) + bytes.fromhex(said["hash"])
                + number(said["epoch"]) + number(micros(said["time"])) + number(len(self.key_id)) + self.key_id.encode())
        return {"checkpoint": said, "signature": self.sign(body)}

    def anchor(self, said):
        said = {**said, "key_id": self.key_id}
        body = (DOMAINS["anchor"] + bytes.fromhex(said["chain"]) + number(said["segment"]) + number(said["sequence"])
                + bytes.fromhex(said["hash"]) + number(said["recorded"]) + number(micros(said["time"]))
                + number(len(self.key_id)) + self.key_id.encode())
        return {"anchor": said, "signature": self.sign(body)}

    def handover(self, said):
        body = (DOMAINS["handover"] + bytes.fromhex(said["chain"]) + number(said["sequence"]) + number(micros(said["time"]))
                + b"".join(number(len(key)) + key.encode() for key in (said["from"], said["to"])))
        return {"handover": said, "signature": self.sign(body)}


def micros(time):
    """RFC 3339 in UTC as microseconds since 1970, without rounding."""
    whole, _, fraction = time.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp()) * 1_000_000 + int(fraction.ljust(6, "0")[:6] or 0)


class Copy:
    """One copy of an audit directory, in the tamperer's hands."""

    def __init__(self, folder):
        self.folder = folder

    # Segments

    def numbers(self):
        return sorted(int(path.name[8:-6]) for path in self.folder.glob("segment-*.jsonl"))

    def path(self, segment):
        return self.folder / f"segment-{segment:08}.jsonl"

    def lines(self, segment):
        return self.path(segment).read_bytes().splitlines(keepends=True)

    def write(self, segment, lines):
        self.path(segment).write_bytes(b"".join(lines))

    def find(self, sequence):
        """(segment, index of the line) of a record."""
        for segment in self.numbers():
            for index, line in enumerate(self.lines(segment)):
                if line.startswith(b'{"seq":%d,' % sequence):
                    return segment, index
        raise AssertionError(f"no record {sequence}")

    def first(self, segment):
        return json.loads(self.lines(segment)[0])["first"]

    def last(self):
        return json.loads(self.lines(self.numbers()[-1])[-1])["seq"]

    # What is signed

    def signed(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def sign(self, name, documents):
        text = "".join(json.dumps(document, separators=(",", ":")) + "\n" for document in documents)
        (self.folder / name).write_text(text)

    def vouched(self):
        return [document["checkpoint"]["sequence"] for document in self.signed("checkpoints.jsonl")]

    def vouched_from(self, sequence):
        """The first record from this one on for which a checkpoint vouches."""
        return min(found for found in self.vouched() if found >= sequence)

    # Forgery

    def rechain(self, change, start, chain=None):
        """Writes the whole chain anew, with `change(sequence, event bytes)` applied, so that it fits in itself."""
        link, hashes = None, {}
        for segment in self.numbers():
            lines = self.lines(segment)
            head = json.loads(lines[0])
            head["chain"] = chain or head["chain"]
            head["prev"] = link or head["prev"]
            head["hash"] = link = header_hash(head)
            written = [json.dumps(head, separators=(",", ":")).encode() + b"\n"]
            for line in lines[1:]:
                sequence, event = json.loads(line)["seq"], event_of(line)
                event = change(sequence, event) if sequence >= start else event
                text = record(sequence, link, event)
                link = json.loads(text)["hash"]
                hashes[sequence] = link
                written.append(text)
            self.write(segment, written)
        return hashes


def event_of(line):
    begin = line.index(b'"event":') + len(b'"event":')
    return line.rstrip(b"\n")[begin:-len(b',"hash":"' + b"0" * 64 + b'"}')]


def record(sequence, link, event):
    body = DOMAINS["record"] + number(sequence) + bytes.fromhex(link) + number(len(event)) + event
    found = hashlib.sha256(body).hexdigest()
    return b'{"seq":%d,"prev":"%s","event":%s,"hash":"%s"}\n' % (sequence, link.encode(), event, found.encode())


def header_hash(head):
    body = (DOMAINS["header"] + number(head["segment"]) + bytes.fromhex(head["chain"]) + number(head["first"])
            + number(head["epoch"]) + number(head["open_from"]) + bytes.fromhex(head["prev"]))
    return hashlib.sha256(body).hexdigest()


def flip(text, at):
    """Another byte of the same kind in its place: `text` stays what it was to a parser."""
    other = b"b" if text[at:at + 1] != b"b" else b"c"
    return text[:at] + other + text[at + 1:]


def evil(_, event):
    """The event, about another tool or at another time."""
    changed = event.replace(b'"echo"', b'"ecko"').replace(b'"time":"20', b'"time":"19')
    return changed


# Each tampering: (name, function of a copy -> (segments that may be named, sequence that must be))


def with_records(at):
    """Those on the record `at`, in one segment."""
    def edit(change, named):
        def tamper(copy):
            segment, index = copy.find(at)
            lines = copy.lines(segment)
            more = change(lines, index, copy)
            copy.write(segment, lines)
            return (segment, segment + 1), named if more is None else more
        return tamper

    def put(lines, index, line):
        lines[index] = line

    def rehash(lines, index, copy):
        old = json.loads(lines[index])
        lines[index] = record(at, old["prev"], evil(at, event_of(lines[index])))
        # The record fits in itself now: whoever follows it, or vouches for it, tells.
        return at if at in copy.vouched() else at + 1

    def swap(lines, index, _):
        lines[index], lines[index + 1] = lines[index + 1], lines[index]

    def rewrite(copy):
        copy.rechain(evil, at)
        return None, copy.vouched_from(at)

    place = f"record {at}"
    return [
        (f"{place} deleted", edit(lambda lines, index, _: lines.pop(index) and None, at)),
        (f"{place} doubled", edit(lambda lines, index, _: lines.insert(index, lines[index]), at + 1)),
        (f"{place}: its event changed", edit(lambda lines, index, _: put(lines, index, evil(at, lines[index])), at)),
        (f"{place}: its hash changed", edit(lambda lines, index, _: put(lines, index, flip(lines[index], -10)), at)),
        (f"{place}: its predecessor changed",
         edit(lambda lines, index, _: put(lines, index, flip(lines[index], lines[index].index(b'"prev"') + 12)), at)),
        (f"{place}: a space added", edit(lambda lines, index, _: put(lines, index, lines[index].replace(b",", b", ", 1)), at)),
        (f"{place} moved behind the next", edit(swap, at)),
        (f"{place} changed and hashed anew", edit(rehash, at)),
        (f"everything from {place} on chained anew", rewrite),
    ]


def with_segments(copy_of):
    """Those on whole segments; `copy_of` is what they begin with."""
    numbers = copy_of.numbers()
    first, middle, last = numbers[0], numbers[len(numbers) // 2], numbers[-1]

    def remove(segment):
        def tamper(copy):
            at = copy.first(segment)
            copy.path(segment).unlink()
            return (segment - 1, segment), at
        return tamper

    def double(copy):
        shutil.copy(copy.path(middle), copy.path(last + 1))
        return (last + 1,), copy.last_of(last) + 1

    def exchange(copy):
        at, one, other = copy.first(middle), copy.lines(middle), copy.lines(middle + 1)
        copy.write(middle, other)
        copy.write(middle + 1, one)
        return (middle,), at

    def header(change):
        def tamper(copy):
            at, lines = copy.first(middle), copy.lines(middle)
            change(lines)
            copy.write(middle, lines)
            return (middle,), at
        return tamper

    def raise_epoch(lines):
        head = json.loads(lines[0])
        head["epoch"] += 1
        lines[0] = json.dumps(head, separators=(",", ":")).encode() + b"\n"

    def raise_and_hash(lines):
        head = json.loads(lines[0])
        head["open_from"] += 1
        head["hash"] = header_hash(head)
        lines[0] = json.dumps(head, separators=(",", ":")).encode() + b"\n"

    def rehashed_header(copy):
        header(raise_and_hash)(copy)
        # The header fits in itself: its first record no longer follows it.
        return (middle,), copy.first(middle)

    def torn(copy):
        lines = copy.lines(middle)
        at = json.loads(lines[-1])["seq"]
        copy.write(middle, [*lines[:-1], lines[-1][:-30]])
        return (middle,), at

    def empty(copy):
        at = copy.first(middle)
        copy.write(middle, [])
        return (middle,), at

    def other_chain(copy):
        copy.rechain(lambda _, event: event, 1, chain="ab" * 16)
        return None, copy.vouched_from(1)

    return [
        ("the first segment removed", remove(first)), ("a middle segment removed", remove(middle)),
        ("the last segment removed", remove(last)), ("a segment doubled as the newest", double),
        ("two segments exchanged", exchange), ("a header's epoch changed", header(raise_epoch)),
        ("a header changed and hashed anew", rehashed_header), ("a header removed", header(lambda lines: lines.pop(0) and None)),
        ("a segment's end torn off", torn), ("a segment emptied", empty), ("all of it as another chain", other_chain),
    ]


def with_ends():
    """Those that cut the chain's end off."""
    def cut(count):
        def tamper(copy):
            at = copy.last() - count + 1
            for segment in copy.numbers():
                lines = [line for line in copy.lines(segment) if not is_from(line, at)]
                if len(lines) > 1:
                    copy.write(segment, lines)
                else:
                    copy.path(segment).unlink()
            return None, at
        return tamper

    def with_checkpoints(copy):
        _, at = cut(25)(copy)
        copy.sign("checkpoints.jsonl", [document for document in copy.signed("checkpoints.jsonl")
                                        if document["checkpoint"]["sequence"] < at])
        return None, at

    def everything(copy):
        for segment in copy.numbers():
            copy.path(segment).unlink()
        return None, 1

    return [("the last record cut off", cut(1)), ("the last 25 records cut off", cut(25)),
            ("the last 25 records and their checkpoints cut off", with_checkpoints), ("every segment removed", everything)]


def is_from(line, at):
    return line.startswith(b'{"seq":') and json.loads(line)["seq"] >= at


def with_checkpoints(forger):
    """Those on what the gateway signed."""
    name = "checkpoints.jsonl"

    def edit(change):
        def tamper(copy):
            documents = copy.signed(name)
            at = documents[len(documents) // 2]["checkpoint"]["sequence"]
            change(documents, len(documents) // 2)
            copy.sign(name, documents)
            return None, at
        return tamper

    def said(field, value):
        def change(documents, index):
            documents[index]["checkpoint"][field] = value
        return edit(change)

    def signature(documents, index):
        text = documents[index]["signature"]
        documents[index]["signature"] = ("B" if text[0] == "A" else "A") + text[1:]

    def resigned(documents, index):
        documents[index] = forger.checkpoint(documents[index]["checkpoint"])

    def removed(copy):
        at = min(copy.vouched())
        (copy.folder / name).unlink()
        return None, at

    def garbage(copy):
        lines = (copy.folder / name).read_text().splitlines()
        middle = len(lines) // 2
        before = json.loads(lines[middle - 1])["checkpoint"]["sequence"]
        lines[middle] = "{}"
        (copy.folder / name).write_text("\n".join(lines) + "\n")
        # It stood behind that one, for a record after.
        return None, before + 1

    def history(copy):
        """A new history from the middle on, with checkpoints of the forger's."""
        start = copy.last() // 2
        old = copy.signed(name)
        at = copy.vouched_from(start)
        hashes = copy.rechain(evil, start)
        copy.sign(name, [document if document["checkpoint"]["sequence"] < start else forger.checkpoint(
            {**document["checkpoint"], "hash": hashes[document["checkpoint"]["sequence"]]}) for document in old])
        return None, at

    return [
        ("the checkpoints' file removed", removed), ("a checkpoint removed", edit(lambda documents, index: documents.pop(index))),
        ("a checkpoint's hash changed", said("hash", "0" * 64)), ("a checkpoint's time changed", said("time", "2020-01-01T00:00:00Z")),
        ("a checkpoint's epoch changed", said("epoch", 99_999)), ("a checkpoint's signature changed", edit(signature)),
        ("a checkpoint signed by another key", edit(resigned)), ("a checkpoint made unreadable", garbage),
        ("history rewritten and signed by another key", history),
    ]


def with_keys(forger):
    """Those on who follows whom."""
    name = "checkpoint-keys.jsonl"

    def second(copy):
        """The first record for which only the second key vouches."""
        keys = [document["checkpoint"]["key_id"] for document in copy.signed("checkpoints.jsonl")]
        return next(at for at, key in zip(copy.vouched(), keys) if key != keys[0])

    def removed(copy):
        (copy.folder / name).unlink()
        return None, second(copy)

    def later(copy):
        documents = copy.signed(name)
        documents[0]["handover"]["sequence"] = copy.last() + 1000
        copy.sign(name, documents)
        return None, second(copy)

    def stolen(copy):
        documents = copy.signed(name)
        at = documents[0]["handover"]["sequence"]
        copy.sign(name, [forger.handover({**documents[0]["handover"], "to": forger.x})])
        return None, at

    return [("the handover of the keys removed", removed), ("a handover's end moved", later),
            ("a handover to the forger's key", stolen)]


def with_anchors(forger):
    """Those on a chain whose first segments were removed on purpose."""
    name = "anchors.jsonl"

    def removed(copy):
        (copy.folder / name).unlink()
        return (1,), 1

    def edited(field, value):
        def tamper(copy):
            documents = copy.signed(name)
            for document in documents:
                document["anchor"][field] = value(document["anchor"][field])
            copy.sign(name, documents)
            return (1,), 1
        return tamper

    def one_more(copy):
        first = copy.numbers()[0]
        at = copy.first(first)
        copy.path(first).unlink()
        return (first,), at

    def forged(copy):
        """One more segment goes, and an anchor of the forger's says that it may."""
        first = copy.numbers()[0]
        at, lines = copy.first(first), copy.lines(first)
        documents = copy.signed(name)
        said = {**documents[-1]["anchor"], "segment": first, "sequence": json.loads(lines[-1])["seq"],
                "hash": json.loads(lines[-1])["hash"]}
        copy.sign(name, [*documents, forger.anchor(said)])
        copy.path(first).unlink()
        return (first,), at

    def beside(copy):
        documents = copy.signed(name)
        said = {**documents[-1]["anchor"], "hash": "0" * 64}
        copy.sign(name, [*documents, forger.anchor(said)])
        return None, said["sequence"]

    def unsaid(copy):
        at = copy.signed(name)[-1]["anchor"]["recorded"]
        segment, index = copy.find(at)
        lines = copy.lines(segment)
        lines[index] = lines[index].replace(b"audit_truncated", b"session_opened_")
        copy.write(segment, lines)
        return (segment,), at

    return [("the anchors' file removed", removed), ("an anchor's segment changed", edited("segment", lambda value: value + 1)),
            ("an anchor's number changed", edited("sequence", lambda value: value + 1)),
            ("an anchor's hash changed", edited("hash", lambda value: value[::-1])),
            ("one segment more removed than the anchor says", one_more), ("one segment more, by an anchor of another key", forged),
            ("a forged anchor beside the good one", beside), ("the record of the removal changed", unsaid)]


class House:
    """A gateway that writes small segments, and hands its key over meanwhile."""

    def __init__(self, stage):
        self.stage = stage
        workshop = Workshop(stage, "tamper")
        self.gateway = Gateway(stage, "tamper", configuration(stage, ["issues"], audit=SMALL))
        secret = stage.mint.make("tamper")
        workshop.accept(secret)
        stage.openbao.put("kv/issues/tamper", secret)
        self.gateway.start().log_in()
        self.gateway.apply(together(environment(), policy(), agent(stage, "triage-bot"), server(workshop.url),
                                    binding("issue-triage", "bao://kv/issues/tamper#token", "triage-bot")))
        self.door = self.gateway.door("dev", "issues")
        self.copies = 0

    def write(self, calls):
        token = self.stage.issuer.agent("triage-bot", self.door)
        for count in range(calls):
            answer = call(self.stage, self.door, token, "echo", {"text": f"call {count}"})
            demand(succeeded(answer), f"call {count}: {answer.status} {answer.text[:300]}")

    def hand_over(self):
        self.stage.children.run([self.stage.program, "audit", "rotate-key", "--config", self.gateway.file],
                                cwd=self.gateway.folder)
        until("the next key is published", lambda: len(web.request(
            "GET", f"{self.gateway.control}/.well-known/jwks.json").json()["keys"]) == 2, 30)

    def keep(self, directory, name):
        """A copy, and the checkpoints as they left the host."""
        folder = self.stage.folder / name
        shutil.copytree(directory, folder, ignore=shutil.ignore_patterns("*.key", "*.pk8", "lock", "index"))
        outside = self.stage.folder / f"{name}-outside.jsonl"
        shutil.copy(folder / "checkpoints.jsonl", outside)
        return folder, outside

    def verify(self, folder, outside):
        command = [self.stage.program, "--output", "json", "audit", "verify", "--directory", folder,
                   "--keys", self.gateway.keys_file, "--against", outside]
        code, out, err = self.stage.children.run(command)
        demand(out.strip(), f"`audit verify` said nothing: {code} {err[-300:]}")
        return code, json.loads(out)

    def tamper(self, kept, tamperings):
        """Tampers with a fresh copy for each; how many were found, each with the right name."""
        original, outside = kept
        code, report = self.verify(original, outside)
        demand(code == 0 and report["holds"] and report["anchored"], f"untouched evidence does not verify: {report}")
        for name, tamper in tamperings:
            self.copies += 1
            folder = self.stage.folder / f"tampered-{self.copies}"
            shutil.copytree(original, folder)
            segments, sequence = tamper(Copies(folder))
            code, report = self.verify(folder, outside)
            demand(code == 5 and not report["holds"], f"{name}: not found")
            problem = report["problem"]
            named = problem["sequence"] == sequence and (segments is None or problem["segment"] in segments)
            demand(named, f"{name}: {problem} was named in place of record {sequence} in segment {segments}")
            shutil.rmtree(folder)
        return len(tamperings)


class Copies(Copy):
    """With what only some tamperings ask."""

    def last_of(self, segment):
        return json.loads(self.lines(segment)[-1])["seq"]


def places(copy):
    """Records at the edges and in the middle: of the chain, of a segment, under a checkpoint. Each has another behind
    it in its segment."""
    numbers, vouched = copy.numbers(), copy.vouched()
    middle = numbers[len(numbers) // 2]
    inside = [at for at in vouched if at < copy.last() and copy.find(at)[0] == copy.find(at + 1)[0]]
    end = copy.last_of(numbers[-2])
    return sorted({1, copy.first(2) - 2, copy.first(middle), copy.first(middle) + 2, inside[len(inside) // 2], end - 1})


def judge(stage):
    house, forger = House(stage), Forger(stage)
    house.write(40 if stage.quick else 80)
    house.hand_over()
    house.write(40 if stage.quick else 80)
    house.gateway.stop()
    whole = house.keep(house.gateway.audit, "evidence-whole")
    copy = Copies(whole[0])
    records = [tampering for at in places(copy) for tampering in with_records(at)]
    found = house.tamper(whole, [*records, *with_segments(copy), *with_ends(), *with_checkpoints(forger), *with_keys(forger)])

    text = house.gateway.file.read_text()
    house.gateway.file.write_text(text.replace(SMALL, SMALL + KEEP))
    house.gateway.start()
    until("segments were removed", lambda: not (house.gateway.audit / "segment-00000001.jsonl").exists(), 60)
    house.write(20)
    house.gateway.keep_metrics()
    house.gateway.stop()
    cut = house.keep(house.gateway.audit, "evidence-cut")
    first = Copies(cut[0]).numbers()[0]
    at = Copies(cut[0]).first(first) + 1
    found += house.tamper(cut, [*with_anchors(forger), *with_records(at)])

    archive = house.keep(house.gateway.folder / "data" / "archive", "evidence-archive")
    archived = Copies(archive[0])
    demand(archived.numbers() == list(range(1, first)), f"the archive holds {archived.numbers()}, and {first} is the first here")
    found += house.tamper(archive, [*with_segments(archived), *with_ends()[1:3]])
    demand(found >= 40, f"only {found} tamperings")
    return (f"{found} tamperings in {len(copy.numbers())} segments with {copy.last()} records, in a chain whose first "
            f"{first - 1} segments were removed and in the archive of those: each found, each with the first bad record "
            f"named; three untouched copies verify, over a change of the signing key")


CLAIMS = (
    Claim("tamper", "deleting, changing, reordering, truncating or re-signing any record or segment is found by "
                    "`audit verify`, which names the first bad record; removal on purpose leaves both parts provable", judge),
)
