"""Decisions of a real release, judged under limits that hold and limits that do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.audit.monitoring import (
    Counted,
    _review_share,
    monitor,
    monitor_release,
    selection_gaps,
)
from components.checks.measurement import Status
from components.contract.errors import EvidenceError, InputError
from components.contract.monitoring_policy import MonitoringPolicy
from components.decisions.decision_log import DecisionLog
from components.release.records import read_releases
from components.release.run_evidence import read_evidence
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, start

LIMITS = MonitoringPolicy(11, 0.99, 0.5, 0.1)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run with a log."""
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(
        folder / "documents",
        lambda d: d.update(
            monitoring={
                "min_n": 11,
                "score_drift_at_most": 0.99,
                "selection_gap_at_most": 0.5,
                "review_share_at_most": 0.1,
            }
        ),
    )
    data = seeded.write_rows(folder / "a.csv")
    made = start(folder, "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(made).run() == "released"
    decide(made, "a-log", rows_of(made, "evaluation"))
    return made


def judged(process: ReleaseProcess, limits: MonitoringPolicy | None) -> dict[str, Status]:
    """Status of each rule; of the whole where nothing was judged."""
    home = Path(process.spec.home)
    release = read_releases(home, process.contract.name, process.spec.stack)[-1]
    run = read_evidence(home / "runs" / release.run)
    verdict = monitor(run, release, [DecisionLog.open(home, "a-log")], limits)
    return {f.rule: f.status for f in verdict.findings} or {"all": verdict.status}


def test_limits_open_and_close(process: ReleaseProcess) -> None:
    held = judged(process, LIMITS)
    assert held["monitoring:score_drift"] is Status.PASS
    assert held["monitoring:review_share"] is Status.PASS
    strict = judged(process, replace(LIMITS, score_drift_at_most=0.001))
    assert strict["monitoring:score_drift"] is Status.FAIL


def test_logs_without_groups_and_policies_without_limits_are_inconclusive(
    process: ReleaseProcess,
) -> None:
    gaps = {s for r, s in judged(process, LIMITS).items() if ":selection_gap:" in r}
    assert gaps == {Status.INCONCLUSIVE}
    assert judged(process, None) == {"all": Status.INCONCLUSIVE}
    assert judged(process, replace(LIMITS, min_n=51)) == {"all": Status.INCONCLUSIVE}


@pytest.mark.parametrize(("selected", "status"), [((20, 18), Status.PASS), ((25, 2), Status.FAIL)])
def test_the_largest_gap_of_selection_rates_is_held_against_its_limit(
    process: ReleaseProcess, selected: tuple[int, int], status: Status
) -> None:
    run = read_evidence(Path(process.spec.home) / "runs" / process.spec.run_id)
    found = Counted(np.zeros(10))
    for column in run.contract.protected:
        found.groups[column.name] = Counter(
            {
                ("a", "selected"): selected[0],
                ("a", "not_selected"): 30 - selected[0],
                ("a", "review"): 500,
                ("b", "selected"): selected[1],
                ("b", "not_selected"): 30 - selected[1],
            }
        )
    told = list(selection_gaps(run, found, LIMITS))
    assert {f.status for f in told} == {status}
    assert told[0].measurement is not None
    assert told[0].measurement.value == pytest.approx((selected[0] - selected[1]) / 30)
    assert {f.status for f in selection_gaps(run, found, replace(LIMITS, min_n=31))} == {
        Status.INCONCLUSIVE
    }


def test_a_share_of_few_people_is_judged_and_not_told() -> None:
    few = _review_share(5, 40, 0.1)
    assert (few.status, few.measurement) == (Status.FAIL, None)
    assert "under 11" in few.reason
    assert "0.125" not in few.reason
    assert _review_share(12, 40, 0.5).measurement is not None


def test_the_policy_of_the_run_has_the_limits(process: ReleaseProcess) -> None:
    home, name, stack = Path(process.spec.home), process.contract.name, process.spec.stack
    verdict = monitor_release(home, name, stack, [])
    assert "a log does not hold the groups" in verdict.reason
    with pytest.raises(InputError, match="has no release"):
        monitor_release(home, name, "nowhere", [])
    decide(process, "other", rows_of(process, "evaluation"), releaseDigest="f" * 64)
    with pytest.raises(EvidenceError, match="of another release"):
        monitor_release(home, name, stack, ["other"])
