"""Queues of one account and clients of another: nothing without a policy, with one what it says, in the known words.

Source: denials of the service that others have measured and published; the SQS Developer Guide, "Amazon SQS API
permissions: Actions and resource reference" and "Limitations of Amazon SQS custom policies".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from botocore.credentials import Credentials

from tests.conformance.queues.wire import JSON, QUERY, Json, Target
from tests.conformance.queues.world import World
from tests.servers import Server

OTHER = "111122223333"
_KEY = re.compile(r"(AKIA[A-Z0-9]+).*?([A-Za-z0-9+/]{40})", re.DOTALL)
#: What the owner alone may do, whatever a policy says.
OWNERS: dict[str, Json] = {
    "AddPermission": {"Label": "a", "AWSAccountIds": [OTHER], "Actions": ["SendMessage"]},
    "DeleteQueue": {},
    "ListQueueTags": {},
    "RemovePermission": {"Label": "a"},
    "SetQueueAttributes": {"Attributes": {"DelaySeconds": "1"}},
    "TagQueue": {"Tags": {"a": "b"}},
    "UntagQueue": {"TagKeys": ["a"]},
}


@pytest.fixture(scope="session")
def others_key(server: Server) -> Credentials:
    """A key of another account."""
    printed = server.command("keys", "create", "--tenant", OTHER).stdout
    match = _KEY.search(printed)
    assert match, printed
    return Credentials(match[1], match[2])


@pytest.fixture(params=[JSON, QUERY])
def pair(request: pytest.FixtureRequest, server: Server, others_key: Credentials) -> Iterator[tuple[World, World]]:
    """The owner and the other one, in a protocol."""
    bundle = server.exports["AWS_CA_BUNDLE"]
    with (
        closing(Target.of_server(server, request.param)) as owner,
        closing(Target("tenet", server.endpoint, request.param, others_key, bundle)) as other,
    ):
        world = World(owner)
        yield world, World(other)
        world.clean()


def denied(other: World, operation: str, request: Json, why: str) -> None:
    """The other one is refused, in the words of the service."""
    answer = other.target.call(operation, request)
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    if other.protocol == JSON:
        assert answer.shape == "com.amazon.coral.service#AccessDeniedException"
    pattern = rf"User: arn:aws:\S+ is not authorized to perform: sqs:[a-z]+ on resource: arn:aws:sqs:\S+ {why}"
    assert re.fullmatch(pattern, answer.text), answer.text


NO_POLICY = r"because no resource-based policy allows the sqs:[a-z]+ action"
A_DENY = r"with an explicit deny in a resource-based policy"


def allow(owner: World, url: str, *statements: Json) -> None:
    arn = owner.arn(url)
    policy = {"Version": "2012-10-17", "Statement": [{"Resource": arn} | statement for statement in statements]}
    owner.ok("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def test_without_a_policy_nothing_is_allowed(pair: tuple[World, World]) -> None:
    owner, other = pair
    url = owner.queue()
    for operation, more in (("SendMessage", {"MessageBody": "x"}), ("ReceiveMessage", {}), ("PurgeQueue", {})):
        denied(other, operation, {"QueueUrl": url} | more, NO_POLICY)
    assert owner.receive(url, wait_s=0) == []


def test_what_a_permission_gives_is_allowed_and_nothing_else(pair: tuple[World, World]) -> None:
    owner, other = pair
    url = owner.queue()
    owner.ok("AddPermission", QueueUrl=url, Label="send", AWSAccountIds=[OTHER], Actions=["SendMessage"])
    other.send(url, "from another account")
    entries = [{"Id": "1", "MessageBody": "x"}]
    assert other.ok("SendMessageBatch", QueueUrl=url, Entries=entries)["Successful"]
    denied(other, "ReceiveMessage", {"QueueUrl": url}, NO_POLICY)
    assert {message["Body"] for message in owner.receive(url)} == {"from another account", "x"}
    owner.ok("RemovePermission", QueueUrl=url, Label="send")
    denied(other, "SendMessage", {"QueueUrl": url, "MessageBody": "x"}, NO_POLICY)


def test_a_deny_stands_above_an_allow(pair: tuple[World, World]) -> None:
    owner, other = pair
    url = owner.queue()
    allow(
        owner,
        url,
        {"Effect": "Allow", "Principal": "*", "Action": "sqs:*"},
        {"Effect": "Deny", "Principal": {"AWS": OTHER}, "Action": ["sqs:DeleteMessage", "SQS:PurgeQueue"]},
    )
    other.send(url)
    message = other.receive_one(url)
    denied(other, "DeleteMessage", {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}, A_DENY)
    denied(other, "PurgeQueue", {"QueueUrl": url}, A_DENY)
    owner.delete(url, message)


@pytest.mark.parametrize("operation", OWNERS)
def test_some_things_are_the_owners_alone(pair: tuple[World, World], operation: str) -> None:
    owner, other = pair
    url = owner.queue()
    allow(owner, url, {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": "sqs:*"})
    answer = other.target.call(operation, {"QueueUrl": url} | OWNERS[operation])
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert owner.attributes(url, "DelaySeconds") == {"DelaySeconds": "0"}


def test_accounts_have_names_of_their_own(pair: tuple[World, World]) -> None:
    owner, other = pair
    url = owner.queue()
    name = url.rpartition("/")[2]
    theirs = other.ok("CreateQueue", QueueName=name)["QueueUrl"]
    assert theirs != url
    assert f"/{OTHER}/" in theirs
    other.send(theirs, "theirs")
    assert owner.receive(url, wait_s=0) == []
    assert other.ok("ListQueues", QueueNamePrefix=name) == {"QueueUrls": [theirs]}
    other.ok("DeleteQueue", QueueUrl=theirs)


def test_a_url_is_told_to_those_who_may_have_it(pair: tuple[World, World]) -> None:
    owner, other = pair
    url = owner.queue()
    account, name = url.split("/")[-2:]
    request = {"QueueName": name, "QueueOwnerAWSAccountId": account}
    assert not other.target.call("GetQueueUrl", request).is_success
    owner.ok("AddPermission", QueueUrl=url, Label="find", AWSAccountIds=[OTHER], Actions=["GetQueueUrl"])
    assert other.ok("GetQueueUrl", **request) == {"QueueUrl": url}
