"""What the queues service works with: queues, and messages on their way in and out."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: The largest message, and the largest batch, in bytes.
MESSAGE_BYTES_MAX: Final = 1_048_576
FIFO_SUFFIX: Final = ".fifo"


class RedrivePolicy(Struct, frozen=True):
    """Where messages go that are received too often.

    Args:
        target: the ARN of the dead-letter queue.
        receives_max: how often a message is received before it goes there, 1 to 1,000.
    """

    target: str
    receives_max: int


class Settings(Struct, frozen=True):
    """What can be set of a queue: seconds and bytes, as the API has them.

    Args:
        delay_s: how long a message is delayed, 0 to 900.
        maximum_message_bytes: 1,024 to 1,048,576.
        retention_s: how long a message is kept, 60 to 1,209,600.
        wait_s: how long a receive waits, 0 to 20.
        visibility_s: how long a received message is hidden, 0 to 43,200.
        policy: the access policy as it was given, JSON; empty for none.
        redrive: where messages go that are received too often.
        redrive_allow: the RedriveAllowPolicy as it was given, JSON; empty for none.
        kms_key_id: the KMS key; empty for none.
        kms_reuse_s: how long a data key is used, 60 to 86,400.
        is_sse: whether encryption with keys of the service is on.
        content_based_deduplication: of FIFO queues.
        deduplication_scope: of FIFO queues, ``queue`` or ``messageGroup``.
        throughput_limit: of FIFO queues, ``perQueue`` or ``perMessageGroupId``.
    """

    delay_s: int = 0
    maximum_message_bytes: int = MESSAGE_BYTES_MAX
    retention_s: int = 345_600
    wait_s: int = 0
    visibility_s: int = 30
    policy: str = ""
    redrive: RedrivePolicy | None = None
    redrive_allow: str = ""
    kms_key_id: str = ""
    kms_reuse_s: int = 300
    is_sse: bool = True
    content_based_deduplication: bool = False
    deduplication_scope: str = "queue"
    throughput_limit: str = "perQueue"


class Queue(Struct, frozen=True):
    """A queue as the catalog has it.

    Args:
        id: 16 bytes that no other queue ever has.
        account: the tenant, 12 digits.
        name: 1 to 80 characters.
        created_ms: milliseconds since 1970-01-01 UTC.
        modified_ms: the same, of the last change.
        settings: what was set.
        tags: by key.
        region: as in its ARN.
    """

    id: bytes
    account: str
    name: str
    created_ms: int
    modified_ms: int
    settings: Settings
    tags: dict[str, str] = {}
    region: str = "us-east-1"

    @property
    def is_fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self.name.endswith(FIFO_SUFFIX)

    @property
    def arn(self) -> str:
        """Its Amazon resource name."""
        return f"arn:aws:sqs:{self.region}:{self.account}:{self.name}"


class NewMessage(Struct, gc=False):
    """A message to be sent, validated and measured.

    Args:
        body: of 1 character or more.
        attributes: the message attributes as canonical JSON; empty for none.
        trace_header: the system attribute AWSTraceHeader; empty for none.
        delay_s: 0 to 900; None: the queue's.
        group: the message group; empty for none.
        deduplication_id: of FIFO queues; else empty.
        sender: the SenderId.
        md5_of_attributes: 32 hexadecimal digits; empty for none.
    """

    body: str
    attributes: bytes = b""
    trace_header: str = ""
    delay_s: int | None = None
    group: str = ""
    deduplication_id: str = ""
    sender: str = ""
    md5_of_attributes: str = ""


class Prepared(Struct, gc=False):
    """A message that may be sent.

    Args:
        message: as its queue takes it.
        size_bytes: body and message attributes together.
        md5_of_body: 32 hexadecimal digits.
        md5_of_system_attributes: the same; empty where there are none.
    """

    message: NewMessage
    size_bytes: int
    md5_of_body: str
    md5_of_system_attributes: str = ""


class Sent(Struct, frozen=True, gc=False):
    """What became of a message that was sent.

    Args:
        message_id: a UUID; that of the first send where this one was a duplicate.
        sequence_number: in a FIFO queue; 0 in a standard one.
    """

    message_id: str
    sequence_number: int = 0


class Received(Struct, gc=False):
    """A message that was received.

    Args:
        message_id: a UUID.
        receipt_handle: of this receive.
        body: as it was sent.
        attributes: the message attributes as canonical JSON; empty for none.
        md5_of_body: 32 hexadecimal digits.
        md5_of_attributes: of all attributes; empty for none.
        sender: the SenderId.
        sent_ms: milliseconds since 1970-01-01 UTC.
        receives: how often it has been received, this time included.
        first_received_ms: milliseconds since 1970-01-01 UTC.
        group: the message group; empty for none.
        deduplication_id: of FIFO queues; else empty.
        sequence_number: in a FIFO queue; 0 in a standard one.
        trace_header: the system attribute AWSTraceHeader; empty for none.
        dead_letter_source: the ARN of the queue that it came from as a dead letter; empty for none.
    """

    message_id: str
    receipt_handle: str
    body: str
    attributes: bytes
    md5_of_body: str
    md5_of_attributes: str
    sender: str
    sent_ms: int
    receives: int
    first_received_ms: int
    group: str = ""
    deduplication_id: str = ""
    sequence_number: int = 0
    trace_header: str = ""
    dead_letter_source: str = ""


class Figures(Struct, frozen=True):
    """What a queue holds, and what went through it since it was made.

    Args:
        visible: messages that a receive may return.
        in_flight: messages that were received and are not visible yet.
        delayed: messages that are not visible for the first time yet.
        oldest_age_s: age of the oldest message that is not deleted, 0 where there is none.
        sent: messages sent.
        received: messages received.
        deleted: messages deleted.
    """

    visible: int = 0
    in_flight: int = 0
    delayed: int = 0
    oldest_age_s: int = 0
    sent: int = 0
    received: int = 0
    deleted: int = 0
