// A chat's messages with the document client: native values, paging, conditional edits, a page of history backwards.
import assert from "node:assert/strict";
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  waitUntilTableExists,
  waitUntilTableNotExists,
} from "@aws-sdk/client-dynamodb";
import {
  BatchWriteCommand,
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  UpdateCommand,
  paginateQuery,
  paginateScan,
} from "@aws-sdk/lib-dynamodb";

const TableName = process.argv[2];
const client = new DynamoDBClient({});
const documents = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });

await client.send(
  new CreateTableCommand({
    TableName,
    AttributeDefinitions: [
      { AttributeName: "room", AttributeType: "S" },
      { AttributeName: "sent", AttributeType: "N" },
      { AttributeName: "author", AttributeType: "S" },
    ],
    KeySchema: [
      { AttributeName: "room", KeyType: "HASH" },
      { AttributeName: "sent", KeyType: "RANGE" },
    ],
    GlobalSecondaryIndexes: [
      {
        IndexName: "by-author",
        KeySchema: [
          { AttributeName: "author", KeyType: "HASH" },
          { AttributeName: "sent", KeyType: "RANGE" },
        ],
        Projection: { ProjectionType: "ALL" },
      },
    ],
    BillingMode: "PAY_PER_REQUEST",
  }),
);
await waitUntilTableExists({ client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 }, { TableName });

const message = (sent, more = {}) => ({ room: "lobby", sent, author: sent % 2 ? "ada" : "bob", text: `№ ${sent} 😀`, ...more });
for (let first = 1; first <= 60; first += 20) {
  const puts = Array.from({ length: 20 }, (_, offset) => ({ PutRequest: { Item: message(first + offset) } }));
  const { UnprocessedItems } = await documents.send(new BatchWriteCommand({ RequestItems: { [TableName]: puts } }));
  assert.deepEqual(UnprocessedItems, {});
}

const rich = message(100, { reactions: new Set(["👍", "🎉"]), edited: null, quote: { of: 7, path: [1, { deep: true }] }, gone: undefined });
await documents.send(new PutCommand({ TableName, Item: rich }));
const { Item } = await documents.send(new GetCommand({ TableName, Key: { room: "lobby", sent: 100 }, ConsistentRead: true }));
const { gone, ...kept } = rich;
assert.deepEqual(Item, kept);

const history = { TableName, KeyConditionExpression: "room = :room", ExpressionAttributeValues: { ":room": "lobby" } };
const latest = await documents.send(new QueryCommand({ ...history, ScanIndexForward: false, Limit: 3 }));
assert.deepEqual(latest.Items.map((item) => item.sent), [100, 60, 59]);
assert.deepEqual(latest.LastEvaluatedKey, { room: "lobby", sent: 59 });

let seen = 0;
let pages = 0;
for await (const page of paginateQuery({ client: documents, pageSize: 13 }, history)) {
  seen += page.Count;
  pages += 1;
}
assert.deepEqual([seen, pages], [61, 5]);

const byAda = [];
const ofAda = { TableName, IndexName: "by-author", KeyConditionExpression: "author = :a", ExpressionAttributeValues: { ":a": "ada" } };
for await (const page of paginateQuery({ client: documents, pageSize: 10 }, ofAda)) byAda.push(...page.Items);
assert.equal(byAda.length, 30);

const edit = (sent, author) =>
  documents.send(
    new UpdateCommand({
      TableName,
      Key: { room: "lobby", sent },
      UpdateExpression: "SET #text = :text, edits = if_not_exists(edits, :zero) + :one",
      ConditionExpression: "author = :author",
      ExpressionAttributeNames: { "#text": "text" },
      ExpressionAttributeValues: { ":text": "edited", ":zero": 0, ":one": 1, ":author": author },
      ReturnValues: "UPDATED_NEW",
    }),
  );
assert.deepEqual((await edit(1, "ada")).Attributes, { text: "edited", edits: 1 });
await assert.rejects(edit(1, "bob"), { name: "ConditionalCheckFailedException", message: "The conditional request failed" });
await documents.send(new DeleteCommand({ TableName, Key: { room: "lobby", sent: 2 } }));

let scanned = 0;
const edited = { TableName, FilterExpression: "attribute_exists(edits)", ProjectionExpression: "sent" };
for await (const page of paginateScan({ client: documents, pageSize: 20 }, edited)) {
  scanned += page.ScannedCount;
  for (const item of page.Items) assert.deepEqual(item, { sent: 1 });
}
assert.equal(scanned, 60);

await client.send(new DeleteTableCommand({ TableName }));
await waitUntilTableNotExists({ client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 }, { TableName });
console.log("ok");
