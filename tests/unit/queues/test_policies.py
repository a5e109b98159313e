"""Whom a queue's policy lets do what."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from tenet.queues.errors import InvalidParameterValue, MissingParameter, OverLimit
from tenet.queues.rules.patterns import matches
from tenet.queues.rules.permissions import read_permission, with_permission, without_permission
from tenet.queues.rules.policies import Asked, judge
from tenet.queues.rules.policy_checks import check_policy

OWNER, OTHER = "111111111111", "222222222222"
ARN = f"arn:aws:sqs:us-east-1:{OWNER}:orders"


def statement(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": ARN} | elements


def policy(*statements: dict[str, Any]) -> str:
    """A policy as it is stored; what is taken nowadays, ``test_policy_checks.py`` asks."""
    return orjson.dumps({"Version": "2012-10-17", "Statement": list(statements)}).decode()


def asked(action: str = "sqs:SendMessage", account: str = OTHER, **facts: str) -> Asked:
    by_key = {key.replace("_", ":"): value for key, value in facts.items()}
    return Asked(f"arn:aws:iam::{account}:root", account, action, ARN, by_key)


@pytest.mark.parametrize(
    ("elements", "verdict"),
    [
        ({}, "allow"),
        ({"Effect": "Deny"}, "deny"),
        ({"Principal": {"AWS": OTHER}}, "allow"),
        ({"Principal": {"AWS": [f"arn:aws:iam::{OTHER}:root", OWNER]}}, "allow"),
        ({"Principal": {"AWS": "*"}}, "allow"),
        ({"Principal": {"AWS": OWNER}}, "nothing"),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, "nothing"),
        ({"Action": "SQS:*"}, "allow"),
        ({"Action": "*"}, "allow"),
        ({"Action": ["sqs:Receive*", "sqs:sendmessage"]}, "allow"),
        ({"Action": "sqs:Send"}, "nothing"),
        ({"Resource": "*"}, "allow"),
        ({"Resource": ARN + "s"}, "nothing"),
        ({"Resource": f"arn:aws:sqs:*:{OWNER}:ord?rs"}, "allow"),
    ],
)
def test_a_statement_is_for_who_does_what_with_what(elements: dict[str, Any], verdict: str) -> None:
    assert judge(policy(statement(**elements)), asked()) == verdict


@pytest.mark.parametrize("arn", [f"arn:aws:iam::{OTHER}:user/x", f"arn:aws:sts::{OTHER}:assumed-role/r/s"])
def test_what_is_denied_to_somebody_of_an_account_is_denied_to_all_who_might_be_it(arn: str) -> None:
    assert judge(policy(statement(), statement(Effect="Deny", Principal={"AWS": arn})), asked()) == "deny"
    assert judge(policy(statement(Principal={"AWS": arn})), asked()) == "nothing"
    assert judge(policy(statement(Effect="Deny", Principal={"AWS": arn})), asked(account=OWNER)) == "nothing"


def test_what_is_not_named_is_meant_by_the_opposites() -> None:
    but_owner = statement(Effect="Deny", NotPrincipal={"AWS": OWNER})
    del but_owner["Principal"]
    assert judge(policy(but_owner), asked()) == "deny"
    assert judge(policy(but_owner), asked(account=OWNER)) == "nothing"
    but_purge = statement(NotAction="sqs:PurgeQueue")
    del but_purge["Action"]
    assert judge(policy(but_purge), asked()) == "allow"
    assert judge(policy(but_purge), asked("sqs:PurgeQueue")) == "nothing"


def test_a_denial_outdoes_what_allows_whatever_their_order() -> None:
    both = (statement(), statement(Effect="Deny", Principal={"AWS": OTHER}))
    for order in (both, both[::-1]):
        assert judge(policy(*order), asked()) == "deny"
        assert judge(policy(*order), asked(account=OWNER)) == "allow"
    assert judge("", asked()) == "nothing"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"StringEquals": {"aws:PrincipalAccount": OTHER}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": [OWNER, OTHER]}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": OWNER}}, False),
        ({"StringNotEquals": {"aws:PrincipalAccount": OWNER}}, True),
        ({"StringNotEquals": {"aws:PrincipalAccount": [OWNER, OTHER]}}, False),
        ({"StringEqualsIgnoreCase": {"aws:UserId": "ABC"}}, True),
        ({"StringLike": {"aws:UserId": "a*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:*"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:SecureTransport": False}}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::/0"]}}, False),
        ({"IpAddress": {"aws:SourceIp": "nonsense"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}, False),
        ({"NumericLessThanEquals": {"aws:EpochTime": 1_800_000_000}}, True),
        ({"Null": {"aws:SourceArn": "true"}}, True),
        ({"Null": {"aws:SourceIp": "true"}}, False),
        ({"ArnEquals": {"aws:SourceArn": "arn:*"}}, False),
        ({"ArnEqualsIfExists": {"aws:SourceArn": "arn:*"}}, True),
        ({"StringEquals": {"aws:UserId": "abc"}, "Bool": {"aws:SecureTransport": "false"}}, False),
        ({"ForAnyValue:StringLike": {"aws:UserId": ["x", "ab?"]}}, True),
        ({"UnheardOf": {"aws:UserId": "abc"}}, False),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    request = asked(
        aws_principalaccount=OTHER,
        aws_principalarn=f"arn:aws:iam::{OTHER}:root",
        aws_userid="abc",
        aws_securetransport="true",
        aws_sourceip="10.1.2.3",
        aws_currenttime="1790000000",
        aws_epochtime="1790000000",
    )
    assert judge(policy(statement(Condition=condition)), request) == ("allow" if holds else "nothing")
    # What is not understood lets nobody through: an unknown condition denies where it stands in a denial.
    is_unknown = "UnheardOf" in condition
    assert judge(policy(statement(Effect="Deny", Condition=condition)), request) == (
        "deny" if holds or is_unknown else "nothing"
    )


def test_patterns_take_their_time_whatever_they_are() -> None:
    assert matches("*", "")
    assert matches("a*c*", "abcabc")
    assert not matches("a?c", "ac")
    assert not matches("", "a")
    assert matches("a.c", "a.c")
    assert not matches("a.c", "abc")
    assert matches("*a?b*?", "xxaabbxacby")
    assert not matches("ab*ba", "aba")
    assert matches("ab*ba", "abba")
    assert matches("a**b", "ab")
    assert not matches("*a*a", "a")
    assert matches("??", "\n\n")
    began = time.perf_counter()
    assert not matches("*a" * 2_000 + "b", "a" * 2_000)
    assert not matches("*?a" * 2_000 + "b", "a" * 2_000)
    assert time.perf_counter() - began < 1


# ---- permissions -----------------------------------------------------------------------------------------------------


def permission(label: str = "alice", *actions: str) -> Any:
    return read_permission({"Label": label, "AWSAccountIds": [OTHER], "Actions": list(actions) or ["SendMessage"]})


def test_a_permission_is_a_statement() -> None:
    text = with_permission("", ARN, permission("alice", "SendMessage"))
    assert orjson.loads(text) == {
        "Version": "2008-10-17",
        "Id": f"{ARN}/SQSDefaultPolicy",
        "Statement": [
            {
                "Sid": "alice",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
                "Action": "SQS:SendMessage",
                "Resource": ARN,
            }
        ],
    }
    check_policy(text, ARN)
    assert judge(text, asked()) == "allow"
    assert judge(text, asked("sqs:ReceiveMessage")) == "nothing"
    assert with_permission(text, ARN, permission("alice", "SendMessage")) == text
    with pytest.raises(InvalidParameterValue, match=r"Value alice for parameter Label is invalid\. Reason: Already"):
        with_permission(text, ARN, permission("alice", "*"))
    both = with_permission(text, ARN, permission("bob", "*", "PurgeQueue"))
    assert orjson.loads(both)["Statement"][1]["Action"] == ["SQS:*", "SQS:PurgeQueue"]
    assert without_permission(both, "bob") == text
    assert without_permission(text, "alice") == ""
    with pytest.raises(InvalidParameterValue, match="can't find label on existing policy"):
        without_permission(text, "bob")
    with pytest.raises(InvalidParameterValue, match=r"Reason: can't find label\."):
        without_permission("", "bob")


def test_a_policy_may_be_a_single_statement_before() -> None:
    single = orjson.dumps({"Statement": statement()}).decode()
    check_policy(single, ARN)
    assert len(orjson.loads(with_permission(single, ARN, permission()))["Statement"]) == 2


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        ({}, MissingParameter, "Label"),
        ({"Label": "a b"}, InvalidParameterValue, "alphanumeric"),
        ({"Label": "a"}, MissingParameter, "Actions"),
        ({"Label": "a", "Actions": ["SendMessage"]}, InvalidParameterValue, "Value [] for parameter PrincipalId"),
        ({"Label": "a", "Actions": ["SendMessage"], "AWSAccountIds": ["1"]}, InvalidParameterValue, "Unable to verify"),
        (
            {"Label": "a", "Actions": ["CreateQueue"], "AWSAccountIds": [OTHER]},
            InvalidParameterValue,
            "Value SQS:CreateQueue for parameter ActionName is invalid. Reason: Only the queue owner",
        ),
        (
            {"Label": "a", "Actions": ["Fly"], "AWSAccountIds": [OTHER]},
            InvalidParameterValue,
            "Value SQS:Fly for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL",
        ),
        (
            {"Label": "a", "Actions": ["SendMessage"] * 8, "AWSAccountIds": [OTHER]},
            OverLimit,
            "8 Actions were found, maximum allowed is 7.",
        ),
    ],
)
def test_permissions_that_cannot_be(request_: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        read_permission(request_)
    assert words in str(raised.value)


def test_permissions_make_no_policy_larger_than_one_may_be() -> None:
    accounts = [f"{number:012}" for number in range(60_000)]
    request = {"Label": "l", "AWSAccountIds": accounts, "Actions": ["SendMessage"]}
    with pytest.raises(OverLimit, match="60000 Principals were found, maximum allowed is 50"):
        read_permission(request)
    text = ""
    for number in range(4):
        some = read_permission(request | {"Label": f"l{number}", "AWSAccountIds": accounts[:50]})
        text = with_permission(text, ARN, some)
    check_policy(text, ARN)
    with pytest.raises(OverLimit, match="maximum allowed is 8192"):
        with_permission(text, ARN, read_permission(request | {"Label": "l", "AWSAccountIds": accounts[:50]}))


def test_a_policy_takes_no_more_than_twenty_permissions() -> None:
    text = ""
    for number in range(20):
        text = with_permission(text, ARN, permission(f"label-{number}"))
    with pytest.raises(OverLimit, match="21 Statements were found, maximum allowed is 20"):
        with_permission(text, ARN, permission("one-more"))
