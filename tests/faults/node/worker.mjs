// A process with clients of one workload that use the AWS SDK for JavaScript, version 3, with its own retries.
//
// It is led as worker.py is, by a line of JSON at a time, writes the same history and asks the same things of the same
// keys, so that two SDKs meet in the same data. Preparing a workload and the last look are left to a process of Python.
import { closeSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import {
  DescribeTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";

const VALUES_PER_CLIENT = 10_000_000;
const ACCOUNTS = 6;
const AFTER_ERROR_MS = 50;
const REFUSALS = new Set([
  "ConditionalCheckFailedException",
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "ResourceNotFoundException",
  "ThrottlingException",
  "TransactionCanceledException",
  "TransactionConflictException",
  "TransactionInProgressException",
  "ValidationException",
]);
const EXPECTED = new Set(["ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException"]);

// The monotonic clock that Python's time.monotonic_ns reads as well.
const now = () => Number(process.hrtime.bigint());
const amount = (value) => ({ N: String(value) });
const valueIn = (item) => (item?.v ? Number(item.v.N) : null);

/** Randomness from a seed (mulberry32). */
function dice(seed) {
  let state = seed >>> 0;
  const draw = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (bound) => draw() % bound;
  const sample = (choices, count) => {
    const left = [...choices];
    return Array.from({ length: count }, () => left.splice(below(left.length), 1)[0]);
  };
  return { below, sample };
}

/** What became of a request that ended with an error: `refused` where it has no effect, else nobody knows. */
function fateOf(error) {
  const isRefusal = REFUSALS.has(error.name) || error.code === "ECONNREFUSED" || error.message?.includes("Nothing was written");
  return isRefusal ? "refused" : "unknown";
}

const nameOf = (error) => (error.$metadata?.httpStatusCode ? error.name : error.code ?? error.name);

/** Sends a command and returns its attempts, one entry for each request that the SDK's retries made. */
async function send(sdk, command) {
  const attempts = [];
  const noting = (next) => async (args) => {
    const begin = now();
    try {
      const result = await next(args);
      attempts.push({ begin_ns: begin, end_ns: now(), fate: "ok" });
      return result;
    } catch (error) {
      attempts.push({ begin_ns: begin, end_ns: now(), fate: fateOf(error), error: nameOf(error) });
      throw error;
    }
  };
  // Behind the retries, which come first in this step.
  command.middlewareStack.add(noting, { step: "finalizeRequest", priority: "low", name: "noteAttempts" });
  try {
    return { value: await sdk.send(command), attempts, error: "" };
  } catch (error) {
    if (!attempts.length) throw error;
    return { value: null, attempts, error: nameOf(error), item: error.Item };
  }
}

class Client {
  constructor(sdk, orders, number, begin) {
    Object.assign(this, { sdk, orders, number, begin, operations: 0, values: 0, seen: new Map() });
    this.dice = dice(orders.seed * 100_003 + number);
  }

  freshValue() {
    this.values += 1;
    return this.number * VALUES_PER_CLIENT + this.values;
  }

  keys() {
    const generation = Math.floor((now() - this.begin) / 1e9 / this.orders.key_s);
    return Array.from({ length: this.orders.keys }, (_, slot) => `${generation}-${slot}`);
  }

  at(key) {
    return { TableName: this.orders.table, Key: { id: { S: key } } };
  }

  async call(kind, command, describe, withToken = false) {
    const answer = await send(this.sdk, command);
    const last = answer.attempts.at(-1).fate;
    const isUnknown = withToken ? answer.attempts.some(({ fate }) => fate === "unknown") : last === "unknown";
    return {
      workload: this.orders.workload,
      kind,
      client: this.number,
      number: this.operations++,
      outcome: answer.value ? "ok" : isUnknown ? "info" : "fail",
      begin_ns: answer.attempts[0].begin_ns,
      end_ns: now(),
      attempts: answer.attempts,
      error: answer.error,
      ...describe(answer),
    };
  }

  readNumber(key) {
    const command = new GetItemCommand({ ...this.at(key), ConsistentRead: true, ProjectionExpression: "v" });
    return this.call("read", command, ({ value }) => ({ key, got: valueIn(value?.Item) }));
  }
}

/** Some new numbers for a list: one, or now and then two in one step. */
const fresh = (client) => Array.from({ length: 1 + (client.dice.below(5) === 0) }, () => client.freshValue());

const STEPS = {
  async registers(client) {
    const [key] = client.dice.sample(client.keys(), 1);
    const kind = client.dice.below(10);
    const expected = client.seen.get(key) ?? null;
    if (kind < 4) {
      const done = await client.readNumber(key);
      if (done.outcome === "ok") client.seen.set(key, done.got);
      return done;
    }
    const value = client.freshValue();
    if (kind < 6) {
      const command = new PutItemCommand({ TableName: client.orders.table, Item: { id: { S: key }, v: amount(value) } });
      return client.call("write", command, () => ({ key, asked: value }));
    }
    const command = new UpdateItemCommand({
      ...client.at(key),
      UpdateExpression: "SET v = :new",
      ConditionExpression: expected === null ? "attribute_not_exists(id)" : "v = :old",
      ExpressionAttributeValues: { ":new": amount(value), ...(expected === null ? {} : { ":old": amount(expected) }) },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    });
    const done = await client.call("cas", command, ({ item }) => ({ key, asked: [expected, value], got: valueIn(item) }));
    if (done.outcome === "ok") client.seen.set(key, value);
    else if (done.error === "ConditionalCheckFailedException") client.seen.set(key, done.got);
    return done;
  },

  async counters(client) {
    const [key] = client.dice.sample(client.keys(), 1);
    if (client.dice.below(10) < 3) return client.readNumber(key);
    const added = 1 + client.dice.below(9);
    const command = new UpdateItemCommand({
      ...client.at(key),
      UpdateExpression: "ADD v :amount",
      ExpressionAttributeValues: { ":amount": amount(added) },
      ReturnValues: "UPDATED_NEW",
    });
    return client.call("add", command, ({ value }) => ({ key, asked: added, got: valueIn(value?.Attributes) }));
  },

  async bank(client) {
    const accounts = Array.from({ length: ACCOUNTS }, (_, account) => `account-${account}`);
    if (client.dice.below(10) < 4) {
      const command = new TransactGetItemsCommand({ TransactItems: accounts.map((account) => ({ Get: client.at(account) })) });
      const balances = ({ value }) =>
        Object.fromEntries((value?.Responses ?? []).map(({ Item }) => [Item.id.S, Number(Item.balance.N)]));
      return client.call("snapshot", command, (answer) => ({ got: balances(answer) }), true);
    }
    const [source, target] = client.dice.sample(accounts, 2);
    const money = 1 + client.dice.below(50);
    const receipt = `${client.number}.${client.freshValue()}`;
    const values = { ExpressionAttributeValues: { ":a": amount(money) } };
    const take = {
      ...client.at(source),
      UpdateExpression: "SET balance = balance - :a",
      ConditionExpression: "balance >= :a",
      ...values,
    };
    const give = { ...client.at(target), UpdateExpression: "SET balance = balance + :a", ...values };
    const keep = { TableName: client.orders.table, Item: { id: { S: `receipt/${receipt}` } } };
    const command = new TransactWriteItemsCommand({ TransactItems: [{ Update: take }, { Update: give }, { Put: keep }] });
    return client.call("transfer", command, () => ({ key: receipt, asked: [source, target, money] }), true);
  },

  async lists(client) {
    const keys = client.dice.sample(client.keys(), 1 + client.dice.below(Math.min(4, client.orders.keys)));
    if (client.dice.below(2)) {
      const moves = keys.map((key) => ["append", key, fresh(client)]);
      const appending = ([, key, values]) => ({
        Update: {
          ...client.at(key),
          UpdateExpression: "SET l = list_append(if_not_exists(l, :none), :values)",
          ExpressionAttributeValues: { ":none": { L: [] }, ":values": { L: values.map(amount) } },
        },
      });
      const command = new TransactWriteItemsCommand({ TransactItems: moves.map(appending) });
      return client.call("append", command, () => ({ asked: moves, got: moves }), true);
    }
    const command = new TransactGetItemsCommand({ TransactItems: keys.map((key) => ({ Get: client.at(key) })) });
    const valuesOf = (response) => (response.Item?.l?.L ?? []).map(({ N }) => Number(N));
    const read = ({ value }) => value && keys.map((key, place) => ["read", key, valuesOf(value.Responses[place])]);
    return client.call(
      "snapshot",
      command,
      (answer) => ({ asked: keys.map((key) => ["read", key, null]), got: read(answer) }),
      true,
    );
  },
};

/** Lets one client take one step after the other until it is time to stop. */
async function run(client, file, times) {
  const { rate, steps, workload } = client.orders;
  let due = times.begin;
  for (let taken = 0; !steps || taken < steps; taken += 1) {
    await sleep(Math.max(0, (due - now()) / 1e6));
    if (now() >= times.until) return;
    // Who was held up begins the next at once, but does not make up for what was not done.
    due = Math.max(due + (rate ? 1e9 / rate : 0), now());
    const done = await STEPS[workload](client);
    writeSync(file, `${JSON.stringify(done)}\n`);
    if (done.error && !EXPECTED.has(done.error)) await sleep(AFTER_ERROR_MS);
  }
}

function sdkFor(endpoint, orders) {
  const { read_timeout: read, connect_timeout: connect } = orders.sdk;
  return new DynamoDBClient({
    endpoint,
    region: orders.region,
    credentials: { accessKeyId: orders.credentials.AWS_ACCESS_KEY_ID, secretAccessKey: orders.credentials.AWS_SECRET_ACCESS_KEY },
    requestHandler: {
      httpsAgent: { keepAlive: true, maxSockets: orders.clients },
      ...(read ? { requestTimeout: read * 1_000, throwOnRequestTimeout: true } : {}),
      ...(connect ? { connectionTimeout: connect * 1_000 } : {}),
    },
  });
}

async function main() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const orders = JSON.parse((await lines.next()).value);
  const sdks = orders.endpoints.map((endpoint) => sdkFor(endpoint, orders));
  const file = openSync(orders.history, "wx");
  // Asked in vain until the table is there, it has loaded what it needs when the time counts.
  await sdks[0].send(new DescribeTableCommand({ TableName: orders.table })).catch(() => undefined);
  console.log("prepared");
  const times = { begin: JSON.parse((await lines.next()).value), until: Infinity };
  const running = Array.from({ length: orders.clients }, (_, place) => {
    const number = orders.first_client + place;
    return run(new Client(sdks[number % sdks.length], orders, number, times.begin), file, times);
  });
  // Where whoever leads is gone, there is no line, and no reason to go on.
  times.until = JSON.parse((await lines.next()).value ?? "0");
  await Promise.all(running);
  console.log("ended");
  if ((await lines.next()).done) return;
  writeSync(file, '{"end":true}\n');
  closeSync(file);
  console.log("finished");
}

await main();
process.exit(0);
