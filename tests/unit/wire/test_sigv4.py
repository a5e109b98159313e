"""What botocore signs is verified, whatever it is; what was changed on the way is not; each mistake has AWS's words."""

from __future__ import annotations

import random
from posixpath import normpath
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from tenet.base.clock import ManualClock
from tenet.wire.claims import EXPIRES_S_MAX
from tenet.wire.credentials import AccessKey
from tenet.wire.deriving import Signer, derive
from tenet.wire.door import Principal, Request
from tenet.wire.errors import (
    EdgeError,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
)
from tenet.wire.signing import sign_headers
from tenet.wire.sigv4 import Verifier

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(KEY_ID, SECRET)
NOW_S = 1_700_000_000
BASIC_NOW = "20231114T221320Z"

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


class Keys:
    def __init__(self) -> None:
        self.keys = {KEY_ID: AccessKey(Principal(KEY_ID, "000000000000"), SECRET)}

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.keys.get(access_key_id)


def verify(
    request: Request, *, service: str = "dynamodb", wall_s: int = NOW_S, verifier: Verifier | None = None
) -> Request:
    headers = dict(request.headers)
    (verifier or Verifier(Keys())).verify(request, headers, service, wall_s)
    return request


def as_received(method: str, url: str, headers: dict[str, str], body: bytes) -> Request:
    """The request as the edge gets it: names in lower case, values without space around them."""
    parts = urlsplit(url)
    received = {name.lower(): value.strip(" \t") for name, value in headers.items()}
    received.setdefault("host", parts.netloc)
    return Request(method, parts.path or "/", parts.query, received, body)


