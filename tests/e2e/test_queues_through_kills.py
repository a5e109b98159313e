"""What clients of queues are told holds while the server is killed again and again.

Senders, each of a group of its own, send numbered messages and send again with the same deduplication id where no
answer came: on a standard queue, which knows no such ids, there may be two of one number then. Receivers take them and
delete them, and ask again with the same attempt id where no answer came. Meanwhile the server is killed between two
instructions and started anew.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conformance.queues.wire import JSON, QUERY, Answer, Json, Target
from tests.rounds import rounds
from tests.servers import Server, end, start

SENDERS, RECEIVERS = 4, 4
MESSAGES = rounds(150, 1_500)
KILLS = rounds(4, 40)
#: Far longer than the test: nothing comes back of itself.
VISIBILITY_S = 3_000
STANDARD_VISIBILITY_S = 2


@dataclass
class Told:
    """What clients were told, with the order of events.

    Args:
        sent: bodies that were acknowledged, by group.
        received: the bodies of each group in the order in which they were received first.
        receipts: how many receives that are not the same attempt gave out a message.
        deleted: bodies whose deletion was acknowledged.
        gone: the ids of messages whose deletion was.
        wrong: what must not be.
    """

    sent: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    received: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    receipts: Counter[str] = field(default_factory=Counter)
    deleted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_over(self) -> bool:
        """Whether everything was sent and deleted."""
        return len(self.deleted) >= SENDERS * MESSAGES


class Office:
    """A server that is killed, and clients that go on.

    Args:
        folder: where its data lies.
        is_fifo: which kind of queue.
        seed: of what the killer does.
    """

    def __init__(self, folder: Path, *, is_fifo: bool, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self.is_fifo = is_fifo
        self.told = Told()
        self.server = start(folder / "data", "--plaintext")
        self._listen = urlsplit(self.server.endpoint).netloc
        self.url = self._make()

    def _make(self) -> str:
        attributes = {"VisibilityTimeout": str(VISIBILITY_S if self.is_fifo else STANDARD_VISIBILITY_S)}
        name = "through-kills"
        if self.is_fifo:
            attributes["FifoQueue"], name = "true", name + ".fifo"
        with closing(Target.of_server(self.server)) as target:
            answer = target.call("CreateQueue", {"QueueName": name, "Attributes": attributes})
        assert answer.is_success, answer
        return str(answer.body["QueueUrl"])

    def run(self) -> Told:
        """Lets clients and killer run until everything is deleted."""
        clients = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]
        clients += [threading.Thread(target=self._take, args=(number,)) for number in range(RECEIVERS)]
        for client in clients:
            client.start()
        try:
            for _kill in range(KILLS):
                time.sleep(self._random.uniform(0.3, 1.5))
                self.server.kill()
                self.server = start(self._folder / "data", "--plaintext", "--listen", self._listen)
        finally:
            for client in clients:
                client.join(timeout=200)
        assert not any(client.is_alive() for client in clients), f"{len(self.told.deleted)} are deleted"
        return self.told

    def call(self, target: Target, operation: str, request: Json) -> Answer:
        """Calls until there is an answer that is not the server's own trouble."""
        while True:
            with suppress(OSError, http.client.HTTPException):
                answer = target.call(operation, {"QueueUrl": self.url} | request)
                if answer.status < 500:
                    return answer
            time.sleep(0.05)

    def _target(self, number: int) -> Target:
        return Target.of_server(self.server, QUERY if number % 2 else JSON)

    def _send(self, number: int) -> None:
        group = f"g{number}"
        with closing(self._target(number)) as target:
            for at in range(MESSAGES):
                body = f"{group}-{at:05}"
                ids = {"MessageGroupId": group, "MessageDeduplicationId": body} if self.is_fifo else {}
                answer = self.call(target, "SendMessage", {"MessageBody": body} | ids)
                with self.told.lock:
                    self.told.sent[group].append(body)
                    self._expect(answer.is_success, f"{body} was not taken: {answer}")

    def _take(self, number: int) -> None:
        with closing(self._target(number)) as target:
            while not self.told.is_over:
                self._take_some(target, wait_s=1)

    def take_rest(self) -> None:
        """Takes what was sent twice, once whatever nobody deleted is visible again."""
        with closing(self._target(0)) as target:
            while self._take_some(target, wait_s=STANDARD_VISIBILITY_S + 1):
                pass

    def _take_some(self, target: Target, *, wait_s: int) -> bool:
        request: Json = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": wait_s}
        if self.is_fifo:
            request["ReceiveRequestAttemptId"] = uuid.uuid4().hex
        messages = self.call(target, "ReceiveMessage", request).body.get("Messages", [])
        with self.told.lock:
            for message in messages:
                self._note(message)
        for message in messages:
            answer = self.call(target, "DeleteMessage", {"ReceiptHandle": message["ReceiptHandle"]})
            with self.told.lock:
                self.told.deleted.add(message["Body"])
                self.told.gone.add(message["MessageId"])
                self._expect(answer.is_success, f"{message['Body']} was not deleted: {answer}")
        return bool(messages)

    def _note(self, message: Json) -> None:
        body = message["Body"]
        group = body.partition("-")[0]
        self._expect(message["MessageId"] not in self.told.gone, f"{body} was deleted, and came back")
        if self.is_fifo:
            self._expect(body not in self.told.deleted, f"{body} was there twice")
        self.told.receipts[body] += 1
        if self.told.receipts[body] == 1:
            self.told.received[group].append(body)

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.told.wrong.append(what)


@pytest.mark.time_limit_s(rounds(300, 3_000))
@pytest.mark.parametrize("is_fifo", [True, False], ids=["fifo", "standard"])
def test_what_clients_are_told_holds(tmp_path: Path, seed: int, *, is_fifo: bool) -> None:
    office = Office(tmp_path, is_fifo=is_fifo, seed=seed)
    try:
        told = office.run()
        if not is_fifo:
            office.take_rest()
        left = _left(office.server, office.url)
    finally:
        end(office.server)
    assert not told.wrong
    wanted = {f"g{number}": [f"g{number}-{at:05}" for at in range(MESSAGES)] for number in range(SENDERS)}
    assert told.sent == wanted
    assert {group: sorted(bodies) for group, bodies in told.received.items()} == wanted
    assert left == {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
    if is_fifo:
        assert told.received == wanted, "each group in its order"
        assert set(told.receipts.values()) == {1}, "given out once, but for the same attempt"


def _left(server: Server, url: str) -> dict[str, str]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    with closing(Target.of_server(server)) as target:
        answer = target.call("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": names})
    return dict(answer.body["Attributes"])
