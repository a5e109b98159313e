"""The compatibility page leaves nothing of the API out, and says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenet.tables.api import ROUTES, STREAM_ROUTES
from tenet.tables.rules import unavailable
from tests.conformance.differential.coverage import answered_members_of, members_of
from tests.conformance.suites.libraries import LIBRARIES
from tools import compatibility

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "compat" / "tables.md"


def test_every_operation_of_the_api_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    operations = compatibility.model("dynamodb").operation_names
    assert len(operations) > 50
    assert all(f"| `{name}` |" in page for name in operations)


def test_every_operation_and_parameter_of_streams_is_on_the_page() -> None:
    model = compatibility.model("dynamodbstreams")
    assert frozenset(model.operation_names) == frozenset(STREAM_ROUTES)
    page = compatibility.parameters_section()
    for operation in model.operation_names:
        assert f"| `{operation}` (streams) | " in PAGE.read_text(encoding="utf-8")
        section = page.split(f"### {operation}\n")[1].split("###")[0]
        shape = model.operation_model(operation).input_shape
        assert shape is not None
        assert all(f"| `{name}` | done |" in section for name in shape.members)


def test_the_page_lies_where_errors_say() -> None:
    assert PAGE.as_posix().endswith(unavailable.PAGE)


@pytest.mark.parametrize("operation", sorted(ROUTES))
def test_every_parameter_of_an_operation_is_on_the_page(operation: str) -> None:
    section = compatibility.parameters_section().split(f"### {operation}\n")[1].split("###")[0]
    shape = compatibility.model("dynamodb").operation_model(operation).input_shape
    assert shape is not None
    assert all(f"| `{name}` |" in section for name in shape.members)


#: The source that reads requests and makes answers; `shapes.json` and what is made of it know every member anyhow.
SOURCE = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "src" / "tenet" / "tables").rglob("*.py"))
    if path.name != "shape_facts.py"
)
#: All that stands between quotation marks there.
QUOTED = frozenset(re.findall(r"(?<=[\"'])\w+(?=\\?[\"'])", SOURCE))


def members_within(operation: str) -> set[str]:
    """The paths of all members of requests and answers, nested ones too, but for what is listed as missing."""
    found = members_of(compatibility.operation_model(operation), without=unavailable.PARAMETERS)
    return {path for path in found | answered_members_of(compatibility.operation_model(operation)) if "=" not in path}


def names_in(path: str) -> list[str]:
    return [part.rstrip("[]{}") for part in path.split(".")]


@pytest.mark.parametrize("operation", [*sorted(ROUTES), *sorted(STREAM_ROUTES)])
def test_every_nested_member_is_read_answered_or_listed(operation: str) -> None:
    unknown = [
        path
        for path in sorted(members_within(operation))
        if compatibility.NOT_ANSWERED.keys().isdisjoint(names_in(path)) and names_in(path)[-1] not in QUOTED
    ]
    assert unknown == []


def test_what_is_not_answered_is_of_the_api_and_on_the_page() -> None:
    names = {name for operation in ROUTES for path in members_within(operation) for name in names_in(path)}
    page = PAGE.read_text(encoding="utf-8")
    for name, why in compatibility.NOT_ANSWERED.items():
        assert name in names
        assert f"| `{name}` | {why} |" in page


def test_states_follow_the_code() -> None:
    assert compatibility.state_of_operation("ExportTableToPointInTime") == (compatibility.NOT_DONE, "")
    assert compatibility.state_of_operation("CreateTable")[0] == compatibility.IN_PART
    assert compatibility.state_of_operation("ListTables") == (compatibility.DONE, "")
    assert compatibility.state_of_operation("GetRecords") == (compatibility.DONE, "")
    assert compatibility.state_of_operation("DescribeStream")[0] == compatibility.DIFFERS
    assert compatibility.state_of_parameter("CreateTable", "ResourcePolicy")[0] == compatibility.NOT_DONE
    assert compatibility.state_of_parameter("GetItem", "AttributesToGet") == (compatibility.DONE, "")
    assert compatibility.state_of_parameter("CreateTable", "TableClass")[0] == compatibility.NO_EFFECT
    assert compatibility.state_of_parameter("CreateTable", "GlobalSecondaryIndexes") == (compatibility.DONE, "")


@pytest.mark.parametrize(("operation", "parameter"), compatibility.DIFFERENCES)
def test_every_difference_is_on_the_page(operation: str, parameter: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page if not parameter else page.split(f"### {operation}\n")[1].split("###")[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{parameter or operation}`")][:1]
    assert compatibility.DIFFERENCES[operation, parameter] in row


def test_what_differs_exists() -> None:
    for operation, parameter in compatibility.DIFFERENCES:
        assert operation in {*ROUTES, *STREAM_ROUTES}
        shape = compatibility.operation_model(operation).input_shape
        assert not parameter or (shape is not None and parameter in shape.members)


def test_every_library_is_on_the_page_with_what_fails_of_it() -> None:
    rows = compatibility.libraries_section().splitlines()[2:]
    assert len(rows) == len(LIBRARIES)
    for row, library in zip(rows, LIBRARIES, strict=True):
        assert row.startswith(f"| {library.name} {library.version} | ")
        assert f" | {library.tests} | " in row
        assert all(reason in row for reason in library.known.values())
        assert row.endswith("| none |") is not bool(library.known)
        assert row in PAGE.read_text(encoding="utf-8")
