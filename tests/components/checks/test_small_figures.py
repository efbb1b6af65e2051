"""No cell of 1 to 10 can be worked out from the figures of a record, whatever the people."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from components.checks.champion import change_name
from components.checks.fairness import counted
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude, within
from components.checks.release import agreement
from components.checks.small_figures import (
    changed_by_few,
    hidden_figures,
    is_few,
    masked,
    masked_verdict,
)
from components.contract.policy import COMPARISONS, Change, Metric
from tests.components.checks.samples import limit

POPULATIONS = 1_000
LOOKED_AT_CLOSELY = 60

SEX, AGE = ("f", "m"), ("old", "young", "middle")
Confusion = tuple[int, int, int, int]
"""Found, missed, false alarms, cleared: what a group's other counts are sums of."""


def _rates(where: str, of: str, c: Confusion) -> list[Measurement]:
    found, missed, alarms, cleared = c
    told = counted(
        rows=sum(c), positives=found + missed, selected=found + alarms, true_positives=found
    )
    made = [Measurement(str(m), p.value, p.cases, slice=where, of=of) for m, p in told.items()]
    return [*made, Measurement("calibration_error", 0.1, sum(c), slice=where, of=of)]


def _figures(people: dict[tuple[str, str], Confusion]) -> list[Measurement]:
    """What is measured of people by sex and age: of all, each group, each pair; gaps by sex."""

    def total(keep: Sequence[tuple[str, str]]) -> Confusion:
        return tuple(sum(people[k][i] for k in keep) for i in range(4))  # type: ignore[return-value]

    made = _rates("overall", "", total(list(people)))
    for i, (of, labels) in enumerate((("sex", SEX), ("age", AGE))):
        for x in labels:
            made += _rates(f"{of}={x}", of, total([k for k in people if k[i] == x]))
    for (sex, age), c in people.items():
        made += _rates(f"sex={sex}*age={age}", "sex*age", c)
    for of in ("sex", "age", "sex*age"):
        made += [Measurement(str(m), 0.1, 5, slice=of) for m in COMPARISONS]
    return made


def _people(chance: random.Random) -> dict[tuple[str, str], Confusion]:
    most = chance.choice((8, 30, 60, 200))
    ages = AGE[: chance.choice((2, 3))]
    groups = [(s, a) for s in SEX for a in ages]
    return {
        g: tuple(0 if chance.random() < 0.1 else chance.randint(0, most) for _ in range(4))  # type: ignore[misc]
        for g in groups
    }


_TOLD = {
    Metric.SELECTION_RATE: ((1, 1, 1, 1), (1, 0, 1, 0)),
    Metric.TPR: ((1, 1, 0, 0), (1, 0, 0, 0)),
    Metric.FPR: ((0, 0, 1, 1), (0, 0, 1, 0)),
    Metric.PPV: ((1, 0, 1, 0), (1, 0, 0, 0)),
    Metric.CALIBRATION_ERROR: ((1, 1, 1, 1), None),
}
_COUNTS = {
    "rows": (1, 1, 1, 1), "positives": (1, 1, 0, 0), "negatives": (0, 0, 1, 1),
    "selected": (1, 0, 1, 0), "passed over": (0, 1, 0, 1),
    "found": (1, 0, 0, 0), "missed": (0, 1, 0, 0),
    "false alarms": (0, 0, 1, 0), "cleared": (0, 0, 0, 1),
}  # fmt: skip


def _members(where: str, people: dict[tuple[str, str], Confusion]) -> list[int]:
    wanted = dict(part.split("=") for part in where.split("*")) if "=" in where else {}
    return [
        i
        for i, (s, a) in enumerate(people)
        if wanted.get("sex", s) == s and wanted.get("age", a) == a
    ]


def _row(where: str, parts: Sequence[int], people: dict[tuple[str, str], Confusion]) -> np.ndarray:
    row = np.zeros((len(people), 4))
    row[_members(where, people)] = parts
    return row.ravel()


def _equations(
    record: list[dict], people: dict[tuple[str, str], Confusion]
) -> tuple[np.ndarray, np.ndarray]:
    """All that the JSON of a record tells of the people, as linear equations."""
    rows, values = [np.zeros(4 * len(people))], [0.0]
    for m in record:
        if m["n"] is None or m["name"] not in _TOLD:
            continue
        cases, hits = _TOLD[Metric(m["name"])]
        rows.append(_row(m["slice"], cases, people))
        values.append(m["n"])
        if hits is not None and m["value"] != "NaN":
            rows.append(_row(m["slice"], hits, people))
            values.append(round(float(m["value"]) * m["n"]))
    return np.array(rows), np.array(values)


