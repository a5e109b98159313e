"""Tenet and the witnesses side by side: sends each request of a sequence to all of them and collects what differs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from tests.conformance.differential.answers import NO_ANSWER, SUCCESS, Answer, by_value, canonical_item, in_order
from tests.conformance.differential.compare import (
    CONTENTS,
    CONTENTS_AFTER_REFUSAL,
    MESSAGE,
    Difference,
    differences,
    seconded,
)
from tests.conformance.differential.known_entries import explain
from tests.conformance.differential.requests import TOKEN, Step
from tests.conformance.differential.schemas import SCHEMAS, Json, Schema
from tests.conformance.differential.table_requests import ARNS, TABLE
from tests.conformance.differential.targets import Target
from tests.conformance.peers import PEERS, RunningPeer, start

STATEMENTS = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})
WRITES = STATEMENTS | {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
PAGES_MAX = 200
_BATCH = 25
#: How long a table may be in a transition, on a busy machine, and how often it is looked whether it still is.
_SETTLED_S_MAX = 60.0
#: How long a global index may take to show what its table holds.
_CONSISTENT_S_MAX = 5.0
_LOOK_S = 0.002
#: Entries of the tally beside the names of known differences.
EQUAL = "equal"
#: The same error in other words, where another witness uses Tenet's.
OTHER_WORDS = "other words"


class Witness:
    """A peer that answers the same requests as Tenet. One that dies is started again, empty.

    Args:
        name: of the peer.
        folder: for its output.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._peer: RunningPeer = start(PEERS[name], folder)
        self.target = Target(name, self._peer.endpoint)
        create_tables(self.target)

    def clean(self, schema: Schema) -> None:
        """Empties a table; starts the peer again, with new tables, where it died or cannot be brought to that."""
        try:
            empty(self.target, schema)
        except RuntimeError:
            self.start_again()

    def start_again(self) -> None:
        """Starts the peer again, with new tables."""
        self.stop()
        self._peer = start(PEERS[self.name], self._folder)
        self.target = Target(self.name, self._peer.endpoint)
        create_tables(self.target)

    def stop(self) -> None:
        """Ends it."""
        self.target.close()
        self._peer.stop()


def create_tables(target: Target) -> None:
    """Makes every table of the differential test and waits until it can be used."""
    for schema in SCHEMAS:
        answer = settled(target, Step("CreateTable", schema.create_request()), schema.name)
        if not answer.is_success:
            raise RuntimeError(f"{target.name} made no table {schema.name}: {answer}")
        target.arns = answer.body["TableDescription"]["TableArn"].removesuffix(schema.name)


