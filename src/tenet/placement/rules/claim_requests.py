"""What ``POST /v1/claims`` asks for.

The part that is the language of ``GET /allocation_candidates`` is written as a query string of it and read by the same
reader, so that both mean the same and are refused with the same words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from msgspec import Struct
from msgspec.structs import replace

from tenet.placement.errors import BadRequest, TooLarge
from tenet.placement.model import UNKNOWN_TYPE
from tenet.placement.rules.candidate_requests import CandidateRequest, read_candidate_request
from tenet.placement.rules.capabilities import ASKED_MAX, Comparison, read_comparisons
from tenet.placement.rules.claim_schemas import BODY_BYTES_MAX, CLAIM, OTHERS_MAX
from tenet.placement.rules.microversions import LATEST
from tenet.placement.rules.validation import canonical_uuid, read_body

#: What says which providers a group means.
_MEANS: Final = ("resources", "required", "member_of")
#: What a request asks for is kept in its meaning, for the next one like it, up to so many bytes.
_KEPT_BYTES_MAX: Final = 2048


class Claimant(Struct, frozen=True):
    """A consumer that something is claimed for.

    Args:
        uuid: in its usual form.
        project: id of the project.
        user: id of the user.
        type: of the consumer.
        request: what it asks for.
    """

    uuid: str
    project: str
    user: str
    type: str
    request: CandidateRequest


class Plugin(Struct, frozen=True):
    """A filter or weigher that a request names.

    Args:
        name: of the plugin.
        parameters: for it.
        multiplier: of a weigher's scores.
    """

    name: str
    parameters: Mapping[str, Any]
    multiplier: float = 1.0


class Spread(Struct, frozen=True):
    """So many consumers of a claim at most in one failure domain of a kind."""

    over: str
    at_most: int


class Nearness(Struct, frozen=True):
    """In the same failure domains of a kind as other consumers, or in none of theirs.

    Args:
        over: the kind of domain.
        others: uuids of consumers that are placed already; none: the claim's consumers among each other.
    """

    over: str
    others: tuple[str, ...] = ()


class ClaimRequest(Struct, frozen=True):
    """A request to select and claim.

    Args:
        claimants: one and more; a gang is placed as a whole or not at all.
        filters: all of them have to let an option pass.
        weighers: their scores are added; without any, the choice is random.
        spread: over the claim's own consumers.
        affinity: what they are to be near to.
        anti_affinity: what they are to be far from.
        considered: so many options per consumer are weighed at most; None: as many as is usual.
        digest: the same for the same request.
        document: as it came.
        expires_s: how long it has to be confirmed, seconds; None: it need not be.
    """

    claimants: tuple[Claimant, ...]
    filters: tuple[Plugin, ...]
    weighers: tuple[Plugin, ...]
    spread: tuple[Spread, ...]
    affinity: tuple[Nearness, ...]
    anti_affinity: tuple[Nearness, ...]
    considered: int | None
    digest: bytes
    document: Mapping[str, Any]
    expires_s: int | None = None

    @property
    def others(self) -> list[str]:
        """Uuids of all consumers that it names besides its own, each once."""
        if not self.affinity and not self.anti_affinity:
            return []
        return list(dict.fromkeys(uuid for one in (*self.affinity, *self.anti_affinity) for uuid in one.others))


def read_claim_body(body: bytes) -> dict[str, Any]:
    """Returns the document of a claim.

    Raises:
        TooLarge: it has more bytes than a claim may have.
        BadRequest: it has another shape.
    """
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"The claim has {len(body)} bytes; it may have {BODY_BYTES_MAX}.")
    document: dict[str, Any] = read_body(body, CLAIM)
    try:
        _ = orjson.dumps(document)
    except TypeError as error:
        # Parameters of filters and weighers may be anything, but what was asked is stored, and has 64 bits.
        raise BadRequest(f"JSON does not validate: {error}") from None
    return document


def names_in(document: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Returns the resource classes and the traits that a claim names.

    Args:
        document: from ``read_claim_body``.
    """
    classes: set[str] = set()
    traits: set[str] = set()
    for request in _requests(document):
        traits.update(request.get("root_required", ()), request.get("root_forbidden", ()))
        for group in request["groups"]:
            classes.update(group.get("resources", ()))
            traits.update(group.get("forbidden", ()))
            for names in group.get("required", ()):
                traits.update(_choices(names))
    return classes, traits


