"""A plugin of pytest, for a suite that has an address and keys of its own in its code: the environment says them.

Clients of aiobotocore are made without what the suite says of these, and so take it from the variables that every SDK
reads: AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, AWS_CA_BUNDLE and the keys. The descriptions of services are read once
and not for each of the suite's sessions, which takes as long as its tests.
"""

import functools
from typing import Any

import botocore.session
from aiobotocore.session import AioSession

SAID_BY_ENVIRONMENT = {"endpoint_url", "aws_access_key_id", "aws_secret_access_key", "region_name"}
_create_client = AioSession.create_client


def _create_client_from_environment(self: AioSession, *arguments: Any, **settings: Any) -> Any:
    kept = {name: value for name, value in settings.items() if name not in SAID_BY_ENVIRONMENT}
    return _create_client(self, *arguments, **kept)


AioSession.create_client = _create_client_from_environment
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