class Arena:
    """Where sequences are run.

    Args:
        tenet: Tenet, its tables not made yet.
        witnesses: names of the peers.
        folder: for the output of the peers.
    """

    def __init__(self, tenet: Target, witnesses: Sequence[str], folder: Path) -> None:
        self._stack = ExitStack()
        self._stack.callback(tenet.close)
        self._tenet = tenet
        self._sequences = 0
        #: How often an operation was answered equally, or with which known difference, by witness.
        self.tally: Counter[tuple[str, str, str]] = Counter()
        with self._stack:
            self._pool = self._stack.enter_context(ThreadPoolExecutor(len(witnesses) + 1))
            self._witnesses = list(self._pool.map(lambda name: Witness(name, folder), witnesses))
            for witness in self._witnesses:
                self._stack.callback(witness.stop)
            create_tables(tenet)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, steps: Sequence[Step]) -> list[Difference]:
        """Runs a sequence on tables that are empty before and afterwards.

        Returns:
            What differs and is not known; a witness that differs in what it holds afterwards is not asked again.
        """
        self._sequences += 1
        schema = _schema_of(steps[0])
        compared = list(self._witnesses)
        found: list[Difference] = []
        try:
            for step in steps:
                if compared:
                    found += self._run_step(_with_tokens(step, self._sequences), schema, compared)
            found += self._compare_indexes(schema, compared)
        finally:
            self._clean(schema)
        return found

    def run_tables(self, steps: Sequence[Step], *, without: Sequence[str] = ()) -> list[Difference]:
        """Runs a sequence about a table of its own, which is gone afterwards; a witness that differs is left out.

        Args:
            steps: what is asked.
            without: witnesses that are not asked at all.
        """
        self._sequences += 1
        name = f"made-{self._sequences}"
        compared = [witness for witness in self._witnesses if witness.name not in without]
        found: list[Difference] = []
        for step in steps:
            named = replace(step, request=_with_name(step.request, name))
            ours, answers, unknown = self._ask(named, compared, partial(settled, step=named, name=name))
            until_s = time.monotonic() + _CONSISTENT_S_MAX
            # A global index shows in the end what the table holds, and says that it is there before that.
            while unknown and ours.is_success and "IndexName" in step.request and time.monotonic() < until_s:
                time.sleep(_LOOK_S)
                ours, answers, unknown = self._ask(named, compared, partial(settled, step=named, name=name))
            found += unknown
            compared = [
                witness
                for witness, answer in answers
                if answer.is_success == ours.is_success and answer.code != NO_ANSWER
            ]
        if any("DeletionProtectionEnabled" in step.request for step in steps):
            request = {"TableName": name, "DeletionProtectionEnabled": False}
            self._each(self._witnesses, partial(settled, step=Step("UpdateTable", request), name=name))
        _, *gone = self._each(
            self._witnesses, partial(settled, step=Step("DeleteTable", {"TableName": name}), name=name)
        )
        for witness, answer in zip(self._witnesses, gone, strict=True):
            if answer.code == NO_ANSWER:
                witness.start_again()
        return found

    def _run_step(self, step: Step, schema: Schema, compared: list[Witness]) -> list[Difference]:
        """Runs one step; takes those out of `compared` that can be compared no more."""
        ours, answers, unknown = self._ask(step, compared, partial(execute, step=step))
        for witness, answer in answers:
            if answer.code == NO_ANSWER:
                compared.remove(witness)
        if step.operation in WRITES:
            split = {witness.name for witness, answer in answers if answer.is_success != ours.is_success}
            self._part_with(split, step, schema.name, compared)
            member = CONTENTS if ours.is_success else CONTENTS_AFTER_REFUSAL
            unknown += self._compare_contents(step, schema.name, None, compared, member)
        return unknown

    def _ask(
        self, step: Step, compared: Sequence[Witness], ask: Callable[[Target], Answer]
    ) -> tuple[Answer, list[tuple[Witness, Answer]], list[Difference]]:
        """Asks all; returns Tenet's answer, those of the witnesses, and what differs and is not known."""
        ours, *theirs = self._each(compared, ask)
        answers = list(zip(compared, theirs, strict=True))
        found = seconded([each for one, answer in answers for each in differences(step, one.name, ours, answer)])
        seen = {witness.name: [each for each in found if each.witness == witness.name] for witness in compared}
        is_confirmed = any(answer.code == ours.code and not _worded(seen[witness.name]) for witness, answer in answers)
        unknown: list[Difference] = []
        for name, of_witness in seen.items():
            unknown += self._judge(of_witness, step.operation, name, is_confirmed=is_confirmed)
        return ours, answers, unknown

    def _judge(
        self, seen: list[Difference], operation: str, witness: str, *, is_confirmed: bool = False
    ) -> list[Difference]:
        """Counts the differences that are known and returns the others.

        Args:
            seen: in one answer.
            operation: what was called.
            witness: who answered.
            is_confirmed: whether another witness words the error as Tenet does.
        """
        unknown = []
        for difference in seen:
            known = explain(difference)
            if known is not None:
                self.tally[witness, operation, known.name] += 1
            elif difference.member == MESSAGE and is_confirmed:
                self.tally[witness, operation, OTHER_WORDS] += 1
            else:
                unknown.append(difference)
        if not seen:
            self.tally[witness, operation, EQUAL] += 1
        return unknown

    def _part_with(self, names: set[str], step: Step, table: str, compared: list[Witness]) -> None:
        """Takes out witnesses that hold something else since they and Tenet differ in whether a write was valid.

        A token is something that they hold: only where the write was valid has it been used.
        """
        if "ClientRequestToken" in step.request:
            compared[:] = [witness for witness in compared if witness.name not in names]
        parted = [witness for witness in compared if witness.name in names]
        if not parted:
            return
        ours, *theirs = self._each(parted, lambda target: _contents(target, table, None))
        for witness, items in zip(parted, theirs, strict=True):
            if items != ours:
                compared.remove(witness)

    def _compare_contents(
        self, step: Step, table: str, index: str | None, compared: list[Witness], member: str
    ) -> list[Difference]:
        """Compares what lies in a table or an index after a write that was answered equally."""
        ours, *theirs = self._each(compared, lambda target: _contents(target, table, index))
        unknown: list[Difference] = []
        for witness, items in list(zip(compared, theirs, strict=True)):
            if items != ours:
                compared.remove(witness)
                difference = Difference(witness.name, step.operation, step.request, member, ours, items)
                unknown += self._judge([difference], step.operation, witness.name)
        return unknown

    def _compare_indexes(self, schema: Schema, compared: list[Witness]) -> list[Difference]:
        found = []
        for index in schema.indexes:
            step = Step("Scan", {"TableName": schema.name, "IndexName": index.name})
            found += self._compare_contents(step, schema.name, index.name, compared, f"{CONTENTS} of {index.name}")
        return found

    def _each(self, witnesses: Sequence[Witness], ask: Callable[[Target], Any]) -> list[Any]:
        """Asks Tenet and the witnesses at the same time."""
        return list(self._pool.map(ask, [self._tenet, *(witness.target for witness in witnesses)]))

    def _clean(self, schema: Schema) -> None:
        empty(self._tenet, schema)
        list(self._pool.map(lambda witness: witness.clean(schema), self._witnesses))


