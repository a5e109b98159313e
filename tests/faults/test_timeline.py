"""What a report of a run says of clients that were held up and of calls that failed."""

from __future__ import annotations

import pytest

from tests.faults.history import Fate, Operation
from tests.faults.made import MS, History
from tests.faults.schedule import Fault, Schedule
from tests.faults.timeline import Event, report, slots, span
from tests.faults.trial import Trial
from tests.faults.verdict import Verdict


@pytest.fixture
def held_up() -> list[Operation]:
    """Two clients that ask every 10 ms for 3 s; from 1 to 2 s the one gets errors, and the other waits."""
    history = History("registers")
    for at_ms in range(0, 3_000, 10):
        is_broken = 1_000 <= at_ms < 2_000
        if not is_broken:
            history.add(at_ms, at_ms + 8, "read", client=1)
            history.add(at_ms, at_ms + 8, "read", client=2)
        elif at_ms % 100 == 0:
            lost: tuple[tuple[float, float, Fate], ...] = ((at_ms, at_ms + 4, "unknown"),)
            history.add(at_ms, at_ms + 8, "read", "info", client=1, error="ReadTimeoutError", earlier=lost)
    history.add(1_000, 1_995, "read", client=2)
    history.add(2_100, 2_105, "cas", "fail", client=1, error="ConditionalCheckFailedException")
    return history.operations


def test_a_span_counts_what_clients_noticed(held_up: list[Operation]) -> None:
    found = span(held_up, 1_000 * MS, 2_000 * MS, "broken")
    assert (found.answered, found.failed) == (1, {"ReadTimeoutError": 10})
    assert found.longest_ms == 995
    assert found.longest_gap_ms == 1_000
    assert found.retries == 10


def test_a_refused_condition_is_no_failure(held_up: list[Operation]) -> None:
    found = span(held_up, 2_000 * MS, 2_998 * MS, "after")
    assert found.failed == {}
    assert found.answered == 201
    assert found.longest_gap_ms == 10


def test_slots_are_of_100_ms(held_up: list[Operation]) -> None:
    counts = slots(held_up, 0, 3_000 * MS)
    assert len(counts) == 30
    assert counts[0] == (20, 0)
    assert counts[12] == (0, 1)
    assert counts[19] == (1, 1)


def test_a_report_names_faults_and_draws_seconds(held_up: list[Operation]) -> None:
    told = report(held_up, [Event(1_000 * MS, 2_000 * MS, "SIGSTOP of a")], 0, 3_000 * MS)
    assert "- nothing broken: 1.0 s, 200 operations/s" in told
    assert "- SIGSTOP of a: 1.0 s, 1 operations/s, longest 995 ms" in told
    assert "failed: 10 ReadTimeoutError" in told
    assert "   1 s |xxxxxxxxxx|     1  SIGSTOP of a" in told
    assert "   2 s |" in told
    assert "mended: SIGSTOP of a" in told


def test_a_trial_complains_of_errors_and_of_what_took_too_long(held_up: list[Operation]) -> None:
    fault = Fault("pause", "a", ("a",), 1.0, 1.0)
    event = Event(1_000 * MS, 2_000 * MS, str(fault))
    trial = Trial(Schedule(0, (fault,)), (event,), 0, 3_000 * MS, held_up, Verdict((), (), (), ()))
    complaints = trial.complaints({"pause": 900})
    assert len(complaints) == 11
    failed = next(one for one in held_up if one.error)
    assert complaints[0] == f"registers read {failed.name} failed with ReadTimeoutError, 1.0 s after the begin"
    assert complaints[-1] == "SIGSTOP of a for 1 s: an operation took 995 ms"
    assert len(trial.complaints({"pause": 1_000})) == 10
    assert len(trial.complaints({"kill9": 1})) == 10
    assert not [one for one in trial.complaints({}, calm_ms=10) if "nothing broken" in one]
    assert [one for one in trial.complaints({}, calm_ms=6) if "nothing broken" in one]


def test_a_trial_without_faults_and_errors_has_nothing_to_complain_of() -> None:
    history = History("registers")
    history.add(0, 5, "read", got=None, key="x")
    trial = Trial(Schedule(0, ()), (), 0, 10 * MS, history.operations, Verdict((), (), (), ()))
    assert trial.complaints({"pause": 1}, calm_ms=5) == []
    assert "nothing wrong was found" in str(trial)
