// A shop's stock with the low-level client: transactions, their cancellation reasons, idempotency, typed exceptions.
import assert from "node:assert/strict";
import {
  CreateTableCommand,
  DeleteTableCommand,
  DescribeTableCommand,
  DynamoDB,
  ResourceNotFoundException,
  TransactionCanceledException,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";

const TableName = process.argv[2];
const client = new DynamoDB({});

await assert.rejects(client.send(new DescribeTableCommand({ TableName })), ResourceNotFoundException);
await client.send(
  new CreateTableCommand({
    TableName,
    AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
    KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    ProvisionedThroughput: { ReadCapacityUnits: 500, WriteCapacityUnits: 500 },
  }),
);
await waitUntilTableExists({ client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 }, { TableName });

for (const id of ["apple", "pear"]) await client.putItem({ TableName, Item: { id: { S: id }, stock: { N: "5" } } });

const buy = (counts, ClientRequestToken) =>
  client.transactWriteItems({
    ClientRequestToken,
    ReturnConsumedCapacity: "TOTAL",
    TransactItems: Object.entries(counts).map(([id, count]) => ({
      Update: {
        TableName,
        Key: { id: { S: id } },
        UpdateExpression: "SET stock = stock - :count",
        ConditionExpression: "stock >= :count",
        ExpressionAttributeValues: { ":count": { N: String(count) } },
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
      },
    })),
  });
const stock = async () => {
  const { Responses } = await client.transactGetItems({
    TransactItems: ["apple", "pear"].map((id) => ({ Get: { TableName, Key: { id: { S: id } } } })),
  });
  return Responses.map(({ Item }) => Number(Item.stock.N));
};

const bought = await buy({ apple: 2, pear: 1 }, "basket-1");
assert.equal(bought.ConsumedCapacity[0].CapacityUnits, 4);
await buy({ apple: 2, pear: 1 }, "basket-1");
assert.deepEqual(await stock(), [3, 4]);
await assert.rejects(buy({ apple: 1 }, "basket-1"), { name: "IdempotentParameterMismatchException" });
await assert.rejects(buy({ apple: 4, pear: 1 }), (error) => {
  assert.ok(error instanceof TransactionCanceledException);
  assert.deepEqual(error.CancellationReasons.map((reason) => reason.Code), ["ConditionalCheckFailed", "None"]);
  assert.deepEqual(error.CancellationReasons[0].Item.stock, { N: "3" });
  return true;
});
assert.deepEqual(await stock(), [3, 4]);

// Twenty buyers of one apple each: three get it, nobody pays for what is not there.
const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => buy({ apple: 1 })));
assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 3);
for (const { status, reason } of outcomes) {
  if (status === "rejected") assert.ok(reason instanceof TransactionCanceledException, String(reason));
}
assert.deepEqual(await stock(), [0, 4]);

await assert.rejects(client.getItem({ TableName, Key: { id: { S: "" } } }), {
  name: "ValidationException",
  message:
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: id",
});
await client.send(new DeleteTableCommand({ TableName }));
console.log("ok");
