"""The shapes of what is asked and answered under ``/v1/claims``, as JSON Schema (draft 2020-12), and their OpenAPI."""

from __future__ import annotations

from typing import Final

from tenet.placement.model import AMOUNT_MAX
from tenet.placement.rules.capabilities import CAPABILITIES_ASKED
from tenet.placement.rules.claim_lists import LIMIT_MAX, LIMIT_USUAL
from tenet.placement.rules.resources.contract import NAME_PATTERN
from tenet.placement.rules.schema_parts import COUNT as _COUNT
from tenet.placement.rules.schema_parts import UUID as _UUID
from tenet.placement.rules.schema_parts import answers as _answers
from tenet.placement.rules.schema_parts import body, refusals
from tenet.placement.rules.schema_parts import listed as _list
from tenet.placement.rules.schema_parts import record as _record
from tenet.placement.rules.schemas import Schema

#: Consumers of one claim. A commit checks each of them, the providers that they take from, and the consumers that they
#: are to be near to or far from; its checks are bounded.
CONSUMERS_MAX: Final = 32
#: Other consumers that a claim names in all.
OTHERS_MAX: Final = 16
_PLUGINS_MAX: Final = 16
_GROUPS_MAX: Final = 64
_NAMES_MAX: Final = 256
#: What is asked, and what is asked and answered together, in bytes: both are stored as one value.
BODY_BYTES_MAX: Final = 256 * 1024
DOCUMENT_BYTES_MAX: Final = 1024 * 1024
#: Options per consumer that are chosen among at most.
CONSIDERED_MAX: Final = 10_000
#: How long a claim may have until it has to be confirmed, seconds: a week.
EXPIRES_S_MAX: Final = 604_800
#: What kinds of failure domains may be called.
KIND_PATTERN: Final = "^[a-z][a-z0-9_]{0,31}$"
#: Version of the interface, in the path and in the OpenAPI document.
VERSION: Final = "1.0.0"
_SEED_MAX: Final = 2**53 - 1


_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255}
_NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Z0-9_]+$", "maxLength": 255}
_NAMES: Final = _list(_NAME, 1, _NAMES_MAX)
_AMOUNT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": AMOUNT_MAX}
_AMOUNTS: Final[Schema] = {"type": "object", "propertyNames": _NAME, "additionalProperties": _AMOUNT}
_ASKED: Final[Schema] = {
    "type": "object",
    "patternProperties": {
        "^[A-Z0-9_]{1,255}$": _AMOUNT,
        NAME_PATTERN: {
            "type": ["integer", "string", "object"],
            "description": 'Of a class in its own units, as `GET /v1/resource-classes` has them: `"memory": "16GiB"`.',
        },
    },
    "additionalProperties": False,
    "maxProperties": _NAMES_MAX,
}
_KIND: Final[Schema] = {
    "type": "string",
    "pattern": KIND_PATTERN,
    "description": "`host`, the top of a provider's tree; or a kind K, told by traits `CUSTOM_K_…`: `rack`, `site`, …",
}
_SUFFIX: Final[Schema] = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}

_GROUP: Final = _record(
    {
        "suffix": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{0,64}$", "default": ""},
        "resources": _ASKED,
        "capabilities": CAPABILITIES_ASKED,
        "required": _list({"anyOf": [_NAME, _NAMES]}, 1, _NAMES_MAX),
        "forbidden": _NAMES,
        "member_of": _list({"anyOf": [_UUID, _list(_UUID, 1, _NAMES_MAX)]}, 1, _NAMES_MAX),
        "forbidden_aggregates": _list(_UUID, 1, _NAMES_MAX),
        "in_tree": _UUID,
    }
)
_REQUEST: Final = _record(
    {
        "groups": _list(_GROUP, 1, _GROUPS_MAX),
        "group_policy": {"enum": ["none", "isolate"]},
        "same_subtree": _list(_list(_SUFFIX, 1, _GROUPS_MAX), 1, _GROUPS_MAX),
        "root_required": _NAMES,
        "root_forbidden": _NAMES,
    },
    ("groups",),
    description="What `GET /allocation_candidates` asks for with the parameters of the same names (microversion 1.39).",
)
_CONSUMER: Final = _record(
    {
        "uuid": _UUID,
        "project_id": _ID,
        "user_id": _ID,
        "consumer_type": {**_NAME, "minLength": 1},
        "request": {**_REQUEST, "description": "Of this consumer, in place of the common one."},
    },
    ("uuid", "project_id", "user_id"),
)
_PARAMETERS: Final[Schema] = {"type": "object", "description": "As the plugin documents them."}
_PLUGIN: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 64}
_FILTER: Final = _record({"name": _PLUGIN, "parameters": _PARAMETERS}, ("name",))
_WEIGHER: Final = _record(
    {
        "name": _PLUGIN,
        "multiplier": {"type": "number", "minimum": -1e6, "maximum": 1e6, "default": 1},
        "parameters": _PARAMETERS,
    },
    ("name",),
)
_NEARNESS: Final = _record(
    {
        "over": _KIND,
        "consumers": {
            **_list(_UUID, 1, OTHERS_MAX),
            "description": "Consumers that are placed already; without it, those of this claim among each other.",
        },
    },
    ("over",),
)
_SPREAD: Final = _record({"over": _KIND, "at_most": {"type": "integer", "minimum": 1, "maximum": 1000}}, ("over",))

