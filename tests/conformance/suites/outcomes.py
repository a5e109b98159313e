"""What came of a suite's tests, read from what its runner writes, and compared with what is known to fail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

TEXT_CHARACTERS_MAX = 1_500


@dataclass
class Outcomes:
    """What came of each test.

    Args:
        passed: names of those that passed.
        failed: what was said of those that failed, by name.
        skipped: names of those that were not carried out, or whose failure the suite itself expects.
    """

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def count(self) -> int:
        """Returns how many tests there were."""
        return len(self.passed) + len(self.failed) + len(self.skipped)


def of_go(lines: Iterable[str]) -> Outcomes:
    """Reads what ``go test -json`` prints; what does not compile is a failure without a name."""
    found = Outcomes()
    said: dict[str, str] = {}
    for event in map(json.loads, filter(str.strip, lines)):
        name = event.get("Test", "")
        match event["Action"]:
            case "output" | "build-output":
                said[name] = said.get(name, "") + event["Output"]
            case "pass" if name:
                found.passed.add(name)
            case "skip" if name:
                found.skipped.add(name)
            case "fail" if name or not found.failed:
                found.failed[name] = said.get(name, "")
    return found


def of_xml(path: Path) -> Outcomes:
    """Reads the report of JUnit's form, which pytest and mocha write."""
    found = Outcomes()
    for case in ET.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')} {case.get('name')}"
        failures = [*case.findall("failure"), *case.findall("error")]
        if failures:
            found.failed[name] = "\n".join(one.get("message", "") + (one.text or "") for one in failures)
        elif case.find("skipped") is not None:
            found.skipped.add(name)
        else:
            found.passed.add(name)
    return found


def check(found: Outcomes, tests: int, known: Mapping[str, str]) -> None:
    """Makes sure that all tests of a suite were carried out, and that those failed that are known to, and no other.

    Args:
        found: what came of them.
        tests: how many there are.
        known: those that fail, by name, with the reason.

    Raises:
        AssertionError: it was not so.
    """
    told = {name: text[-TEXT_CHARACTERS_MAX:] for name, text in found.failed.items() if name not in known}
    assert not told, "not known to fail:\n" + "\n".join(f"{name}:\n{text}\n" for name, text in told.items())
    mended = sorted(known.keys() - found.failed.keys())
    assert not mended, f"known to fail, and did not: {mended}"
    assert not found.skipped, f"not carried out: {sorted(found.skipped)}"
    assert found.count() == tests, f"{found.count()} tests, and there are {tests}"
