"""A batch of statements of which the store carries out some: each is told what became of it, and none is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Commit, Key, Outcome, Record
from tenet.store.errors import OutcomeUnknown, SpaceNotFound, StoreUnavailable
from tenet.store.memory import MemoryEngine
from tenet.tables.api import Caller, Tables
from tests.unit.tables.statements import NOTES

CALLER = "0" * 12
FAILED = {"Code": "InternalServerError", "Message": "Internal server error"}


class Partial(MemoryEngine):
    """Cannot serve items whose ids say so."""

    moved = False

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        await self._look([write.key for write in commit.writes])
        return await super().commit(commit, deadline=deadline)

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = float("inf")
    ) -> Sequence[Record | None]:
        if any(b"unread" in key.partition for key in keys):
            raise StoreUnavailable("not now")
        return await super().get(keys, stale=stale, deadline=deadline)

    async def _look(self, keys: Sequence[Key]) -> None:
        text = b"".join(key.partition for key in keys)
        if b"slow" in text:
            await asyncio.sleep(0.02)
        if b"refused" in text:
            raise StoreUnavailable("not now")
        if b"unknown" in text:
            raise OutcomeUnknown("nobody knows")
        if b"gone" in text or (b"moved" in text and not self.moved):
            self.moved = True
            raise SpaceNotFound("not any more")


def batch(*statements: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Carries out statements; returns what is told of each, and what ``v`` is of each item then."""

    async def played() -> tuple[list[dict[str, Any]], dict[str, str]]:
        clock, ids = SystemClock(), SystemIds()
        tables = await Tables.open(Partial(clock=clock, ids=ids), clock=clock, ids=ids)
        try:
            await tables.call("CreateTable", NOTES, Caller(CALLER))
            for name in ("slow", "quick"):
                item = {"id": {"S": name}, "v": {"N": "0"}}
                await tables.call("PutItem", {"TableName": "notes", "Item": item}, Caller(CALLER))
            request = {"Statements": [{"Statement": statement} for statement in statements]}
            told = orjson.loads(await tables.call("BatchExecuteStatement", request, Caller(CALLER)))["Responses"]
            found = orjson.loads(await tables.call("Scan", {"TableName": "notes"}, Caller(CALLER)))["Items"]
        finally:
            await tables.close()
        return told, {item["id"]["S"]: item["v"]["N"] for item in found}

    return asyncio.run(played())


def add(name: str) -> str:
    return f"UPDATE notes SET v = v + 1 WHERE id = '{name}'"


def insert(name: str) -> str:
    return f"INSERT INTO notes VALUE {{'id': '{name}', 'v': 1}}"


@pytest.mark.parametrize("name", ["refused", "unknown"])
def test_what_the_store_could_not_do_is_told_by_the_statement_that_it_befell(name: str) -> None:
    """The others have ended by then."""
    told, found = batch(add("slow"), insert(name), add("quick"))
    assert told == [{"TableName": "notes"}, {"Error": FAILED, "TableName": "notes"}, {"TableName": "notes"}]
    assert found == {"slow": "1", "quick": "1"}


@pytest.mark.parametrize(
    "others", [[], [insert("refused-2")], [insert("quick")], ["UPDATE notes SET v = 1 WHERE id = 'x'"]]
)
def test_a_batch_that_wrote_nothing_may_be_sent_again(others: list[str]) -> None:
    with pytest.raises(StoreUnavailable):
        batch(insert("refused"), *others)


def test_a_batch_that_may_have_written_says_so() -> None:
    with pytest.raises(OutcomeUnknown):
        batch(insert("refused"), insert("unknown"))


def test_a_batch_of_reads_is_sent_again() -> None:
    with pytest.raises(StoreUnavailable):
        batch("SELECT * FROM notes WHERE id = 'quick'", "SELECT * FROM notes WHERE id = 'unread'")


def test_only_the_statement_whose_table_had_changed_is_tried_again() -> None:
    told, found = batch(add("slow"), insert("moved"), insert("gone"))
    assert [one.get("Error", {}).get("Code") for one in told] == [None, None, "ResourceNotFound"]
    assert found == {"slow": "1", "quick": "0", "moved": "1"}
