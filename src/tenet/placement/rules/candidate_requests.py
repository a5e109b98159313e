"""What ``GET /allocation_candidates`` may ask for.

A request has groups. What the group without a suffix asks for may come from several providers of one tree, and from
providers that share with it; what a group with a suffix asks for comes from one provider. The groups are named by what
stands behind ``resources``, ``required``, ``member_of`` and ``in_tree``: a number before 1.33, letters, digits, ``_``
and ``-`` since.

Source: the Placement API reference, "List allocation candidates", and the microversion history; texts, bounds and the
order in which things are refused of openstack-placement 16.0.0. One thing is decided here that the reference leaves to
what is stored: a class or trait that does not exist is refused, even where another part of the request cannot be met.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from tenet.placement.errors import BAD_VALUE, DUPLICATE_KEY, MISSING_VALUE, BadRequest
from tenet.placement.rules.capabilities import Comparison
from tenet.placement.rules.query_strings import (
    Query,
    Traits,
    check_classes,
    read_in_tree,
    read_member_of,
    read_plain_traits,
    read_resources,
    read_traits,
    refuse_unknown,
    refused,
    unknown_trait,
)

#: Since which microversions there are groups, their suffixes as they are now, groups that ask for no resources, trees,
#: and traits that are forbidden.
_GROUPS: Final = 25
_SUFFIXES: Final = 33
_SUBTREES: Final = 36
_TREES: Final = 29
_FORBIDDEN_TRAITS: Final = 22

#: Those whose values all count, and not the last one alone.
_REPEATED: Final = frozenset({"required", "member_of"})
#: Since which microversion each parameter is there, in groups and besides.
_OF_GROUPS: Final[Mapping[str, int]] = {"resources": 10, "required": 17, "member_of": 21, "in_tree": 31}
_BESIDES: Final[Mapping[str, int]] = {"limit": 16, "group_policy": 25, "root_required": 35, "same_subtree": 36}
_NUMBERED: Final = "[1-9][0-9]*"
_NAMED: Final = "[a-zA-Z0-9_-]{1,64}"
_LIMIT: Final = re.compile("[1-9][0-9]*")
#: A limit above it is none: no answer has as many.
_LIMIT_MAX: Final = 10**18
_LIMIT_DIGITS: Final = 19
_POLICIES: Final = ("none", "isolate")


class Group(Struct, frozen=True):
    """What is asked for together.

    Args:
        suffix: names the group; empty for the one whose resources may come from several providers.
        resources: amounts by resource class; none in a group that only says what is in a subtree.
        required: of each of these choices one trait.
        forbidden: no provider has one of these traits.
        member_of: of each of these choices one aggregate.
        forbidden_aggregates: none of these aggregates.
        in_tree: of a provider in the same tree; None: any tree.
        capabilities: what has to hold; in the group without a suffix, each of one at least of those that it takes from.
            Only claims ask for it.
    """

    suffix: str = ""
    resources: Mapping[str, int] = {}
    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()
    member_of: tuple[frozenset[str], ...] = ()
    forbidden_aggregates: frozenset[str] = frozenset()
    in_tree: str | None = None
    capabilities: tuple[Comparison, ...] = ()


class CandidateRequest(Struct, frozen=True):
    """A request for allocation candidates.

    Args:
        groups: one at least, in the order in which they were asked for; suffixes differ.
        limit: the most candidates that are wanted, 1 and more; None: all.
        isolate: whether groups with suffixes have to come from different providers.
        root_required: traits that the root of a candidate's tree has to have.
        root_forbidden: traits that it must not have.
        same_subtree: suffixes of groups whose providers all descend from one among them.
        one_per_tree: whether a candidate takes from one provider of a tree only: before 1.29, clients do not know of
            trees.
    """

    groups: tuple[Group, ...]
    limit: int | None = None
    isolate: bool = False
    root_required: frozenset[str] = frozenset()
    root_forbidden: frozenset[str] = frozenset()
    same_subtree: tuple[frozenset[str], ...] = ()
    one_per_tree: bool = False


def read_candidate_request(
    text: str, version: int, *, classes: Collection[str], traits: Collection[str]
) -> CandidateRequest:
    """Returns the request that a query string means.

    Args:
        text: what followed the question mark, percent-encoded as it came.
        version: the microversion's minor number, 10 and more.
        classes: the names of all resource classes there are.
        traits: the names of all traits there are.

    Raises:
        BadRequest: it is not one that the microversion has, or names a class or trait that does not exist.
    """
    query = Query(text)
    _check_parameters(query, version)
    limit = query.all("limit")
    root = _root_traits(query.all("root_required"))
    subtrees = _subtrees(query.all("same_subtree"))
    groups = _groups(query, version)
    _check_groups(groups, subtrees, version)
    policy = query.all("group_policy")
    if not policy and sum(bool(suffix) for suffix in groups) > 1:
        raise BadRequest(
            'The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.'
        )
    for asked in (root, *(Traits(group.required, group.forbidden) for group in groups.values())):
        missing = unknown_trait(asked, traits)
        if missing is not None:
            raise BadRequest(f"No such trait(s): {missing}.")
    check_classes((name for group in groups.values() for name in group.resources), classes)
    return CandidateRequest(
        groups=tuple(groups.values()),
        limit=min(int(limit[0][:_LIMIT_DIGITS]), _LIMIT_MAX) if limit else None,
        isolate=policy[:1] == ["isolate"],
        root_required=frozenset(name for names in root.required for name in names),
        root_forbidden=root.forbidden,
        same_subtree=subtrees,
        one_per_tree=version < _TREES,
    )


def _patterns(version: int) -> list[str]:
    suffix = _NAMED if version >= _SUFFIXES else _NUMBERED
    return [f"^{name}({suffix})?$" for name, since in _OF_GROUPS.items() if since <= version]


def _check_parameters(query: Query, version: int) -> None:
    """Refuses parameters that the microversion does not have, and values outside of their lists."""
    names = set(query.keys())
    if version < _GROUPS and "resources" not in names:
        raise refused("'resources' is a required property", "required")
    known = {name for name, since in _BESIDES.items() if since <= version}
    patterns = _patterns(version) if version >= _GROUPS else []
    if version < _GROUPS:
        known |= {name for name, since in _OF_GROUPS.items() if since <= version}
    refuse_unknown(
        {name for name in names - known if not any(re.fullmatch(pattern, name) for pattern in patterns)}, patterns
    )
    for value in query.all("limit"):
        if not _LIMIT.fullmatch(value):
            raise refused(f"{value!r} does not match '^[1-9][0-9]*$'", "pattern", "limit")
    for value in query.all("group_policy"):
        if value not in _POLICIES:
            raise refused(f"{value!r} is not one of {list(_POLICIES)}", "enum", "group_policy")


def _root_traits(values: list[str]) -> Traits:
    if not values:
        return Traits()
    if len(values) > 1:
        raise BadRequest("Query parameter 'root_required' may be specified only once.", DUPLICATE_KEY)
    asked = read_root_traits(values[0])
    conflicts = sorted(asked.forbidden & {name for names in asked.required for name in names})
    if conflicts:
        raise BadRequest(
            f"Conflicting required and forbidden traits found in root_required: {', '.join(conflicts)}", BAD_VALUE
        )
    return asked


def read_root_traits(value: str) -> Traits:
    """Returns the traits that ``root_required`` asks for, which has no choices.

    Raises:
        BadRequest: it has another form.
    """
    # The common reader tells what is wrong with a choice here.
    return read_traits([value], 38) if value.startswith("in:") else read_plain_traits(value, may_forbid=True)


def _subtrees(values: list[str]) -> tuple[frozenset[str], ...]:
    subtrees = []
    for value in values:
        suffixes = frozenset(part.strip() for part in value.split(","))
        if "" in suffixes:
            raise BadRequest("Empty string (unsuffixed group) can not be specified in `same_subtree` ", BAD_VALUE)
        subtrees.append(suffixes)
    return tuple(subtrees)


def _groups(query: Query, version: int) -> dict[str, Group]:
    """Returns the groups by suffix, in the order in which they were first named."""
    pattern = re.compile(f"({'|'.join(_OF_GROUPS)})({_NAMED if version >= _SUFFIXES else _NUMBERED})?")
    found: dict[str, dict[str, object]] = {}
    read: set[str] = set()
    for key, value in query:
        match = pattern.fullmatch(key)
        # All values of one key are read where it comes first: of thousands of them each one once.
        if match is None or (key in read and match[1] in _REPEATED):
            continue
        read.add(key)
        suffix = match[2] or ""
        parts = found.setdefault(suffix, {})
        if match[1] == "resources":
            parts["resources"] = read_resources(value)
        elif match[1] == "required":
            asked = read_traits(query.all(key), version)
            parts.update(required=asked.required, forbidden=asked.forbidden)
        elif match[1] == "member_of":
            aggregates = read_member_of(query.all(key), version, suffix)
            parts.update(member_of=aggregates.required, forbidden_aggregates=aggregates.forbidden)
        else:
            parts["in_tree"] = read_in_tree(value)
    return {suffix: Group(suffix=suffix, **parts) for suffix, parts in found.items()}  # type: ignore[arg-type]


def _check_groups(groups: Mapping[str, Group], subtrees: Iterable[frozenset[str]], version: int) -> None:
    if version >= _SUBTREES:
        _check_resourceless(groups, frozenset[str]().union(*subtrees))
    else:
        _check_orphans(groups)
    if version < _FORBIDDEN_TRAITS:
        return
    conflicts = sorted(
        f"required{suffix}: ({', '.join(sorted(names))})"
        for suffix, group in groups.items()
        for names in group.required
        if names <= group.forbidden
    )
    if conflicts:
        raise BadRequest(
            f"Conflicting required and forbidden traits found in the following traits keys: {', '.join(conflicts)}"
        )


def _check_resourceless(groups: Mapping[str, Group], in_subtrees: frozenset[str]) -> None:
    bare = [suffix for suffix, group in groups.items() if not group.resources]
    if len(bare) == len(groups):
        raise BadRequest("There must be at least one resources or resources[$S] parameter.", MISSING_VALUE)
    alone = [suffix for suffix in bare if suffix not in in_subtrees]
    if alone:
        raise BadRequest(
            "Resourceless suffixed group request should be specified in `same_subtree` query param: bad group(s) - "
            f"{alone}.",
            BAD_VALUE,
        )
    strange = sorted(in_subtrees - groups.keys())
    if strange:
        raise BadRequest(
            f"Real suffixes should be specified in `same_subtree`: {strange} not found in {list(groups)}.", BAD_VALUE
        )


def _check_orphans(groups: Mapping[str, Group]) -> None:
    """Refuses groups that ask for no resources, which only microversions with ``same_subtree`` can use."""
    bare = [group for group in groups.values() if not group.resources]
    orphans = [f"required{group.suffix}" for group in bare if group.required]
    if orphans:
        raise BadRequest(
            "All traits parameters must be associated with resources.  Found the following orphaned traits keys: "
            f"{', '.join(orphans)}"
        )
    orphans = [f"member_of{group.suffix}" for group in bare if group.member_of or group.forbidden_aggregates]
    if orphans:
        raise BadRequest(
            "All member_of parameters must be associated with resources. Found the following orphaned member_of keys: "
            f"{', '.join(orphans)}"
        )
    if bare:
        raise BadRequest("All request groups must specify resources.")
    if not groups:
        raise BadRequest("At least one request group (`resources` or `resources{$S}`) is required.")