def execute(target: Target, step: Step) -> Answer:
    """Sends a step's request, in all segments and to the end of all pages where the step asks for that."""
    if not step.reads_all or not isinstance(step.request.get("Limit"), int | float):
        return target.call(step.operation, step.request)
    if step.operation == "ExecuteStatement":
        return _execute_all(target, step.request)
    pages: list[Json] = []
    for segment in range(step.segments):
        request = step.request if step.segments == 1 else step.request | {"Segment": segment}
        failure = _read_all(target, step.operation, request, pages)
        if failure is not None:
            return failure
    together: Json = {member: sum(page[member] for page in pages) for member in ("Count", "ScannedCount")}
    if any("Items" in page for page in pages):
        together["Items"] = [item for page in pages for item in page.get("Items", ())]
    return Answer(200, SUCCESS, "", together)


def _execute_all(target: Target, request: Json) -> Answer:
    """Sends a statement until no token is left; returns the items of all pages together, or what kept it from that."""
    items: list[Json] = []
    for _ in range(PAGES_MAX):
        answer = target.call("ExecuteStatement", request)
        if not answer.is_success:
            return answer
        items += answer.body["Items"]
        if "NextToken" not in answer.body:
            return Answer(200, SUCCESS, "", {"Items": items})
        request = request | {"NextToken": answer.body["NextToken"]}
    return Answer(0, NO_ANSWER, f"more than {PAGES_MAX} pages", {})


def _read_all(target: Target, operation: str, request: Json, pages: list[Json]) -> Answer | None:
    """Adds all pages of a reading request; returns what kept it from that, else None."""
    at_first = len(pages)
    while True:
        answer = target.call(operation, request)
        if not answer.is_success:
            return answer
        pages.append(answer.body)
        scanned = answer.body["ScannedCount"]
        if len(pages) - at_first > PAGES_MAX or scanned > request["Limit"]:
            return Answer(0, NO_ANSWER, f"{len(pages)} pages, the last with {scanned} items", {})
        if "LastEvaluatedKey" not in answer.body:
            return None
        request = request | {"ExclusiveStartKey": answer.body["LastEvaluatedKey"]}


