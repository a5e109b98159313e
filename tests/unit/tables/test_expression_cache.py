"""What is kept of an expression is kept for its parameter: the same text means something else in another one."""

from __future__ import annotations

import pytest

from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.conditions import compile_condition
from tenet.tables.rules.key_conditions import compile_key_condition

TEXT = "#p = :v"


def bindings() -> Bindings:
    return Bindings({"#p": "p"}, {":v": {"S": "a"}})


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_text_may_be_condition_and_key_condition(rounds: int) -> None:
    for _ in range(rounds):
        assert compile_key_condition(TEXT, bindings()) is not None
        condition = compile_condition(TEXT, bindings())
        assert condition.test({"p": {"S": "a"}})
        assert not condition.test({"p": {"S": "b"}})


def test_names_of_a_request_are_its_own() -> None:
    for name in ("p", "q", "p"):
        condition = compile_condition(TEXT, Bindings({"#p": name}, {":v": {"S": "a"}}))
        assert condition.test({name: {"S": "a"}})
        assert not condition.test({"other": {"S": "a"}})


def test_values_of_a_request_are_its_own() -> None:
    for text in ("a", "b", "a"):
        condition = compile_condition(TEXT, Bindings({"#p": "p"}, {":v": {"S": text}}))
        assert condition.test({"p": {"S": text}})
        assert not condition.test({"p": {"S": text * 2}})
