"""Attributes of queues: names, bounds, defaults, and what they say of each other."""

from __future__ import annotations

import pytest

from tenet.queues.errors import InvalidAttributeName, InvalidAttributeValue, InvalidParameterValue, QueueNameExists
from tenet.queues.model import Figures, Queue, RedrivePolicy, Settings
from tenet.queues.rules.addresses import check_name, read_arn, read_url
from tenet.queues.rules.queue_attributes import (
    asked_attributes,
    asks_for_fifo,
    attribute_texts,
    compare,
    read_settings,
)
from tenet.queues.rules.redrive import check_address, check_target, read_redrive, read_redrive_allow, redrive_text

ACCOUNT = "111111111111"
DLQ = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"


def settings(name: str = "a", **attributes: str) -> Settings:
    return read_settings(queue_with(Settings(), name), attributes, is_new=True)


def queue_with(settings: Settings, name: str = "a") -> Queue:
    return Queue(b"", ACCOUNT, name, 0, 0, settings)


@pytest.mark.parametrize(
    ("attribute", "field", "least", "most"),
    [
        ("DelaySeconds", "delay_s", 0, 900),
        ("MaximumMessageSize", "maximum_message_bytes", 1024, 1_048_576),
        ("MessageRetentionPeriod", "retention_s", 60, 1_209_600),
        ("ReceiveMessageWaitTimeSeconds", "wait_s", 0, 20),
        ("VisibilityTimeout", "visibility_s", 0, 43_200),
        ("KmsDataKeyReusePeriodSeconds", "kms_reuse_s", 60, 86_400),
    ],
)
def test_figures_have_bounds(attribute: str, field: str, least: int, most: int) -> None:
    for value in (least, most):
        assert getattr(settings(**{attribute: str(value)}), field) == value
    for text in (str(least - 1), str(most + 1), "", " 6", "6.0", "true", "+6", "\u0666", "9" * 5000):
        with pytest.raises(InvalidAttributeValue) as raised:
            settings(**{attribute: text})
        assert raised.value.message == f"Invalid value for the parameter {attribute}."


@pytest.mark.parametrize(
    ("name", "attribute", "words"),
    [
        ("a", "Foobar", "Unknown Attribute Foobar."),
        ("a", "QueueArn", "Unknown Attribute QueueArn."),
        ("a", "All", "Unknown Attribute All."),
        ("a", "FifoQueue", "Unknown Attribute FifoQueue."),
        ("a", "ContentBasedDeduplication", "Unknown Attribute ContentBasedDeduplication."),
        ("a", "DeduplicationScope", "You can specify the DeduplicationScope only when FifoQueue is set to true."),
        ("a", "FifoThroughputLimit", "You can specify the FifoThroughputLimit only when FifoQueue is set to true."),
        ("a.fifo", "CreatedTimestamp", "Unknown Attribute CreatedTimestamp."),
    ],
)
def test_names_that_cannot_be_set(name: str, attribute: str, words: str) -> None:
    with pytest.raises(InvalidAttributeName) as raised:
        # The name is told before a value that is wrong too.
        settings(name, VisibilityTimeout="x", **{attribute: "true"})
    assert raised.value.message == words


