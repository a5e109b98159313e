"""What may stand in the query strings of lists, microversion by microversion, and the texts that refuse the rest."""

from __future__ import annotations

import pytest

from tenet.placement.errors import BAD_VALUE, DUPLICATE_KEY, MISSING_VALUE, UNDEFINED, BadRequest
from tenet.placement.rules.candidate_requests import CandidateRequest, Group, read_candidate_request
from tenet.placement.rules.provider_filters import ProviderFilter, read_provider_filter
from tenet.placement.rules.query_strings import is_uuid_like

CLASSES = frozenset({"VCPU", "MEMORY_MB", "DISK_GB"})
TRAITS = frozenset({"HW_A", "HW_B", "HW_C"})
ONE = "9a3c0e5c-7c1a-4b7c-8a2e-0f6f5a0b1c2d"
TWO = "11111111-2222-4333-8444-555555555555"


def read(query: str, version: int = 39) -> CandidateRequest:
    return read_candidate_request(query, version, classes=CLASSES, traits=TRAITS)


def read_filter(query: str, version: int = 39) -> ProviderFilter:
    return read_provider_filter(query, version, classes=CLASSES, traits=TRAITS)


def only_group(query: str, version: int = 39) -> Group:
    (group,) = read(query, version).groups
    return group


def test_everything_at_once() -> None:
    request = read(
        "resources=VCPU:2,MEMORY_MB:1024&required=HW_A,!HW_B&required=in:HW_B,HW_C"
        f"&member_of=in:{ONE},{TWO}&member_of=!{TWO}&in_tree={ONE}"
        "&resources_NET=DISK_GB:1&required_X=HW_C&same_subtree=_NET,_X&group_policy=isolate"
        "&root_required=HW_A,!HW_C&limit=5"
    )
    plain = Group(
        suffix="",
        resources={"VCPU": 2, "MEMORY_MB": 1024},
        required=(frozenset({"HW_A"}), frozenset({"HW_B", "HW_C"})),
        forbidden=frozenset({"HW_B"}),
        member_of=(frozenset({ONE, TWO}),),
        forbidden_aggregates=frozenset({TWO}),
        in_tree=ONE,
    )
    net = Group(suffix="_NET", resources={"DISK_GB": 1})
    bare = Group(suffix="_X", required=(frozenset({"HW_C"}),))
    assert request == CandidateRequest(
        groups=(plain, net, bare),
        limit=5,
        isolate=True,
        root_required=frozenset({"HW_A"}),
        root_forbidden=frozenset({"HW_C"}),
        same_subtree=(frozenset({"_NET", "_X"}),),
        one_per_tree=False,
    )


@pytest.mark.parametrize(("version", "expected"), [(10, True), (28, True), (29, False)])
def test_trees_are_known_since_1_29(version: int, expected: bool) -> None:
    assert read("resources=VCPU:1", version).one_per_tree is expected


def test_before_1_39_the_last_required_counts() -> None:
    assert only_group("resources=VCPU:1&required=HW_A&required=HW_B", 38).required == (frozenset({"HW_B"}),)
    assert len(only_group("resources=VCPU:1&required=HW_A&required=HW_B", 39).required) == 2


def test_several_exclamation_marks_are_one() -> None:
    assert only_group("resources=VCPU:1&required=!!!HW_A").forbidden == {"HW_A"}


def test_the_last_of_repeated_resources_counts() -> None:
    assert only_group("resources=VCPU:1&resources=VCPU:3").resources == {"VCPU": 3}


@pytest.mark.parametrize("uuid", [ONE.upper(), ONE.replace("-", ""), f"{{{ONE}}}", f"urn:uuid:{ONE}"])
def test_uuids_are_taken_in_any_form(uuid: str) -> None:
    assert only_group(f"resources=VCPU:1&member_of={uuid}&in_tree=%20{uuid}").member_of == (frozenset({ONE}),)
    assert only_group(f"resources=VCPU:1&in_tree=%20{uuid}").in_tree == ONE
    assert is_uuid_like(uuid)


