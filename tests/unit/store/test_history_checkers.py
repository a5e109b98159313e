"""The two checkers of histories, on histories that are known to be right or wrong."""

from __future__ import annotations

import pytest

from tenet.store.contract import (
    Add,
    Commit,
    CommitId,
    Committed,
    Conflict,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Put,
    Record,
    SpaceOptions,
    StampOf,
    Version,
)
from tenet.store.suite.linearizability import Call, find_order
from tenet.store.suite.model import SawCommitted, SawConflict, SawTogether, Stamp, State
from tenet.store.suite.serializability import Anomaly, Transaction, check

A, B = ("record", "a"), ("record", "b")


class TestVersionsOfLongHistories:
    def test_one_after_the_other_is_right(self) -> None:
        check(
            [
                Transaction("first", 1, 2, {A: None}, {A: 1}),
                Transaction("second", 3, 4, {A: 1}, {A: 2}),
                Transaction("third", 5, 6, {A: 2, B: None}),
            ]
        )

    def test_overlapping_ones_may_come_in_either_order(self) -> None:
        early = Transaction("reader", 1, 10, {A: None})
        late = Transaction("reader", 1, 10, {A: 1})
        for reader in (early, late):
            check([reader, Transaction("writer", 2, 9, {}, {A: 1})])

    @pytest.mark.parametrize(
        ("why", "history"),
        [
            (
                "a lost update",
                [
                    Transaction("start", 1, 2, {}, {A: 1}),
                    Transaction("one", 3, 10, {A: 1}, {A: 2}),
                    Transaction("other", 4, 9, {A: 1}, {A: 3}),
                ],
            ),
            (
                "write skew",
                [
                    Transaction("start", 1, 2, {}, {A: 1, B: 1}),
                    Transaction("one", 3, 10, {A: 1, B: 1}, {A: 2}),
                    Transaction("other", 4, 9, {A: 1, B: 1}, {B: 2}),
                ],
            ),
            (
                "half a commit was read",
                [
                    Transaction("start", 1, 2, {}, {A: 1, B: 1}),
                    Transaction("writer", 3, 10, {}, {A: 2, B: 2}),
                    Transaction("reader", 4, 9, {A: 2, B: 1}),
                ],
            ),
            (
                "a stale read: serializable, but not in the order of time",
                [
                    Transaction("start", 1, 2, {}, {A: 1}),
                    Transaction("writer", 3, 4, {A: 1}, {A: 2}),
                    Transaction("reader", 5, 6, {A: 1}),
                ],
            ),
            (
                "versions are not in the order of the commits",
                [Transaction("one", 1, 2, {A: None}, {A: 7}), Transaction("other", 3, 4, {A: 7}, {A: 5})],
            ),
            (
                "two readers disagree about the order of independent writes",
                [
                    Transaction("a", 1, 20, {}, {A: 1}),
                    Transaction("b", 2, 19, {}, {B: 1}),
                    Transaction("one", 3, 18, {A: 1, B: None}),
                    Transaction("other", 4, 17, {A: None, B: 1}),
                ],
            ),
            ("a read of what nobody wrote", [Transaction("reader", 1, 2, {A: 9})]),
            (
                "one version, two writers",
                [Transaction("one", 1, 2, {}, {A: 1}), Transaction("other", 3, 4, {}, {A: 1})],
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_anomalies_are_found(self, why: str, history: list[Transaction]) -> None:
        with pytest.raises(Anomaly):
            check(history)
        with pytest.raises(Anomaly):
            check(history[::-1])

    @pytest.mark.thorough
    def test_a_long_history_is_checked_without_deep_recursion(self) -> None:
        history = [Transaction(str(at), 2 * at, 2 * at + 1, {A: at or None}, {A: at + 1}) for at in range(20_000)]
        check(history)
        with pytest.raises(Anomaly, match="19999"):
            check([*history, Transaction("stale", 10**6, 10**6 + 1, {A: 19_999})])


SPACES = {"s": SpaceOptions(stamps=True)}
KEY = Key("s", b"p", b"k")
OF = StampOf("s", b"p")
ONE, TWO = Version(b"1" * 16), Version(b"2" * 16)


def put(value: bytes, version: Version, *checks: IsVersion | IsStamp) -> SawCommitted:
    return SawCommitted(Commit(CommitId(bytes(16)), [Put(KEY, value)], checks), Committed(version))


def read(record: Record | None) -> SawTogether:
    return SawTogether([KEY], [record])


FIRST, SECOND = Record(b"p", b"k", b"first", ONE), Record(b"p", b"k", b"second", TWO)


class TestOrdersOfSmallHistories:
    def test_an_order_is_found_where_there_is_one(self) -> None:
        calls = [
            Call(1, 6, put(b"second", TWO, IsVersion(KEY, ONE))),
            Call(2, 5, put(b"first", ONE, IsVersion(KEY, None))),
            Call(3, 4, read(None)),
            Call(7, 8, read(SECOND)),
        ]
        assert find_order(calls, State(SPACES)) == [2, 1, 0, 3]

    @pytest.mark.parametrize(
        "calls",
        [
            [Call(1, 2, put(b"first", ONE)), Call(3, 4, read(None))],
            [Call(1, 2, read(FIRST)), Call(3, 4, put(b"first", ONE))],
            [
                Call(1, 4, put(b"first", ONE, IsVersion(KEY, None))),
                Call(2, 3, put(b"second", TWO, IsVersion(KEY, None))),
            ],
            [Call(1, 2, put(b"first", ONE)), Call(3, 4, put(b"second", TWO, IsStamp(OF, 0)))],
            [
                Call(1, 2, put(b"first", ONE)),
                Call(3, 8, put(b"second", TWO)),
                Call(4, 5, read(SECOND)),
                Call(6, 7, read(FIRST)),
            ],
        ],
        ids=["stale", "from the future", "lost update", "stamp", "back and forth"],
    )
    def test_none_is_found_where_there_is_none(self, calls: list[Call]) -> None:
        assert find_order(calls, State(SPACES)) is None

    def test_a_conflict_must_be_justified(self) -> None:
        commit = Commit(CommitId(bytes(16)), [Add(KEY, "n", 5, at_most=4)], [IsPresent(KEY)])
        for conflict, holds in (
            (Conflict([0], [0], {KEY: None}, {}), True),
            (Conflict([0], [], {KEY: None}, {}), False),
            (Conflict([], [0], {KEY: None}, {}), False),
            (Conflict([0], [0], {KEY: FIRST}, {}), False),
        ):
            saw = SawConflict(commit, conflict, ("s", b"p"))
            assert (saw.explain(State(SPACES)) is not None) == holds


class TestStamps:
    def test_what_was_raised_is_above_what_it_was(self) -> None:
        assert Stamp(5).seen(5) == Stamp(5)
        assert Stamp(5).seen(6) is None
        raised = Stamp(5, is_exact=False)
        assert raised.seen(5) is None
        assert raised.seen(9) == Stamp(9)
