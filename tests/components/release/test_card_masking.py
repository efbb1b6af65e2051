"""A card leaves out the cases that differ by a few from an earlier release's, and rare names."""

from __future__ import annotations

from pathlib import Path

from components.checks.measurement import Measurement
from components.release.card_masking import HIDDEN, Masking, shown_interval, shown_value
from tests import clinic


def _figure(name: str, where: str, n: int) -> Measurement:
    of = "*".join(part.partition("=")[0] for part in where.split("*")) if "=" in where else ""
    return Measurement(name, 0.5, n, slice=where, low=0.4, high=0.6, of=of)


def _rows(f: int, m: int) -> list[Measurement]:
    counts = {"overall": f + m, "sex=f": f, "sex=m": m}
    return [_figure("selection_rate", where, n) for where, n in counts.items()]


def _told(folder: Path, now: list[Measurement], *earlier: list[Measurement]) -> dict[str, str]:
    masking = Masking.of(clinic.contract(folder), now, earlier)
    for figure in now:
        assert (masking.interval(figure) == "") == (masking.count(figure) == HIDDEN)
    return {f.slice: masking.count(f) for f in now}


def test_cases_that_differ_by_a_few_from_an_earlier_release_are_not_told(tmp_path: Path) -> None:
    now = _rows(100, 200)
    assert list(_told(tmp_path, now).values()) == ["300", "100", "200"]
    assert list(_told(tmp_path, now, _rows(100, 200)).values()) == ["300", "100", "200"]
    assert list(_told(tmp_path, now, _rows(150, 250)).values()) == ["300", "100", "200"]
    # The total moved by more, so it is told, and neither of the two groups that add up to it.
    assert list(_told(tmp_path, now, _rows(104, 300)).values()) == ["300", HIDDEN, HIDDEN]
    assert set(_told(tmp_path, now, _rows(104, 200)).values()) == {HIDDEN}


def test_every_earlier_release_counts_not_the_last_alone(tmp_path: Path) -> None:
    told = _told(tmp_path, _rows(100, 200), _rows(104, 300), _rows(150, 250))
    assert told["sex=f"] == HIDDEN


def test_a_hidden_figure_is_not_shown_and_a_rare_group_not_named(tmp_path: Path) -> None:
    hidden = Measurement("selection_rate", float("nan"), 0, slice="sex=x", of="sex", hidden=True)
    masking = Masking.of(clinic.contract(tmp_path), [hidden])
    shown = (shown_value(hidden), shown_interval(hidden), masking.count(hidden))
    assert shown == (HIDDEN, "", HIDDEN)
    assert masking.group(hidden) == "sex=(rare group 1)"
