"""The runbook's words are those that clients are told, the log says and the page of metrics shows."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tenet.base.clock import SystemClock
from tenet.placement.errors import Contended
from tenet.placement.ops import committing
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tests.unit.placement.test_claiming import claim_of
from tests.unit.placement.test_measures import figures
from tests.unit.placement.test_model_keeping import troubled
from tests.unit.placement.world import World, in_loop, memory, uuid_of

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "runbook" / "placement.md").read_text(encoding="utf-8")
PAGE = PAGE.partition("## Is anything given out twice?")[0]
#: What clients are told, as the page has it: code of several words in the first column of a table.
SENTENCES = {
    code
    for line in PAGE.splitlines()
    if line.startswith("| ")
    for code in line.split(" | ")[0].split("`")[1::2]
    if " " in code
}
NO_CONTENT, CONFLICT, FAILED, UNAVAILABLE = 204, 409, 500, 503


def told(text: str) -> set[str]:
    """Returns the sentences of the page that stand in a text; there is one at least."""
    found = {sentence for sentence in SENTENCES if sentence in text}
    assert found, f"the runbook does not know: {text}"
    return found


async def of_conflicts(world: World) -> set[str]:
    host = await world.provider(1, VCPU={"total": 4, "max_unit": 3})
    body: dict[str, Any] = {"resource_provider_generation": 9, "inventories": {}}
    found = told(await world.refused("PUT", f"/resource_providers/{host}/inventories", body, status=CONFLICT))
    body = {"resource_provider_generation": 9, "traits": []}
    found |= told(await world.refused("PUT", f"/resource_providers/{host}/traits", body, status=CONFLICT))
    # Of a consumer that is not there, of too much at once, of what it has, once more, of more than is left.
    for consumer, amount, generation in ((8, 1, 1), (8, 4, None), (7, 3, None), (7, 3, None), (9, 2, None)):
        answer = await world.claim(consumer, {host: {"VCPU": amount}}, generation=generation)
        if answer.status == CONFLICT:
            found |= told(answer.body.decode())
    return found


async def of_claims(world: World) -> set[str]:
    await world.provider(1, VCPU=4)
    assert (await world.claim(1, {uuid_of(1): {"VCPU": 1}})).status == NO_CONTENT
    found = told(await world.refused("POST", "/v1/claims", claim_of(1), status=CONFLICT))
    none = claim_of(2, request={"groups": [{"resources": {"VCPU": 9}}]})
    return found | told(await world.refused("POST", "/v1/claims", none, status=CONFLICT))


@in_loop
async def test_every_sentence_is_one_that_clients_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found: set[str] = set()
    for part in (of_conflicts, of_claims):
        async with World(memory()) as world:
            found |= await part(world)
    found |= await of_failures()
    found |= await of_contention(monkeypatch)
    # Those of large answers are provoked where answers are large, in test_large_answers.
    large = {one for one in SENTENCES if one.startswith(("The answer was not found in time", "Too many long answers"))}
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(committing.__file__).parent.glob("*.py"))
    assert all(one in sources for one in large)
    assert len(large) == 2
    of_log = {one for one in SENTENCES if one.startswith(("the read model", "placement "))}
    assert all(f'"{one}"' in sources for one in of_log)
    assert found | large | of_log == SENTENCES


async def of_failures() -> set[str]:
    store = troubled()
    found = set()
    wait = asyncio.Event()

    async def hang(_: dict[str, Any]) -> None:
        await wait.wait()
        raise StoreUnavailable("no store")

    store.before_scan = hang
    clock = SystemClock()
    async with World(store, is_loaded=False) as world:
        answer = await world.send_by(clock.monotonic_s() + 0.05, "GET", "/traits")
        found |= told(answer.body.decode())
        wait.set()
        await asyncio.sleep(0.05)
        found |= told(await world.refused("GET", "/traits", status=UNAVAILABLE))

    async def lose(_: dict[str, Any]) -> None:
        raise OutcomeUnknown("lost")

    lost = troubled()
    async with World(lost) as world:
        lost.after_commit = lose
        body = {"name": "host"}
        answer = await world.send_by(clock.monotonic_s() + 0.2, "POST", "/resource_providers", body)
        assert answer.status == FAILED
        return found | told(answer.body.decode())


async def of_contention(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        # What others do between any two steps, 50 times, is done here by a planner that is never content.
        monkeypatch.setattr("tenet.placement.ops.claiming._as_known", lambda *_: None)
        monkeypatch.setattr("tenet.placement.ops.claiming._Claiming._holds", lambda *_: False)
        found = told(await world.refused("POST", "/v1/claims", claim_of(2), status=UNAVAILABLE))
        assert sum(figures(world)["claim_choices"]) == 1
        assert figures(world)["refusals"] == {("contended",): 1}

        async def again() -> Any:
            raise committing.PlanAgain

        assert world.opened is not None
        with pytest.raises(Contended) as refused:
            await world.opened.context.committer.carry_out(again, deadline=world.clock.monotonic_s() + 60)
        assert figures(world)["write_tries"][-1] == 1
        return found | told(refused.value.message)


@in_loop
async def test_every_figure_that_is_told_of_is_there() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=1)
        known = set(figures(world))
    figures_told = PAGE.partition("A refused request")[0]
    rows = [line for line in figures_told.splitlines() if re.match(r"\| `[a-z_]+`", line)]
    named = {name.removesuffix("_total") for row in rows for name in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert named - {"method", "route", "status", "reason", "call", "result", "condition", "name"} == known
