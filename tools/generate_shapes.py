"""Writes ``src/tenet/tables/rules/shapes.json``: what botocore's models say about the requests of the DynamoDB APIs.

Run it after botocore was updated; a test fails while the file is older than the model. ``--check`` only compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import botocore.session

TARGET = Path(__file__).parent.parent / "src/tenet/tables/rules/shapes.json"
#: What is kept of a shape.
CONSTRAINTS = ("enum", "min", "max", "pattern", "required")


def shapes() -> dict[str, Any]:
    """Returns the operations with their input shapes, and every shape that a request can hold."""
    loader = botocore.session.get_session().get_component("data_loader")
    operations: dict[str, str] = {}
    reached: dict[str, Any] = {}
    # The tables' own shapes first: where those of streams have the same names, they say no more.
    for service in ("dynamodb", "dynamodbstreams"):
        model = loader.load_service_model(service, "service-2", api_version="2012-08-10")
        pending = [operation["input"]["shape"] for operation in model["operations"].values()]
        operations |= {name: operation["input"]["shape"] for name, operation in model["operations"].items()}
        while pending:
            name = pending.pop()
            if name not in reached:
                reached[name], following = _reduced(model["shapes"][name])
                pending.extend(following)
    return {"operations": dict(sorted(operations.items())), "shapes": dict(sorted(reached.items()))}


def _reduced(shape: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns what is kept of a shape, and the names of the shapes that it refers to."""
    kept: dict[str, Any] = {"type": shape["type"]}
    kept.update({key: shape[key] for key in CONSTRAINTS if key in shape})
    if not _is_readable(kept.get("pattern", "")):
        del kept["pattern"]
    if "enum" in kept:
        kept["enum"] = _as_the_service_prints(kept["enum"])
    if shape["type"] == "structure":
        kept["members"] = {name: member["shape"] for name, member in shape["members"].items()}
        return kept, list(kept["members"].values())
    if shape["type"] == "list":
        kept["member"] = shape["member"]["shape"]
        return kept, [kept["member"]]
    if shape["type"] == "map":
        kept["key"], kept["value"] = shape["key"]["shape"], shape["value"]["shape"]
        return kept, [kept["key"], kept["value"]]
    return kept, []


def _is_readable(pattern: str) -> bool:
    """Whether Python can read a pattern that was written for Java; two of operations that Tenet lacks it cannot."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _as_the_service_prints(values: list[str]) -> list[str]:
    """Returns the values of an enumeration in the order in which the service's messages list them.

    It is that of a Java hash set: by ``String.hashCode`` modulo its 32 buckets, the last one in a bucket first. Every
    list that has been seen in an answer of the service agrees; the tests hold eleven of them.
    """
    return sorted(values, key=lambda value: (_java_hash(value) % 32, -values.index(value)))


def _java_hash(text: str) -> int:
    """Returns ``String.hashCode`` as the Java language specifies it, for ASCII, without the sign."""
    total = 0
    for character in text:
        total = (31 * total + ord(character)) & 0xFFFFFFFF
    return total


def text() -> str:
    """Returns the file's content."""
    return json.dumps(shapes(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes the file, or with ``--check`` says whether it is current."""
    current = text()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.exists() and TARGET.read_text(encoding="utf-8") == current else 1
    TARGET.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
