"""What is taken on, what waits, and what is refused, in the order in which it is decided."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.clock import ManualClock, SystemClock
from tenet.wire.admission import Admission, TokenBucket, check_nesting, nesting
from tenet.wire.credentials import AccessKey
from tenet.wire.door import Principal
from tenet.wire.errors import MalformedBody, Throttled
from tenet.wire.limits import EdgeLimits
from tests.edges import Client, Echo, Keys, Signature, call, connected, on_loop, serving, until

# ---- rates -----------------------------------------------------------------------------------------------------------


@given(
    rate=st.floats(0.5, 1000),
    burst=st.floats(1, 100),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_a_bucket_never_lets_through_more_than_its_rate_and_burst(
    rate: float, burst: float, pauses: list[float]
) -> None:
    bucket, now_s, taken = TokenBucket(rate, burst, 0.0), 0.0, 0
    for pause in pauses:
        now_s += pause
        taken += bucket.take(now_s)
        assert taken <= rate * now_s + burst + 1e-6


def test_a_bucket_gives_what_it_promises() -> None:
    bucket = TokenBucket(10, 5, 0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.take(0.1)
    assert not bucket.take(0.15)
    assert sum(bucket.take(100.0) for _ in range(10)) == 5


def test_a_rate_changes_while_running_and_0_is_none() -> None:
    clock = ManualClock()
    admission = Admission(EdgeLimits(requests_per_s_max=10, requests_burst=2), clock)
    now_s = clock.monotonic_s()
    assert admission.enter(now_s, 0.0)
    assert admission.enter(now_s, 0.0)
    with pytest.raises(Throttled):
        admission.enter(now_s, 0.0)
    admission.limits = EdgeLimits()
    assert all(admission.enter(now_s, 0.0) for _ in range(100))
    assert admission.shed == {"rate": 1}


def test_each_tenant_has_its_own_share() -> None:
    clock = ManualClock()
    limits = EdgeLimits(tenant_requests_per_s_max=2, tenant_requests_per_s={"111111111111": 5, "222222222222": 0})
    admission = Admission(limits, clock)
    now_s = clock.monotonic_s()

    def admitted(tenant: str) -> int:
        count = 0
        for _ in range(10):
            try:
                admission.enter_tenant(tenant, now_s)
            except Throttled:
                continue
            count += 1
        return count

    assert [admitted(tenant) for tenant in ("000000000000", "111111111111", "222222222222")] == [2, 5, 10]


def test_what_waited_too_long_to_be_read_is_refused() -> None:
    admission = Admission(EdgeLimits(loop_delay_ms_max=50), ManualClock())
    assert admission.enter(1.0, 0.05)
    with pytest.raises(Throttled):
        admission.enter(1.0, 0.051)
    admission.limits = EdgeLimits(loop_delay_ms_max=0)
    assert admission.enter(1.0, 5.0)


# ---- places ----------------------------------------------------------------------------------------------------------


def test_the_youngest_is_let_in_first_and_the_oldest_gives_up() -> None:
    async def main() -> None:
        clock = SystemClock()
        admission = Admission(EdgeLimits(in_flight_max=1, waiting_max=2, waiting_ms_max=500), clock)
        assert admission.enter(clock.monotonic_s(), 0.0)
        order: list[str] = []

        async def wait(name: str) -> None:
            assert not admission.enter(clock.monotonic_s(), 0.0)
            try:
                await admission.wait(clock.monotonic_s())
            except Throttled:
                order.append(f"{name} refused")
            else:
                order.append(f"{name} in")

        tasks = [asyncio.create_task(wait(name)) for name in ("old", "young")]
        await until(lambda: admission.waiting == 2)
        with pytest.raises(Throttled):
            admission.enter(clock.monotonic_s(), 0.0)
        admission.leave()
        await asyncio.gather(*tasks)
        assert order == ["young in", "old refused"]
        assert (admission.in_flight, admission.waiting) == (1, 0)
        admission.leave()
        assert admission.in_flight == 0

    on_loop(main)


def test_more_places_let_the_waiting_in() -> None:
    async def main() -> None:
        clock = SystemClock()
        admission = Admission(EdgeLimits(in_flight_max=1, waiting_ms_max=5_000), clock)
        assert admission.enter(clock.monotonic_s(), 0.0)
        waiting = asyncio.create_task(admission.wait(clock.monotonic_s()))
        await until(lambda: admission.waiting == 1)
        admission.limits = EdgeLimits(in_flight_max=2, waiting_ms_max=5_000)
        assert await waiting
        assert admission.in_flight == 2

    on_loop(main)


# ---- nesting ---------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('{}[]"\\')),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from('{}[]"\\a')), inner, max_size=4)
    ),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(value=JSON, wrapped=st.integers(0, 40))
def test_nesting_is_what_it_is_whatever_the_strings_hold(value: object, wrapped: int) -> None:
    for level in range(wrapped):
        value = [value] if level % 2 else {"{": value}
    assert nesting(json.dumps(value).encode()) == depth_of(value)
    assert nesting(json.dumps(value, ensure_ascii=False, indent=1).encode()) == depth_of(value)


@pytest.mark.parametrize("levels", [1, 10, 11, 12, 255, 256])
def test_nesting_up_to_the_limit_passes(levels: int) -> None:
    body = b'{"a":' * (levels - 1) + b"[]" + b"}" * (levels - 1)
    assert nesting(body) == levels
    check_nesting(body + b" " * 1000, 256)


@pytest.mark.parametrize(
    "body", [b"[" * 257 + b"]" * 257, b"[" * 1_000_000, b'{"a":' * 100_000, b"{" * 300 + b"x" * 300]
)
def test_nesting_beyond_the_limit_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        check_nesting(body, 256)


@given(st.binary(max_size=400))
def test_nesting_of_anything_is_a_number(body: bytes) -> None:
    assert nesting(body) >= 0
    assert nesting(body.replace(b"a", b"[").replace(b"b", b'"')) >= 0


# ---- at the edge -----------------------------------------------------------------------------------------------------


def test_a_request_that_is_shed_gets_the_throttling_error_of_its_api() -> None:
    async def main() -> None:
        limits = EdgeLimits(requests_per_s_max=0.001, requests_burst=1)
        async with serving(limits=limits) as edge, connected(edge) as client:
            assert (await client.ask(call("Echo"))).status == 200
            shed = await client.ask(call("Echo"))
            assert (shed.status, shed.code) == (400, "ThrottlingException")
            assert shed.message == "Rate of requests exceeds the allowed throughput."
            # Refused before its signature is looked at, which would cost more than refusing it.
            assert (await client.ask(call("Echo", by=Signature(secret="wrong")))).code == "ThrottlingException"

    on_loop(main)


def test_one_tenant_at_its_limit_leaves_the_others_alone() -> None:
    other = AccessKey(Principal("AKIAOTHER", "111111111111"), "another secret")

    async def main() -> None:
        limits = EdgeLimits(tenant_requests_per_s={"000000000000": 0.001})
        async with serving(limits=limits, keys=Keys(other)) as edge, connected(edge) as client:
            theirs = Signature(key_id="AKIAOTHER", secret="another secret")
            mine = [(await client.ask(call("Echo"))).status for _ in range(3)]
            assert mine == [200, 400, 400]
            assert [(await client.ask(call("Echo", by=theirs))).status for _ in range(3)] == [200, 200, 200]

    on_loop(main)


def test_a_wrong_signature_does_not_use_up_a_tenants_share() -> None:
    async def main() -> None:
        limits = EdgeLimits(tenant_requests_per_s={"000000000000": 1})
        async with serving(limits=limits) as edge, connected(edge) as client:
            for _ in range(5):
                refused = await client.ask(call("Echo", by=Signature(secret="wrong")))
                assert refused.code == "InvalidSignatureException"
            assert (await client.ask(call("Echo"))).status == 200

    on_loop(main)


def test_places_are_given_back_whatever_happens() -> None:
    echo = Echo()

    async def main() -> None:
        limits = EdgeLimits(in_flight_max=2, waiting_max=1, waiting_ms_max=300)
        async with serving(echo, limits=limits) as edge:
            clients = [await Client.connect(edge.address) for _ in range(4)]
            for client in clients:
                await client.send(call("Wait"))
            refused = {(await clients[2].read()).code, (await clients[3].read()).code}
            assert refused == {"ThrottlingException"}
            echo.gate.set()
            assert [(await client.read()).status for client in clients[:2]] == [200, 200]
            for client in clients:
                assert (await client.ask(call("Fail"))).status == 500
                assert (await client.ask(call("Echo", by=Signature(secret="wrong")))).status == 400
            assert (edge.admission.in_flight, edge.admission.waiting) == (0, 0)
            for client in clients:
                await client.close()

    on_loop(main)
