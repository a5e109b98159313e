"""Tags: how many, which keys, and on what."""

from __future__ import annotations

import pytest

from tenet.tables.errors import AccessDeniedException, ValidationException
from tenet.tables.rules.tags import check_keys, required, tagged_table, with_tags

ACCOUNT = "1" * 12
ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/abc"


def tag(key: str, value: str = "v") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_the_arn_of_a_table_names_it() -> None:
    assert tagged_table("TagResource", ACCOUNT, ARN) == "abc"


P = "One or more parameter values were invalid: "


@pytest.mark.parametrize(
    ("arn", "fault"),
    [
        ("abc", P + "ARNs must start with 'arn:': "),
        ("arn:aws:s3:::abc", P + "Provided Arn is not a DynamoDB resource arn: "),
        (
            ARN + "/index/gsi",
            P + "Invalid resource arn provided, only table or stream is accepted. Provided resource arn: ",
        ),
        (ARN[:-1], "Invalid TableArn: Invalid ResourceArn provided as input "),
        (ARN + "\n", "Invalid TableArn: Invalid ResourceArn provided as input "),
    ],
)
def test_other_arns_are_refused(arn: str, fault: str) -> None:
    with pytest.raises(ValidationException) as caught:
        tagged_table("TagResource", ACCOUNT, arn)
    assert caught.value.message == fault + arn


def test_a_missing_arn_is_refused() -> None:
    with pytest.raises(ValidationException, match=r"^Invalid TableArn$"):
        tagged_table("TagResource", ACCOUNT, None)


def test_another_tenants_table_is_out_of_reach() -> None:
    with pytest.raises(AccessDeniedException, match="is not authorized to perform: dynamodb:TagResource on resource"):
        tagged_table("TagResource", "2" * 12, ARN)


def test_new_values_replace_old_ones() -> None:
    assert with_tags({"a": "1", "b": "2"}, [tag("b", "3"), tag("c", "")]) == {"a": "1", "b": "3", "c": ""}


def test_fifty_tags_and_no_more() -> None:
    fifty = {str(number): "v" for number in range(50)}
    assert len(with_tags(fifty, [tag("0", "new")])) == 50
    with pytest.raises(ValidationException, match=r"^Number of Tags exceed the current limit for the "):
        with_tags(fifty, [tag("one more")])


def test_keys_that_are_reserved_or_doubled() -> None:
    with pytest.raises(ValidationException, match=r"^Tag Key cannot be prefixed with aws:, Key: AWS:x$"):
        with_tags({}, [tag("AWS:x")])
    with pytest.raises(ValidationException, match=r"^Duplicate Tag Keys provided as input: Duplicate Tag Key found a$"):
        with_tags({}, [tag("a"), tag("a")])


@pytest.mark.parametrize("text", ["hi!", "d%g", '"hello"', "a,b", "->>;-)])", "tab\t", "line\n", "\x00", "😀"])
def test_characters_that_no_tag_has(text: str) -> None:
    with pytest.raises(ValidationException, match=r"^The Tag Key provided is invalid, Key: "):
        with_tags({}, [tag(text)])
    with pytest.raises(ValidationException, match=r"^The Tag Value provided is invalid, Value: "):
        with_tags({}, [tag("a", text)])


@pytest.mark.parametrize(
    "text", ["a b", "me@example.org", "x=1/2+3-4.5_6:7", "законные буквы", "हिन्दी", "٣", "\u3000", "7"]
)
def test_letters_numbers_and_spaces_of_any_script(text: str) -> None:
    assert with_tags({}, [tag(text, text)]) == {text: text}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "The Tag Key provided is invalid, Key: null"),
        ({"Value": "v"}, "The Tag Key provided is invalid, Key: null"),
        ({"Key": "a"}, "The Tag Value provided is invalid, Value: null"),
        (tag(""), "The Tag Key provided is invalid, Key: "),
        (tag("k" * 129), "The Tag Key provided is invalid, Key: " + "k" * 129),
        (tag("a", "v" * 257), "The Tag Value provided is invalid, Value: " + "v" * 257),
    ],
)
def test_tags_that_lack_something_or_are_too_long(given: dict[str, str], fault: str) -> None:
    with pytest.raises(ValidationException) as caught:
        with_tags({}, [tag("good"), given])
    assert caught.value.message == fault
    assert with_tags({}, [tag("k" * 128, "v" * 256)])


def test_keys_to_remove_are_keys() -> None:
    check_keys(["a", "aws:a", "a", "k" * 128])
    for key in ("", "k" * 129, "a!"):
        with pytest.raises(ValidationException, match=rf"^The Tag Key provided is invalid, Key: {key}$"):
            check_keys(["a", key])
    with pytest.raises(ValidationException, match=r"^Number of Tags exceed the current limit"):
        check_keys([str(number) for number in range(51)])


def test_something_must_be_given() -> None:
    with pytest.raises(ValidationException, match=r"^Atleast one Tag needs to be provided as Input.$"):
        required("tags", [], "Tag")
    with pytest.raises(ValidationException, match="Value null at 'tagKeys' failed to satisfy constraint"):
        required("tagKeys", None, "Tag Key")
    required("tags", [tag("a")], "Tag")
