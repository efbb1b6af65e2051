from __future__ import annotations

import numpy as np
import pytest

from components.checks.opportunity_penalty import opportunity_penalty

# Two attributes: women and men, young and old. Scores and labels of six people.
SCORES = np.array([0.9, 0.5, 0.7, 0.1, 0.3, 0.8])
LABELS = np.array([True, True, True, True, False, False])
MEMBERS = np.array(
    [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]],
    dtype=float,
)


def test_worked_by_hand() -> None:
    """Positives score 0.55 on average: women 0.7, men 0.4, the young 0.8, the old 0.3."""
    expected = 0.15**2 + 0.15**2 + 0.25**2 + 0.25**2
    assert opportunity_penalty(SCORES, LABELS, MEMBERS, 1.0) == pytest.approx(expected)
    assert opportunity_penalty(SCORES, LABELS, MEMBERS, 3.0) == pytest.approx(3 * expected)
    # Women alone, and a group that nobody is in.
    assert opportunity_penalty(SCORES, LABELS, MEMBERS[:, :1], 1.0) == pytest.approx(0.15**2)
    nobody = np.zeros((6, 1))
    assert opportunity_penalty(SCORES, LABELS, nobody, 1.0) == 0.0


def test_only_positives_count() -> None:
    moved = SCORES.copy()
    moved[4:] = 0.0
    before = opportunity_penalty(SCORES, LABELS, MEMBERS, 1.0)
    assert opportunity_penalty(moved, LABELS, MEMBERS, 1.0) == before
    moved[0] = 0.1
    assert opportunity_penalty(moved, LABELS, MEMBERS, 1.0) != before


def test_groups_that_score_alike_cost_nothing() -> None:
    scores = np.array([0.6, 0.2, 0.6, 0.2])
    members = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=float)
    assert opportunity_penalty(scores, np.ones(4, dtype=bool), members, 5.0) == pytest.approx(0)


def test_a_batch_without_positives_costs_nothing() -> None:
    assert opportunity_penalty(SCORES, np.zeros(6, dtype=bool), MEMBERS, 1.0) == 0.0


def test_a_group_without_positives_is_left_out() -> None:
    labels = np.array([True, True, False, False, False, False])
    # Women's positives score 0.7 as everybody's do; the young one 0.9, the old one 0.5.
    assert opportunity_penalty(SCORES, labels, MEMBERS, 1.0) == pytest.approx(2 * 0.2**2)
