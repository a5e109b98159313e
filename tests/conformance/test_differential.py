"""Tenet and its peers answer the same requests, and every difference is one that is known and explained.

DynamoDB Local and dynalite always take part; dynoxide, whose build takes minutes, where it is in the cache (a warning
says where it is not); with the full rounds dynoxide in any case, and also moto, for a part of the way, since it is
slow. DynamoDB Local has no operations on tags, and dynalite no settings of tables: they are not asked about them.
`make test-long` keeps what was found in docs/results/differential.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.differential import results
from tests.conformance.differential.arena import Arena
from tests.conformance.differential.compare import Difference
from tests.conformance.differential.index_requests import index_sequence
from tests.conformance.differential.known_differences import DYNALITE
from tests.conformance.differential.known_of_settings import WITHOUT_SETTINGS, WITHOUT_TAGS
from tests.conformance.differential.legacy_requests import legacy_sequence
from tests.conformance.differential.multi_attribute_requests import multi_attribute_sequence
from tests.conformance.differential.plain_statements import plain_sequence
from tests.conformance.differential.requests import Step, sequence
from tests.conformance.differential.scripted import SCRIPTS
from tests.conformance.differential.settings_requests import settings_sequence, tag_sequence
from tests.conformance.differential.statements import statement_sequence
from tests.conformance.differential.table_requests import table_sequence
from tests.conformance.differential.targets import Target
from tests.conformance.peers import PEERS, built
from tests.rounds import LONG
from tests.servers import running

ALWAYS = ("dynamodb-local", "dynalite")
SEQUENCES = 3_000 if LONG else 60
LEGACY = 1_500 if LONG else 40
TABLES = 1_000 if LONG else 30
MULTI_ATTRIBUTE = 1_000 if LONG else 40
INDEXES = 1_000 if LONG else 20
TAGS = 1_000 if LONG else 30
SETTINGS = 1_000 if LONG else 40
STATEMENTS = 2_000 if LONG else 60
PLAIN_STATEMENTS = 500 if LONG else 20
SEQUENCES_WITH_MOTO = 300
LEGACY_WITH_MOTO = 100
STATEMENTS_WITH_MOTO = 40
PLAIN_STATEMENTS_WITH_MOTO = 70
SETTINGS_WITH_MOTO = 100
#: A run that found so many sequences with differences looks for no more.
DIFFERENCES_MAX = 20

#: The quick rounds are the same every time, the full ones are new. Nothing is shrunk by Hypothesis: a sequence is a
#: seed, and `smallest` leaves out what is not needed.
RUN = settings(
    deadline=None,
    database=None,
    derandomize=not LONG,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
seeds = st.integers(0, 2**63)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Tenet beside the peers that are at hand; with the full rounds it keeps what they found."""
    folder = tmp_path_factory.mktemp("differential")
    witnesses = [*ALWAYS, *built("dynoxide")]
    with (
        running(folder / "data", "--plaintext") as server,
        Arena(Target.of_server(server), witnesses, folder) as started,
    ):
        yield started
        if LONG:
            results.write(started.tally, {name: PEERS[name].package.version for name in witnesses})


def smallest(steps: Sequence[Step], run: Callable[[Sequence[Step]], list[Difference]]) -> list[Step]:
    """Leaves out every step without which something still differs; the first says which table it is about."""
    kept = list(steps)
    for at in range(len(kept) - 1, 0, -1):
        fewer = kept[:at] + kept[at + 1 :]
        if run(fewer):
            kept = fewer
    return kept


def told(steps: Sequence[Step], run: Callable[[Sequence[Step]], list[Difference]]) -> str:
    """Returns the differences of a sequence and the steps that lead to them; nothing where there are none.

    What differs only now and then is told as it was seen at first.
    """
    first = run(steps)
    if not first:
        return ""
    kept = smallest(steps, run)
    found = "\n".join(map(str, run(kept) or run(steps) or first))
    return f"{found}\nafter\n" + "\n".join(f"  {step.operation} {step.request}" for step in kept)


def check(make: Callable[[Random], list[Step]], run: Callable[[Sequence[Step]], list[Difference]], count: int) -> None:
    """Runs many sequences, and fails with all that differs in them."""
    found: list[str] = []

    @settings(RUN, max_examples=count)
    @given(seeds)
    def run_one(seed: int) -> None:
        if len(found) < DIFFERENCES_MAX:
            found.append(told(make(Random(seed)), run))
            found[:] = filter(None, found)

    run_one()
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.mark.time_limit_s(5_400 if LONG else 240)
def test_items_are_answered_alike(arena: Arena) -> None:
    check(sequence, arena.run, SEQUENCES)


@pytest.mark.time_limit_s(2_700 if LONG else 240)
def test_legacy_parameters_are_answered_alike(arena: Arena) -> None:
    check(legacy_sequence, arena.run, LEGACY)


@pytest.mark.time_limit_s(1_800 if LONG else 240)
def test_statements_are_answered_alike(arena: Arena) -> None:
    check(statement_sequence, arena.run, STATEMENTS)
    check(plain_sequence, arena.run, PLAIN_STATEMENTS)


@pytest.mark.time_limit_s(240)
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_answered_alike(arena: Arena, script: str) -> None:
    assert not told(SCRIPTS[script](), arena.run)


@pytest.mark.time_limit_s(1_800 if LONG else 240)
def test_tables_are_answered_alike(arena: Arena) -> None:
    check(table_sequence, arena.run_tables, TABLES)


@pytest.mark.time_limit_s(1_800 if LONG else 240)
def test_indexes_with_keys_of_several_attributes_are_answered_alike(arena: Arena) -> None:
    check(multi_attribute_sequence, arena.run_tables, MULTI_ATTRIBUTE)


@pytest.mark.time_limit_s(1_800 if LONG else 240)
def test_indexes_that_come_and_go_are_answered_alike(arena: Arena) -> None:
    # dynalite wants capacity for an index of a table on demand, and knows little else of what is wrong with one.
    check(index_sequence, partial(arena.run_tables, without=(DYNALITE,)), INDEXES)


@pytest.mark.time_limit_s(1_800 if LONG else 240)
def test_tags_are_answered_alike(arena: Arena) -> None:
    check(tag_sequence, partial(arena.run_tables, without=WITHOUT_TAGS), TAGS)


@pytest.mark.time_limit_s(1_800 if LONG else 240)
def test_settings_are_answered_alike(arena: Arena) -> None:
    check(settings_sequence, partial(arena.run_tables, without=WITHOUT_SETTINGS), SETTINGS)


if LONG:

    @pytest.mark.time_limit_s(3_600)
    def test_items_are_answered_alike_by_moto(tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("moto")
        with (
            running(folder / "data", "--plaintext") as server,
            Arena(Target.of_server(server), ["moto"], folder) as arena,
        ):
            check(sequence, arena.run, SEQUENCES_WITH_MOTO)
            check(legacy_sequence, arena.run, LEGACY_WITH_MOTO)
            check(multi_attribute_sequence, arena.run_tables, LEGACY_WITH_MOTO)
            check(tag_sequence, arena.run_tables, SETTINGS_WITH_MOTO)
            check(settings_sequence, arena.run_tables, SETTINGS_WITH_MOTO)
            check(statement_sequence, arena.run, STATEMENTS_WITH_MOTO)
            check(plain_sequence, arena.run, PLAIN_STATEMENTS_WITH_MOTO)
            results.write(arena.tally, {"moto": PEERS["moto"].package.version})
