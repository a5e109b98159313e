"""The suite's part in pytest: the fixture ``stage``, and how tests that are coroutines run.

Load it with ``-p tenet.store.suite.plugin``, or by ``from tenet.store.suite.plugin import *`` in a ``conftest.py``.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Iterator

import pytest

from tenet.store import suite
from tenet.store.suite.harness import EngineHarness
from tenet.store.suite.stage import Stage

__all__ = ["pytest_pyfunc_call", "stage"]

# The tests are written with plain asserts; pytest explains those of modules that it is told of before their import.
for _module in pkgutil.iter_modules(suite.__path__, "tenet.store.suite."):
    if _module.name not in sys.modules:
        pytest.register_assert_rewrite(_module.name)


@pytest.fixture(scope="module")
def stage(harness: EngineHarness, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """An open engine for the tests of a module, from the module's fixture ``harness``."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-").lower()
    made = Stage(harness, name)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine and asks for ``stage`` in the loop that the engine lives in."""
    made = pyfuncitem.funcargs.get("stage")
    if not isinstance(made, Stage) or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001 - pytest's own runner asks the same way
    made.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
