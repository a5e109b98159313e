"""What bodies, paths and query strings may hold: numbers, names, texts, and as much of it as a client likes."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.clock import SystemClock
from tenet.placement.errors import BadRequest
from tenet.placement.rules.candidate_requests import read_candidate_request
from tenet.placement.rules.schemas import (
    CUSTOM_TRAIT,
    PUT_AGGREGATES,
    PUT_AGGREGATES_19,
    PUT_ALLOCATIONS_38,
    PUT_INVENTORIES,
    PUT_INVENTORY,
    RESOURCE_CLASS,
)
from tenet.placement.rules.validation import check_document, matches, read_body
from tenet.store.contract import Add, Key, Put
from tenet.store.errors import InvalidRequest
from tenet.store.landing import land
from tests.unit.placement.fleets import KNOWN_CLASSES, KNOWN_TRAITS
from tests.unit.placement.test_claiming import claim_of
from tests.unit.placement.world import IDS, OWNER, World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD = 200, 201, 204, 400
#: Far less than what costs the square of what is sent, and enough for a machine that is busy.
CPU_S_MAX = 2.0


def inventories(text: str) -> bytes:
    """Returns a body whose one inventory is as the text says."""
    return f'{{"resource_provider_generation": 0, "inventories": {{"VCPU": {text}}}}}'.encode()


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["10.0", "1e1", "1.0E+1", "100e-1"])
def test_a_number_without_a_fraction_is_whole_however_it_is_written(text: str) -> None:
    found = read_body(inventories(f'{{"total": {text}}}'), PUT_INVENTORIES)["inventories"]["VCPU"]["total"]
    assert found == 10
    assert type(found) is int


@pytest.mark.parametrize("text", ["10.5", "1e-1", "true", '"10"', "null", "[10]"])
def test_an_amount_is_a_whole_number(text: str) -> None:
    with pytest.raises(BadRequest, match="JSON does not validate"):
        read_body(inventories(f'{{"total": {text}}}'), PUT_INVENTORIES)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="Malformed JSON"):
        read_body(inventories(f'{{"total": 1, "allocation_ratio": {text}}}'), PUT_INVENTORIES)


def test_a_number_of_more_digits_than_there_are_is_refused() -> None:
    with pytest.raises(BadRequest, match="Malformed JSON"):
        read_body(inventories(f'{{"total": {"9" * 5000}}}'), PUT_INVENTORIES)


@pytest.mark.parametrize(("text", "ratio"), [("1.5", 1.5), ("16.0", 16), ("16", 16), ("0.1", 0.1), ("1e30", 1e30)])
def test_a_ratio_may_have_a_fraction(text: str, ratio: float) -> None:
    body = inventories(f'{{"total": 1, "allocation_ratio": {text}}}')
    assert read_body(body, PUT_INVENTORIES)["inventories"]["VCPU"]["allocation_ratio"] == ratio


@given(st.integers(-(2**53), 2**53))
def test_every_whole_number_that_a_float_holds_stays_what_it_is(number: int) -> None:
    found = read_body(f"[{float(number)!r}, {number}]".encode(), {"type": "array", "items": {"type": "integer"}})
    assert found == [number, number]
    assert {type(one) for one in found} == {int}


@in_loop
async def test_amounts_written_with_a_point_are_stored_as_whole_numbers() -> None:
    """What was stored as a float could never be read again, by this node or after a restart."""
    store = memory()
    async with World(store) as world:
        host = await world.provider(1)
        body = inventories('{"total": 10.0, "reserved": 1.0, "step_size": 1e0, "allocation_ratio": 2.0}')
        told = await world.ask("PUT", f"/resource_providers/{host}/inventories", body)
        assert told["inventories"]["VCPU"]["total"] == 10
        claim = orjson.dumps(
            {"allocations": {host: {"resources": {"VCPU": 2.0}}}, "consumer_generation": None, **OWNER}
        )
        assert b"2.0" in claim
        await world.ask("PUT", f"/allocations/{uuid_of(7)}", claim, status=NO_CONTENT)
        assert await world.used(host) == {"VCPU": 2}
        assert (await world.ask("GET", f"/allocations/{uuid_of(7)}"))["allocations"][host]["resources"] == {"VCPU": 2}
        usages = (await world.ask("GET", "/usages?project_id=project"))["usages"]
        assert usages["INSTANCE"]["VCPU"] == 2
    async with World(store) as again:
        found = await again.ask("GET", "/allocation_candidates?resources=VCPU:16")
        assert len(found["allocation_requests"]) == 1
        found = await again.ask("GET", "/allocation_candidates?resources=VCPU:17")
        assert found["allocation_requests"] == []


@pytest.mark.parametrize("number", [1.0, 0.5, float("nan"), True])
@in_loop
async def test_the_store_refuses_to_count_what_is_not_whole(number: Any) -> None:
    store, clock = memory(), SystemClock()
    await store.ensure_space("counts")
    key = Key("counts", b"p", b"s")
    for write in (Add(key, "cell", number), Add(key, "cell", 1, at_most=number), Put(key, b"", {"cell": number})):
        with pytest.raises(InvalidRequest, match="whole"):
            await land(store, [write], (), clock=clock, ids=IDS, deadline=clock.monotonic_s() + 5)


@pytest.mark.parametrize("ratio", ["NaN", "-1", "-1e30", "Infinity"])
@in_loop
async def test_the_reshaper_takes_no_inventory_without_a_capacity(ratio: str) -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        body = (
            f'{{"inventories": {{"{host}": {{"resource_provider_generation": 1, "inventories": '
            f'{{"VCPU": {{"total": 1, "allocation_ratio": {ratio}}}}}}}}}, "allocations": {{}}}}'
        ).encode()
        assert (await world.send("POST", "/reshaper", body)).status == BAD
        found = await world.ask("GET", f"/resource_providers/{host}/inventories/VCPU")
        assert found["total"] == 4
        assert len((await world.ask("GET", "/resource_providers?resources=VCPU:4"))["resource_providers"]) == 1


@in_loop
async def test_the_reshaper_takes_what_is_all_kept_back() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        changed = {host: {"resource_provider_generation": 1, "inventories": {"VCPU": {"total": 4, "reserved": 4}}}}
        await world.ask("POST", "/reshaper", {"inventories": changed, "allocations": {}}, status=NO_CONTENT)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CUSTOM_X\n", "\nCUSTOM_X", "CUSTOM_X\r\n", "CUSTOM_", "CUSTOM_x", "X", "CUSTOM_Ä"])
def test_a_custom_name_is_all_of_its_pattern(name: str) -> None:
    assert not matches(name, CUSTOM_TRAIT)
    with pytest.raises(BadRequest, match="does not match"):
        check_document({"name": name}, RESOURCE_CLASS)


@given(st.text("ABCXYZ0189_", min_size=1, max_size=248))
def test_every_custom_name_of_its_letters_is_taken(end: str) -> None:
    assert matches(f"CUSTOM_{end}", CUSTOM_TRAIT)
    check_document({"name": f"CUSTOM_{end}"}, RESOURCE_CLASS)


@pytest.mark.parametrize(
    "path",
    [
        "x%22,%0D%0A%0D%0A%22name%22:%22CUSTOM_B",
        "CUSTOM_X%0A",
        "CUSTOM_X%0D%0AX-Other:%20yes",
        "CUSTOM_%E2%82%AC",
        "CUSTOM_X%22",
        "CUSTOM_X%5C",
        "%22",
    ],
)
@pytest.mark.parametrize("kind", ["resource_classes", "traits"])
@in_loop
async def test_a_name_in_a_path_is_that_name_and_nothing_else(kind: str, path: str) -> None:
    async with World(memory()) as world:
        before = await world.ask("GET", f"/{kind}")
        answer = await world.send("PUT", f"/{kind}/{path}")
        assert answer.status == BAD, answer.body
        assert not [value for name, value in answer.headers if name == "location" or not value.isprintable()]
        assert await world.ask("GET", f"/{kind}") == before


@pytest.mark.parametrize("kind", ["resource_classes", "traits"])
@in_loop
async def test_a_custom_name_in_a_path_is_made_once(kind: str) -> None:
    async with World(memory()) as world:
        made = await world.send("PUT", f"/{kind}/CUSTOM_X")
        assert (made.status, dict(made.headers)["location"].rpartition("/")[2]) == (CREATED, "CUSTOM_X")
        assert (await world.send("PUT", f"/{kind}/CUSTOM_X")).status == NO_CONTENT


@pytest.mark.parametrize("name", ["vcpu", "VCPU\n", "", "V CPU"])
@pytest.mark.parametrize("inventory", [5, {"total": 4}])
@in_loop
async def test_an_inventory_of_a_class_that_is_none_is_refused(name: str, inventory: Any) -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        body = {"resource_provider_generation": 0, "inventories": {name: inventory}}
        assert (await world.send("PUT", f"/resource_providers/{host}/inventories", body)).status == BAD
        reshaped = {"inventories": {host: body}, "allocations": {}}
        assert (await world.send("POST", "/reshaper", reshaped)).status == BAD


@pytest.mark.parametrize("raw", [b"\\ud800", b"\xed\xa0\x80", b"a\\udfffb"])
@in_loop
async def test_half_a_character_is_refused(raw: bytes) -> None:
    async with World(memory()) as world:
        assert (await world.send("POST", "/resource_providers", b'{"name": "' + raw + b'"}')).status == BAD
        host = await world.provider(1, VCPU=4)
        claim = orjson.dumps(
            {"allocations": {host: {"resources": {"VCPU": 1}}}, "consumer_generation": None, **OWNER}
        ).replace(b'"project"', b'"' + raw + b'"')
        assert (await world.send("PUT", f"/allocations/{uuid_of(7)}", claim)).status == BAD


@pytest.mark.parametrize("name", ["\\ud83d\\ude00", "íé퟿", "\\u0041"])
@in_loop
async def test_whole_characters_are_taken_in_whatever_form(name: str) -> None:
    async with World(memory()) as world:
        made = await world.ask("POST", "/resource_providers", f'{{"name": "{name}"}}'.encode())
        assert made["name"] == orjson.loads(f'"{name}"'.encode())


# ---- much ------------------------------------------------------------------------------------------------------------


def cpu_s(body: bytes, schema: Any) -> tuple[float, str]:
    """Returns how long it takes to refuse a body, and with what words."""
    began_s = time.process_time()
    with pytest.raises(BadRequest) as refused:
        read_body(body, schema)
    return time.process_time() - began_s, refused.value.message


@pytest.mark.parametrize(
    ("body", "schema"),
    [
        (orjson.dumps([1, "a"] * 4_000), PUT_AGGREGATES),
        (orjson.dumps([{}, []] * 2_500), PUT_AGGREGATES),
        (orjson.dumps({"aggregates": [1, "a"] * 50_000, "resource_provider_generation": 1}), PUT_AGGREGATES_19),
        (
            orjson.dumps(
                {
                    "resource_provider_generation": 0,
                    "inventories": {f"CUSTOM_{number}": {"totl": number} for number in range(30_000)},
                }
            ),
            PUT_INVENTORIES,
        ),
        (
            orjson.dumps({"allocations": {"x" * 1_000_000: {}}, "consumer_generation": None, **OWNER}),
            PUT_ALLOCATIONS_38,
        ),
    ],
)
def test_a_large_body_is_refused_for_what_it_costs_to_read(body: bytes, schema: Any) -> None:
    seconds, words = cpu_s(body, schema)
    assert seconds < CPU_S_MAX
    assert len(words) < len(body)


def test_a_large_body_is_not_sent_back() -> None:
    for body in (orjson.dumps({"total": "x" * 100_000}), orjson.dumps({"x" * 100_000: 1})):
        _, words = cpu_s(body, PUT_INVENTORY)
        assert words.startswith("JSON does not validate: ")
        assert len(words) < 2_000


def test_a_small_body_is_told_all_that_helps() -> None:
    _, words = cpu_s(b'{"total": "many", "resource_provider_generation": 1}', PUT_INVENTORY)
    assert "'many' is not of type 'integer'" in words
    assert "Failed validating 'type' in schema['properties']['total']" in words


def test_an_aggregate_listed_twice_is_refused() -> None:
    _, words = cpu_s(orjson.dumps([uuid_of(1), uuid_of(2), uuid_of(1)]), PUT_AGGREGATES)
    assert "has non-unique elements" in words
    assert read_body(orjson.dumps([uuid_of(1), uuid_of(2)]), PUT_AGGREGATES) == [uuid_of(1), uuid_of(2)]


@pytest.mark.parametrize("repeated", [f"required={min(KNOWN_TRAITS)}", f"member_of={uuid_of(1)}", "resources=VCPU:1"])
def test_a_parameter_that_is_repeated_is_read_once_each_time(repeated: str) -> None:
    query = "&".join(["resources=VCPU:1", *[repeated] * 3_000])
    began_s = time.process_time()
    found = read_candidate_request(query, 39, classes=KNOWN_CLASSES | {"VCPU"}, traits=KNOWN_TRAITS)
    assert time.process_time() - began_s < CPU_S_MAX
    assert found.groups[0].resources == {"VCPU": 1}


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("25", 25), ("9" * 18, int("9" * 18)), ("1" * 5_000, 10**18)])
def test_a_limit_is_as_large_as_a_client_likes(text: str, limit: int) -> None:
    query = f"resources=VCPU:1&limit={text}"
    assert read_candidate_request(query, 39, classes={"VCPU"}, traits=KNOWN_TRAITS).limit == limit


@pytest.mark.parametrize("path", ["/resource_providers", "/allocation_candidates"])
@pytest.mark.parametrize("amount", ["9" * 5_000, "1e3", "-1", "0", "1.0", ""])
@in_loop
async def test_an_amount_in_a_query_string_is_a_whole_number(path: str, amount: str) -> None:
    async with World(memory()) as world:
        assert (await world.send("GET", f"{path}?resources=VCPU:{amount}")).status == BAD


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30, "1" * 21])
@in_loop
async def test_a_parameter_of_more_than_64_bits_is_refused(number: str) -> None:
    """What a claim asked for is kept, so that the same one is known when it comes again."""
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        plain = orjson.dumps({**claim_of(7), "weighers": [{"name": "random-of-k", "parameters": {"k": 4}}]})
        answer = await world.send("POST", "/v1/claims", plain.replace(b'"k":4', f'"k":{number}'.encode()))
        assert answer.status == BAD, answer.body
        assert b"64-bit" in answer.body
        assert (await world.send("POST", "/v1/claims", plain)).status in {OK, CREATED}
