"""Tags: how many, which keys, and on what."""

from __future__ import annotations

import pytest

from tenet.tables.errors import AccessDeniedException, ValidationException
from tenet.tables.rules.tags import required, tagged_table, with_tags

ACCOUNT = "1" * 12
ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/abc"


def tag(key: str, value: str = "v") -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_the_arn_of_a_table_names_it() -> None:
    assert tagged_table("TagResource", ACCOUNT, ARN) == "abc"


@pytest.mark.parametrize("arn", ["", "abc", ARN + "/index/gsi", ARN[:-1], ARN + "\n"])
def test_other_arns_are_refused(arn: str) -> None:
    with pytest.raises(ValidationException) as caught:
        tagged_table("TagResource", ACCOUNT, arn)
    assert caught.value.message == f"Invalid TableArn: Invalid ResourceArn provided as input {arn}"


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
    with pytest.raises(ValidationException, match="Too many tags: tag limit is 50"):
        with_tags(fifty, [tag("one more")])


def test_keys_that_are_reserved_or_doubled() -> None:
    with pytest.raises(ValidationException, match="aws: prefixed tag key names are not allowed"):
        with_tags({}, [tag("AWS:x")])
    with pytest.raises(ValidationException, match="Duplicate tag key: a"):
        with_tags({}, [tag("a"), tag("a")])


@pytest.mark.parametrize("text", ["hi!", "d%g", '"hello"', "a,b", "->>;-)])", "tab\t", "line\n", "\x00", "😀"])
def test_characters_that_no_tag_has(text: str) -> None:
    with pytest.raises(ValidationException, match="Tag key contains invalid characters"):
        with_tags({}, [tag(text)])
    with pytest.raises(ValidationException, match="Tag value contains invalid characters"):
        with_tags({}, [tag("a", text)])


@pytest.mark.parametrize(
    "text", ["a b", "me@example.org", "x=1/2+3-4.5_6:7", "законные буквы", "हिन्दी", "٣", "\u3000", "7"]
)
def test_letters_numbers_and_spaces_of_any_script(text: str) -> None:
    assert with_tags({}, [tag(text, text)]) == {text: text}


def test_something_must_be_given() -> None:
    with pytest.raises(ValidationException, match=r"^Atleast one Tag needs to be provided as Input.$"):
        required("tags", [], "Tag")
    with pytest.raises(ValidationException, match="Value null at 'tagKeys' failed to satisfy constraint"):
        required("tagKeys", None, "Tag Key")
    required("tags", [tag("a")], "Tag")
