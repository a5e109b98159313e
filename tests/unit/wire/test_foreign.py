"""Which service a request was meant for, read in one pass whatever is sent."""

from __future__ import annotations

import time

import pytest

from tenet.wire.foreign import service_meant

SCOPE = "Credential=AKIA/20260101/eu-west-1/s3/aws4_request"


@pytest.mark.parametrize(
    ("query", "headers", "meant"),
    [
        ("", {"authorization": f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host"}, "s3"),
        ("X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=x", {}, "sts"),
        ("", {"authorization": "Credential=" * 3 + SCOPE}, "s3"),
        ("", {}, ""),
        ("", {"authorization": "Basic abc"}, ""),
    ],
)
def test_the_scope_tells_the_service(query: str, headers: dict[str, str], meant: str) -> None:
    assert service_meant(query, headers) == meant


def test_a_header_that_begins_a_scope_again_and_again_is_read_in_one_pass() -> None:
    began_s = time.process_time()
    assert not service_meant("", {"authorization": "Credential=" * 30_000})
    assert not service_meant("", {"authorization": "Credential=A/20260101/" * 15_000})
    # Read again from each beginning, these take over a minute.
    assert time.process_time() - began_s < 5
