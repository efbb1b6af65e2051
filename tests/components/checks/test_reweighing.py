from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.checks.reweighing import reweighing

cells = st.tuples(st.sampled_from(["f", "m", "x"]), st.booleans())
complete = st.lists(cells, max_size=60).map(
    lambda found: found + [(g, b) for g in ("f", "m", "x") for b in (True, False)]
)


@given(complete)
def test_label_and_group_are_independent_afterwards(rows: list[tuple[str, bool]]) -> None:
    weights = reweighing(rows)
    assert sum(weights[row] for row in rows) == pytest.approx(len(rows))
    positive = sum(label for _, label in rows) / len(rows)
    for group in ("f", "m", "x"):
        total = sum(weights[r] for r in rows if r[0] == group)
        selected = sum(weights[r] for r in rows if r == (group, True))
        assert total == pytest.approx(sum(r[0] == group for r in rows))
        assert selected / total == pytest.approx(positive)


def test_worked_by_hand() -> None:
    # f: 1 of 4 positive, m: 3 of 4; overall one half.
    rows = [("f", True)] + [("f", False)] * 3 + [("m", True)] * 3 + [("m", False)]
    assert reweighing(rows) == {
        ("f", True): 2.0,
        ("f", False): pytest.approx(2 / 3),
        ("m", True): pytest.approx(2 / 3),
        ("m", False): 2.0,
    }


def test_kamiran_and_calders_own_table() -> None:
    """Knowledge and Information Systems 2012, table 1: of five men four are hired, of five women
    two; they print the weights 0.75, 2, 1.5 and 0.67."""
    rows = [("m", True)] * 4 + [("m", False)] + [("f", True)] * 2 + [("f", False)] * 3
    assert reweighing(rows) == {
        ("m", True): pytest.approx(0.75),
        ("m", False): pytest.approx(2),
        ("f", True): pytest.approx(1.5),
        ("f", False): pytest.approx(0.67, abs=0.005),
    }


@given(st.lists(cells, max_size=40))
def test_only_cells_with_rows_have_a_weight(rows: list[tuple[str, bool]]) -> None:
    weights = reweighing(rows)
    assert set(weights) == set(Counter(rows))
    assert all(w > 0 for w in weights.values())
    assert list(weights) == sorted(weights)
