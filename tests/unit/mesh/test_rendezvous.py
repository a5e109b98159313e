"""Who does what: even, stable, and the same for everybody."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tenet.mesh.rendezvous import ranked, spread, weight

names = st.text(st.sampled_from("abcdef"), min_size=1, max_size=4)
node_sets = st.frozensets(names, max_size=6)


def test_the_weight_of_a_pair_never_changes() -> None:
    assert weight("job/0", "node-a") == 0x92B5DF60A88570A4
    assert weight("ab", "c") != weight("a", "bc")


@given(thing=names, nodes=node_sets)
def test_the_order_does_not_depend_on_that_of_the_nodes(thing: str, nodes: frozenset[str]) -> None:
    assert ranked(thing, sorted(nodes)) == ranked(thing, sorted(nodes, reverse=True))
    assert sorted(ranked(thing, nodes)) == sorted(nodes)


@given(thing=names, nodes=node_sets, gone=names)
def test_a_node_that_goes_leaves_the_order_of_the_others(thing: str, nodes: frozenset[str], gone: str) -> None:
    assert ranked(thing, nodes - {gone}) == [node for node in ranked(thing, nodes) if node != gone]


@given(st.dictionaries(names, node_sets, max_size=12))
def test_everything_is_given_to_one_that_may_have_it(candidates: dict[str, frozenset[str]]) -> None:
    given_to = spread(candidates)
    assert set(given_to) == {thing for thing, may in candidates.items() if may}
    assert all(node in candidates[thing] for thing, node in given_to.items())
    assert spread(dict(reversed(candidates.items()))) == given_to


@given(things=st.integers(0, 60), nodes=st.integers(1, 9))
def test_where_all_may_have_everything_no_two_differ_by_more_than_a_share(things: int, nodes: int) -> None:
    everybody = [f"node-{at}" for at in range(nodes)]
    load = Counter(spread({f"thing/{at}": everybody for at in range(things)}).values())
    assert max(load.values(), default=0) <= -(-things // nodes)


def test_few_move_when_a_node_goes() -> None:
    everybody = [f"node-{at}" for at in range(10)]
    before = spread({f"thing/{at}": everybody for at in range(200)})
    after = spread({f"thing/{at}": everybody[1:] for at in range(200)})
    moved = [thing for thing, node in before.items() if after[thing] != node]
    assert len(moved) <= 60
