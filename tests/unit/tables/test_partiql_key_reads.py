"""What a WHERE clause comes to: single reads by key, against a plain search; and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenet.tables import keys
from tenet.tables.errors import ValidationException
from tenet.tables.model import KeyAttribute, KeySchema
from tenet.tables.rules.partiql import next_tokens
from tenet.tables.rules.partiql.reading import Read, Selection, select_plan
from tenet.tables.rules.partiql.statements import parse
from tests.rounds import examples
from tests.unit.tables.outcomes import outcome_of
from tests.unit.tables.statements import CALLER, Service, fill, served

SCHEMA = KeySchema(KeyAttribute("p", "S"), KeyAttribute("s", "N"))
PARTITIONS = ("a", "b", "c")
#: Between two whole numbers lies one that no term names.
SORTS = [at / 2 for at in range(-1, 8)]
OVERLAPPING = "Overlapping conditions with range keys are not supported in where clause"
TOO_MANY = "Too many decomposed read operations for a given query."
WRONG_TYPE = "Key attribute's data type should match its data type in table's schema: Key "
NOT_PROJECTED = (
    "One or more parameter values were invalid: Secondary index by-kind does not project one or "
    "more filter attributes: "
)


def selection(where: str, *parameters: Any) -> Selection:
    return select_plan(parse(f"SELECT * FROM tab WHERE {where}"), SCHEMA).bind(parameters)


def reads_of(found: Selection | None) -> Sequence[Read]:
    assert found is not None
    assert found.reads is not None
    return found.reads


def refusal(where: str) -> str:
    return outcome_of(lambda: selection(where))[1]


# ---- against a search ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way in which a condition can hold: the partitions and sort keys that it leaves."""

    keys: frozenset[tuple[str, float]]
    names_partition: bool = False


EVERY_KEY = frozenset(product(PARTITIONS, SORTS))


@dataclass(frozen=True)
class Said:
    """A condition: its text, and the ways in which it holds, by the plainest rules."""

    text: str
    ways: tuple[Way, ...]
    says_key: bool


def _points(name: str, contents: list[Any]) -> Said:
    at = 0 if name == "p" else 1
    ways = tuple(Way(frozenset(key for key in EVERY_KEY if key[at] == content), name == "p") for content in contents)
    shown = [repr(content) for content in contents]
    text = f"{name} = {shown[0]}" if len(shown) == 1 else f"{name} IN [{', '.join(shown)}]"
    return Said(text, ways, says_key=True)


def _interval(low: int, high: int, operator: str) -> Said:
    tests: dict[str, Callable[[float], bool]] = {
        "<": lambda sort: sort < high,
        "<=": lambda sort: sort <= high,
        ">": lambda sort: sort > low,
        ">=": lambda sort: sort >= low,
        "BETWEEN": lambda sort: low <= sort <= high,
    }
    text = (
        f"s BETWEEN {low} AND {high}" if operator == "BETWEEN" else f"s {operator} {low if '>' in operator else high}"
    )
    return Said(text, (Way(frozenset(key for key in EVERY_KEY if tests[operator](key[1]))),), says_key=True)


def _both(parts: tuple[Said, Said]) -> Said:
    one, two = parts
    ways = tuple(Way(a.keys & b.keys, a.names_partition or b.names_partition) for a, b in product(one.ways, two.ways))
    return Said(f"({one.text} AND {two.text})", ways, one.says_key or two.says_key)


def _either(parts: tuple[Said, Said]) -> Said:
    one, two = parts
    says_key = one.says_key or two.says_key
    # Without a term on the key it is a filter: it holds in one way.
    ways = one.ways + two.ways if says_key else (Way(EVERY_KEY),)
    return Said(f"({one.text} OR {two.text})", ways, says_key)


def _wider(inner: st.SearchStrategy[Said]) -> st.SearchStrategy[Said]:
    two = st.tuples(inner, inner)
    return two.map(_both) | two.map(_either)