def read_claim(
    document: Mapping[str, Any],
    *,
    classes: Collection[str],
    traits: Collection[str],
    sent: Mapping[str, Any] | None = None,
) -> ClaimRequest:
    """Returns the request that a document means.

    Args:
        document: from ``read_claim_body``, in the language of the OpenStack API.
        classes: those resource classes of ``names_in`` that exist.
        traits: those traits of ``names_in`` that exist.
        sent: as it came, where that is another one: by it the request is known again.

    Raises:
        BadRequest: it is not one that can be carried out, or names a class or trait that does not exist.
    """
    sent = document if sent is None else sent
    common, known = document.get("request"), (frozenset(classes), frozenset(traits))
    claimants = tuple(_claimant(one, common, *known) for one in document["consumers"])
    if len({one.uuid for one in claimants}) < len(claimants):
        raise BadRequest("JSON does not validate: a consumer is in `consumers` more than once.")
    request = ClaimRequest(
        claimants=claimants,
        filters=tuple(_plugin(one) for one in document.get("filters", ())),
        weighers=tuple(_plugin(one) for one in document.get("weighers", ())),
        spread=tuple(Spread(one["over"], one.get("at_most", 1)) for one in document.get("spread", ())),
        affinity=_nearness(document, "affinity"),
        anti_affinity=_nearness(document, "anti_affinity"),
        considered=document.get("considered"),
        expires_s=document.get("expires_in_seconds"),
        digest=sha256(orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)).digest(),
        document=sent,
    )
    others = request.others
    if len(others) > OTHERS_MAX:
        raise BadRequest(f"The claim names {len(others)} other consumers; it may name at most {OTHERS_MAX}.")
    own = sorted({one.uuid for one in claimants} & set(others))
    if own:
        raise BadRequest(f"Consumer {own[0]} is claimed for, and cannot be one that is placed already.")
    return request


def capabilities_of(asked: Mapping[str, Any]) -> dict[str, tuple[Comparison, ...]]:
    """Returns what the groups of a request ask of capabilities, which query strings do not have, by suffix.

    Args:
        asked: the member ``request`` of a document, or of one of its consumers.

    Raises:
        BadRequest: a comparison makes no sense, a group has nothing else that says which providers are meant, or there
            are too many.
    """
    found = {}
    for at, group in enumerate(asked["groups"]):
        if "capabilities" not in group:
            continue
        if not any(group.get(member) for member in _MEANS):
            raise BadRequest(
                f"JSON does not validate: groups[{at}] has `capabilities`, and neither `resources` nor `required` nor "
                "`member_of`."
            )
        found[group.get("suffix", "")] = read_comparisons(group["capabilities"], f"groups[{at}].capabilities")
    count = sum(map(len, found.values()))
    if count > ASKED_MAX:
        raise BadRequest(
            f"JSON does not validate: the groups ask for {count} capabilities; they may ask for {ASKED_MAX}."
        )
    return found


