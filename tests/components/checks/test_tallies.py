"""Sums of sums are what each row by itself comes to, however rows fall into groups."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.checks.tallies import CALIBRATION_BINS, Groups, Tally, tally
from components.contract.errors import ProcessError
from components.contract.policy import Pool, ReleaseGatePolicy
from tests.components.checks.samples import GATE, GROUNDS

ATTRIBUTES = ("a", "b", "c", "d")
LABELS = ("u", "v", "w", "x")
Row = tuple[bool, float, tuple[str | None, ...]]

scores = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, -0.0, 0.1, 0.3, 0.5, 0.7, 1.0]),
    st.sampled_from([math.nan, math.inf, -math.inf, -1e-300, 1 + 1e-15]),
)
labels = st.sampled_from([*LABELS, None])
rows = st.lists(st.tuples(st.booleans(), scores, st.tuples(*[labels] * 4)), max_size=30)
pools = st.lists(
    st.one_of(
        st.builds(
            lambda a, held: Pool((a,), tuple((g,) for g in held), "few", GROUNDS),
            st.sampled_from(ATTRIBUTES),
            st.lists(st.sampled_from(LABELS), min_size=2, max_size=3, unique=True),
        ),
        st.builds(
            lambda held: Pool(("a", "b"), tuple(held), "rest", GROUNDS),
            st.lists(
                st.tuples(st.sampled_from(["few", *LABELS]), st.sampled_from(["few", *LABELS])),
                min_size=2,
                max_size=4,
                unique=True,
            ),
        ),
    ),
    max_size=3,
    unique_by=lambda p: p.attributes,
)


def _by_hand(held: list[Row], threshold: float) -> dict[str, float | list[float]]:
    """What a tally should be, one row after the other."""
    valid = [(y, s) for y, s, _ in held if 0 <= s <= 1]
    bins: list[list[float]] = [[] for _ in range(CALIBRATION_BINS)]
    for y, s in valid:
        bins[min(int(s * CALIBRATION_BINS), CALIBRATION_BINS - 1)].append(s - y)
    return {
        "rows": len(held),
        "positives": sum(y for y, _ in valid),
        "selected": sum(s >= threshold for _, s in valid),
        "true_positives": sum(y and s >= threshold for y, s in valid),
        "invalid": len(held) - len(valid),
        "bin_residuals": [math.fsum(b) for b in bins],
        "squares": math.fsum((s - y) ** 2 for y, s in valid),
        "fourths": math.fsum((s - y) ** 4 for y, s in valid),
    }


def _assert_equal(found: Tally, held: list[Row], threshold: float) -> None:
    expected = _by_hand(held, threshold)
    assert {f.name for f in fields(Tally)} == set(expected)
    for name, value in expected.items():
        if isinstance(value, int):
            assert getattr(found, name) == value, name
        else:
            assert getattr(found, name) == pytest.approx(value, abs=1e-12), name


def _group(row: Row, attributes: tuple[str, ...], held: list[Pool]) -> tuple[str, ...]:
    """The group that a row counts in: pools of one column first, then those of two."""
    own = []
    for a in attributes:
        label = row[2][ATTRIBUTES.index(a)] or "(missing)"
        own.append(
            next((p.into for p in held if p.attributes == (a,) and (label,) in p.groups), label)
        )
    for p in held:
        if len(attributes) > 1 and p.attributes == attributes and tuple(own) in p.groups:
            return (p.into,)
    return tuple(own)


@settings(deadline=None, max_examples=200)
@given(rows, pools, st.sampled_from([(), ("x", "y")]), st.floats(0.01, 0.99))
def test_sums_are_those_of_each_row_by_itself(
    held: list[Row], pooled: list[Pool], declared: tuple[str, ...], threshold: float
) -> None:
    gate = replace(GATE, pools=tuple(pooled))
    groups = {a: Groups.of([r[2][i] for r in held], declared) for i, a in enumerate(ATTRIBUTES)}
    found = tally(
        np.array([r[0] for r in held], dtype=bool),
        np.array([r[1] for r in held], dtype=float),
        groups,
        threshold,
    )
    _assert_equal(found.overall(), held, threshold)
    for attributes in [(a,) for a in ATTRIBUTES] + [("a", "b"), ("b", "d"), ("a", "d")]:
        expected: dict[tuple[str, ...], list[Row]] = {}
        if len(attributes) == 1:
            for label in declared:
                empty: Row = (False, 0.0, (label,) * 4)
                expected.setdefault(_group(empty, attributes, pooled), [])
        for row in held:
            expected.setdefault(_group(row, attributes, pooled), []).append(row)
        by = found.by(attributes, gate)
        assert list(by) == sorted(expected)
        for group, members in expected.items():
            _assert_equal(by[group], members, threshold)


@pytest.mark.parametrize("attributes", [1, 3, 12, 40])
def test_more_combinations_than_rows_cost_no_more_than_the_rows(attributes: int) -> None:
    """Forty attributes of ten groups have more combinations than there are numbers for."""
    chance = np.random.default_rng(3)
    n = 50
    codes = chance.integers(0, 10, (attributes, n))
    names = [f"a{i:02d}" for i in range(attributes)]
    groups = {a: Groups.of([str(c) for c in held]) for a, held in zip(names, codes, strict=True)}
    labels, scores = chance.random(n) < 0.5, chance.random(n)

    found = tally(labels, scores, groups, 0.5)

    distinct = {tuple(column) for column in codes.T}
    assert found.cells.shape == (len(distinct), attributes)
    for i, name in enumerate(names):
        assert {g: t.rows for (g,), t in found.by((name,), GATE).items()} == {
            str(c): int((codes[i] == c).sum()) for c in sorted(set(codes[i].tolist()))
        }
    if attributes > 1:
        pair = found.by((names[0], names[-1]), GATE)
        for (one, other), held in pair.items():
            here = (codes[0] == int(one)) & (codes[-1] == int(other))
            assert held.positives == int(labels[here].sum())
            assert held.residuals == pytest.approx((scores - labels)[here].sum(), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "declared", "labels", "codes"),
    [
        (["m", "f", None, "f"], (), ("(missing)", "f", "m"), [2, 1, 0, 1]),
        (["m"], ("f", "m", "z"), ("f", "m", "z"), [1]),
        ([None, None], (), ("(missing)",), [0, 0]),
        (["(missing)", None], (), ("(missing)",), [0, 0]),
        ([], (), (), []),
        ([], ("f",), ("f",), []),
        (["", "é", "Z"], (), ("", "Z", "é"), [0, 2, 1]),
    ],
)
@pytest.mark.parametrize("chunks", [None, 1, 2])
def test_groups_are_labels_in_rising_order(
    values: list[str | None],
    declared: tuple[str, ...],
    labels: tuple[str, ...],
    codes: list[int],
    chunks: int | None,
) -> None:
    given_as = values
    if chunks is not None:
        parts = [values[i : i + chunks] for i in range(0, len(values), chunks)]
        given_as = pa.chunked_array([pa.array(p, pa.string()) for p in parts], pa.string())
    found = Groups.of(given_as, declared)
    assert found.labels == labels
    assert found.codes.tolist() == codes


def test_a_dictionary_encoded_column_gives_the_same_groups() -> None:
    parts = [pa.array(["m", None]).dictionary_encode(), pa.array(["f", "m"]).dictionary_encode()]
    found = Groups.of(pa.chunked_array(parts))
    assert (found.labels, found.codes.tolist()) == (("(missing)", "f", "m"), [2, 0, 1, 2])


def test_the_threshold_selects_whoever_reaches_it() -> None:
    scores = np.array([np.nextafter(0.3, 0), 0.3, np.nextafter(0.3, 1), -0.0, 0.0, 1.0])
    found = tally(np.zeros(6, dtype=bool), scores, {}, 0.3).overall()
    assert (found.rows, found.selected, found.invalid) == (6, 3, 0)


@pytest.mark.parametrize("asked", [("a",), ("b",), ("a", "b")])
def test_a_pool_takes_in_no_group_that_happens_to_be_called_so(asked: tuple[str, ...]) -> None:
    groups = {"a": Groups.of(["u", "v", "w"]), "b": Groups.of(["u", "v", "w"])}
    found = tally(np.ones(3, dtype=bool), np.ones(3), groups, 0.5)
    listed = Pool(("a",), (("u",), ("v",)), "v", GROUNDS)
    assert found.by(asked, replace(GATE, pools=(listed,)))
    with pytest.raises(ProcessError, match="a pool of a is called like a group of the data"):
        found.by(asked, replace(GATE, pools=(replace(listed, into="w"),)))


def test_a_pool_of_two_columns_counts_what_pools_of_one_have_left() -> None:
    gate: ReleaseGatePolicy = replace(
        GATE,
        pools=(
            Pool(("a",), (("u",), ("v",)), "uv", GROUNDS),
            Pool(("a", "b"), (("uv", "u"), ("w", "u")), "rare", GROUNDS),
        ),
    )
    held = [("u", "u"), ("v", "u"), ("w", "u"), ("w", "v"), ("u", "v")]
    groups = {"a": Groups.of([a for a, _ in held]), "b": Groups.of([b for _, b in held])}
    found = tally(np.ones(5, dtype=bool), np.ones(5), groups, 0.5)
    counted = {g: t.rows for g, t in found.by(("a", "b"), gate).items()}
    assert counted == {("rare",): 3, ("uv", "v"): 1, ("w", "v"): 1}
    assert {g: t.rows for g, t in found.by(("a",), gate).items()} == {("uv",): 3, ("w",): 2}
    assert {g: t.rows for g, t in found.by(("b",), gate).items()} == {("u",): 3, ("v",): 2}