partitions = st.lists(st.sampled_from(PARTITIONS), min_size=1, max_size=2).map(lambda found: _points("p", found))
sorts = st.lists(st.integers(0, 3), min_size=1, max_size=2).map(lambda found: _points("s", found))
intervals = st.builds(
    _interval, st.integers(0, 1), st.integers(1, 3), st.sampled_from(("<", "<=", ">", ">=", "BETWEEN"))
)
filters = st.sampled_from(("f = 1", "NOT s = 1", "s <> 2", "p > 'a'")).map(
    lambda text: Said(text, (Way(EVERY_KEY),), says_key=False)
)
conditions = st.recursive(partitions | partitions | sorts | intervals | filters, _wider, max_leaves=7)


@settings(max_examples=examples(400), deadline=None)
@given(where=conditions)
def test_reads_are_the_ways_in_which_a_condition_can_hold(where: Said) -> None:
    found, refused = outcome_of(lambda: selection(where.text))
    if not all(way.names_partition for way in where.ways):
        # Not each of them is within a partition; those that cannot hold count as well.
        assert found is not None
        assert found.reads is None
        return
    wanted = [way.keys for way in where.ways if way.keys]
    times = [key for way in wanted for key in way]
    if len(where.ways) > 50 or len(times) > len(set(times)):
        assert refused in ("", TOO_MANY) if len(times) == len(set(times)) else refused in (TOO_MANY, OVERLAPPING)
        return
    reads = reads_of(found)
    assert [(read.partition, read.within.lower) for read in reads] == sorted(
        (read.partition, read.within.lower) for read in reads
    )
    assert sorted(sorted(_keys_of(read)) for read in reads) == sorted(sorted(keys) for keys in wanted)


def _keys_of(read: Read) -> Iterator[tuple[str, float]]:
    for partition, sort in EVERY_KEY:
        at = keys.sort_within(None, "=", ({"N": str(sort)},)).lower
        within = read.within
        if read.partition == partition.encode() and within.lower <= at and (within.upper is None or at < within.upper):
            yield partition, sort


# ---- limits ----------------------------------------------------------------------------------------------------------


def listed(count: int, start: int = 0) -> str:
    return "[" + ", ".join(str(start + at) for at in range(count)) + "]"


def named(count: int) -> str:
    return "[" + ", ".join(f"'v{at}'" for at in range(count)) + "]"


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (f"p IN {named(50)} AND f IN {listed(100)}", 50),
        (f"p IN {named(51)}", None),
        (f"p = 'a' AND s IN {listed(50)}", 50),
        (f"p = 'a' AND s IN {listed(51)}", None),
        (f"p IN {named(25)} AND s IN [1, 2]", 50),
        (f"p IN {named(26)} AND s IN [1, 2]", None),
        (f"p IN {named(26)} AND (s = 1 OR s = 2)", None),
        (" OR ".join(f"p = '{at}'" for at in range(51)), None),
        # What cannot hold does not count.
        (f"p IN {named(60)} AND p = 'v3' AND s IN {listed(60)} AND s > 57", 2),
        (f"p = 'a' AND s = 2 AND (s IN {listed(100)} OR p = 'b')", 1),
        ("p = 'a' AND s = 1 AND s = 2", 0),
        ("p = 'a' AND p = 'b'", 0),
    ],
)
def test_a_statement_comes_to_fifty_reads_at_most(where: str, count: int | None) -> None:
    found, refused = outcome_of(lambda: selection(where))
    assert (refused == TOO_MANY) if count is None else (len(reads_of(found)) == count)


@pytest.mark.parametrize(
    "where",
    [
        "p = 'a' AND " + " AND ".join("(s = 1 OR f = 1)" for _ in range(140)),
        "p = 'a' AND " + " AND ".join(f"(s = {at} OR s > {at} OR s < {at})" for at in range(70)),
        "p = 'a' AND " + " AND ".join("(s <= 1 OR s > 1)" for _ in range(140)),
        " AND ".join(f"(p IN {listed(50)} OR p = 1)".replace("[", "['").replace("]", "']") for _ in range(25)),
        " AND ".join("(p IN [" + ",".join(f"'{at}'" for at in range(50)) + "])" for _ in range(20)),
        " AND ".join("(p = 'x' OR p IN [" + ",".join(f"'{at}'" for at in range(49)) + "])" for _ in range(25)),
        "(" * 90 + "p = 'a'" + "".join(" AND (s = 1 OR f = 1))" for _ in range(90)),
        "(" * 90 + "p = 'a'" + "".join(" OR (p = 'b' AND f = 1))" for _ in range(90)),
    ],
)
def test_no_statement_is_much_work(where: str) -> None:
    assert len(where) < 8000
    plan = select_plan(parse(f"SELECT * FROM tab WHERE {where}"), SCHEMA)
    start = time.process_time()
    outcome_of(lambda: plan.bind(()))
    assert time.process_time() - start < 1


