"""A warehouse through queues with boto3 as it was in 2023: its requests are forms, and its answers are XML."""

import json
import sys

import boto3
import botocore

assert botocore.__version__ == "1.31.80"
sqs = boto3.resource("sqs")
client = sqs.meta.client
name = sys.argv[1]

letters = sqs.create_queue(QueueName=f"{name}-letters")
redrive = {"deadLetterTargetArn": letters.attributes["QueueArn"], "maxReceiveCount": "1"}
queue = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(redrive), "DelaySeconds": "0"})
assert sqs.get_queue_by_name(QueueName=name).url == queue.url
assert {one.url for one in sqs.queues.filter(QueueNamePrefix=name)} == {queue.url, letters.url}
assert [one.url for one in letters.dead_letter_source_queues.all()] == [queue.url]

attributes = {
    "shelf": {"DataType": "String", "StringValue": "a & <b>\r\n"},
    "weight": {"DataType": "Number", "StringValue": "12.5"},
    "label": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}
sent = queue.send_message(MessageBody="box 1 < 2\r\n", MessageAttributes=attributes)
[message] = queue.receive_messages(WaitTimeSeconds=5, MessageAttributeNames=["All"], AttributeNames=["All"])
assert (message.body, message.message_id) == ("box 1 < 2\r\n", sent["MessageId"])
assert message.message_attributes == attributes, message.message_attributes
assert message.attributes["ApproximateReceiveCount"] == "1"
assert message.md5_of_message_attributes == sent["MD5OfMessageAttributes"]
message.change_visibility(VisibilityTimeout=0)
assert queue.receive_messages(WaitTimeSeconds=1) == []
[letter] = letters.receive_messages(WaitTimeSeconds=5, AttributeNames=["All"])
assert letter.attributes["DeadLetterQueueSourceArn"] == queue.attributes["QueueArn"]
letter.delete()

answer = queue.send_messages(
    Entries=[{"Id": str(n), "MessageBody": f"box {n}", "DelaySeconds": 901 if n == 3 else 0} for n in range(10)]
)
assert len(answer["Successful"]) == 9
assert [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]] == [
    ("3", "InvalidParameterValue", True)
]
found = []
while len(found) < 9:
    found += queue.receive_messages(MaxNumberOfMessages=10, WaitTimeSeconds=2)
answer = queue.delete_messages(
    Entries=[{"Id": f"d{n}", "ReceiptHandle": one.receipt_handle} for n, one in enumerate(found)]
)
assert len(answer["Successful"]) == 9

queue.add_permission(Label="all", AWSAccountIds=["111122223333"], Actions=["*"])
queue.reload()
assert json.loads(queue.attributes["Policy"])["Statement"][0]["Sid"] == "all"
client.tag_queue(QueueUrl=queue.url, Tags={"team": "metal"})
assert client.list_queue_tags(QueueUrl=queue.url)["Tags"] == {"team": "metal"}

ordered = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})
sent = ordered.send_message(MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
assert len(sent["SequenceNumber"]) == 20

for one in (queue, letters, ordered):
    one.delete()
try:
    queue.send_message(MessageBody="too late")
except client.exceptions.QueueDoesNotExist as error:
    told = error.response["Error"]
    assert told["Code"] == "AWS.SimpleQueueService.NonExistentQueue", told
    assert told["Message"] == "The specified queue does not exist for this wsdl version.", told
else:
    raise AssertionError("a deleted queue took a message")
print("ok")
