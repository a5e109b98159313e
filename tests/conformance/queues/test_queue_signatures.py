"""Requests that nobody signed, or that somebody signed otherwise: refused in the words of the protocol that they speak.

Source: recordings of the service that others have published.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from botocore.credentials import Credentials

from tests.conformance.queues.wire import JSON, QUERY, Answer, Target
from tests.servers import Server

CORAL = "com.amazon.coral.service#"


class Unsigned(Target):
    """A client that does not sign, or signs something else.

    Args:
        header: what it sends in place of its signature; "" for nothing.
    """

    header = ""

    def send(self, method: str, path: str, body: bytes, headers: object) -> tuple[int, dict[str, str], bytes]:
        """Sends a request as it is."""
        assert isinstance(headers, dict)
        more = {"Authorization": self.header} if self.header else {}
        return self._exchange(method, path, body, headers | more)


@pytest.fixture(params=[JSON, QUERY])
def unsigned(request: pytest.FixtureRequest, server: Server) -> Iterator[Unsigned]:
    with closing(Unsigned.of_server(server, request.param)) as target:
        yield target


def told(answer: Answer, code: str, shape: str, status: int = 403) -> None:
    assert (answer.status, answer.code, answer.fault) == (status, code, "Sender"), answer
    assert answer.text
    assert answer.headers.get("x-amzn-requestid")
    if answer.headers["content-type"] == "application/x-amz-json-1.0":
        assert answer.shape == CORAL + shape
    else:
        assert answer.headers["content-type"] == "text/xml"
        assert b'<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">' in answer.raw


def test_a_request_without_signature(unsigned: Unsigned) -> None:
    told(unsigned.call("ListQueues", {}), "AccessDenied", "AccessDeniedException")


def test_half_a_signature(unsigned: Unsigned) -> None:
    unsigned.header = "AWS4-HMAC-SHA256 Credential=bogus"
    told(unsigned.call("ListQueues", {}), "IncompleteSignature", "IncompleteSignatureException", 400)


@pytest.mark.parametrize("protocol", [JSON, QUERY])
def test_a_key_that_nobody_has(protocol: str, server: Server) -> None:
    with closing(Target("tenet", server.endpoint, protocol, ca_bundle=server.exports["AWS_CA_BUNDLE"])) as target:
        told(target.call("ListQueues", {}), "InvalidClientTokenId", "UnrecognizedClientException")


@pytest.mark.parametrize("protocol", [JSON, QUERY])
def test_a_wrong_secret(protocol: str, server: Server) -> None:
    credentials = Credentials(server.exports["AWS_ACCESS_KEY_ID"], "A" * 40)
    bundle = server.exports["AWS_CA_BUNDLE"]
    with closing(Target("tenet", server.endpoint, protocol, credentials, bundle)) as target:
        told(target.call("ListQueues", {}), "SignatureDoesNotMatch", "InvalidSignatureException")
