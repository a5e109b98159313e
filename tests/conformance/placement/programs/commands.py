"""Runs the functional tests that are inside the osc-placement package against a server of Tenet.

They run the ``openstack`` command of python-openstackclient. Runs in an environment of its own, as ``gabbits.py`` does;
the fixture that would start the service is replaced by one that empties the server.

    python commands.py RESULTS URL [NAME ...]
"""

from __future__ import annotations

import json
import sys
import unittest
from pathlib import Path
from typing import Any

import fixtures
from gabbits import Api, Result
from placement.tests.functional.fixtures import placement as theirs

TESTS = "osc_placement.tests.functional"


class Emptied(fixtures.Fixture):
    """Stands in for the fixture that starts a service: the server, with nothing in it."""

    endpoint = ""
    token = "admin"

    def _setUp(self) -> None:  # noqa: N802 (named by the package)
        Api(self.endpoint).clear()


def main() -> None:
    """Runs all tests, or those of the modules that are named, and writes what came of it."""
    results, Emptied.endpoint, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    theirs.PlacementFixture = Emptied
    loader = unittest.TestLoader()
    if names:
        suite = loader.loadTestsFromNames([f"{TESTS}.{name}" for name in names])
    else:
        folder = Path(theirs.__file__).parents[4] / "osc_placement" / "tests" / "functional"
        suite = loader.discover(str(folder), top_level_dir=str(folder.parents[2]))
    result = Result()
    suite.run(result)
    failed = {test.id(): why for test, why in [*result.failures, *result.errors]}
    told: dict[str, Any] = {"run": result.testsRun, "passed": result.passed, "failed": failed}
    Path(results).write_text(json.dumps(told, indent=1))
    sys.stdout.write(f"{result.passed} of {result.testsRun} passed\n")


if __name__ == "__main__":
    main()
