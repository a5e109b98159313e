"""What the signer of the AWS SDK for Go signs is verified, and nothing else."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tenet.wire.credentials import AccessKey
from tenet.wire.door import Principal, Request
from tenet.wire.errors import EdgeError
from tenet.wire.sigv4 import Verifier

SIGNER = Path(__file__).with_name("go") / "signer"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW_S = 1_700_000_000
COUNT = 2_000


class Keys:
    key = AccessKey(Principal(KEY_ID, "000000000000"), SECRET)

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.key if access_key_id == KEY_ID else None


def text(dice: random.Random, characters: str, longest: int) -> str:
    return "".join(dice.choices(characters, k=dice.randint(0, longest)))


def wanted(dice: random.Random) -> dict[str, Any]:
    """A request of any kind that the SDK would send."""
    characters = "abcXYZ019 -._~!*'()/+=&%ä€😀"
    # Not empty ones: AWS normalises paths, as its documents say and botocore does, and this signer does not.
    segments = [quote(f"a{text(dice, characters, 6)}", safe="") for _ in range(dice.randint(0, 4))]
    pairs = [
        f"{quote(text(dice, characters, 4), safe='')}={quote(text(dice, characters, 6), safe='')}"
        for _ in range(dice.randint(0, 3))
    ]
    names = [f"x-amz-meta-{text(dice, 'abc-', 4)}x" for _ in range(dice.randint(0, 3))]
    return {
        "method": dice.choice(["GET", "POST", "PUT", "DELETE"]),
        "url": "http://tenet.example:8000/" + "/".join(segments) + ("?" + "&".join(pairs) if pairs else ""),
        "headers": {name: text(dice, "abc  XYZ,;=0", 12).strip() for name in names},
        "body": base64.b64encode(dice.randbytes(dice.randint(0, 100))).decode(),
        "key_id": KEY_ID,
        "secret": SECRET,
        "region": dice.choice(["us-east-1", "eu-central-1", "local"]),
        "service": dice.choice(["dynamodb", "sqs"]),
        "seconds": NOW_S,
        "presign": dice.random() < 0.3,
    }


def received(asked: dict[str, Any], signed: dict[str, Any]) -> Request:
    """The request as the edge would get it."""
    url = urlsplit(signed["url"])
    headers = {name.lower(): ",".join(values).strip(" ") for name, values in signed["headers"].items()}
    headers.setdefault("host", url.netloc)
    body = base64.b64decode(asked["body"])
    headers["content-length"] = str(len(body))  # net/http sends it, whoever set it
    return Request(asked["method"], url.path or "/", url.query, headers, body)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("go") / "signer"
    subprocess.run(["go", "build", "-o", str(built), "."], cwd=SIGNER, check=True, timeout=600)
    return built


def test_what_the_sdk_for_go_signs_is_verified(program: Path, seed: int) -> None:
    dice = random.Random(seed)
    asked = [wanted(dice) for _ in range(COUNT)]
    lines = "\n".join(map(json.dumps, asked))
    done = subprocess.run([str(program)], input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    signed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(signed) == COUNT
    verifier = Verifier(Keys())
    for want, got in zip(asked, signed, strict=True):
        request = received(want, got)
        verifier.verify(request, dict(request.headers), want["service"], NOW_S)
        assert (request.principal.access_key_id, request.region) == (KEY_ID, want["region"]), want
        request.body += b"x"
        with pytest.raises(EdgeError):
            verifier.verify(request, dict(request.headers), want["service"], NOW_S)
