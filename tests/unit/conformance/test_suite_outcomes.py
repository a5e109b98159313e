"""A suite's outcomes are read as its runner writes them, and fail where they are not the known ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.suites.libraries import LIBRARIES, QUEUE_LIBRARIES
from tests.conformance.suites.outcomes import Outcomes, check, of_go, of_xml

KNOWN = {"dated": "the suite is older than the service"}


def outcomes() -> Outcomes:
    return Outcomes({"one", "two"}, {"dated": "expected 1, got 2"})


def test_what_is_known_passes() -> None:
    check(outcomes(), 3, KNOWN)
    check(Outcomes({"one"}), 1, {})


def test_a_failure_that_is_not_known_is_told() -> None:
    found = outcomes()
    found.passed.remove("two")
    found.failed["two"] = "x" * 5_000 + "expected a, got b"
    with pytest.raises(AssertionError, match=r"not known to fail:\ntwo:\nx+expected a, got b") as caught:
        check(found, 3, KNOWN)
    assert "dated" not in str(caught.value)
    assert len(str(caught.value)) < 2_500


def test_a_known_failure_that_passes_is_told() -> None:
    found = outcomes()
    found.passed.add("dated")
    del found.failed["dated"]
    with pytest.raises(AssertionError, match=r"known to fail, and did not: \['dated'\]"):
        check(found, 3, KNOWN)


def test_a_known_failure_that_is_not_there_is_told() -> None:
    with pytest.raises(AssertionError, match="known to fail, and did not"):
        check(Outcomes({"one", "two", "three"}), 3, KNOWN)


def test_a_test_that_is_not_carried_out_is_told() -> None:
    found = outcomes()
    found.passed.remove("two")
    found.skipped.add("two")
    with pytest.raises(AssertionError, match=r"not carried out: \['two'\]"):
        check(found, 3, KNOWN)


@pytest.mark.parametrize("tests", [0, 2, 4])
def test_another_number_of_tests_is_told(tests: int) -> None:
    with pytest.raises(AssertionError, match=f"3 tests, and there are {tests}"):
        check(outcomes(), tests, KNOWN)


def test_outcomes_of_go() -> None:
    lines = [
        {"Action": "start"},
        {"Action": "run", "Test": "TestA"},
        {"Action": "pass", "Test": "TestA/part"},
        {"Action": "pass", "Test": "TestA"},
        {"Action": "output", "Test": "TestB", "Output": "b_test.go:7: "},
        {"Action": "output", "Test": "TestB", "Output": "bad result\n"},
        {"Action": "fail", "Test": "TestB"},
        {"Action": "skip", "Test": "TestC"},
        {"Action": "output", "Output": "FAIL\n"},
        {"Action": "fail"},
    ]
    found = of_go([*map(json.dumps, lines), ""])
    assert found == Outcomes({"TestA", "TestA/part"}, {"TestB": "b_test.go:7: bad result\n"}, {"TestC"})
    assert found.count() == 4


def test_a_suite_of_go_that_does_not_start_is_a_failure() -> None:
    broken = [{"Action": "build-output", "Output": "undefined: x\n"}, {"Action": "build-fail"}, {"Action": "fail"}]
    found = of_go(map(json.dumps, broken))
    assert found == Outcomes(failed={"": "undefined: x\n"})
    with pytest.raises(AssertionError, match="undefined: x"):
        check(found, 1, {})


SUITE = """
import unittest

import pytest

class TestKinds:
    def test_good(self):
        pass

    def test_bad(self):
        assert 1 == 2, "one is not two"

    @pytest.fixture
    def broken(self):
        raise RuntimeError("no table")

    def test_without_table(self, broken):
        pass

    def test_left_out(self):
        raise unittest.SkipTest("not here")
"""


def test_outcomes_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_kinds.py").write_text(SUITE, encoding="utf-8")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, f"--junitxml={report}", "test_kinds.py"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    found = of_xml(report)
    stem = "test_kinds.TestKinds test_"
    assert found.passed == {f"{stem}good"}
    assert found.skipped == {f"{stem}left_out"}
    assert found.failed.keys() == {f"{stem}bad", f"{stem}without_table"}
    assert "one is not two" in found.failed[f"{stem}bad"]
    assert "no table" in found.failed[f"{stem}without_table"]


def test_outcomes_of_mocha(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuite name="Mocha Tests" tests="3" failures="0" errors="1" skipped="1">\n'
        '<testcase classname="Store Setting" name="should store &#x26; keep" file="/t.js" time="0.001"/>\n'
        '<testcase classname="Store" name="should reap" file="/t.js" time="1"><failure>expected +0 to equal 1\n'
        "    at Context.&#x3C;anonymous&#x3E; (t.js:9:1)</failure></testcase>\n"
        '<testcase classname="Store" name="should wait" file="/t.js" time="0"><skipped/></testcase>\n'
        "</testsuite>\n",
        encoding="utf-8",
    )
    found = of_xml(report)
    assert found.passed == {"Store Setting should store & keep"}
    assert found.failed["Store should reap"].startswith("expected +0 to equal 1\n")
    assert found.skipped == {"Store should wait"}


def test_every_library_has_a_version_and_reasons() -> None:
    libraries = [*LIBRARIES, *QUEUE_LIBRARIES]
    assert len({one.name for one in libraries}) == len(libraries) == 5
    for one in libraries:
        assert one.version[0].isdigit()
        assert len(one.known) < one.tests
        assert all(len(reason) > 20 for reason in [*one.known.values(), *one.left_out.values()])
