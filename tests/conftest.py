"""What every test lives under: a time limit, one seed for all randomness, and Hypothesis without its own clock."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import structlog
from hypothesis import settings
from structlog.dev import ConsoleRenderer, plain_traceback

from tests.rounds import BRIEF, EXAMPLES, EXAMPLES_LONG, LONG, examples

pytest_plugins = ["tests.clusters"]

# What runs by hand runs from source, and so do the servers that it starts; `tools.stages` says where it does not.
os.environ.setdefault("TENET_COMPILED", "0")

#: Seconds that a test without a mark of its own may take; on real clusters it mostly waits, for as long as disks like.
TIME_LIMIT_S = 600 if LONG else 120
CLUSTER_TIME_LIMIT_S = 600
ON_CLUSTERS = {Path(__file__).parent / "distributed", Path(__file__).parent / "cluster"}

#: Objects made before the youngest are collected, and collections of each age before the next: those of a server.
GARBAGE_THRESHOLDS = (20_000, 10, 10)

settings.register_profile("brief", deadline=None, print_blob=True, max_examples=examples(EXAMPLES, is_brief=True))
settings.register_profile("quick", deadline=None, print_blob=True, max_examples=EXAMPLES)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=EXAMPLES_LONG)
settings.load_profile("long" if LONG else "brief" if BRIEF else "quick")
# What tests have logged is shown where they fail. In colours, with the variables of each frame, it would be the most
# expensive thing that some of them do.
PLAIN_LOGS = ConsoleRenderer(colors=False, exception_formatter=plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], PLAIN_LOGS])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leaves modules and collected tests, which stay until the end, out of every later collection of garbage.

    Else each looks at a quarter of a million objects that nobody lets go. Servers do the same (``tenet.app.server``).
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        gc.enable()


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Puts the configuration of logging back that a test changes."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def seed() -> int:
    """The seed of this run: printed at its start, set by TENET_TEST_SEED."""
    return int(os.environ.get("TENET_TEST_SEED", "0"))


def pytest_report_header() -> str:
    """Prints the seed, so that a failed run can be repeated."""
    rounds = "full" if LONG else "brief" if BRIEF else "usual"
    return f"TENET_TEST_SEED={os.environ.get('TENET_TEST_SEED', '0')}, rounds: {rounds}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Fails a test that outlives its limit, with a traceback of where it stood, instead of hanging the run."""
    mark = item.get_closest_marker("time_limit_s")
    limit_s = int(mark.args[0]) if mark else CLUSTER_TIME_LIMIT_S if item.path.parent in ON_CLUSTERS else TIME_LIMIT_S
    if threading.current_thread() is not threading.main_thread():
        return (yield)

    def expire(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"took longer than {limit_s} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(limit_s)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
