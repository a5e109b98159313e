"""Sends signed requests of the SQS API in either of its protocols, and checks nothing of what it sends.

    Target("tenet", "https://127.0.0.1:8000", QUERY, ca_bundle="ca.pem").call("SendMessage", {"QueueUrl": url, ...})

Requests and answers have the form of the JSON protocol; for the Query protocol they are written as a form and read from
XML, by the table of names below, which is made from the API reference and not from what Tenet does.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.servers import Server

Json = dict[str, Any]

JSON, QUERY = "json", "query"
NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
TIMEOUT_S = 30
REGION = "us-east-1"
PEER_CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

#: Lists of requests: by the name in JSON, the name that is numbered in a form.
_LISTS = {
    "AttributeNames": "AttributeName",
    "MessageSystemAttributeNames": "MessageSystemAttributeName",
    "MessageAttributeNames": "MessageAttributeName",
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
    "TagKeys": "TagKey",
}
#: Maps of requests: the name that is numbered, and what its keys and values are called.
_MAPS = {
    "Attributes": ("Attribute", "Name", "Value"),
    "MessageAttributes": ("MessageAttribute", "Name", "Value"),
    "MessageSystemAttributes": ("MessageSystemAttribute", "Name", "Value"),
    "Tags": ("Tag", "Key", "Value"),
    "tags": ("Tag", "Key", "Value"),
}
#: Elements of answers that are repeated, with the list that they make in JSON.
_REPEATED = {
    "QueueUrl": "QueueUrls",
    "Message": "Messages",
    "SendMessageBatchResultEntry": "Successful",
    "DeleteMessageBatchResultEntry": "Successful",
    "ChangeMessageVisibilityBatchResultEntry": "Successful",
    "BatchResultErrorEntry": "Failed",
    "ListMessageMoveTasksResultEntry": "Results",
}
#: Elements of answers that are entries of a map: the map in JSON, and what its keys are called.
_ENTRIES = {
    "Attribute": ("Attributes", "Name"),
    "MessageAttribute": ("MessageAttributes", "Name"),
    "Tag": ("Tags", "Key"),
}
_NUMBERS = {
    "ApproximateNumberOfMessagesMoved",
    "ApproximateNumberOfMessagesToMove",
    "MaxNumberOfMessagesPerSecond",
    "StartedTimestamp",
}


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        status: of HTTP; 0 where there was no answer.
        body: in the form of the JSON protocol, where it was a success.
        code: the code of the Query protocol, which the JSON protocol tells in a header; "" for a success.
        shape: `__type` of the JSON protocol; "" otherwise.
        text: the error's message.
        fault: "Sender" or "Receiver", where it was told.
        headers: of the answer, by names in small letters.
        raw: the body as it came.
    """

    status: int
    body: Json = field(default_factory=dict)
    code: str = ""
    shape: str = ""
    text: str = ""
    fault: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether it is not an error."""
        return self.status == 200


class Target:
    """One implementation of the API, spoken to in one protocol.

    Args:
        name: what it is called.
        endpoint: its URL.
        protocol: JSON or QUERY.
        credentials: what signs.
        ca_bundle: the file of the authority that its certificate is checked by; None for plain HTTP.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        protocol: str = JSON,
        credentials: Credentials = PEER_CREDENTIALS,
        ca_bundle: str | None = None,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.endpoint = endpoint
        self._tls = None if ca_bundle is None else ssl.create_default_context(cafile=ca_bundle)
        self._signer = SigV4Auth(credentials, "sqs", REGION)
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def of_server(cls, server: Server, protocol: str = JSON) -> Self:
        """Tenet, with the root key and the authority that it printed."""
        exports = server.exports
        credentials = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
        return cls("tenet", server.endpoint, protocol, credentials, exports.get("AWS_CA_BUNDLE"))

    def call(self, operation: str, request: Any) -> Answer:
        """Sends a request in the target's protocol."""
        if self.protocol == JSON:
            return self.call_json(operation, json.dumps(request, ensure_ascii=False).encode())
        path = urlsplit(request.get("QueueUrl") or "/").path or "/"
        form = [("Action", operation), ("Version", "2012-11-05"), *form_of(operation, request)]
        return self.call_query(path, form)

    def call_json(self, operation: str, body: bytes) -> Answer:
        """Sends bytes as the body of a request in JSON."""
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
        status, headers_back, raw = self.send("POST", "/", body, headers)
        return _read_json(status, headers_back, raw)

    def call_query(self, path: str, form: Iterable[tuple[str, str]], method: str = "POST") -> Answer:
        """Sends a form to a path, or asks for it with the form behind a question mark."""
        text = urlencode(list(form))
        if method == "GET":
            return _read_xml(*self.send("GET", f"{path}?{text}" if text else path, b"", {}))
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        return _read_xml(*self.send("POST", path, text.encode(), headers))

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Signs and sends a request; a connection that was closed while it was idle is opened anew."""
        signed = AWSRequest(method, f"{self.endpoint}{path}", data=body, headers=dict(headers))
        self._signer.add_auth(signed)
        for is_last in (self._connection is None, True):
            try:
                return self._exchange(method, path, body, dict(signed.headers))
            except (OSError, http.client.HTTPException):
                self.close()
                if is_last:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        if self._connection is None:
            address = urlsplit(self.endpoint)
            assert address.hostname is not None
            self._connection = (
                http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
                if self._tls is None
                else http.client.HTTPSConnection(address.hostname, address.port, timeout=TIMEOUT_S, context=self._tls)
            )
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


# ---- requests --------------------------------------------------------------------------------------------------------


def form_of(operation: str, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the fields of a form that say the same as a request in JSON."""
    for name, value in request.items():
        if name == "Entries":
            for at, entry in enumerate(value, 1):
                for inner, text in form_of(operation, entry):
                    yield f"{operation}RequestEntry.{at}.{inner}", text
        elif name in _LISTS:
            yield from ((f"{_LISTS[name]}.{at}", str(one)) for at, one in enumerate(value, 1))
        elif name in _MAPS:
            yield from _fields_of_map(*_MAPS[name], value)
        else:
            yield name, _text(value)


