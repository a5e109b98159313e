"""Sends signed requests to one implementation as an SDK would, but checks nothing of what it sends."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any, Self
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.conformance.differential.answers import NO_ANSWER, Answer, parse
from tests.conformance.differential.schemas import Json
from tests.servers import Server

TIMEOUT_S = 20
REGION = "us-east-1"
TABLES, STREAMS = "DynamoDB_20120810", "DynamoDBStreams_20120810"
WITNESS_CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


class Target:
    """One implementation of the API.

    Args:
        name: what it is called.
        endpoint: its URL.
        credentials: what signs.
        ca_bundle: the file of the authority that its certificate is checked by; None for plain HTTP.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        credentials: Credentials = WITNESS_CREDENTIALS,
        ca_bundle: str | None = None,
    ) -> None:
        self.name = name
        self._tls = None if ca_bundle is None else ssl.create_default_context(cafile=ca_bundle)
        self._endpoint = endpoint
        self._signer = SigV4Auth(credentials, "dynamodb", REGION)
        self._connection: http.client.HTTPConnection | None = None
        #: What the ARN of each of its tables begins with; it has told when it has made one.
        self.arns = ""

    @classmethod
    def of_server(cls, server: Server) -> Self:
        """Tenet, with the root key and the authority that it printed."""
        exports = server.exports
        credentials = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
        return cls("tenet", server.endpoint, credentials, exports.get("AWS_CA_BUNDLE"))

    def call(self, operation: str, request: Any, *, api: str = TABLES) -> Answer:
        """Sends a request; a connection that breaks is an answer too.

        Args:
            operation: its name.
            request: anything that is JSON.
            api: what stands before the operation's name.
        """
        body = json.dumps(request, ensure_ascii=False).encode()
        # A server may close a connection that was idle just when it is used again; that says nothing about the request.
        for is_last in (self._connection is None, True):
            try:
                return self._send(f"{api}.{operation}", body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_last:
                    return Answer(0, NO_ANSWER, f"{type(error).__name__}: {error}", {})
        raise AssertionError

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, target: str, body: bytes) -> Answer:
        signed = AWSRequest(
            "POST",
            f"{self._endpoint}/",
            data=body,
            headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target},
        )
        self._signer.add_auth(signed)
        if self._connection is None:
            address = urlsplit(self._endpoint)
            assert address.hostname is not None
            self._connection = (
                http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
                if self._tls is None
                else http.client.HTTPSConnection(address.hostname, address.port, timeout=TIMEOUT_S, context=self._tls)
            )
        self._connection.request("POST", "/", body, dict(signed.headers))
        answer = self._connection.getresponse()
        return parse(answer.status, answer.read())

    def contents(self, table: str, index: str | None = None) -> list[Json]:
        """Every item of a table or of an index."""
        request: Json = {"TableName": table, "ConsistentRead": index is None}
        if index is not None:
            request["IndexName"] = index
        items: list[Json] = []
        while True:
            answer = self.call("Scan", request)
            if not answer.is_success:
                raise RuntimeError(f"{self.name} cannot be read: {answer}")
            items += answer.body["Items"]
            if "LastEvaluatedKey" not in answer.body:
                return items
            request["ExclusiveStartKey"] = answer.body["LastEvaluatedKey"]