#: Body of ``POST /v1/claims``.
CLAIM: Final = _record(
    {
        "consumers": _list(_CONSUMER, 1, CONSUMERS_MAX),
        "request": _REQUEST,
        "filters": _list(_FILTER, 0, _PLUGINS_MAX),
        "weighers": _list(_WEIGHER, 0, _PLUGINS_MAX),
        "spread": _list(_SPREAD, 0, _PLUGINS_MAX),
        "affinity": _list(_NEARNESS, 0, _PLUGINS_MAX),
        "anti_affinity": _list(_NEARNESS, 0, _PLUGINS_MAX),
        "considered": {
            "type": "integer",
            "minimum": 1,
            "maximum": CONSIDERED_MAX,
            "description": "Options per consumer to choose among: 32 unless told; without weighers 1, or 4 with trees.",
        },
        "expires_in_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": EXPIRES_S_MAX,
            "description": "What is claimed becomes free so long after, unless the claim is confirmed.",
        },
        "attempt": {
            "type": "integer",
            "minimum": 0,
            "maximum": _SEED_MAX,
            "default": 0,
            "description": "Tells this request from an equal one whose allocations were freed since.",
        },
    },
    ("consumers",),
)

_REMOVED: Final = _record(
    {"filter": {"type": "string"}, "removed_candidates": _COUNT, "removed_providers": _COUNT},
    ("filter", "removed_candidates", "removed_providers"),
)
_REASON: Final = _record(
    {
        "candidates": {**_COUNT, "description": "That were looked at."},
        "options": {**_COUNT, "description": "That passed all filters."},
        "filters": {"type": "array", "items": _REMOVED},
        "score": {"type": "number"},
        "weighers": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        "domains": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        "seed": _COUNT,
    },
    ("candidates", "options", "filters", "score", "weighers", "domains", "seed"),
)
_PLACED: Final = _record(
    {
        "allocations": {
            "type": "object",
            "propertyNames": _UUID,
            "additionalProperties": _record({"resources": _AMOUNTS}, ("resources",)),
        },
        "mappings": {"type": "object", "additionalProperties": {"type": "array", "items": _UUID}},
        "reason": _REASON,
    },
    ("allocations", "mappings", "reason"),
)
_EXPIRES: Final[Schema] = {
    **_COUNT,
    "description": "Milliseconds since 1970: until when it has to be confirmed; not there where it does not expire.",
}
_ANSWER: Final[Schema] = {
    "claim": _UUID,
    "claimed_ms": {**_COUNT, "description": "Milliseconds since 1970."},
    "consumers": {"type": "object", "propertyNames": _UUID, "additionalProperties": _PLACED},
    "request": {"type": "object", "description": "As it was sent."},
}
#: Body of the answer to ``POST /v1/claims``.
ANSWER: Final = _record({**_ANSWER, "expires_ms": _EXPIRES}, tuple(_ANSWER))
#: Body of the answer to ``GET /v1/claims/{consumer_uuid}``.
SHOWN: Final = _record(
    {
        **_ANSWER,
        "expires_ms": _EXPIRES,
        "states": {
            "type": "object",
            "additionalProperties": {"enum": ["reserved", "held", "changed", "expired", "freed"]},
            "description": "Of each consumer, what became of what was claimed.",
        },
        "held": {
            "type": "object",
            "additionalProperties": {"type": "boolean"},
            "description": "Of each consumer, whether it has now what was claimed.",
        },
    },
    (*_ANSWER, "states", "held"),
)
_CONDITION: Final = _record(
    {
        "group": {"type": "string"},
        "condition": {"type": "string"},
        "asked": {},
        "met_by_providers": {**_COUNT, "description": "Providers that meet it, whatever else they do not meet."},
        "removed_providers": {
            **_COUNT,
            "description": "Trees that were left before it and not after it, by their tops.",
        },
        "left": _COUNT,
        "largest_free": _COUNT,
    },
    ("group", "condition", "asked", "met_by_providers", "removed_providers", "left"),
)
#: Why a consumer could not be placed: a member of the error.
WHY_NOT: Final = _record(
    {
        "consumer": _UUID,
        "placed_before": {**_COUNT, "description": "Consumers of the gang that had a place already."},
        "providers": {**_COUNT, "description": "That there are."},
        "candidates": {**_COUNT, "description": "That were looked at, all that there are."},
        "conditions": {"type": "array", "items": _CONDITION},
        "filters": {"type": "array", "items": _REMOVED},
        "missing": {"type": "array", "items": {"type": "string"}},
        "is_exhaustive": {"type": "boolean", "description": "Whether it is certain that there is no way."},
    },
    (
        "consumer",
        "placed_before",
        "providers",
        "candidates",
        "conditions",
        "filters",
        "missing",
        "is_exhaustive",
    ),
)
_ERROR: Final[Schema] = {
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "why_not": WHY_NOT,
    },
    "required": ["status", "title", "detail", "request_id"],
}
#: Body of every error.
ERRORS: Final[Schema] = _record({"errors": {"type": "array", "items": _ERROR, "minItems": 1}}, ("errors",))