def settled(target: Target, step: Step, name: str) -> Answer:
    """Sends a request, and waits until the table that it is about is in no transition."""
    answer = target.call(step.operation, _with_arns(step.request, target))
    if answer.code == NO_ANSWER:
        return answer
    answer = replace(answer, message=answer.message.replace(target.arns or ARNS, ARNS))
    until_s = time.monotonic() + _SETTLED_S_MAX
    while time.monotonic() < until_s:
        looked = target.call("DescribeTable", {"TableName": name})
        described = looked.body.get("Table", {})
        states = {described.get("TableStatus", "ACTIVE")}
        states |= {index.get("IndexStatus", "ACTIVE") for index in described.get("GlobalSecondaryIndexes", ())}
        # Where it did not say, as on a busy machine, nothing is known of the table.
        if states == {"ACTIVE"} and looked.code != NO_ANSWER:
            return answer
        time.sleep(_LOOK_S)
    raise RuntimeError(f"{target.name}: {name} did not become active, nor go")


def _with_name(request: Json, name: str) -> Json:
    """The request with the name of a table in place of what stands for it."""
    named: Json = {}
    for member, part in request.items():
        if member == "TableName" and part == TABLE:
            named[member] = name
        elif isinstance(part, str) and part.startswith(f"{ARNS}{TABLE}"):
            named[member] = part.replace(TABLE, name, 1)
        elif member == "Statement" and isinstance(part, str):
            named[member] = part.replace(f'"{TABLE}"', f'"{name}"')
        elif member == "TransactItems":
            named[member] = [{kind: _with_name(action, name) for kind, action in one.items()} for one in part]
        else:
            named[member] = part
    return named


def _with_arns(request: Json, target: Target) -> Json:
    """The request with what a target's ARNs begin with in place of what stands for it."""
    return {
        member: part.replace(ARNS, target.arns, 1) if isinstance(part, str) and part.startswith(ARNS) else part
        for member, part in request.items()
    }


def empty(target: Target, schema: Schema) -> None:
    """Deletes every item of a table."""
    items = target.contents(schema.name)
    if not all(name in item for item in items for name in schema.key_names):
        raise RuntimeError(f"{target.name} holds items without a key: {items}")
    keys = [{name: item[name] for name in schema.key_names} for item in items]
    for first in range(0, len(keys), _BATCH):
        deletes = [{"DeleteRequest": {"Key": key}} for key in keys[first : first + _BATCH]]
        answer = target.call("BatchWriteItem", {"RequestItems": {schema.name: deletes}})
        if not answer.is_success:
            raise RuntimeError(f"{target.name} cannot be emptied: {answer}")
    if keys and target.contents(schema.name):
        raise RuntimeError(f"{target.name} holds items that their own keys do not delete")


def _contents(target: Target, table: str, index: str | None) -> list[Json] | None:
    """What lies in a table or an index, in an order of its own; None where it cannot be read."""
    try:
        items = target.contents(table, index)
    except RuntimeError:
        return None
    return in_order(by_value(canonical_item(item)) for item in items)


def _worded(seen: list[Difference]) -> bool:
    """Whether the texts of the errors differ."""
    return any(difference.member == MESSAGE for difference in seen)


def _schema_of(step: Step) -> Schema:
    (name,) = step.request["RequestItems"]
    return next(schema for schema in SCHEMAS if schema.name == name)


def _with_tokens(step: Step, sequence: int) -> Step:
    """The step with a token that belongs to this run of this sequence alone."""
    token = step.request.get("ClientRequestToken")
    if not isinstance(token, str) or not token.startswith(TOKEN):
        return step
    request = json.loads(json.dumps(step.request)) | {"ClientRequestToken": f"{sequence}-{token}"}
    return replace(step, request=request)