def test_an_enormous_limit_is_none() -> None:
    assert (read("resources=VCPU:1&limit=" + "9" * 60).limit or 0) >= 10**18


FORM = "Badly formed resources parameter. Expected resources query string parameter in form: "
FORM += "?resources=VCPU:2,MEMORY_MB:1024. Got: "
INVALID = "Invalid query string parameters: "
EXPECTED = f"{INVALID}Expected 'required' parameter value of the form: "
ANY = f"{INVALID}The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' "
SCHEMA = "\n\nFailed validating "
MANY = (
    "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the valid microversion. "
)


@pytest.mark.parametrize(
    ("version", "query", "text", "code"),
    [
        (10, "", f"{INVALID}'resources' is a required property{SCHEMA}'required' in schema", UNDEFINED),
        (15, "resources=VCPU:1&limit=1", "('limit' was unexpected)", UNDEFINED),
        (16, "resources=VCPU:1&required=HW_A", "('required' was unexpected)", UNDEFINED),
        (16, "resources=VCPU:1&b=1&a=1", "('a', 'b' were unexpected)", UNDEFINED),
        (24, "resources=VCPU:1&resources1=VCPU:1", "('resources1' was unexpected)", UNDEFINED),
        (25, "resources01=VCPU:1", "'resources01' does not match any of the regexes: '^member_of(", UNDEFINED),
        (33, "resources01=VCPU:1&a=1", "'a' does not match any of the regexes: '^in_tree([a-zA-Z0-9_-]", UNDEFINED),
        (30, f"resources=VCPU:1&in_tree={ONE}", "'in_tree' does not match any of", UNDEFINED),
        (34, "resources=VCPU:1&root_required=HW_A", "'root_required' does not match any of the regexes", UNDEFINED),
        (39, f"resources{'a' * 65}=VCPU:1", "does not match any of the regexes", UNDEFINED),
        (39, "resources=VCPU:1&limit=0", f"'0' does not match '^[1-9][0-9]*$'{SCHEMA}'pattern' in", UNDEFINED),
        (39, "resources=VCPU:1&limit=", f"'' does not match '^[1-9][0-9]*$'{SCHEMA}'pattern' in", UNDEFINED),
        (39, "resources=VCPU:1&group_policy=bogus", "'bogus' is not one of ['none', 'isolate']", UNDEFINED),
        (39, "resources=%C3%28:1", INVALID, UNDEFINED),
        (39, "resources=", f"{FORM}empty string.", UNDEFINED),
        (39, "resources=VCPU", f"{FORM}VCPU.", UNDEFINED),
        (39, "resources=VCPU:1:2", f"{FORM}VCPU:1:2.", UNDEFINED),
        (39, "resources=VCPU:x", "Requested resource VCPU expected positive integer amount. Got: x.", UNDEFINED),
        (39, "resources=VCPU:0", "Requested resource VCPU requires amount >= 1. Got: 0.", UNDEFINED),
        (39, "resources=X:1", "Invalid resource class in resources parameter: No such resource class X.", UNDEFINED),
        (39, "resources=VCPU:1&required=X", "No such trait(s): X.", UNDEFINED),
        (39, "resources=VCPU:1&root_required=!X", "No such trait(s): X.", UNDEFINED),
        (21, "resources=VCPU:1&required=!HW_A", f"{EXPECTED}HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: !HW_A", UNDEFINED),
        (21, "resources=VCPU:1&required=HW_A,", "CUSTOM_MAGIC. Got an empty trait in: HW_A,", UNDEFINED),
        (22, "resources=VCPU:1&required=!", f"{EXPECTED}HW_CPU_X86_VMX,!CUSTOM_MAGIC. Got an empty", UNDEFINED),
        (38, "resources=VCPU:1&required=in:HW_A", f"{ANY}only supported since microversion 1.39. Got", UNDEFINED),
        (39, "resources=VCPU:1&required=in:HW_A,!HW_B", f"{ANY}does not support forbidden traits. Got:", UNDEFINED),
        (39, "resources=VCPU:1&required=in:HW_A,", "in:HW_CPU_X86_VMX,CUSTOM_MAGIC. Got an empty trait in", UNDEFINED),
        (39, f"resources=VCPU:1&member_of={ONE},{TWO}", f"{MANY}Got: {ONE},{TWO}", UNDEFINED),
        (39, "resources=VCPU:1&member_of=in:a", "parameter to contain valid UUID(s). Got: a", UNDEFINED),
        (23, f"resources=VCPU:1&member_of={ONE}&member_of={TWO}", "Multiple member_of parameters are not", UNDEFINED),
        (31, f"resources1=VCPU:1&member_of1=!{ONE}", "Forbidden member_of1 parameters are not supported in", UNDEFINED),
        (39, "resources=VCPU:1&in_tree=x", "'in_tree' parameter to be a format of uuid. Got: x", UNDEFINED),
        (39, "resources=VCPU:1&required=HW_A,!HW_A", "following traits keys: required: (HW_A)", UNDEFINED),
        (39, "resources=VCPU:1&root_required=HW_A,!HW_A", "found in root_required: HW_A", BAD_VALUE),
        (39, "resources=VCPU:1&root_required=HW_A&root_required=HW_B", "may be specified only once.", DUPLICATE_KEY),
        (39, "resources=VCPU:1&same_subtree=", "Empty string (unsuffixed group) can not be", BAD_VALUE),
        (39, "resources=VCPU:1&same_subtree=1", "['1'] not found in [''].", BAD_VALUE),
        (39, "", "There must be at least one resources or resources[$S] parameter.", MISSING_VALUE),
        (39, "resources=VCPU:1&required1=HW_A", "query param: bad group(s) - ['1'].", BAD_VALUE),
        (35, "required=HW_A&resources1=VCPU:1", "orphaned traits keys: required", UNDEFINED),
        (35, f"member_of1=!{ONE}&resources=VCPU:1", "orphaned member_of keys: member_of1", UNDEFINED),
        (35, "required=!HW_A&resources1=VCPU:1", "All request groups must specify resources.", UNDEFINED),
        (35, "", "At least one request group (`resources` or `resources{$S}`) is required.", UNDEFINED),
        (39, "resources1=VCPU:1&resources2=VCPU:1", 'The "group_policy" parameter is required when', UNDEFINED),
    ],
)
def test_what_is_refused(version: int, query: str, text: str, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(query, version)
    assert text in str(refused.value)
    assert refused.value.code == code


def test_a_filter_of_providers() -> None:
    wanted = read_filter(
        f"name=a%20b&uuid={ONE}&in_tree={TWO}&required=in:HW_A,HW_B&required=!HW_C"
        f"&member_of={ONE}&member_of=!{TWO}&resources=VCPU:1"
    )
    assert wanted == ProviderFilter(
        name="a b",
        uuid=ONE,
        in_tree=TWO,
        required=(frozenset({"HW_A", "HW_B"}),),
        forbidden=frozenset({"HW_C"}),
        member_of=(frozenset({ONE}),),
        forbidden_aggregates=frozenset({TWO}),
        resources={"VCPU": 1},
    )
    assert read_filter("name=") == read_filter("") == ProviderFilter()


@pytest.mark.parametrize(
    ("version", "query", "text"),
    [
        (2, f"member_of={ONE}", "Additional properties are not allowed ('member_of' was unexpected)"),
        (3, "resources=VCPU:1", "('resources' was unexpected)"),
        (13, f"in_tree={ONE}", "('in_tree' was unexpected)"),
        (17, "required=HW_A", "('required' was unexpected)"),
        (39, "limit=1", "('limit' was unexpected)"),
        (39, "uuid=x", "'x' is not a 'uuid'"),
        (39, "in_tree=%20", "' ' is not a 'uuid'"),
        (39, "required=X", 'Invalid trait(s) in "required" parameter: No such trait(s): X.'),
        (39, "resources=X:1", "No such resource class X."),
    ],
)
def test_what_a_filter_of_providers_has_not(version: int, query: str, text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_filter(query, version)
    assert text in str(refused.value)
