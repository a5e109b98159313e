// Jobs through a queue: batches, every kind of attribute, a consumer that fails now and then, and dead letters.
import assert from "node:assert/strict";
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
  paginateListQueues,
} from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const name = process.argv[2];
const client = new SQSClient({});
const make = async (QueueName, Attributes) => (await client.send(new CreateQueueCommand({ QueueName, Attributes }))).QueueUrl;
const attribute = async (QueueUrl, attributeName) =>
  (await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [attributeName] }))).Attributes[attributeName];

const letters = await make(`${name}-letters`);
const redrive = { deadLetterTargetArn: await attribute(letters, "QueueArn"), maxReceiveCount: 2 };
const jobs = await make(name, { VisibilityTimeout: "1", RedrivePolicy: JSON.stringify(redrive) });

const urls = [];
for await (const page of paginateListQueues({ client, pageSize: 1 }, { QueueNamePrefix: name })) urls.push(...page.QueueUrls);
assert.deepEqual(urls.sort(), [jobs, letters].sort());

const job = (number) => ({
  Id: `job-${number}`,
  MessageBody: JSON.stringify({ number, text: `№ ${number} 😀` }),
  MessageAttributes: {
    kind: { DataType: "String", StringValue: number % 5 ? "easy" : "impossible" },
    weight: { DataType: "Number.float", StringValue: `${number}.50` },
    seal: { DataType: "Binary", BinaryValue: Uint8Array.of(number, 0, 255) },
  },
});
// The client checks the digests of bodies and attributes by itself.
for (const first of [1, 11]) {
  const Entries = Array.from({ length: 10 }, (_, offset) => job(first + offset));
  const { Successful, Failed } = await client.send(new SendMessageBatchCommand({ QueueUrl: jobs, Entries }));
  assert.equal(Successful.length, 10);
  assert.equal(Failed, undefined);
}

const done = new Set();
const consumer = Consumer.create({
  queueUrl: jobs,
  sqs: client,
  batchSize: 10,
  waitTimeSeconds: 1,
  messageAttributeNames: ["All"],
  handleMessage: async (message) => {
    const { number } = JSON.parse(message.Body);
    const { kind, weight, seal } = message.MessageAttributes;
    assert.equal(weight.StringValue, `${number}.50`);
    assert.deepEqual([...seal.BinaryValue], [number, 0, 255]);
    if (kind.StringValue === "impossible") throw new Error(`job ${number} cannot be done`);
    done.add(number);
    return message;
  },
});
consumer.on("error", (error) => { throw error; });
consumer.on("processing_error", () => {});
consumer.start();
const until = Date.now() + 60_000;
while (done.size < 16 || (await attribute(letters, "ApproximateNumberOfMessages")) !== "4") {
  assert.ok(Date.now() < until, `${done.size} done in time`);
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const stopped = new Promise((resolve) => consumer.once("stopped", resolve));
consumer.stop();
await stopped;
assert.equal(await attribute(jobs, "ApproximateNumberOfMessages"), "0");

const { Messages } = await client.send(
  new ReceiveMessageCommand({ QueueUrl: letters, MaxNumberOfMessages: 10, MessageSystemAttributeNames: ["All"] }),
);
assert.deepEqual(Messages.map((message) => JSON.parse(message.Body).number).sort((a, b) => a - b), [5, 10, 15, 20]);
assert.equal(Messages[0].Attributes.DeadLetterQueueSourceArn, await attribute(jobs, "QueueArn"));

const ordered = await make(`${name}.fifo`, { FifoQueue: "true", ContentBasedDeduplication: "true" });
const first = await client.send(new SendMessageCommand({ QueueUrl: ordered, MessageBody: "a", MessageGroupId: "g" }));
const again = await client.send(new SendMessageCommand({ QueueUrl: ordered, MessageBody: "a", MessageGroupId: "g" }));
assert.equal(first.SequenceNumber, again.SequenceNumber);
assert.equal(first.MessageId, again.MessageId);

for (const QueueUrl of [jobs, letters, ordered]) await client.send(new DeleteQueueCommand({ QueueUrl }));
await assert.rejects(client.send(new SendMessageCommand({ QueueUrl: jobs, MessageBody: "x" })), (error) => {
  assert.ok(error instanceof QueueDoesNotExist);
  assert.equal(error.$metadata.httpStatusCode, 400);
  return true;
});
console.log("ok");