def signed_by_botocore(
    method: str, url: str, headers: dict[str, str], body: bytes, *, region: str = "us-east-1", service: str = "dynamodb"
) -> Request:
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    SigV4Auth(CREDENTIALS, service, region).add_auth(request)
    return as_received(method, url, dict(request.headers.items()), body)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore signs at the time that the tests verify at."""
    import botocore.auth
    import botocore.compat

    moment = __import__("datetime").datetime.fromtimestamp(NOW_S, __import__("datetime").UTC)
    for module in (botocore.auth, botocore.compat):
        if hasattr(module, "get_current_datetime"):
            monkeypatch.setattr(module, "get_current_datetime", lambda *_args, **_kw: moment.replace(tzinfo=None))


TOKEN = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-_"), min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).filter(
    lambda text: text.strip() == text
)
HEADERS = st.dictionaries(
    TOKEN.map(lambda name: f"x-test-{name}") | TOKEN.map(lambda name: f"x-amz-{name}"), VALUE, max_size=5
)
UNRESERVED = st.text(st.sampled_from("abcXYZ019-._~"), max_size=6)
ESCAPED = st.binary(min_size=1, max_size=3).map(lambda data: "".join(f"%{byte:02X}" for byte in data))
PIECE = st.lists(UNRESERVED | ESCAPED, max_size=3).map("".join)
PATHS = st.lists(PIECE | st.sampled_from(["", ".", ".."]), max_size=5).map(lambda pieces: "/" + "/".join(pieces))
QUERIES = st.lists(st.tuples(PIECE, PIECE).map("=".join), max_size=5).map("&".join)
REGIONS = st.sampled_from(["us-east-1", "eu-central-1", "local", "mars-north-7"])


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=200),
    region=REGIONS,
    service=st.sampled_from(["dynamodb", "sqs", "tenet"]),
)
def test_what_botocore_signs_is_verified(  # noqa: PLR0917 (Hypothesis names its arguments)
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, region: str, service: str
) -> None:
    assume(not {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} & set(headers))
    url = f"http://example.com:8000{path}" + (f"?{query}" if query else "")
    request = signed_by_botocore(method, url, headers, body, region=region, service=service)
    verified = verify(request, service=service)
    assert (verified.principal.access_key_id, verified.region) == (KEY_ID, region)


@given(
    path=PATHS,
    query=QUERIES,
    expires_s=st.integers(min_value=1, max_value=EXPIRES_S_MAX),
    elapsed_s=st.integers(min_value=0, max_value=EXPIRES_S_MAX),
)
def test_a_presigned_url_is_good_until_it_expires(path: str, query: str, expires_s: int, elapsed_s: int) -> None:
    url = f"http://example.com:8000{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method="GET", url=url)
    SigV4QueryAuth(CREDENTIALS, "dynamodb", "us-east-1", expires=expires_s).add_auth(request)
    received = as_received("GET", request.url, {}, b"")
    if elapsed_s <= expires_s:
        assert verify(received, wall_s=NOW_S + elapsed_s).principal.tenant == "000000000000"
    else:
        with pytest.raises(InvalidSignature, match="Signature expired"):
            verify(received, wall_s=NOW_S + elapsed_s)


def usual(body: bytes = b'{"TableName":"t"}') -> Request:
    headers = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0"}
    return signed_by_botocore("POST", "http://example.com:8000/", headers, body)


def changed(text: str, at: int) -> str:
    """The text with one character made another one of its kind."""
    character = text[at]
    other = {"0": "1", "a": "b"}.get(character) or ("0" if character.isdigit() else "a")
    return text[:at] + other + text[at + 1 :]


@given(data=st.data())
def test_whatever_is_changed_on_the_way_does_not_verify(data: st.DataObject) -> None:
    verifier = Verifier(Keys())
    original = usual()
    if data.draw(st.booleans(), label="remembered"):
        verify(usual(), verifier=verifier)  # what the verifier remembers must not let anything pass
    headers = dict(original.headers)
    part = data.draw(st.sampled_from(["method", "path", "query", "body", *headers]))
    request = Request("POST", "/", "", headers, original.body)
    if part == "method":
        request.method = "PUT"
    elif part == "path":
        # Another way to write the path that was signed, such as /0/.., is no other path.
        others = st.text("abc/.%20", min_size=1).filter(lambda path: normpath(f"/{path}").strip("/") != "")
        request.path = "/" + data.draw(others)
    elif part == "query":
        request.query = "a=b"
    elif part == "body":
        at = data.draw(st.integers(0, len(original.body) - 1))
        flipped = bytearray(original.body)
        flipped[at] ^= data.draw(st.integers(1, 255))
        request.body = bytes(flipped)
    else:
        at = data.draw(st.integers(0, len(headers[part]) - 1))
        headers[part] = changed(headers[part], at)
        assume(headers[part] != original.headers[part])
        if part == "user-agent":
            return  # not signed, and not meant to be
    with pytest.raises(EdgeError):
        verify(request, verifier=verifier)


@given(index=st.integers(0, 63), digit=st.sampled_from("0123456789abcdefABCDEF"))
def test_no_digit_of_a_signature_can_be_another(index: int, digit: str) -> None:
    request = usual()
    authorization = request.headers["authorization"]
    front, signature = authorization[:-64], authorization[-64:]
    assume(signature[index] != digit)
    tampered = dict(request.headers) | {"authorization": front + signature[:index] + digit + signature[index + 1 :]}
    with pytest.raises(InvalidSignature) as refused:
        verify(Request("POST", "/", "", tampered, request.body))
    assert refused.value.message == MISMATCH


def test_our_own_signer_agrees_with_botocore() -> None:
    clock = ManualClock(NOW_S * 1000)
    headers = {"host": "example.com:8000", "x-amz-target": "T.Op", "content-type": "application/json"}
    ours = sign_headers(
        "POST", "/a%20b/../c?z=1&a=%2F", headers, b"{}",
        access_key_id=KEY_ID, secret=SECRET, region="us-east-1", service="dynamodb", clock=clock,
    )  # fmt: skip
    theirs = AWSRequest("POST", "http://example.com:8000/a%20b/../c?z=1&a=%2F", headers=headers, data=b"{}")
    SigV4Auth(CREDENTIALS, "dynamodb", "us-east-1").add_auth(theirs)
    assert ours["authorization"] == theirs.headers["Authorization"]


def test_the_example_of_the_aws_documentation_derives_to_its_key() -> None:
    # IAM User Guide, "Examples of signature calculations": 20150830, us-east-1, iam.
    key = derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ("20150830", "us-east-1", "iam"))
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    text = (
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )
    signature = Signer(key).sign(text.encode())
    assert signature == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"


def with_authorization(authorization: str | None, **more: str) -> Request:
    headers = {"host": "example.com:8000", "x-amz-date": BASIC_NOW}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if authorization is not None:
        headers["authorization"] = authorization
    return Request("POST", "/", "", {name: value for name, value in headers.items() if value}, b"{}")


def header(
    credential: str = f"{KEY_ID}/20231114/us-east-1/dynamodb/aws4_request",
    names: str = "host;x-amz-date",
    algorithm: str = "AWS4-HMAC-SHA256",
) -> str:
    return f"{algorithm} Credential={credential}, SignedHeaders={names}, Signature={'0' * 64}"


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (with_authorization(None), MissingAuthenticationToken, "Request is missing Authentication Token"),
        (with_authorization("Basic abc"), MissingAuthenticationToken, "Request is missing Authentication Token"),
        (
            with_authorization("AWS4-HMAC-SHA256 Credential=a", x_amz_date=""),
            IncompleteSignature,
            (
                "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' "
                "parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
                "Authorization=AWS4-HMAC-SHA256 Credential=a"
            ),
        ),
        (
            with_authorization("AWS4-HMAC-SHA256 Signature=b, Credential, SignedHeaders"),
            IncompleteSignature,
            (
                "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: "
                "'AWS4-HMAC-SHA256 Signature=b, Credential, SignedHeaders'."
            ),
        ),
        (
            with_authorization(header(), x_amz_date="yesterday"),
            IncompleteSignature,
            "Date must be in ISO-8601 'basic format'. Got 'yesterday'. See http://en.wikipedia.org/wiki/ISO_8601",
        ),
        (
            with_authorization(header(), x_amz_date="20231314T221320Z"),
            IncompleteSignature,
            "Date must be in ISO-8601 'basic format'. Got '20231314T221320Z'. See http://en.wikipedia.org/wiki/ISO_8601",
        ),
        (
            with_authorization(header(), x_amz_date="20231114T215819Z"),
            InvalidSignature,
            "Signature expired: 20231114T215819Z is now earlier than 20231114T215820Z (20231114T221320Z - 15 min.)",
        ),
        (
            with_authorization(header(), x_amz_date="20231114T222821Z"),
            InvalidSignature,
            (
                "Signature not yet current: 20231114T222821Z is still later than 20231114T222820Z "
                "(20231114T221320Z + 15 min.)"
            ),
        ),
        (
            with_authorization(header(names="x-amz-date")),
            InvalidSignature,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            with_authorization(header(), x_amz_target="T.Op"),
            InvalidSignature,
            "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            with_authorization(header(algorithm="AWS4-HMAC-SHA25")),
            IncompleteSignature,
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). ",
        ),
        (
            with_authorization(header(credential="a/b/c/d")),
            IncompleteSignature,
            (
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                "got 'a/b/c/d'"
            ),
        ),
        (
            with_authorization(header(credential="a/b//d/e")),
            InvalidSignature,
            (
                "Credential should be scoped to a valid region, not ''. "
                "Credential should be scoped to correct service: 'dynamodb'. "
                "Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. "
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'b' != '20231114', from '{BASIC_NOW}'. "
            ),
        ),
        (
            with_authorization(header(credential="NOBODY/20231114/us-east-1/dynamodb/aws4_request")),
            UnrecognizedClient,
            "The security token included in the request is invalid.",
        ),
        (with_authorization(header()), InvalidSignature, MISMATCH),
    ],
)
def test_each_mistake_has_its_words(request_: Request, error: type[EdgeError], message: str) -> None:
    with pytest.raises(error) as refused:
        verify(request_)
    assert (type(refused.value), refused.value.message) == (error, message)


def presigned(**parts: str | None) -> Request:
    usual_parts: dict[str, str | None] = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{KEY_ID}%2F20231114%2Fus-east-1%2Fdynamodb%2Faws4_request",
        "X-Amz-Date": BASIC_NOW,
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }
    usual_parts |= {"X-Amz-" + name: value for name, value in parts.items()}
    query = "&".join(f"{name}={value}" for name, value in usual_parts.items() if value is not None)
    return Request("GET", "/", query, {"host": "example.com"}, b"")


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (
            presigned(Signature=None, SignedHeaders=None),
            IncompleteSignature,
            (
                "AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include "
                "'X-Amz-SignedHeaders'. Re-examine the query-string parameters."
            ),
        ),
        (presigned(Expires="soon"), IncompleteSignature, "X-Amz-Expires should be a number"),
        (presigned(Expires="-1"), IncompleteSignature, "X-Amz-Expires must be non-negative"),
        (
            presigned(Expires="604801"),
            IncompleteSignature,
            "X-Amz-Expires must be less than a week (in seconds) that is 604800",
        ),
        (
            presigned(Algorithm="AWS4-HMAC-SHA1"),
            IncompleteSignature,
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1' (only AWS4-HMAC-SHA256 for now). ",
        ),
        (
            presigned(Credential=f"{KEY_ID}%2F20231114%2Fus-east-1%2Fdynamodb%2Faws5_request"),
            InvalidSignature,
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. ",
        ),
        (presigned(), InvalidSignature, MISMATCH),
    ],
)
def test_each_mistake_of_a_presigned_url_has_its_words(request_: Request, error: type[EdgeError], message: str) -> None:
    with pytest.raises(error) as refused:
        verify(request_)
    assert refused.value.message == message


def test_the_scope_is_checked_in_whatever_order_the_header_has_its_parts() -> None:
    credential = f"Credential={KEY_ID}/20231114//dynamodb/aws5_request"
    authorization = f"AWS4-HMAC-SHA256 Signature={'0' * 64}, {credential}, SignedHeaders=host;x-amz-date"
    with pytest.raises(InvalidSignature, match=r"valid region.*valid terminator"):
        verify(with_authorization(authorization))


def test_a_request_signed_twice_is_refused() -> None:
    request = presigned()
    twice = Request("GET", "/", request.query, dict(request.headers) | {"authorization": header()}, b"")
    with pytest.raises(InvalidSignature, match="Found both 'X-Amz-Algorithm' as a query-string param"):
        verify(twice)


def test_a_session_token_that_nobody_gave_out_is_refused_after_its_signature_was_verified() -> None:
    session = Credentials(KEY_ID, SECRET, token="anything")
    request = AWSRequest("POST", "http://example.com:8000/", headers={}, data=b"{}")
    SigV4Auth(session, "dynamodb", "us-east-1").add_auth(request)
    received = as_received("POST", "http://example.com:8000/", dict(request.headers.items()), b"{}")
    with pytest.raises(UnrecognizedClient, match="security token included in the request is invalid"):
        verify(received)
    # The log says what the client is not told.
    assert "unset AWS_SESSION_TOKEN" in str(received.notes["hint"])


def test_a_key_that_was_revoked_counts_no_more_however_often_it_was_used() -> None:
    keys = Keys()
    verifier = Verifier(keys)
    verify(usual(), verifier=verifier)
    verify(usual(), verifier=verifier)
    keys.keys.clear()
    with pytest.raises(UnrecognizedClient):
        verify(usual(), verifier=verifier)


def test_headers_that_a_remembered_client_adds_have_to_be_signed_too() -> None:
    verifier = Verifier(Keys())
    request = usual()
    verify(request, verifier=verifier)
    more = dict(request.headers) | {"x-amz-more": "1"}
    for _ in range(2):
        with pytest.raises(InvalidSignature, match="'x-amz-more' must be a 'SignedHeader'"):
            verify(Request("POST", "/", "", more, request.body), verifier=verifier)


def test_what_is_remembered_of_the_headers_of_a_client_is_bounded() -> None:
    verifier = Verifier(Keys())
    request = usual()
    for number in range(500):
        verify(Request("POST", "/", "", dict(request.headers) | {f"x-{number}": "1"}, request.body), verifier=verifier)
    (known,) = verifier._known.values()
    assert len(known.covered) <= 32


def test_a_scope_that_was_remembered_is_still_checked_against_the_service_and_the_day() -> None:
    verifier = Verifier(Keys())
    request = usual()
    verify(request, verifier=verifier)
    with pytest.raises(InvalidSignature, match="correct service: 'sqs'"):
        verify(request, service="sqs", verifier=verifier)
    tomorrow = dict(request.headers) | {"x-amz-date": "20231115T221320Z"}
    with pytest.raises(InvalidSignature, match="Date in Credential scope"):
        verify(Request("POST", "/", "", tomorrow, request.body), wall_s=NOW_S + 86_400, verifier=verifier)


def test_the_date_header_will_do() -> None:
    key = derive(SECRET, ("20231114", "us-east-1", "dynamodb"))
    from hashlib import sha256

    date = "Tue, 14 Nov 2023 22:13:20 GMT"
    canonical = f"POST\n/\n\ndate:{date}\nhost:h\n\ndate;host\n{sha256(b'{}').hexdigest()}"
    digest = sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{BASIC_NOW}\n20231114/us-east-1/dynamodb/aws4_request\n{digest}"
    signature = Signer(key).sign(text.encode())
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20231114/us-east-1/dynamodb/aws4_request,SignedHeaders=date;host,"
        f"Signature={signature}"
    )
    request = Request("POST", "/", "", {"host": "h", "date": date, "authorization": authorization}, b"{}")
    assert verify(request).region == "us-east-1"


def test_strangers_cannot_fill_the_memory_and_clients_cannot_overfill_it(seed: int) -> None:
    keys = Keys()
    verifier = Verifier(keys)
    dice = random.Random(seed)
    for _ in range(200):
        region = f"region-{dice.random()}"
        with pytest.raises(InvalidSignature):
            verify(
                with_authorization(header(credential=f"{KEY_ID}/20231114/{region}/dynamodb/aws4_request")),
                verifier=verifier,
            )
    remembered: Any = verifier._known
    assert not remembered
    assert not keys.keys[KEY_ID].signers
    for number in range(1100):
        region = f"r{number}"
        verify(signed_by_botocore("POST", "http://h/", {}, b"", region=region), verifier=verifier)
    assert len(remembered) <= 1024
    assert len(keys.keys[KEY_ID].signers) <= 64


def test_a_secret_is_not_shown() -> None:
    assert SECRET not in repr(Keys().keys)


@pytest.mark.parametrize("names", ["host;host", "host;Host", "host;x-amz-date;;", ";".join(map(str, range(1_001)))])
def test_a_header_is_signed_once_and_so_are_not_too_many(names: str) -> None:
    for request_ in (with_authorization(header(names=names)), presigned(SignedHeaders=names)):
        with pytest.raises(InvalidSignature, match="must name each header once, and at most 1000"):
            verify(request_)
