"""Requests that were meant for an AWS service that is not served here.

SDKs send the calls of every service to ``AWS_ENDPOINT_URL``, those of S3 or STS too. The scope of their signature says
which one was meant; what they get is one error that says which ones are spoken here, in a form that their SDK reads.

Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape
from typing import Final
from urllib.parse import unquote

import msgspec

from tenet.wire.door import Response

CODE: Final = "UnknownServiceException"
#: Each part has a bound, so that a header which only begins to look like a scope, again and again, is read in one pass.
_SCOPE: Final = re.compile(r"Credential=[^/,\s&=]{1,128}/[0-9]{8}/[^/,\s&=]{0,64}/([a-z0-9-]{1,64})/aws4_request")
_XML_SERVICES: Final = frozenset({"s3"})


def service_meant(query: str, headers: dict[str, str]) -> str:
    """Returns the signing name in the scope of a request's signature, or "" where there is none.

    Args:
        query: as it was sent.
        headers: by lower-case name.
    """
    authorization = headers.get("authorization")
    found = _SCOPE.search(unquote(query, "latin-1") if authorization is None else authorization)
    return found[1] if found else ""


def refuse_foreign(meant: str, served: Collection[str], headers: dict[str, str], request_id: str) -> Response:
    """Returns the answer to a request for another service, in XML or JSON.

    Args:
        meant: the signing name of the service that was meant.
        served: those of the services that are served here.
        headers: of the request, by lower-case name.
        request_id: of the request.
    """
    here = " and ".join(sorted(served))
    variables = " and ".join(f"AWS_ENDPOINT_URL_{name.upper().replace('-', '_')}" for name in sorted(served))
    message = (
        f"This endpoint serves {here}, and the request is for {meant}. "
        f"Set {variables} instead of AWS_ENDPOINT_URL to send only such requests here."
    )
    kind = headers.get("content-type", "")
    if meant in _XML_SERVICES or "xml" in kind or "form" in kind:
        told = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{CODE}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>\n"
        )
        return Response(400, told.encode(), "text/xml", error_code=CODE)
    body = msgspec.json.encode({"__type": CODE, "message": message})
    return Response(400, body, "application/x-amz-json-1.0", (("x-amzn-ErrorType", CODE),), error_code=CODE)