def test_high_throughput_takes_both_of_its_attributes() -> None:
    both = settings("a.fifo", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    assert (both.deduplication_scope, both.throughput_limit) == ("messageGroup", "perMessageGroupId")
    with pytest.raises(InvalidAttributeValue, match="only when the value for DeduplicationScope is messageGroup"):
        settings("a.fifo", FifoThroughputLimit="perMessageGroupId")
    with pytest.raises(InvalidAttributeValue, match="DeduplicationScope"):
        settings("a.fifo", DeduplicationScope="group")


def test_the_kind_of_a_queue_stays() -> None:
    with pytest.raises(InvalidAttributeValue, match="Reason: Modifying queue type is not supported"):
        read_settings(queue_with(Settings(), "a.fifo"), {"FifoQueue": "true"}, is_new=False)
    assert asks_for_fifo({"FifoQueue": "true"})
    assert not asks_for_fifo({"FifoQueue": "false"})
    with pytest.raises(InvalidAttributeValue):
        asks_for_fifo({"FifoQueue": "yes"})


def test_one_encryption_at_a_time() -> None:
    with pytest.raises(InvalidAttributeName, match="one type of server-side"):
        settings(KmsMasterKeyId="key", SqsManagedSseEnabled="true")
    by_key = settings(KmsMasterKeyId="key")
    assert (by_key.kms_key_id, by_key.is_sse) == ("key", False)
    again = read_settings(queue_with(by_key), {"SqsManagedSseEnabled": "true"}, is_new=False)
    assert (again.kms_key_id, again.is_sse) == ("", True)


def test_a_key_has_a_name_of_bounded_length() -> None:
    assert settings(KmsMasterKeyId="a" * 2_048).kms_key_id == "a" * 2_048
    for text in ("a" * 2_049, "\x01", "a b", "ä"):
        with pytest.raises(InvalidAttributeValue, match="KmsMasterKeyId"):
            settings(KmsMasterKeyId=text)


def test_a_policy_that_is_kept_is_not_checked_again() -> None:
    former = Settings(policy='{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:Fly"}}')
    changed = read_settings(queue_with(former), {"DelaySeconds": "5"}, is_new=False)
    assert changed.policy == former.policy
    assert read_settings(queue_with(former), {"Policy": ""}, is_new=False).policy == ""
    with pytest.raises(InvalidAttributeValue, match="Policy"):
        read_settings(queue_with(former), {"Policy": former.policy}, is_new=False)


def test_a_queue_is_made_again_with_the_same_attributes_alone() -> None:
    queue = queue_with(settings(DelaySeconds="5", VisibilityTimeout="7"))
    for attributes in ({}, {"DelaySeconds": "5"}, {"VisibilityTimeout": "7", "MessageRetentionPeriod": "345600"}):
        compare(queue, attributes, settings(**attributes))
    given = {"DelaySeconds": "5", "VisibilityTimeout": "8", "ReceiveMessageWaitTimeSeconds": "1"}
    with pytest.raises(QueueNameExists) as raised:
        compare(queue, given, settings(**given))
    assert raised.value.message == (
        "A queue already exists with the same name and a different value for attribute VisibilityTimeout"
    )


def test_attributes_read_as_the_service_has_them() -> None:
    queue = Queue(b"", ACCOUNT, "a", 1_700_000_000_123, 1_700_000_001_999, settings(Policy=""))
    texts = attribute_texts(queue, Figures(visible=3, in_flight=2, delayed=1), asked_attributes(["All"]))
    assert texts == {
        "ApproximateNumberOfMessages": "3",
        "ApproximateNumberOfMessagesDelayed": "1",
        "ApproximateNumberOfMessagesNotVisible": "2",
        "CreatedTimestamp": "1700000000",
        "DelaySeconds": "0",
        "LastModifiedTimestamp": "1700000001",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:a",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    with pytest.raises(InvalidAttributeName, match=r"Unknown Attribute Bogus\."):
        asked_attributes(["All", "Bogus"])


# ---- dead letters ----------------------------------------------------------------------------------------------------


def test_a_redrive_policy_reads_as_it_was_meant() -> None:
    for count in ("3", '"3"'):
        policy = read_redrive(f'{{"maxReceiveCount": {count}, "deadLetterTargetArn": "{DLQ}"}}')
        assert policy == RedrivePolicy(DLQ, 3)
        assert redrive_text(policy) == f'{{"deadLetterTargetArn":"{DLQ}","maxReceiveCount":3}}'
    assert read_redrive("") is None
    assert redrive_text(None) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "Redrive policy is not a valid JSON map."),
        ("nothing", "Redrive policy is not a valid JSON map."),
        ("{}", "does not contain mandatory attribute: maxReceiveCount."),
        ('{"maxReceiveCount": 1}', "does not contain mandatory attribute: deadLetterTargetArn."),
        (f'{{"maxReceiveCount": 0, "deadLetterTargetArn": "{DLQ}"}}', "Invalid value for maxReceiveCount: 0,"),
        (f'{{"maxReceiveCount": 1001, "deadLetterTargetArn": "{DLQ}"}}', "valid values are from 1 to 1000 both"),
        (f'{{"maxReceiveCount": 1.5, "deadLetterTargetArn": "{DLQ}"}}', "Invalid value for maxReceiveCount: 1.5,"),
        ('{"maxReceiveCount": 1, "deadLetterTargetArn": "dummy"}', "Invalid value for deadLetterTargetArn."),
        ('{"maxReceiveCount": 1, "deadLetterTargetArn": 1}', "Invalid value for deadLetterTargetArn."),
        ('{"maxReceiveCount": 1, "deadLetterTargetArn": "arn:aws:sns:us-east-1:1:a"}', "Only SQS queues are valid"),
        (f'{{"maxReceiveCount": 1, "deadLetterTargetArn": "{DLQ}", "more": 1}}', "Only following attributes"),
    ],
)
def test_redrive_policies_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises((InvalidAttributeValue, InvalidParameterValue)) as raised:
        read_redrive(text)
    assert words in raised.value.message


