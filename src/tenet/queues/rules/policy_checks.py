"""Which access policies a queue takes.

What the references do not say is taken: a policy that the service takes is not to be refused here.

Source: Amazon SQS Developer Guide, "Amazon SQS policy quotas", "Limitations of Amazon SQS custom policies" and "Amazon
SQS API permissions: Actions and resource reference"; AWS Identity and Access Management User Guide, "IAM JSON policy
elements reference". Words of the service:
https://github.com/ministryofjustice/cloud-platform-environments/pull/9082 (actions),
https://github.com/Particular/NServiceBus.AmazonSQS/issues/830 (size), https://github.com/aws/aws-cdk/issues/16303
(statements; each had a condition, so that conditions are counted by statement), https://github.com/aws/aws-cdk/issues/2381
(actions that there are not), https://github.com/hashicorp/terraform-provider-aws/pull/42209 (what is about no queue).
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from tenet.queues.errors import InvalidAttributeValue, InvalidParameterValue, OverLimit
from tenet.queues.rules.conditions import is_condition
from tenet.queues.rules.patterns import matches
from tenet.queues.rules.permissions import ACCOUNTS_MAX, ACTIONS_MAX, NO_ACTION, OWN_ACTIONS, SHARED_ACTIONS
from tenet.queues.rules.policies import POLICY_BYTES_MAX, STATEMENTS_MAX, statements_in, texts_in

#: Keys of conditions in a statement, each counted with its operator.
CONDITIONS_MAX: Final = 10
_VERSIONS: Final = ("2008-10-17", "2012-10-17")
_EFFECTS: Final = ("Allow", "Deny")
#: What a statement has one of, by itself or by its opposite.
_ELEMENTS: Final = ("Principal", "Action", "Resource")
_FIELDS: Final = frozenset({"Sid", "Effect", "Condition", *_ELEMENTS, *(f"Not{element}" for element in _ELEMENTS)})
_KINDS: Final = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})
#: Everybody, an account, or somebody in one; the groups are the account.
_AWS: Final = re.compile(r"\*|([0-9]{12})|arn:aws[a-z-]*:(?:iam|sts)::([0-9]{12}):.+")
_PREFIX: Final = "sqs:"
_ACTIONS: Final = tuple(_PREFIX + action.lower() for action in sorted((SHARED_ACTIONS | OWN_ACTIONS) - {"*"}))
#: What is about no queue that there is; nobody else can be allowed to do it.
_OF_NO_QUEUE: Final = frozenset({"sqs:createqueue", "sqs:listqueues"})
#: What is put in for each request; it may become anything.
_VARIABLE: Final = re.compile(r"\$\{[^}]*\}")


def check_policy(text: str, arn: str) -> None:
    """Refuses what is no policy for a queue.

    Args:
        text: what somebody would have as the policy.
        arn: of the queue.

    Raises:
        InvalidAttributeValue: it is none, or not for this queue.
        InvalidParameterValue: the service has no such action.
        OverLimit: it has more of something, or is longer, than a policy may.
    """
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise OverLimit("Submitted policy is over max allowed size.")
    statements = _read(text)
    if len(statements) > STATEMENTS_MAX:
        raise OverLimit(
            f"{len(statements)} statements were found in the submitted policy, max allowed is {STATEMENTS_MAX}"
        )
    for statement in statements:
        if not _is_statement(statement, arn):
            raise InvalidAttributeValue.of("Policy")
        _check_quotas(statement)
        _check_actions(statement)
    # Tools write an empty one for a statement without.
    labels = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if len(set(labels)) < len(labels):
        raise InvalidAttributeValue.of("Policy")


def _read(text: str) -> list[Any]:
    try:
        policy = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidAttributeValue.of("Policy") from None
    statements = statements_in(policy)
    if (
        statements is None
        or policy.get("Version", _VERSIONS[0]) not in _VERSIONS
        or not isinstance(policy.get("Id", ""), str)
    ):
        raise InvalidAttributeValue.of("Policy")
    return statements


def _is_statement(statement: Any, arn: str) -> bool:
    if not isinstance(statement, dict) or not statement.keys() <= _FIELDS:
        return False
    if statement.get("Effect") not in _EFFECTS or not isinstance(statement.get("Sid", ""), str):
        return False
    if any((element in statement) == (f"Not{element}" in statement) for element in _ELEMENTS):
        return False
    if "NotPrincipal" in statement and statement["Effect"] == "Allow":
        # It would let in everybody else, whoever that is.
        return False
    return (
        _are_principals(_element(statement, "Principal"))
        and _are_actions(statement, arn)
        and _are_resources(statement, arn)
        and is_condition(statement.get("Condition", {}))
    )


def _element(statement: dict[str, Any], name: str) -> Any:
    """Returns an element of a statement, or its opposite."""
    return statement[name] if name in statement else statement[f"Not{name}"]


def _are_principals(principals: Any) -> bool:
    if principals == "*":
        return True
    if not isinstance(principals, dict) or not principals or not principals.keys() <= _KINDS:
        return False
    named = [texts_in(names) for names in principals.values()]
    return all(names and all(names) for names in named) and all(
        _AWS.fullmatch(name) for name in texts_in(principals.get("AWS", []))
    )


def _are_actions(statement: dict[str, Any], arn: str) -> bool:
    """Whether all are of this service, and none is allowed to another account that is about no queue."""
    actions = [action.lower() for action in texts_in(_element(statement, "Action"))]
    if not actions or not all(action == "*" or action.startswith(_PREFIX) for action in actions):
        return False
    is_allowed = statement["Effect"] == "Allow" and "Action" in statement
    return not (is_allowed and not _OF_NO_QUEUE.isdisjoint(actions) and _names_others(statement["Principal"], arn))


def _names_others(principals: Any, arn: str) -> bool:
    """Whether another account than the queue's is named; all of them together do not count."""
    own = arn.split(":")[4]
    named = [_AWS.fullmatch(name) for name in texts_in(principals.get("AWS", []))] if principals != "*" else []
    accounts = {found[1] or found[2] for found in named if found is not None}
    return not accounts <= {own, None}


def _are_resources(statement: dict[str, Any], arn: str) -> bool:
    """Whether all are this queue; the opposite of some is not looked at, since no reference says what it may be."""
    resources = texts_in(_element(statement, "Resource"))
    if "Resource" not in statement:
        return bool(resources)
    account, name = arn.split(":")[4:]
    # SDKs of the first years name a queue by its path.
    former = f"/{account}/{name}"
    return bool(resources) and all(
        resource == former or matches(_VARIABLE.sub("*", resource), arn) for resource in resources
    )


def _check_quotas(statement: dict[str, Any]) -> None:
    principals = statement.get("Principal", {})
    named = [] if principals == "*" else [name for names in principals.values() for name in texts_in(names)]
    found = {
        "actions": (len(texts_in(statement.get("Action", []))), ACTIONS_MAX),
        "principals": (len(named), ACCOUNTS_MAX),
        "conditions": (sum(map(len, statement.get("Condition", {}).values())), CONDITIONS_MAX),
    }
    for what, (count, most) in found.items():
        if count > most:
            raise OverLimit(
                f"{count} {what} were found in a statement from the submitted policy, max allowed is {most}"
            )


def _check_actions(statement: dict[str, Any]) -> None:
    for action in texts_in(_element(statement, "Action")):
        pattern = action.lower()
        if pattern != "*" and not any(matches(pattern, known) for known in _ACTIONS):
            raise InvalidParameterValue.of("ActionName", action, NO_ACTION)