def _small(people: dict[tuple[str, str], Confusion]) -> dict[tuple[str, str], np.ndarray]:
    """Every count of 1 to 10 of any group, as the sum of unknowns that it is."""
    truth = np.array(list(people.values())).ravel()
    slices = {m.slice for m in _figures(people) if "=" in m.slice or m.slice == "overall"}
    sums = {(k, w): _row(w, parts, people) for w in slices for k, parts in _COUNTS.items()}
    return {key: row for key, row in sums.items() if 0 < row @ truth < 11}


def _given_away(record: list[dict], people: dict[tuple[str, str], Confusion]) -> set:
    """The small counts that follow from the equations alone: those in the span of their rows."""
    rows, _ = _equations(record, people)
    basis = np.linalg.svd(rows)
    rank = int((basis.S > 1e-9).sum())
    free = basis.Vh[rank:]
    return {key for key, row in _small(people).items() if np.abs(free @ row).max(initial=0) < 1e-9}


def _bounded(record: list[dict], people: dict[tuple[str, str], Confusion]) -> set:
    """The small counts that follow when no count is below 0 either."""
    rows, values = _equations(record, people)
    found = set()
    for key, row in _small(people).items():
        ends = [linprog(sign * row, A_eq=rows, b_eq=values) for sign in (1, -1)]
        if all(e.status == 0 for e in ends) and abs(ends[0].fun + ends[1].fun) < 1e-6:
            found.add(key)
    return found


def _record(figures: list[Measurement]) -> list[dict]:
    hidden = hidden_figures(figures)
    return [masked(m, hidden).to_json() for m in figures]


def test_of_1000_populations_no_cell_follows_from_the_record() -> None:
    chance, hid, told = random.Random(5), 0, 0
    for _ in range(POPULATIONS):
        people = _people(chance)
        record = _record(_figures(people))
        assert not _given_away(record, people)
        hid += any(m["n"] is None for m in record)
        told += any(m["n"] is not None and m["slice"] == "overall" for m in record)
    assert hid > POPULATIONS // 2
    assert told > POPULATIONS // 2


def test_nor_does_one_when_no_count_can_be_below_nothing() -> None:
    chance = random.Random(6)
    for _ in range(LOOKED_AT_CLOSELY):
        people = _people(chance)
        assert not _bounded(_record(_figures(people)), people)


def test_without_the_tables_around_them_small_cells_would_be_given_away() -> None:
    chance, given_away = random.Random(5), 0
    for _ in range(200):
        people = _people(chance)
        figures = _figures(people)
        alone = {(m.name, m.slice) for m in figures if is_few(m)}
        given_away += bool(_given_away([masked(m, alone).to_json() for m in figures], people))
    assert given_away > 100


def test_of_large_groups_nothing_is_hidden() -> None:
    people = {(s, a): (20, 30, 40, 50) for s in SEX for a in AGE}
    figures = [m for m in _figures(people) if m.n != 5]
    assert hidden_figures(figures) == frozenset()


def _names(figures: list[Measurement], of: str) -> set[str]:
    hidden = hidden_figures(figures)
    return {n for n, where in hidden if of in (where, _of(where))}


def _of(where: str) -> str:
    return "*".join(p.partition("=")[0] for p in where.split("*"))


def test_a_small_cell_of_labels_takes_the_pairs_labels_and_leaves_selection() -> None:
    people = {(s, a): (20, 30, 40, 50) for s in SEX for a in AGE}
    people["f", "old"] = (20, 3, 40, 50)
    figures = [m for m in _figures(people) if not m.name.startswith("calibration_bias")]
    pairs = _names(figures, "sex*age")
    assert {"tpr", "fpr", "ppv", "tpr_difference", "ppv_ratio"} < pairs
    assert "selection_rate" not in pairs
    assert "tpr" not in _names(figures, "sex")
    assert "tpr" not in _names(figures, "overall")


def test_a_small_group_takes_its_attribute_and_the_pairs_with_it() -> None:
    people = {("f", "old"): (1, 1, 1, 1), ("m", "old"): (40, 40, 40, 40)}
    figures = _figures(people)
    assert "selection_rate" in _names(figures, "sex") & _names(figures, "sex*age")
    assert "selection_rate" not in _names(figures, "age")


def test_a_hidden_figure_has_no_number_and_reads_back_as_hidden() -> None:
    few = Measurement("tpr", 0.5, 10, slice="sex=f", low=0.1, high=0.9, of="sex")
    written = masked(few, set()).to_json()
    assert [written[k] for k in ("value", "low", "high", "n")] == [None] * 4
    again = Measurement.from_json(written)
    assert again.hidden
    assert masked(again, set()) == again
    assert again.to_json() == written
    held = within("r", again, at_least=0.0)
    assert held.status is Status.INCONCLUSIVE  # should anybody judge by it, it is closed


def test_hiding_twice_hides_nothing_more() -> None:
    figures = [Measurement.from_json(m) for m in _record(_figures(_people(random.Random(1))))]
    assert [masked(m, hidden_figures(figures)) for m in figures] == figures


