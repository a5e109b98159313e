"""What the compatibility page says of requests before they reach an operation is what an edge answers."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tenet.tables.http import BODY_BYTES_MAX
from tenet.wire.limits import EdgeLimits
from tests.edges import JSON_1_0, KEY_ID, SECRET, TARGET, Signature, answers_to, call, raw
from tools.compatibility import EDGE, edge_section

OK = 200
PAGE = Path(__file__).resolve().parents[3] / "docs" / "compat" / "tables.md"
WRONG = Signature(secret="another")


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


class WithoutBody(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs something else in the place of the body's hash, as S3's clients may."""

    instead = ""

    def payload(self, request: AWSRequest) -> str:
        del request
        return self.instead


def without_body(instead: str) -> bytes:
    headers = {"host": "localhost", "content-type": JSON_1_0, "x-amz-target": f"{TARGET}.Echo"}
    request = AWSRequest("POST", "http://localhost/", headers | {"x-amz-content-sha256": instead}, b"{}")
    signer = WithoutBody(Credentials(KEY_ID, SECRET), "dynamodb", "us-east-1")
    signer.instead = instead
    signer.add_auth(request)
    return raw("POST", "/", {**dict(request.headers.items()), "content-length": "2"}, b"{}")


def with_header(request: bytes, line: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


#: The request of each row; what it is to be answered with stands there.
REQUESTS: dict[str, Callable[[], list[bytes]]] = {
    "region": lambda: [call("Echo", by=Signature(region=name)) for name in ("eu-central-1", "mars-north-7")],
    "session token": lambda: [call("Echo", x_amz_security_token="anything")],
    "unsigned payload": lambda: [
        without_body("UNSIGNED-PAYLOAD"),
        without_body("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    ],
    "unsigned header": lambda: [with_header(call("Echo"), b"x-amz-meta: 1")],
    "no JSON": lambda: [call("Echo", b"no JSON", by=WRONG)],
    "encoding": lambda: [
        call("Echo", b"no gzip at all", content_encoding="gzip"),
        call("Echo", b"{}", content_encoding="br"),
    ],
    "expansion": lambda: [
        call("Echo", gzip.compress(bytes(BODY_BYTES_MAX + 1)), content_encoding="gzip"),
        call("Echo", gzip.compress(bytes(1024 * 1024), 9), content_encoding="gzip"),
    ],
    "nesting": lambda: [call("Echo", nested(1_001))],
}


@pytest.mark.parametrize("name", EDGE)
def test_each_is_answered_as_the_page_says(name: str) -> None:
    told = EDGE[name]
    for request in REQUESTS[name]():
        (answer,) = answers_to(request)
        assert answer.status == told.status
        assert (answer.code if answer.status != OK else "") == told.code


def test_what_the_signature_of_a_body_is_asked_for_is_what_it_gives_by_itself() -> None:
    """The refusal of a body that is not signed is for its hash, not for how the test signs."""
    (answer,) = answers_to(without_body(sha256(b"{}").hexdigest()))
    assert answer.status == OK


def test_just_below_the_bounds_is_carried_out() -> None:
    within = answers_to(
        call("Echo", nested(EdgeLimits().nesting_max)),
        call("Echo", gzip.compress(bytes(100), 9), content_encoding="gzip"),
        with_header(call("Echo"), b"x-amz-user-agent: 1"),
    )
    assert [answer.status for answer in within] == [OK] * 3


def test_the_bounds_are_those_of_the_code() -> None:
    limits = EdgeLimits()
    assert f"more than {limits.decompressed_ratio_max} times" in EDGE["expansion"].what
    assert f"{BODY_BYTES_MAX // 1024**2} MiB" in EDGE["expansion"].what
    assert f"{limits.nesting_max:,} brackets" in EDGE["nesting"].what


def test_the_list_is_on_the_page() -> None:
    assert edge_section() in PAGE.read_text(encoding="utf-8")