def _fields_of_map(stem: str, key: str, inner: str, entries: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for at, (name, value) in enumerate(entries.items(), 1):
        yield f"{stem}.{at}.{key}", name
        if isinstance(value, Mapping):
            for part, text in _parts_of_value(value):
                yield f"{stem}.{at}.{inner}.{part}", text
        else:
            yield f"{stem}.{at}.{inner}", _text(value)


def _parts_of_value(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a message attribute; lists of values are numbered."""
    for part, inner in value.items():
        if isinstance(inner, list):
            single = part.removesuffix("s")
            yield from ((f"{single}.{at}", str(one)) for at, one in enumerate(inner, 1))
        else:
            yield part, _text(inner)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- answers ---------------------------------------------------------------------------------------------------------


def _read_json(status: int, headers: dict[str, str], raw: bytes) -> Answer:
    if status == 200:
        return Answer(status, json.loads(raw) if raw else {}, headers=headers, raw=raw)
    told = json.loads(raw) if raw.startswith(b"{") else {}
    code, _, fault = headers.get("x-amzn-query-error", "").partition(";")
    return Answer(
        status,
        code=code,
        shape=told.get("__type", ""),
        text=told.get("message", told.get("Message", "")),
        fault=fault,
        headers=headers,
        raw=raw,
    )


def _read_xml(status: int, headers: dict[str, str], raw: bytes) -> Answer:
    try:
        root = ET.fromstring(raw)
    except ET.ParseError:
        return Answer(status, headers=headers, raw=raw)
    if status == 200:
        result = next((one for one in root if _name(one).endswith("Result")), None)
        body = (
            {} if result is None else _object(result, is_queue="CreateQueue" in root.tag or "GetQueueUrl" in root.tag)
        )
        if "ListDeadLetterSourceQueues" in root.tag and "QueueUrls" in body:
            body["queueUrls"] = body.pop("QueueUrls")
        return Answer(status, body, headers=headers, raw=raw)
    error = {_name(part): part.text or "" for part in root.iter() if len(part) == 0}
    return Answer(
        status,
        code=error.get("Code", ""),
        text=error.get("Message", ""),
        fault=error.get("Type", ""),
        headers=headers,
        raw=raw,
    )


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _object(element: ET.Element, *, is_queue: bool = False) -> Json:
    """An element as the object that it is in JSON; ``is_queue`` where a single QueueUrl is answered."""
    found: Json = {}
    for part in element:
        name = _name(part)
        if name in _ENTRIES:
            into, key = _ENTRIES[name]
            inner = {_name(one): _value(one) for one in part}
            found.setdefault(into, {})[inner[key]] = inner.get("Value", "")
        elif name in _REPEATED and not (name == "QueueUrl" and is_queue):
            found.setdefault(_REPEATED[name], []).append(_value(part))
        else:
            found[name] = _value(part)
    return found


def _value(element: ET.Element) -> Any:
    if len(element):
        return _object(element)
    text, name = element.text or "", _name(element)
    if name == "SenderFault":
        return text == "true"
    return int(text) if name in _NUMBERS else text
