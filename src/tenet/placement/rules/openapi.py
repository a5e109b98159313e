"""The OpenAPI document of ``/v1``, from what each part of it says."""

from __future__ import annotations

from tenet.placement.rules import claim_schemas
from tenet.placement.rules.quota_schemas import quota_paths
from tenet.placement.rules.resource_schemas import resource_paths
from tenet.placement.rules.schemas import Schema


def openapi_document() -> Schema:
    """Returns the OpenAPI document (3.1) of ``/v1``; paths are behind where the service is mounted."""
    document = claim_schemas.openapi_document()
    document["paths"] |= resource_paths()
    document["paths"] |= quota_paths()
    return document