def test_a_dead_letter_queue_is_of_the_same_kind_and_willing() -> None:
    dead = Queue(b"", ACCOUNT, "dead", 0, 0, Settings())
    check_target("{}", ACCOUNT, "a", "us-east-1", dead)
    with pytest.raises(InvalidParameterValue, match=r"same type of queue as the source\.\."):
        check_target("{}", ACCOUNT, "a.fifo", "us-east-1", dead)
    with pytest.raises(InvalidParameterValue, match="Dead letter target does not exist"):
        check_target("{}", ACCOUNT, "a", "us-east-1", None)
    with pytest.raises(InvalidParameterValue, match="owner should be same"):
        check_address("{}", "222222222222", "us-east-1", DLQ)
    with pytest.raises(InvalidParameterValue, match="in same region"):
        check_address("{}", ACCOUNT, "eu-west-1", DLQ)
    by_queue = f'{{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:{ACCOUNT}:b"]}}'
    for allow, name, is_willing in (
        ('{"redrivePermission":"allowAll"}', "a", True),
        ('{"redrivePermission":"denyAll"}', "a", False),
        (by_queue, "b", True),
        (by_queue, "a", False),
    ):
        kept = Queue(b"", ACCOUNT, "dead", 0, 0, Settings(redrive_allow=read_redrive_allow(allow)))
        if is_willing:
            check_target("{}", ACCOUNT, name, "us-east-1", kept)
        else:
            with pytest.raises(InvalidParameterValue, match="does not have permission"):
                check_target("{}", ACCOUNT, name, "us-east-1", kept)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "unsupported format"),
        ("{}", "unsupported format"),
        ('{"redrivePermission":"some"}', "unsupported format"),
        ('{"redrivePermission":"allowAll","more":1}', "unsupported format"),
        ('{"redrivePermission":"byQueue","sourceQueueArns":"a"}', "unsupported format"),
        ('{"redrivePermission":"byQueue"}', "one or more sourceQueueArns values"),
        (f'{{"redrivePermission":"allowAll","sourceQueueArns":["{DLQ}"]}}', "must set redrivePermission to byQueue"),
        (
            f'{{"redrivePermission":"byQueue","sourceQueueArns":[{",".join([chr(34) + DLQ + chr(34)] * 11)}]}}',
            "you can specify is 10",
        ),
    ],
)
def test_redrive_allow_policies_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises((InvalidAttributeValue, InvalidParameterValue)) as raised:
        read_redrive_allow(text)
    assert words in raised.value.message


# ---- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/a",
        f"http://localhost:4566/{ACCOUNT}/a",
        f"https://queue.amazonaws.com/{ACCOUNT}/a/",
        f"/{ACCOUNT}/a",
        f"{ACCOUNT}/a",
    ],
)
def test_a_url_names_a_queue_whatever_its_host(url: str) -> None:
    assert read_url(url) == (ACCOUNT, "a")
    assert read_url("a") == ("", "a")


def test_names_of_new_queues() -> None:
    check_name("a" * 80, is_fifo=False)
    check_name("a" * 75 + ".fifo", is_fifo=True)
    for name in ("a" * 81, "a b", "a.fifo", "ä", "a/b"):
        with pytest.raises(InvalidParameterValue, match="Can only include alphanumeric characters, hyphens"):
            check_name(name, is_fifo=False)
    for name in ("a" * 76 + ".fifo", "a", ".fifo"):
        with pytest.raises(InvalidParameterValue, match=r"must end with \.fifo suffix"):
            check_name(name, is_fifo=True)
    assert read_arn(DLQ) == ("us-east-1", ACCOUNT, "dead")
    assert read_arn("arn:aws:sqs:us-east-1:1:dead") is None
