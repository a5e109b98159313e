"""Access policies of queues: whom they let do what. Which are taken, ``policy_checks`` says.

A queue's own account may do everything that no statement denies; every other account needs a statement that allows it.
A policy whose statements use conditions that are not known here never allows by them, and always denies by them: what
is not understood is not let through.

Source: AWS Identity and Access Management User Guide, "Policy evaluation logic" and "IAM JSON policy elements
reference"; Amazon SQS Developer Guide, "Using custom policies with the Amazon SQS Access Policy Language".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import orjson
from msgspec import Struct

from tenet.queues.rules.conditions import holds
from tenet.queues.rules.patterns import matches

POLICY_BYTES_MAX: Final = 8_192
STATEMENTS_MAX: Final = 20
_OF_ACCOUNT: Final = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::([0-9]{12}):(.*)")
_FIELDS: Final = frozenset({"Version", "Id", "Statement"})

#: What a policy says about a request: by an allowing statement, by a denying one, or nothing.
Verdict: TypeAlias = Literal["allow", "deny", "nothing"]


class Asked(Struct, frozen=True, gc=False):
    """What somebody wants to do.

    Args:
        principal: ARN of whoever wants it.
        account: of the same, 12 digits.
        action: for instance ``sqs:SendMessage``.
        resource: ARN of the queue.
        facts: what conditions are about, by key in small letters, for instance ``aws:sourceip``.
    """

    principal: str
    account: str
    action: str
    resource: str
    facts: dict[str, str] = {}


def judge(text: str, asked: Asked) -> Verdict:
    """Returns what a policy says about a request; a denying statement outdoes all others.

    Args:
        text: a policy that was taken once; empty for none.
        asked: the request.
    """
    verdict: Verdict = "nothing"
    for statement in _parsed(text):
        is_denying = statement["Effect"] == "Deny"
        if _applies(statement, asked, is_denying=is_denying):
            if is_denying:
                return "deny"
            verdict = "allow"
    return verdict


@lru_cache(maxsize=1_000)
def _parsed(text: str) -> tuple[dict[str, Any], ...]:
    return tuple(_statements(text)) if text else ()


def _statements(text: str) -> list[Any]:
    try:
        return statements_in(orjson.loads(text)) or []
    except orjson.JSONDecodeError:
        return []


def statements_in(policy: Any) -> list[Any] | None:
    """Returns the statements of a policy, whatever they are; None where it is none.

    Args:
        policy: of any JSON type.
    """
    if not isinstance(policy, dict) or not policy.keys() <= _FIELDS:
        return None
    statements = policy.get("Statement")
    if isinstance(statements, dict):
        return [statements]
    return statements if isinstance(statements, list) and statements else None


def texts_in(value: Any) -> list[str]:
    """Returns a text or a list of them as a list; an empty one where it is neither."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(element, str) for element in value):
        return value
    return []


# ---- judging ---------------------------------------------------------------------------------------------------------


def _applies(statement: dict[str, Any], asked: Asked, *, is_denying: bool) -> bool:
    return (
        _is_meant(statement, asked, is_denying=is_denying)
        and _is_action(statement, asked.action)
        and _is_resource(statement, asked.resource)
        and holds(statement.get("Condition", {}), asked.facts, otherwise=is_denying)
    )


def _is_meant(statement: dict[str, Any], asked: Asked, *, is_denying: bool) -> bool:
    if "Principal" in statement:
        return _names(statement["Principal"], asked, of_account=is_denying)
    return not _names(statement["NotPrincipal"], asked, of_account=False)


def _names(principals: Any, asked: Asked, *, of_account: bool) -> bool:
    """Whether principals name who asks.

    Args:
        principals: of a statement.
        asked: the request, whose sender is known by his account alone.
        of_account: whether a user or a role of his account will do: what is denied to one of them is denied to him.
    """
    if principals == "*":
        return True
    for named in texts_in(principals.get("AWS", [])):
        if named in {"*", asked.principal, asked.account}:
            return True
        found = _OF_ACCOUNT.fullmatch(named)
        if found is not None and found[1] == asked.account and (of_account or found[2] == "root"):
            return True
    return False


def _is_action(statement: dict[str, Any], action: str) -> bool:
    named = action.lower()
    if "Action" in statement:
        return any(matches(pattern.lower(), named) for pattern in texts_in(statement["Action"]))
    return not any(matches(pattern.lower(), named) for pattern in texts_in(statement["NotAction"]))


def _is_resource(statement: dict[str, Any], resource: str) -> bool:
    if "Resource" in statement:
        return any(matches(pattern, resource) for pattern in texts_in(statement["Resource"]))
    if "NotResource" in statement:
        return not any(matches(pattern, resource) for pattern in texts_in(statement["NotResource"]))
    return True
