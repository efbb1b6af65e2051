"""Decisions of a real release, judged under limits that hold and limits that do not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.audit import monitoring_counts
from components.audit.monitoring import Monitored, Watched, find_watched, judged, monitor
from components.audit.monitoring_cells import cells_of
from components.audit.monitoring_counts import Counted, Labelled, count
from components.audit.monitoring_secrecy import (
    APPEALS,
    CLASSES,
    LABELLED,
    REVIEW_SHARE,
    ROWS,
    hidden,
    rate_of,
)
from components.audit.monitoring_shown import Shown
from components.checks.measurement import Finding, Status
from components.checks.suppression import is_small, resolved
from components.checks.tallies import tally
from components.contract.errors import EvidenceError, InputError
from components.contract.json_schema import ROOT
from components.contract.monitoring_policy import load_monitoring
from components.contract.stages import Stage
from components.decisions import decision_log
from components.decisions.later_labels import open_labels
from components.stacks.process import ReleaseProcess
from tests import clinic, monitored
from tests.decided import decide, rows_of
from tests.monitored import Cases, cases

GOOD = "good"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run with an honest log."""
    made = monitored.released(tmp_path_factory.mktemp("home"))
    cases(made).write(GOOD)
    return made


@pytest.fixture
def case(process: ReleaseProcess) -> Cases:
    """Fresh decisions to change."""
    return cases(process)


def watched(process: ReleaseProcess, *logs: str) -> Watched:
    """The release with those logs."""
    return find_watched(Path(process.spec.home), "insurer", "pytorch", logs or [GOOD])


def statuses(found: Monitored) -> dict[str, Status]:
    """Status of each rule, without its prefix."""
    return {f.rule.removeprefix("monitoring:"): f.status for f in found.verdict.findings}


def by_rule(found: Monitored) -> dict[str, Finding]:
    """Findings by rule, without its prefix."""
    return {f.rule.removeprefix("monitoring:"): f for f in found.verdict.findings}


