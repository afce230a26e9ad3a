"""Judges manifests by the schema that `mcp-gateway schema` prints; run by the Python of `schemathesis`, for the claim
`api-fuzz`.

    manifest_schema.py SCHEMA FILE...

Each file holds manifests: a JSON list, or YAML documents. Each of them must be good by the schema, and bad by it with a field
that nobody knows, without its kind, and with a name that is none. Prints how many there were.
"""

import json
import sys
from pathlib import Path

import jsonschema_rs
import yaml


class Loader(yaml.SafeLoader):
    """YAML 1.2's core schema has no dates: to editors `2027-03-01` is a text, as it is to the gateway."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def manifests(path):
    if path.suffix == ".json":
        return json.loads(path.read_text())
    return [one for one in yaml.load_all(path.read_text(), Loader) if one]


def main(schema, *files):
    validator = jsonschema_rs.validator_for(json.loads(Path(schema).read_text()))
    count = 0
    for file in map(Path, files):
        for manifest in manifests(file):
            for error in validator.iter_errors(manifest):
                sys.exit(f"{file.name}: {manifest.get('kind')}/{manifest.get('name')}: {error.message[:300]}")
            without_kind = {field: value for field, value in manifest.items() if field != "kind"}
            for broken in ({**manifest, "nobody-knows": 1}, without_kind, {**manifest, "name": "No Name"}):
                if validator.is_valid(broken):
                    sys.exit(f"{file.name}: the schema takes {broken}")
            count += 1
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