def test_values_of_keys_have_their_types_wherever_they_stand() -> None:
    assert refusal("p = 1 OR p = 'a'") == WRONG_TYPE + "p"
    assert refusal("p = 'a' AND s IN [1, 'x']") == WRONG_TYPE + "s"
    assert refusal("p = 'a' AND p = 'b' AND (s = 'x' OR f = 1)") == WRONG_TYPE + "s"
    # What is not read by key is compared as any attribute.
    for where in ("p > 1", "p = 1 OR f = 1", "s = 'x'", "p = 'a' AND s <> 'x'", "p = 'a' AND NOT s = 'x'"):
        assert selection(where).filter is not None


def test_where_nothing_but_one_key_is_named_it_is_one_item() -> None:
    for where in ("p = 'a' AND s = 1", "1 = s AND p = 'a'", "(s = 1 AND (p = 'a'))"):
        plan = select_plan(parse(f"SELECT * FROM tab WHERE {where}"), SCHEMA)
        assert plan.is_one_item
        assert plan.item_key(()) == {"p": {"S": "a"}, "s": {"N": "1"}}
    for where in (
        "p = 'a'",
        "p = 'a' AND s = 1 AND f = 1",
        "p = 'a' AND s = 1 AND p = 'b'",
        "p IN ['a', 'b'] AND p = 'a' AND s = 1",
        "p = 'a' AND s IN [1, 2]",
        "p = 'a' AND s >= 1 AND s = 1",
        "p = 'a' OR s = 1",
    ):
        assert not select_plan(parse(f"SELECT * FROM tab WHERE {where}"), SCHEMA).is_one_item


# ---- as programs see it ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("reads")) as started:
        fill(started)
        yield started


@pytest.mark.parametrize(
    ("where", "rooms"),
    [
        ("house = 'a' AND room IN [3, 1]", [1, 3]),
        ("house = 'a' AND (room < 1 OR room > 1 OR room = 1)", [0, 1, 2, 3]),
        ("house = 'a' AND (room = 3 OR (room = 1 AND area = 10) OR (room = 2 AND area = 1))", [1, 3]),
        ("(house = 'b' AND room > 2) OR (house = 'a' AND room < 2)", [0, 1, 3]),
        ("house IN ['b', 'a'] AND (room = 0 OR room > 2) ORDER BY room DESC", [3, 0, 3, 0]),
        ("house IN ['b', 'a'] AND (room = 0 OR room > 1) ORDER BY house DESC", [0, 2, 3, 0, 2, 3]),
        ("house = 'a' AND (room = 0 OR room = 2) ORDER BY house DESC, room DESC", [2, 0]),
        ("house = 'a' AND (NOT room = 1 OR area = 1)", [0, 2, 3]),
    ],
)
@pytest.mark.parametrize("limit", [None, 1, 2])
def test_reads_are_in_the_order_of_their_keys(
    service: Service, where: str, rooms: list[int], limit: int | None
) -> None:
    statement = f"SELECT room FROM rooms WHERE {where}"
    more: dict[str, Any] = {} if limit is None else {"Limit": limit}
    found: list[int] = []
    for _ in range(20):
        page = service.run(statement, **more)
        found += [int(item["room"]["N"]) for item in page["Items"]]
        if "NextToken" not in page:
            break
        more["NextToken"] = page["NextToken"]
    assert found == rooms