def test_honest_decisions_keep_every_limit(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    labels = case.label_file(tmp_path / "l.parquet", GOOD)
    found = monitor(watched(process), labels, [])
    assert set(statuses(found).values()) == {Status.PASS}
    assert found.verdict.is_open
    assert set(statuses(found)) == {
        "score_drift",
        "review_share",
        "labelled_share",
        "auc",
        "calibration_bias",
        "overturned_share",
        *(f"{g}:{c}" for g in ("selection_gap", "tpr_gap", "fpr_gap") for c in ("sex", "age")),
    }


def test_figures_are_those_that_the_release_gate_measured_of_the_same_rows(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    found = by_rule(monitor(watched(process), case.label_file(tmp_path / "l.csv", GOOD), []))
    run = watched(process).run
    gate = run.stage(Stage.RELEASE_GATE)
    assert gate is not None
    told = {(m["name"], m["slice"]): m for m in gate.body["measurements"]}
    for rule, name, where in (
        ("auc", "roc_auc", "overall"),
        ("tpr_gap:sex", "tpr_difference", "sex"),
        ("fpr_gap:age", "fpr_difference", "age"),
        ("selection_gap:age", "selection_rate_difference", "age"),
    ):
        mine, theirs = found[rule].measurement, told[name, where]
        assert mine is not None
        assert mine.value == pytest.approx(float(theirs["value"]), abs=1e-5)
        assert mine.low == pytest.approx(float(theirs["low"]), abs=1e-5)
        assert mine.n == theirs["n"]
    assert found["score_drift"].measurement.value == pytest.approx(0)


def test_each_groups_selection_rate_is_told_with_its_interval(
    process: ReleaseProcess, case: Cases
) -> None:
    figures = {(s.figure.name, s.figure.slice): s for s in monitor(watched(process)).figures}
    men = np.array(case.rows["sex"].to_pylist()) == "m"
    chosen = np.array(case.outcomes) == "selected"
    told = figures["selection_rate", "sex=m"].to_json()
    assert float(told["value"]) == pytest.approx(chosen[men].mean())
    assert told["n"] == men.sum()
    assert float(told["low"]) < chosen[men].mean() < float(told["high"])
    assert {w for n, w in figures if n == "selection_rate"} >= {"sex=f", "age=under 50"}


def test_a_limit_on_what_was_not_given_is_inconclusive(process: ReleaseProcess) -> None:
    found = monitor(watched(process))
    held = by_rule(found)
    assert held["input_drift"].reason.endswith("inputs not given")
    assert held["labels"].reason.endswith("labels not given")
    assert found.verdict.status is Status.INCONCLUSIVE
    own = watched(process)
    assert own.limits is not None
    plain = replace(
        own.limits,
        **{f: None for f in monitored.LIMITS if f.split("_")[0] in _OPTIONAL},
    )
    assert monitor(replace(own, limits=plain)).verdict.is_open


_OPTIONAL = ("input", "labelled", "auc", "tpr", "fpr", "calibration", "overturned")


def test_what_is_given_without_a_limit_is_told_and_keeps_the_verdict_closed(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    own = watched(process)
    assert own.limits is not None
    plain = replace(
        own.limits, **{f: None for f in monitored.LIMITS if f.split("_")[0] in _OPTIONAL}
    )
    labels = case.label_file(tmp_path / "l.csv", GOOD)
    found = monitor(replace(own, limits=plain), labels, [])
    closed = {r for r, s in statuses(found).items() if s is Status.INCONCLUSIVE}
    assert closed == {"labels", "input_drift"}
    assert {"roc_auc", "calibration_bias", "labelled share", "tpr"} <= {
        s.figure.name for s in found.figures
    }


def test_no_limits_and_few_decisions_are_inconclusive(process: ReleaseProcess) -> None:
    own = watched(process)
    assert own.limits is not None
    none = monitor(replace(own, limits=None)).verdict
    assert (none.status, none.findings) == (Status.INCONCLUSIVE, ())
    few = monitor(replace(own, limits=replace(own.limits, min_n=10**6))).verdict
    assert (few.status, few.findings) == (Status.INCONCLUSIVE, ())


def test_a_log_without_groups_makes_every_gap_inconclusive(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    decide(process, "bare", rows_of(process, "evaluation"))
    labels = case.label_file(tmp_path / "l.csv", GOOD)
    found = monitor(watched(process, GOOD, "bare"), labels)
    held = {r: s for r, s in statuses(found).items() if "_gap:" in r}
    assert len(held) == 6
    assert set(held.values()) == {Status.INCONCLUSIVE}
    assert not [s for s in found.figures if s.figure.name == "selection_rate"]


def test_a_group_without_enough_labels_makes_its_gap_inconclusive(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    for i, sex in enumerate(case.rows["sex"].to_pylist()):
        case.labels[i] = None if sex == "m" else case.labels[i]
    found = monitor(watched(process), case.label_file(tmp_path / "l.csv", GOOD), [])
    held = by_rule(found)
    assert held["tpr_gap:sex"].status is Status.INCONCLUSIVE
    assert "smallest group" in held["tpr_gap:sex"].reason
    assert held["tpr_gap:age"].status is Status.PASS


def test_too_few_labels_and_appeals_are_inconclusive_and_untold(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    case.labels = [x if i < 25 else None for i, x in enumerate(case.labels)]
    found = monitor(watched(process), case.label_file(tmp_path / "l.csv", GOOD), [])
    held = by_rule(found)
    for rule in ("auc", "calibration_bias", "overturned_share"):
        assert held[rule].status is Status.INCONCLUSIVE
        assert held[rule].measurement is None
        assert "required" in held[rule].reason
    assert held["labelled_share"].status is Status.FAIL


def small_group(selected: int, cases_: int = 60) -> Counted:
    """Two sexes and ages of 200 and some people; of the second sex few are selected."""
    found = Counted(np.ones(10))
    found.outcomes = Counter(selected=80 + selected, not_selected=120 + cases_ - selected)
    found.groups["sex"] = Counter(
        {
            ("f", "selected"): 80,
            ("f", "not_selected"): 120,
            ("m", "selected"): selected,
            ("m", "not_selected"): cases_ - selected,
        }
    )
    found.groups["age"] = Counter(
        {
            ("50 and over", "selected"): 40 + selected,
            ("50 and over", "not_selected"): 60,
            ("under 50", "selected"): 40,
            ("under 50", "not_selected"): 60 + cases_ - selected,
        }
    )
    return found


def test_a_rate_of_few_people_is_hidden_with_what_would_give_it_away(
    process: ReleaseProcess,
) -> None:
    own = watched(process)
    assert own.limits is not None
    told = judged(own.run, small_group(5), own.limits)
    rates = {s.figure.slice: s for s in told if isinstance(s, Shown)}
    # The ages say that 85 are selected: with the women's rate that leaves five men.
    assert not rates["sex=f"].open
    assert rates["age=under 50"].open
    assert rates["sex=m"].to_json()["value"] is None
    assert "under 11" in rates["sex=m"].sentence()
    held = {f.rule: f for f in told if isinstance(f, Finding)}
    gap = held["monitoring:selection_gap:sex"]
    assert (gap.status, gap.measurement) == (Status.FAIL, None)
    assert "0.3" not in gap.reason.replace("at most 0.2", "")
    open_ = judged(own.run, small_group(20), own.limits)
    assert all(s.open for s in open_ if isinstance(s, Shown))


@pytest.mark.parametrize("seed", range(6))
def test_no_small_count_follows_from_what_is_told(seed: int) -> None:
    found = drawn(np.random.default_rng(seed))
    cells, sums = cells_of(found, "selected")
    small = {c for c, n in cells.items() if is_small(n)}
    closed = hidden(found, "selected")
    rates = {
        rate_of(column, label, kind)
        for column in found.groups
        for label in found.labels(column)
        for kind in ("any", "positive", "negative")
    }
    open_ = (rates | {ROWS, REVIEW_SHARE, LABELLED, CLASSES, APPEALS}) - closed
    told = {c for figure in open_ for c in figure}
    assert small
    assert open_
    assert not small & told
    assert not small & resolved(cells, sums, [c for c in cells if c not in told])
    # Each figure that is left out matters: the small counts alone would not be enough.
    naive = {c for f in rates | {ROWS, LABELLED, CLASSES} if not f & small for c in f}
    assert small & resolved(cells, sums, [c for c in cells if c not in naive])


def drawn(chance: np.random.Generator) -> Counted:
    """Some hundred people of two columns, labelled all, one in twelve of them positive."""
    n = 400
    groups = {"sex": chance.choice(["f", "m"], n), "age": chance.choice(["a", "b", "c"], n)}
    selected, positive = chance.random(n) < 0.4, chance.random(n) < 1 / 12
    found, labelled = Counted(np.ones(10)), Labelled()
    found.outcomes = Counter(np.where(selected, "selected", "not_selected").tolist())
    scores = np.where(selected, 0.75, 0.25)
    labelled.everybody = tally(positive, scores, {}, 0.5).overall()
    labelled.overturned, labelled.upheld = 12, 40
    for column, labels in groups.items():
        found.groups[column] = Counter()
        labelled.groups[column] = {}
        for label in sorted(set(labels)):
            mine = labels == label
            found.groups[column][label, "selected"] = int(selected[mine].sum())
            found.groups[column][label, "not_selected"] = int((~selected)[mine].sum())
            held = tally(positive[mine], scores[mine], {}, 0.5).overall()
            labelled.groups[column][label] = held
    found.labelled = labelled
    return found


def test_a_share_of_few_people_is_judged_and_not_told(process: ReleaseProcess, case: Cases) -> None:
    for i in [i for i, o in enumerate(case.outcomes) if o == "selected"][:5]:
        case.outcomes[i] = "review"
    case.write("few-reviews")
    held = by_rule(monitor(watched(process, "few-reviews")))["review_share"]
    assert (held.status, held.measurement) == (Status.PASS, None)
    assert "under 11" in held.reason


def test_logs_are_added_up_a_segment_at_a_time(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    own = watched(process)
    log = own.logs[0]
    seen: list[int] = []
    labels = case.label_file(tmp_path / "l.csv", GOOD)
    with open_labels(labels, {GOOD: log.rows}) as opened:
        once = count([log], own.run.policy, opened, seen.append)
        twice = count([log, log], own.run.policy, opened, seen.append)
    assert seen == [log.rows, log.rows, 2 * log.rows]
    assert twice.rows == 2 * once.rows
    assert once.labelled is not None
    assert twice.labelled is not None
    assert twice.labelled.everybody.positives == 2 * once.labelled.everybody.positives
    assert twice.labelled.ranked.area == pytest.approx(once.labelled.ranked.area)
    assert twice.labelled.ranks.shape == once.labelled.ranks.shape == (2, monitoring_counts._RANKS)


def test_only_logs_of_the_standing_release_are_judged(process: ReleaseProcess) -> None:
    home = Path(process.spec.home)
    with pytest.raises(InputError, match="has no release"):
        find_watched(home, "insurer", "nowhere", [])
    decide(process, "other", rows_of(process, "evaluation"), releaseDigest="f" * 64)
    with pytest.raises(EvidenceError, match="of another release"):
        watched(process, "other")
    assert "other" not in {log.log_id for log in find_watched(home, "insurer", "pytorch", []).logs}


def test_a_log_that_was_given_up_is_not_judged(
    process: ReleaseProcess, case: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log.DecisionLog, "close", lambda log: log.abort("a reason"))
    case.write("given-up")
    name, stack = process.contract.name, process.spec.stack
    logs = find_watched(case.home, name, stack, []).logs
    assert "given-up" not in {log.log_id for log in logs}
    with pytest.raises(InputError, match="given-up: was given up: a reason"):
        find_watched(case.home, name, stack, ["given-up"])


@pytest.mark.parametrize("name", ["prior_auth", "rand_hie", "rand_hie_pilot"])
def test_every_shipped_policy_holds_decisions_to_inputs_and_labels(name: str) -> None:
    limits = load_monitoring(ROOT / "policies" / f"{name}.yaml")
    assert limits is not None
    assert limits.needs_labels
    assert limits.input_drift == "data_gate"


@pytest.mark.parametrize(
    "change",
    [
        {"input_drift": "none"},
        {"auc_at_least": 0},
        {"tpr_gap_at_most": 1},
        {"labelled_share_at_least": "0.9"},
        {"auc": 0.7},
        {"min_n": 10},
    ],
)
def test_a_limit_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    section = {**monitored.LIMITS, **change}
    contract = clinic.contract(tmp_path)
    with pytest.raises(InputError, match=next(iter(change))):
        clinic.policy(tmp_path, contract, lambda d: d.update(monitoring=section))
    assert clinic.policy(tmp_path, contract, lambda d: d.update(monitoring=monitored.LIMITS))


def test_what_is_left_to_a_person_is_in_no_rate_of_a_group(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    case.outcomes = [
        "review" if o == "selected" and i % 2 else o for i, o in enumerate(case.outcomes)
    ]
    log = case.write("reviewed")
    own = watched(process, "reviewed")
    labels = case.label_file(tmp_path / "l.csv", "reviewed")
    with open_labels(labels, {"reviewed": log.rows}) as opened:
        found = count([log], own.run.policy, opened)
    assert found.labelled is not None
    positive = np.array(case.labels) == 1
    review = np.array(case.outcomes) == "review"
    men = np.array(case.rows["sex"].to_pylist()) == "m"
    chosen = np.array(case.outcomes) == "selected"
    assert found.labelled.reviewed == {
        True: (positive & review).sum(),
        False: (~positive & review).sum(),
    }
    assert found.labelled.everybody.positives == positive.sum()
    held = found.labelled.group("sex", "m")
    assert held.positives == (men & positive & ~review).sum()
    assert held.true_positives == (men & positive & chosen).sum()
    assert found.decided("sex", "m").cases == (men & ~review).sum()
    assert not hidden(found, "selected")


def test_a_changed_segment_is_no_evidence(process: ReleaseProcess, case: Cases) -> None:
    log = case.write("changed")
    path = log.directory / log.segments[0].file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(EvidenceError, match="was changed"):
        monitor(watched(process, "changed"))


def test_a_report_says_nothing_of_a_case(
    process: ReleaseProcess, case: Cases, tmp_path: Path
) -> None:
    told = json.dumps(
        monitor(watched(process), case.label_file(tmp_path / "l.csv", GOOD)).to_json()
    )
    assert decision_log.decision_id(GOOD, 0) not in told
    assert not any(str(p) in told for p in case.rows["person"].to_pylist()[:50])