def as_query_string(request: Mapping[str, Any]) -> str:
    """Returns the query string of ``GET /allocation_candidates`` that asks for the same.

    Args:
        request: the member ``request`` of a document, or of one of its consumers.
    """
    asked: list[tuple[str, str]] = []
    seen: set[str] = set()
    for group in request["groups"]:
        suffix = group.get("suffix", "")
        if suffix in seen:
            raise BadRequest(f"JSON does not validate: there is more than one group with the suffix {suffix!r}.")
        seen.add(suffix)
        asked += _group_asked(group, suffix)
    asked += [("same_subtree", ",".join(suffixes)) for suffixes in request.get("same_subtree", ())]
    root = [*request.get("root_required", ()), *("!" + name for name in request.get("root_forbidden", ()))]
    if root:
        asked.append(("root_required", ",".join(root)))
    if "group_policy" in request:
        asked.append(("group_policy", request["group_policy"]))
    return urlencode(asked)


def _group_asked(group: Mapping[str, Any], suffix: str) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    if group.get("resources"):
        resources = ",".join(f"{name}:{amount}" for name, amount in group["resources"].items())
        asked.append((f"resources{suffix}", resources))
    asked += [
        (f"required{suffix}", names if isinstance(names, str) else "in:" + ",".join(names))
        for names in group.get("required", ())
    ]
    asked += [(f"required{suffix}", "!" + name) for name in group.get("forbidden", ())]
    asked += [(f"member_of{suffix}", "in:" + ",".join(_choices(one))) for one in group.get("member_of", ())]
    if group.get("forbidden_aggregates"):
        asked.append((f"member_of{suffix}", "!in:" + ",".join(group["forbidden_aggregates"])))
    if "in_tree" in group:
        asked.append((f"in_tree{suffix}", group["in_tree"]))
    return asked


def _choices(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _requests(document: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if "request" in document:
        yield document["request"]
    for consumer in document["consumers"]:
        if "request" in consumer:
            yield consumer["request"]


def _claimant(
    one: Mapping[str, Any], common: Mapping[str, Any] | None, classes: frozenset[str], traits: frozenset[str]
) -> Claimant:
    uuid = canonical_uuid(one["uuid"])
    if uuid is None:
        raise BadRequest(f"Malformed consumer_uuid: {one['uuid']}")
    asked = one.get("request", common)
    if asked is None:
        raise BadRequest(f"JSON does not validate: neither consumer {uuid} nor the claim has a `request`.")
    request = _meaning(asked, classes, traits)
    return Claimant(uuid, one["project_id"], one["user_id"], one.get("consumer_type", UNKNOWN_TYPE), request)


def _meaning(asked: Mapping[str, Any], classes: frozenset[str], traits: frozenset[str]) -> CandidateRequest:
    """Returns what a member ``request`` means: of those that are not large, the same object for the same member."""
    try:
        text = orjson.dumps(asked)
    except TypeError:
        # An amount of more than 64 bits, made of another unit, which is refused below.
        return _read(asked, classes, traits)
    return _read_kept(text, classes, traits) if len(text) <= _KEPT_BYTES_MAX else _read(asked, classes, traits)


def _read(asked: Mapping[str, Any], classes: frozenset[str], traits: frozenset[str]) -> CandidateRequest:
    capabilities = capabilities_of(asked)
    request = read_candidate_request(as_query_string(asked), LATEST, classes=classes, traits=traits)
    if capabilities:
        groups = (replace(group, capabilities=capabilities.get(group.suffix, ())) for group in request.groups)
        request = replace(request, groups=tuple(groups))
    return request


#: What is asked for is the same for all of a flavour, and for all of a gang; what it means depends on nothing else.
@lru_cache(maxsize=1024)
def _read_kept(text: bytes, classes: frozenset[str], traits: frozenset[str]) -> CandidateRequest:
    return _read(orjson.loads(text), classes, traits)


def _plugin(one: Mapping[str, Any]) -> Plugin:
    return Plugin(one["name"], one.get("parameters", {}), float(one.get("multiplier", 1)))


def _nearness(document: Mapping[str, Any], member: str) -> tuple[Nearness, ...]:
    return tuple(
        Nearness(one["over"], tuple(canonical_uuid(uuid) or uuid for uuid in one.get("consumers", ())))
        for one in document.get(member, ())
    )
