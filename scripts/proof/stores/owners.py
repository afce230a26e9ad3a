"""Owners of servers, who verify receipts by the examples of docs/receipts.md."""

import base64
import re

from .. import parts, web
from ..claim import demand

EXAMPLES = parts.ROOT / "examples" / "receipts"
FILES = {"rust": EXAMPLES / "rust" / "verify.rs", "python": EXAMPLES / "python" / "verify.py",
         "typescript": EXAMPLES / "typescript" / "verify.ts"}


class Owner:
    """One example, started anew for each list of messages: it remembers what came within one."""

    def __init__(self, owners, language):
        self.owners, self.language = owners, language

    def judge(self, cases):
        """`cases` are (what it is, receipt, body, whether it is to be accepted), in order of arrival."""
        lines = "".join(f"{text} {base64.b64encode(body).decode()}\n" for _, text, body, _ in cases)
        code, out, err = self.owners.stage.children.run(self.owners.command(self.language), input=lines)
        said = out.splitlines()
        demand(code == 0 and len(said) == len(cases), f"{self.language}: {code}, {out[-300:]} {err[-300:]}")
        for (what, _, _, accepted), line in zip(cases, said):
            expected = "accepted " if accepted else "rejected "
            demand(line.startswith(expected), f"{self.language}, {what}: `{line}`")
        self.owners.judged += len(cases)


class Owners:
    """All three, for one server and one gateway."""

    def __init__(self, stage, issuer, audience, keys):
        self.stage, self.issuer, self.audience, self.keys = stage, issuer, audience, keys
        self.folder = stage.folder / "owners"
        self.folder.mkdir()
        self.judged = 0
        # Modules are looked for beside the file.
        (self.folder / "node_modules").symlink_to((parts.NPM / "node_modules").resolve())
        (self.folder / "verify.ts").write_text(FILES["typescript"].read_text())
        self.rust = parts.example("verify-receipt")

    def all(self):
        return [Owner(self, language) for language in FILES]

    def command(self, language):
        rules = [self.issuer, self.audience]
        if language == "rust":
            file = self.folder / "keys.json"
            file.write_text(web.request("GET", self.keys).text)
            return [self.rust, file, *rules]
        if language == "python":
            return [parts.python(), FILES["python"], self.keys, *rules]
        return [parts.program("node"), self.folder / "verify.ts", self.keys, *rules]


def shown_as_it_is():
    """The page shows the lines that ran; their count."""
    page = (parts.ROOT / "docs" / "receipts.md").read_text()
    count = 0
    for language, file in FILES.items():
        example = [line.strip() for line in file.read_text().splitlines()]
        fences = re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)
        demand(fences, f"docs/receipts.md shows no {language}")
        for line in "".join(fences).splitlines():
            demand(line.strip() in example, f"docs/receipts.md shows what is not in the {language} example: {line}")
            count += 1
    return count
