"""Any sequence of calls, drawn by Hypothesis and compared with the model after each of them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from tenet.store.contract import (
    Add,
    Append,
    Check,
    Commit,
    Committed,
    Delete,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    LogOptions,
    Put,
    Range,
    SpaceOptions,
    StampOf,
    Version,
    Write,
)
from tenet.store.suite.model import (
    Observation,
    SawCommitted,
    SawPage,
    SawTogether,
    State,
    conflict_observations,
    is_within,
    place_of_key,
    same_record,
)
from tenet.store.suite.stage import Stage, rounds

T = TypeVar("T")

SORTS = (b"", b"\x00", b"a", b"a\x00", b"ab", b"\xff", b"\xff\xff")
PLAIN_NAME, STAMPED_NAME = "plain", "stamped"
OPTIONS = {
    PLAIN_NAME: SpaceOptions(),
    STAMPED_NAME: SpaceOptions(stamps=True, stamp_prefix_bytes=1, log=LogOptions(readers=("tail",))),
}

names = st.sampled_from(sorted(OPTIONS))
partitions = st.sampled_from((b"", b"p", b"p\x00"))
sorts = st.sampled_from(SORTS)
cell_names = st.sampled_from(("m", "n"))
numbers = st.integers(-4, 4) | st.sampled_from((2**63 - 1, -(2**63)))
cells = st.none() | st.dictionaries(cell_names, numbers, max_size=2)
bounds = st.none() | st.integers(-3, 6)
ranges = st.builds(Range, sorts, st.none() | sorts)


@st.composite
def keys(draw: st.DrawFn) -> Key:
    return Key(draw(names), draw(partitions), draw(sorts))


@st.composite
def writes_of(draw: st.DrawFn) -> list[Write]:
    writes: list[Write] = []
    for key in draw(st.lists(keys(), unique=True, max_size=4)):
        kind = draw(st.sampled_from(("put", "delete", "add", "add both")))
        if kind == "put":
            writes.append(Put(key, draw(st.binary(max_size=8)), draw(cells)))
        elif kind == "delete":
            writes.append(Delete(key))
        else:
            added = ("m", "n") if kind == "add both" else (draw(cell_names),)
            writes += [Add(key, cell, draw(numbers), draw(bounds), draw(bounds)) for cell in added]
    return writes


class ContractMachine(RuleBasedStateMachine):
    """Calls an engine and the model alike."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.client = self.stage.client
        self.state = State({})
        self.versions: list[Version] = [Version(bytes(16)), Version(b"\xff" * 16)]
        self.logged: list[tuple[bytes, bytes, bytes | None]] = []
        #: The names of this run's spaces; each run has its own.
        self.spaces: dict[str, str] = {}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.stage.run(coroutine)

    @initialize()
    def make_spaces(self) -> None:
        for name, options in OPTIONS.items():
            self.spaces[name] = self.run(self.stage.own_space(options))
        self.state = State({self.spaces[name]: options for name, options in OPTIONS.items()})

    def teardown(self) -> None:
        for name in self.spaces.values():
            self.run(self.client.patiently(lambda name=name: self.stage.store.drop_space(name)))  # type: ignore[misc]  # - a default binds the loop's value

    def here(self, key: Key) -> Key:
        return replace(key, space=self.spaces[key.space])

    def saw(self, observation: Observation) -> None:
        after = observation.explain(self.state)
        assert after is not None, f"the model does not explain {observation}"
        self.state = after

    # ---- calls -------------------------------------------------------------------------------------------------------

    @rule(drawn=writes_of(), data=st.data())
    def commit(self, drawn: list[Write], data: st.DataObject) -> None:
        writes = [replace(write, key=self.here(write.key)) for write in drawn]
        checks = [self.draw_check(data, self.here(key)) for key in data.draw(st.lists(keys(), max_size=2))]
        logged = [w.key for w in writes if w.key.space == self.spaces[STAMPED_NAME] and isinstance(w, Put)]
        appends = [Append(key, None, b"%d" % len(self.logged)) for key in logged]
        outcome = self.run(self.client.attempt(*writes, checks=checks, appends=appends, return_cells=True))
        commit = Commit(self.client.new_id(), writes, checks, appends)
        if isinstance(outcome, Committed):
            self.saw(SawCommitted(commit, outcome))
            self.versions.append(outcome.version)
            self.logged += [(append.key.partition, append.key.sort, append.new) for append in appends]
        else:
            assert outcome.failed or outcome.out_of_bounds
            for observation in conflict_observations(commit, outcome):
                self.saw(observation)

    def draw_check(self, data: st.DataObject, key: Key) -> Check:
        record = self.state.records.get(key)
        kind = data.draw(st.sampled_from(("is", "is", "other", "older", "present", "stamp")))
        version = data.draw(st.sampled_from(self.versions))
        if kind == "stamp" and key.space == self.spaces[STAMPED_NAME]:
            of = StampOf(key.space, key.partition, key.sort[:1])
            known = self.state.stamps.get(of)
            return IsStamp(of, known.value if known is not None else data.draw(st.sampled_from((0, 1))))
        if kind == "older":
            return IsOlderThan(key, version)
        if kind == "present":
            return IsPresent(key)
        return IsVersion(key, version if kind == "other" or record is None else record.version)

    @rule(drawn=st.lists(keys(), max_size=5))
    def get(self, drawn: list[Key]) -> None:
        reads = [self.here(key) for key in drawn]
        self.saw(SawTogether(reads, self.run(self.client.get(*reads))))

    @rule(drawn=st.lists(keys(), max_size=4), stamped=st.lists(st.tuples(partitions, sorts), max_size=2))
    def read_together(self, drawn: list[Key], stamped: list[tuple[bytes, bytes]]) -> None:
        space = self.spaces[STAMPED_NAME]
        reads: list[Key | StampOf] = [self.here(key) for key in drawn]
        reads += [StampOf(space, partition, sort[:1]) for partition, sort in stamped]
        self.saw(SawTogether(reads, self.run(self.client.together(*reads))))

    @rule(
        key=keys(),
        within=ranges,
        limit=st.integers(1, 6),
        limit_bytes=st.sampled_from((1, 5, 1_000)),
        reverse=st.booleans(),
    )
    def query(self, key: Key, within: Range, limit: int, limit_bytes: int, reverse: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        key = self.here(key)
        of = StampOf(key.space, key.partition, key.sort[:1]) if key.space == self.spaces[STAMPED_NAME] else None
        page = self.run(
            self.client.patiently(
                lambda: self.stage.store.query(
                    key.space,
                    key.partition,
                    within,
                    limit=limit,
                    limit_bytes=limit_bytes,
                    reverse=reverse,
                    stamp=of,
                )
            )
        )
        self.saw(SawPage(place_of_key(key), within, limit, limit_bytes, reverse, of, page))

    @rule(name=names, within=ranges, slice_count=st.integers(1, 4), page=st.integers(1, 9))
    def scan(self, name: str, within: Range, slice_count: int, page: int) -> None:
        space = self.spaces[name]
        found = [
            record
            for at in range(slice_count)
            for record in self.run(
                self.client.scan_all(space, within, page=page, slice_index=at, slice_count=slice_count)
            )
        ]
        wanted = {k: r for k, r in self.state.records.items() if k.space == space and is_within(k.sort, within)}
        assert len(found) == len(wanted)
        for record in found:
            assert same_record(record, wanted[Key(space, record.partition, record.sort)])

    @rule(name=names, partition=partitions, within=ranges)
    def discard(self, name: str, partition: bytes, within: Range) -> None:
        place = (self.spaces[name], partition)
        self.run(self.client.patiently(lambda: self.stage.store.discard(*place, within)))
        kept = {
            key: record
            for key, record in self.state.records.items()
            if place_of_key(key) != place or not is_within(key.sort, within)
        }
        self.state = replace(self.state, records=kept)

    @rule(name=names)
    def drop_and_make_again(self, name: str) -> None:
        space = self.spaces[name]
        self.run(self.client.patiently(lambda: self.stage.store.drop_space(space)))
        self.run(self.client.patiently(lambda: self.stage.store.ensure_space(space, OPTIONS[name])))
        kept = {key: record for key, record in self.state.records.items() if key.space != space}
        stamps = {of: stamp for of, stamp in self.state.stamps.items() if of.space != space}
        self.state = replace(self.state, records=kept, stamps=stamps)
        self.logged = [] if name == STAMPED_NAME else self.logged

    @invariant()
    def the_log_is_what_was_appended(self) -> None:
        if self.spaces:
            entries = self.run(self.client.log_all(self.spaces[STAMPED_NAME]))
            assert [(entry.partition, entry.sort, entry.new) for entry in entries] == self.logged


class TestMachine:
    """The engine and the model never differ."""

    def test_any_sequence_of_calls(self, stage: Stage) -> None:
        class Machine(ContractMachine):
            pass

        Machine.stage = stage
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=stage.rounds(20, 150),
                stateful_step_count=rounds(25, 50),
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=set(Phase) - (set() if stage.is_quick else {Phase.shrink}),
            ),
        )
