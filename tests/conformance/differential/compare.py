"""Finds in what two answers to one request differ."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from tests.conformance.differential.answers import Answer, comparable
from tests.conformance.differential.requests import Step
from tests.conformance.differential.schemas import Json

SHOWN_CHARACTERS = 1_500
#: The parts of every answer that are compared first.
OUTCOME, MESSAGE = "outcome", "message"
#: What lies in a table after a request; that of an index has its name behind.
CONTENTS, CONTENTS_AFTER_REFUSAL = "contents", "contents after a refusal"


@dataclass(frozen=True)
class Difference:
    """One part of an answer that a witness gives otherwise than Tenet.

    Args:
        witness: the peer's name.
        operation: what was called.
        request: its body.
        member: ``outcome`` (success or the error's code, with its text), ``message``, a member of the body, or
            ``contents`` for what lies in the table or an index afterwards.
        ours: Tenet's.
        theirs: the witness's.
        is_seconded: whether another witness gives the same.
    """

    witness: str
    operation: str
    request: Json
    member: str
    ours: Any
    theirs: Any
    is_seconded: bool = False

    def __str__(self) -> str:
        return (
            f"{self.operation} {_shown(self.request)}\n  {self.member}\n"
            f"    Tenet: {_shown(self.ours)}\n    {self.witness}: {_shown(self.theirs)}"
        )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"


def differences(step: Step, witness: str, ours: Answer, theirs: Answer) -> list[Difference]:
    """Compares the answers to a request.

    Args:
        step: the request.
        witness: who else answered.
        ours: Tenet's answer.
        theirs: the witness's.
    """

    def difference(member: str, our_part: Any, their_part: Any) -> Difference:
        return Difference(witness, step.operation, step.request, member, our_part, their_part)

    if ours.code != theirs.code:
        return [difference(OUTCOME, f"{ours.code}: {ours.message}", f"{theirs.code}: {theirs.message}")]
    our_parts = comparable(ours, is_ordered=step.is_ordered)
    their_parts = comparable(theirs, is_ordered=step.is_ordered)
    return [
        difference(member, our_parts.get(member), their_parts.get(member))
        for member in sorted({*our_parts, *their_parts})
        if our_parts.get(member) != their_parts.get(member)
    ]


def seconded(found: list[Difference]) -> list[Difference]:
    """The differences of several witnesses' answers to one request, with which of them another one gives too.

    Args:
        found: of all witnesses.
    """

    def is_seconded(one: Difference) -> bool:
        return any(
            other.witness != one.witness and (other.member, other.theirs) == (one.member, one.theirs) for other in found
        )

    return [replace(difference, is_seconded=is_seconded(difference)) for difference in found]