def test_tokens_of_versions_before_go_on_where_the_order_is_the_same(service: Service) -> None:
    def token(statement: str) -> str:
        digest = next_tokens.digest_of(CALLER, {"Statement": statement}, is_by_choice=False)
        return next_tokens.encode({"house": {"S": "a"}, "room": {"N": "2"}}, digest)

    # A page may have ended at an item that a filter took out then.
    statement = "SELECT room FROM rooms WHERE house IN ['a', 'b'] AND room IN [1, 3]"
    found = service.items(statement, NextToken=token(statement))
    assert [item["room"] for item in found] == [3, 1, 3]
    for where in ("house = 'a' OR house = 'b'", "room > 0 AND (house IN ['a', 'b'] AND room < 9)"):
        statement = f"SELECT room FROM rooms WHERE {where}"
        refused = service.refusal(statement, NextToken=token(statement))
        assert refused == "ValidationException: NextToken does not match request"


@pytest.mark.parametrize(
    "where",
    [
        "house IN ['a', 'a']",
        "house = 'a' OR house = 'a'",
        "house = 'a' AND (room > 0 OR room < 5)",
        "house = 'a' AND (room >= 1 OR room <= 1)",
        "house = 'a' AND (room = 1 OR area = 20)",
        "house = 'a' AND room IN [1, 1]",
        "(house = 'a' AND area = 10) OR (house = 'a' AND area = 20)",
    ],
)
def test_reads_that_overlap_are_refused(service: Service, where: str) -> None:
    assert service.refusal(f"SELECT * FROM rooms WHERE {where}") == f"ValidationException: {OVERLAPPING}"


def test_parts_of_batches_and_transactions_are_decomposed_as_well(service: Service) -> None:
    one = "SELECT room FROM rooms WHERE house IN ['a'] AND room IN [2]"
    too_many = f"SELECT * FROM rooms WHERE house IN {named(51)} AND room = 1"
    first, second = service.batch(one, too_many)["Responses"]
    assert first["Item"] == {"room": {"N": "2"}}
    assert second["Error"]["Message"] == TOO_MANY
    assert service.transact(one)["Responses"] == [{"Item": {"room": {"N": "2"}}}]
    for statement, said in (
        ("SELECT * FROM rooms WHERE house IN ['a', 'a'] AND room = 1", OVERLAPPING),
        (
            f"SELECT * FROM rooms WHERE house IN {named(101)} AND room = 1",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
    ):
        with pytest.raises(ValidationException) as raised:
            service.transact(statement)
        assert raised.value.message == f"Validation failed in TransactStatements[0]: {said}"


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("(kind = 'y' OR kind = 'z') AND zz = 1", "[zz]"),
        ("kind = 'y' AND (zz = 1 OR aa = 2 OR mm = 3)", "[zz, aa, mm]"),
        ("kind = 'y' AND b = 1 AND (a = 2 OR house = 'a')", "[a, b]"),
        ("kind = 'y' AND NOT (area = 1 OR house = 'x')", "[area]"),
        # Of several reads, the one of the partition that comes first by its hash.
        ("(kind = 'b' AND u1 = 1) OR (kind = 'q' AND u2 = 1)", "[u2]"),
        ("(kind = 'q' AND u1 = 1) OR (kind = 'b' AND u2 = 1)", "[u1]"),
        ("(kind = 'y' AND house = 'a') OR (kind = 'z' AND aa = 1)", ""),
        ("(kind = 'y' AND area = 1) OR kind = 'y2'", ""),
        # One that cannot hold comes before them.
        ("kind = 'y' AND (kind = 'z' OR zz = 1)", ""),
        ("kind = 'y' AND kind = 'z' AND zz = 1", "[zz]"),
        # A Scan filters by what the index carries.
        ("kind > 'a' AND zz = 1", ""),
        ("(kind = 'y' AND zz = 1) OR aa = 1", ""),
        # With more than twelve names the hash set has more buckets.
        (
            "kind = 'y' AND " + " AND ".join(f"{name} = 1" for name in "qponmlkjihgfedc"),
            "[c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]",
        ),
    ],
)
def test_an_index_has_to_carry_what_its_first_read_filters_by(service: Service, where: str, names: str) -> None:
    _, refused = outcome_of(lambda: service.run(f'SELECT house FROM rooms."by-kind" WHERE {where}'))
    assert refused == (NOT_PROJECTED + names if names else "")