_LISTED: Final = _record(
    {
        "result": {"enum": ["claimed", "refused"]},
        "claim": _UUID,
        "claimed_ms": {**_COUNT, "description": "When it was asked for, milliseconds since 1970."},
        "expires_ms": _EXPIRES,
        "request": {"type": ["object", "null"], "description": "As it was sent; null: it was too large to be kept."},
        "consumers": _ANSWER["consumers"],
        "error": {
            "type": "object",
            "description": "What a refused request was answered.",
            "properties": {"code": {"type": "string"}, "detail": {"type": "string"}, "why_not": WHY_NOT},
            "required": ["code", "detail"],
        },
    },
    ("result", "claim", "claimed_ms", "request"),
)
#: Body of the answer to ``GET /v1/claims``.
LISTED: Final = _record(
    {
        "claims": {"type": "array", "items": _LISTED},
        "next": {"type": "string", "description": "`marker` of the next page; not there where nothing is behind."},
    },
    ("claims",),
)
_LIST_PARAMETERS: Final = [
    {"name": name, "in": "query", "schema": schema, "description": told}
    for name, schema, told in (
        ("project_id", _ID, "Claims of its consumers; unless told, all, or those of the sender's project."),
        ("provider", _UUID, "Claims that took from it."),
        ("since", {"type": "string"}, "Not before: milliseconds since 1970, or a time as in ISO 8601."),
        ("result", {"enum": ["claimed", "refused"]}, "Only those."),
        ("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_USUAL}, "Of a page."),
        ("marker", {"type": "string"}, "`next` of the page before."),
    )
]
_CONSUMER_IN_PATH: Final[Schema] = {"name": "consumer_uuid", "in": "path", "required": True, "schema": _UUID}
_REFUSALS: Final = refusals(ERRORS)


def _collection_path() -> Schema:
    return {
        "/v1/claims": {
            "get": {
                "operationId": "list_claims",
                "summary": "Lists claims and refused requests in order of time, oldest first.",
                "parameters": _LIST_PARAMETERS,
                "responses": _answers({"200": ("A page.", LISTED), **_REFUSALS}),
            },
            "post": {
                "operationId": "make_claim",
                "summary": "Selects providers for one consumer or several and claims them, all or nothing.",
                "requestBody": body(CLAIM),
                "responses": _answers(
                    {
                        "201": ("Claimed.", ANSWER),
                        "200": ("Claimed already by the same request: its first result.", ANSWER),
                        "409": ("There is no way (`why_not`), or a consumer has something else.", ERRORS),
                        **_REFUSALS,
                    }
                ),
            },
        },
    }


def _consumer_paths() -> Schema:
    return {
        "/v1/claims/{consumer_uuid}": {
            "get": {
                "operationId": "show_claim",
                "summary": "Shows the last claim of a consumer: what was asked for, what came of it, and why.",
                "parameters": [_CONSUMER_IN_PATH],
                "responses": _answers(
                    {
                        "200": ("The claim.", SHOWN),
                        "404": ("The consumer was never claimed for.", ERRORS),
                        **_REFUSALS,
                    }
                ),
            },
            "delete": {
                "operationId": "release_claim",
                "summary": "Frees what a consumer has, whether it was confirmed or not.",
                "parameters": [_CONSUMER_IN_PATH],
                "responses": {
                    "204": {"description": "It has nothing."},
                    **_answers({"404": ("The consumer was never claimed for.", ERRORS), **_REFUSALS}),
                },
            },
        },
        "/v1/claims/{consumer_uuid}/confirm": {
            "post": {
                "operationId": "confirm_claim",
                "summary": "Makes what a claim has its consumers' own for good: of all consumers of the claim.",
                "parameters": [_CONSUMER_IN_PATH, {"name": "claim", "in": "query", "schema": _UUID}],
                "responses": {
                    "204": {"description": "It is, now or since before."},
                    **_answers(
                        {
                            "404": ("The consumer was never claimed for.", ERRORS),
                            "409": ("The consumer has nothing any more, or is that of another claim.", ERRORS),
                            "410": ("The claim has expired: what it had is free.", ERRORS),
                            **_REFUSALS,
                        }
                    ),
                },
            }
        },
    }


def openapi_document() -> Schema:
    """Returns the OpenAPI document (3.1) of ``/v1``; paths are behind where the service is mounted."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tenet placement", "version": VERSION},
        "paths": {
            **_collection_path(),
            **_consumer_paths(),
            "/v1/openapi.json": {
                "get": {
                    "operationId": "show_openapi",
                    "summary": "Shows this document.",
                    "responses": _answers({"200": ("This document.", {"type": "object"}), **_REFUSALS}),
                }
            },
        },
    }
