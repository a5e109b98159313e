"""Access policies of queues: which are well formed, and whom they let do what.

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

from tenet.queues.errors import InvalidAttributeValue, OverLimit
from tenet.queues.rules.conditions import holds, is_condition
from tenet.queues.rules.patterns import matches

POLICY_BYTES_MAX: Final = 8_192
STATEMENTS_MAX: Final = 20
_PREFIX: Final = "sqs:"
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


def check_policy(text: str) -> None:
    """Refuses what is no policy.

    Raises:
        InvalidAttributeValue: it is none, or longer than ``POLICY_BYTES_MAX``.
        OverLimit: it has more than ``STATEMENTS_MAX`` statements.
    """
    statements = _statements(text)
    if statements is None or len(text.encode()) > POLICY_BYTES_MAX:
        raise InvalidAttributeValue.of("Policy")
    if len(statements) > STATEMENTS_MAX:
        raise OverLimit(
            f"{len(statements)} statements were found in the submitted policy, max allowed is {STATEMENTS_MAX}"
        )
    if not all(_is_statement(statement) for statement in statements):
        raise InvalidAttributeValue.of("Policy")


def judge(text: str, asked: Asked) -> Verdict:
    """Returns what a policy says about a request; a denying statement outdoes all others.

    Args:
        text: a policy that `check_policy` has taken; empty for none.
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
    return tuple(_statements(text) or ()) if text else ()


def _statements(text: str) -> list[Any] | None:
    try:
        policy = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(policy, dict) or not policy.keys() <= _FIELDS:
        return None
    statements = policy.get("Statement")
    if isinstance(statements, dict):
        return [statements]
    return statements if isinstance(statements, list) and statements else None


def _is_statement(statement: Any) -> bool:
    if not isinstance(statement, dict) or statement.get("Effect") not in {"Allow", "Deny"}:
        return False
    for element in ("Principal", "Action"):
        if (element in statement) == (f"Not{element}" in statement):
            return False
    if "NotPrincipal" in statement and statement["Effect"] == "Allow":
        # It would let in everybody else, whoever that is.
        return False
    if not _are_resources(statement):
        return False
    condition = statement.get("Condition", {})
    return _are_principals(statement) and _are_actions(statement) and is_condition(condition)


def _are_principals(statement: dict[str, Any]) -> bool:
    principals = statement.get("Principal", statement.get("NotPrincipal"))
    if principals == "*":
        return True
    if not isinstance(principals, dict) or not principals:
        return False
    return all(_texts(named) for named in principals.values())


def _are_resources(statement: dict[str, Any]) -> bool:
    named = [statement[element] for element in ("Resource", "NotResource") if element in statement]
    return len(named) <= 1 and all(_texts(resources) for resources in named)


def _are_actions(statement: dict[str, Any]) -> bool:
    actions = _texts(statement.get("Action", statement.get("NotAction")))
    return bool(actions) and all(action == "*" or action.lower().startswith(_PREFIX) for action in actions)


def _texts(value: Any) -> list[str]:
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
    for named in _texts(principals.get("AWS", [])):
        if named in {"*", asked.principal, asked.account}:
            return True
        found = _OF_ACCOUNT.fullmatch(named)
        if found is not None and found[1] == asked.account and (of_account or found[2] == "root"):
            return True
    return False


def _is_action(statement: dict[str, Any], action: str) -> bool:
    named = action.lower()
    if "Action" in statement:
        return any(matches(pattern.lower(), named) for pattern in _texts(statement["Action"]))
    return not any(matches(pattern.lower(), named) for pattern in _texts(statement["NotAction"]))


def _is_resource(statement: dict[str, Any], resource: str) -> bool:
    if "Resource" in statement:
        return any(matches(pattern, resource) for pattern in _texts(statement["Resource"]))
    if "NotResource" in statement:
        return not any(matches(pattern, resource) for pattern in _texts(statement["NotResource"]))
    return True
