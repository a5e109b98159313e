"""What is noted of an SDK's attempts, against a server that does to each connection what it is told to."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
import zlib
from pathlib import Path

import pytest

from tests.conformance.peers import free_port
from tests.faults.clients import Clients, Load, Target, _Process
from tests.faults.history import Operation, read
from tests.faults.sdk import Answer, Sdk

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}


class Scripted:
    """Answers requests in turn: with a status and body, or by breaking the connection off (None)."""

    def __init__(self, *answers: tuple[int, dict[str, object]] | None) -> None:
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed before all was asked
            with connection, connection.makefile("rb") as requests:
                while self._answers and self._answer(connection, requests):
                    pass

    def _answer(self, connection: socket.socket, requests: io.BufferedReader) -> bool:
        length = 0
        for line in requests:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if line == b"\r\n":
                requests.read(length)
                break
        else:
            return False
        answer = self._answers.pop(0)
        if answer is None:
            return False
        status, body = answer[0], json.dumps(answer[1]).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nx-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)


def put(*answers: tuple[int, dict[str, object]] | None) -> Answer:
    server = Scripted(*answers)
    try:
        sdk = Sdk(server.endpoint, CREDENTIALS)
        return sdk.call("put_item", TableName="things", Item={"id": {"S": "x"}})
    finally:
        server.close()


def error(code: str, message: str = "") -> dict[str, object]:
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}


OK: tuple[int, dict[str, object]] = (200, {})
REFUSED = (400, error("ConditionalCheckFailedException"))


def fates(answer: Answer) -> list[str]:
    return [attempt.fate for attempt in answer.attempts]


def test_one_answer_is_one_attempt() -> None:
    answer = put(OK)
    assert fates(answer) == ["ok"]
    assert (answer.outcome, answer.outcome_with_token, answer.error) == ("ok", "ok", "")


def test_an_attempt_that_got_no_answer_is_noted_though_the_sdk_hid_it() -> None:
    answer = put(None, OK)
    assert fates(answer) == ["unknown", "ok"]
    assert answer.attempts[0].error == "ConnectionClosedError"
    assert answer.attempts[0].begin_ns < answer.attempts[0].end_ns <= answer.attempts[1].begin_ns
    assert answer.outcome == "ok"


def test_an_internal_error_may_come_after_the_effect() -> None:
    answer = put((500, error("InternalServerError")), REFUSED)
    assert fates(answer) == ["unknown", "refused"]
    assert answer.outcome == "fail"
    assert answer.outcome_with_token == "info"


def test_throttling_and_a_store_that_wrote_nothing_have_no_effect() -> None:
    nothing = (503, error("ServiceUnavailable", "The service is unavailable. Nothing was written; please try again."))
    answer = put((400, error("ThrottlingException")), nothing, REFUSED)
    assert fates(answer) == ["refused", "refused", "refused"]
    assert (answer.outcome, answer.outcome_with_token) == ("fail", "fail")


def test_when_the_sdk_gives_up_nobody_knows() -> None:
    answer = put(None, None, None)
    assert fates(answer) == ["unknown"] * 3
    assert (answer.outcome, answer.error) == ("info", "ConnectionClosedError")


def test_what_is_never_sent_has_no_effect() -> None:
    sdk = Sdk(f"http://127.0.0.1:{free_port()}", CREDENTIALS)
    answer = sdk.call("put_item", TableName="things", Item={"id": {"S": "x"}})
    assert fates(answer) == ["refused"] * 3
    assert (answer.outcome, answer.error) == ("fail", "EndpointConnectionError")


def test_a_call_that_is_wrong_in_itself_is_a_fault_of_the_test() -> None:
    sdk = Sdk("http://127.0.0.1:1", CREDENTIALS)
    with pytest.raises(Exception, match="Parameter validation failed"):
        sdk.call("put_item", TableName="things")


def javascript(folder: Path, *answers: tuple[int, dict[str, object]] | None) -> Operation:
    """What the worker with the SDK for JavaScript notes of one step; its first request is answered beforehand."""
    server = Scripted(OK, *answers)
    load = Load("counters", 1, steps=1, language="javascript")
    clients = Clients(Target([server.endpoint], CREDENTIALS), folder, seed=1)
    process = _Process(clients._orders(load, 0, "one"), clients._command(load), clients._environment)
    until_s = time.monotonic() + 60
    try:
        process.hear("prepared", until_s)
        process.tell(time.monotonic_ns())
        process.tell(2**62)
        process.hear("ended", until_s)
        process.tell("finish")
        process.hear("finished", until_s)
    finally:
        process.end()
        server.close()
    (operation,) = read([process.history])
    return operation


def test_attempts_of_the_sdk_for_javascript_are_noted_too(tmp_path: Path) -> None:
    operation = javascript(tmp_path, None, (500, error("InternalServerError")), OK)
    assert [attempt.fate for attempt in operation.attempts] == ["unknown", "unknown", "ok"]
    assert [attempt.error for attempt in operation.attempts] == ["ECONNRESET", "InternalServerError", ""]
    assert operation.begin_ns == operation.attempts[0].begin_ns
    times = [time_ns for attempt in operation.attempts for time_ns in (attempt.begin_ns, attempt.end_ns)]
    assert times == sorted(times)
    assert operation.outcome == "ok"


def test_what_the_sdk_for_javascript_gives_up_is_unknown_or_refused(tmp_path: Path) -> None:
    # How often it tries, is its own decision.
    lost = javascript(tmp_path / "lost", *[None] * 20)
    assert {attempt.fate for attempt in lost.attempts} == {"unknown"}
    assert (lost.outcome, lost.error) == ("info", "ECONNRESET")
    busy = (400, error("ThrottlingException"))
    refused = javascript(tmp_path / "busy", *[busy] * 20)
    assert {attempt.fate for attempt in refused.attempts} == {"refused"}
    assert (refused.outcome, refused.error) == ("fail", "ThrottlingException")