@pytest.mark.parametrize(
    ("name", "value", "n", "unit", "few"),
    [
        ("tpr", 0.5, 22, "1", False), ("tpr", 0.5, 20, "1", True), ("tpr", 0.9, 50, "1", True),
        ("tpr", 0.0, 50, "1", False), ("tpr", 1.0, 50, "1", False), ("roc_auc", 0.9, 10, "1", True),
        ("roc_auc", 0.9, 11, "1", False), ("null fraction", 0.01, 500, "1", True),
        ("values outside the domain", 7.0, 500, "rows", True),
        ("values outside the domain", 11.0, 500, "rows", False),
        ("values outside the domain", 0.0, 500, "rows", False), ("tpr", math.nan, 0, "1", False),
    ],
)  # fmt: skip
def test_what_tells_of_a_few(name: str, value: float, n: int, unit: str, few: bool) -> None:
    assert is_few(Measurement(name, value, n, unit=unit)) is few


def test_a_change_tells_of_the_champions_few_too() -> None:
    now = Measurement("tpr", 0.5, 100)
    told = Measurement(change_name(limit(Metric.TPR, at_least=0, change=Change.ABSOLUTE)), 0.1, 100)
    few = replace(told, value=0.45)
    relative = replace(told, name="relative change of tpr", value=9.0)
    assert hidden_figures([now, told]) == frozenset()
    assert hidden_figures([now, few]) == {(few.name, "overall")}
    assert hidden_figures([now, relative]) == {(relative.name, "overall")}


def test_no_reason_tells_a_hidden_number() -> None:
    f = Measurement("tpr", 0.9, 40, slice="sex=f", low=0.77, high=0.96, of="sex")
    m = Measurement("tpr", 0.5, 12, slice="sex=m", low=0.25, high=0.75, of="sex")
    gap = Measurement("tpr_difference", 0.4, 12, slice="sex", low=0.1, high=0.62)
    findings = [
        within("limit:a", gap, at_most=0.1, tested=gap.high),
        within("limit:b:sex=f", f, at_least=0.5),
        Finding("limit:c", Status.INCONCLUSIVE, "tpr_difference of sex leaves too few cases in "
                "sex=m (12), sex=x (under 11), 30 required in each group", gap),
        Finding("limit:d", Status.INCONCLUSIVE, "tpr of sex=m rests on 12 cases, 30 required", m),
        *agreement([replace(f, value=0.875)], [f], 0.02),
    ]  # fmt: skip
    shown = masked_verdict(conclude(findings), [f, m, gap], hidden_figures([f, m, gap]))
    assert shown.status is Status.FAIL
    assert [x.reason for x in shown.findings] == [
        "tpr_difference of sex not shown, at most 0.1 required",
        "tpr of sex=f not shown, at least 0.5 required",
        "tpr_difference of sex leaves too few cases in sex=m (not shown), sex=x (under 11), "
        "30 required in each group",
        "tpr of sex=m rests on too few cases, 30 required",
        "native minus referee tpr of sex=f not shown, at most 0.02 required",
    ]
    assert all(x.measurement and x.measurement.hidden for x in shown.findings)
    assert "0.62" not in shown.reason


def test_a_verdict_without_small_cells_stays_as_it_is() -> None:
    held = conclude([within("r", Measurement("tpr", 0.5, 40), at_least=0.1)])
    assert masked_verdict(held, [], set()) is held
    said = Verdict(Status.PASS, "in its own words")
    assert masked_verdict(said, [], set()) is said


def test_a_breach_of_a_few_rows_is_told_as_few() -> None:
    breach = Measurement("values outside the domain", 3.0, 900, slice="site", unit="rows")
    shown = masked_verdict(conclude([within("domain", breach, at_most=0.0)]), [], set())
    assert shown.reason == "values outside the domain of site under 11, at most 0 required"


def test_what_differs_by_a_few_from_an_earlier_release_is_not_counted() -> None:
    before = {(s, a): (20, 30, 40, 50) for s in SEX for a in AGE}
    same = _figures(before)
    assert changed_by_few(same, same) == frozenset()
    more = _figures({**before, ("f", "old"): (20, 35, 40, 50)})
    changed = changed_by_few(more, same)
    assert {("selection_rate", "sex=m"), ("tpr", "overall")} < changed
    many = _figures({g: (c[0] + 20, *c[1:]) for g, c in before.items()})
    assert changed_by_few(many, same) == frozenset()
    other_model = _figures({g: (c[0] - 2, c[1] + 2, *c[2:]) for g, c in before.items()})
    assert changed_by_few(other_model, same) == frozenset()
    unknown = [masked(m, {(m.name, m.slice)}) for m in same]
    assert changed_by_few(more, unknown) == frozenset()


def test_of_few_people_nothing_is_told() -> None:
    tiny = _rates("overall", "", (3, 3, 3, 3))
    assert {n for n, _ in hidden_figures(tiny)} == {m.name for m in tiny}
