"""The statements that AddPermission adds to a policy, and RemovePermission takes from it.

Source: Amazon SQS API Reference, AddPermission and RemovePermission.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from msgspec import Struct

from tenet.queues.errors import InvalidParameterValue, MissingParameter, OverLimit
from tenet.queues.rules.policies import POLICY_BYTES_MAX, STATEMENTS_MAX

ACTIONS_MAX: Final = 7
ACCOUNTS_MAX: Final = 50
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_VERSION: Final = "2008-10-17"
#: What is said of an action that there is not.
NO_ACTION: Final = "Please refer to the appropriate WSDL for a list of valid actions. "
#: What other accounts may be allowed to do, and what the queue's own account alone does.
SHARED_ACTIONS: Final = frozenset(
    {
        "*",
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "SendMessage",
    }
)
OWN_ACTIONS: Final = frozenset(
    {
        "AddPermission",
        "CancelMessageMoveTask",
        "CreateQueue",
        "DeleteQueue",
        "ListMessageMoveTasks",
        "ListQueueTags",
        "ListQueues",
        "RemovePermission",
        "SetQueueAttributes",
        "StartMessageMoveTask",
        "TagQueue",
        "UntagQueue",
    }
)


class Permission(Struct, frozen=True):
    """What a label allows.

    Args:
        label: names the statement.
        accounts: who may, 12 digits each.
        actions: what they may, without the prefix.
    """

    label: str
    accounts: list[str]
    actions: list[str]


def read_permission(request: dict[str, Any]) -> Permission:
    """Returns what an AddPermission asks for.

    Raises:
        QueuesError: it cannot be.
    """
    label = request.get("Label") or ""
    actions: list[str] = request.get("Actions") or []
    accounts: list[str] = request.get("AWSAccountIds") or []
    if not label:
        raise MissingParameter.of("Label")
    if not _LABEL.fullmatch(label):
        raise InvalidParameterValue.of(
            "Label", label, "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    if not actions:
        raise MissingParameter.of("Actions")
    if not accounts or not all(_ACCOUNT.fullmatch(account) for account in accounts):
        raise InvalidParameterValue.of("PrincipalId", f"[{', '.join(accounts)}]", "Unable to verify.")
    if len(accounts) > ACCOUNTS_MAX:
        raise OverLimit(f"{len(accounts)} Principals were found, maximum allowed is {ACCOUNTS_MAX}.")
    if len(actions) > ACTIONS_MAX:
        raise OverLimit(f"{len(actions)} Actions were found, maximum allowed is {ACTIONS_MAX}.")
    for action in actions:
        if action in OWN_ACTIONS:
            reason = "Only the queue owner is allowed to invoke this action."
        elif action not in SHARED_ACTIONS:
            reason = NO_ACTION
        else:
            continue
        raise InvalidParameterValue.of("ActionName", f"SQS:{action}", reason)
    return Permission(label, accounts, actions)


def with_permission(policy: str, arn: str, permission: Permission) -> str:
    """Returns a policy with a statement more.

    Args:
        policy: as it is; empty for none.
        arn: of the queue.
        permission: to be added.

    Raises:
        InvalidParameterValue: there is another statement of the label.
        OverLimit: the policy has as many statements, or bytes, as it may have.
    """
    document = _document(policy)
    if document is None:
        document = {"Version": _VERSION, "Id": f"{arn}/SQSDefaultPolicy", "Statement": []}
    statements = document["Statement"]
    statement = {
        "Sid": permission.label,
        "Effect": "Allow",
        "Principal": {"AWS": _one([f"arn:aws:iam::{account}:root" for account in permission.accounts])},
        "Action": _one([f"SQS:{action}" for action in permission.actions]),
        "Resource": arn,
    }
    for former in statements:
        if former.get("Sid") == permission.label:
            if former == statement:
                return policy
            raise InvalidParameterValue.of("Label", permission.label, "Already exists.")
    statements.append(statement)
    if len(statements) > STATEMENTS_MAX:
        raise OverLimit(f"{len(statements)} Statements were found, maximum allowed is {STATEMENTS_MAX}.")
    text = orjson.dumps(document).decode()
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise OverLimit(f"The policy would have {len(text.encode())} bytes, maximum allowed is {POLICY_BYTES_MAX}.")
    return text


def without_permission(policy: str, label: str) -> str:
    """Returns a policy without the statement of a label; empty where it was the last one.

    Raises:
        InvalidParameterValue: there is none.
    """
    document = _document(policy)
    if document is None:
        raise InvalidParameterValue.of("Label", label, "can't find label.")
    left = [statement for statement in document["Statement"] if statement.get("Sid") != label]
    if len(left) == len(document["Statement"]):
        raise InvalidParameterValue.of("Label", label, "can't find label on existing policy.")
    return orjson.dumps(document | {"Statement": left}).decode() if left else ""


def _document(policy: str) -> dict[str, Any] | None:
    """Returns a policy with its statements as a list; None for none."""
    if not policy:
        return None
    document: dict[str, Any] = orjson.loads(policy)
    if isinstance(document["Statement"], dict):
        document["Statement"] = [document["Statement"]]
    return document


def _one(values: list[str]) -> str | list[str]:
    """Returns the only one of some values, or all of them."""
    return values[0] if len(values) == 1 else values
