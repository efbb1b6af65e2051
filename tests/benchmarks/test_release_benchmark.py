"""The release benchmark asks every peer the same; how long they take is no business of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.release import furthest
from benchmarks.release_data import ATTRIBUTES, CONTRACT, POLICY, PREDICTIONS, SLICES, generate
from benchmarks.release_report import summarise
from components.contract.contract_loader import load_contract
from components.contract.policy import COMPARISONS, RATES
from components.contract.policy_loader import load_policy
from components.datasets.canonical import Dataset

ROOT = Path(__file__).parents[2]
GROUPS = 2 + 5 + 6 + 2 * 5 + 2 * 6 + 5 * 6


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The benchmark's JSON on a few rows."""
    folder = tmp_path_factory.mktemp("release_benchmark")
    command = [sys.executable, "-m", "benchmarks.release", "--quick", "--rows", "4000"]
    command += ["--peer-rows", "1500", "--bootstraps", "1", "--output", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    (written,) = folder.glob("release-4000-*.json")
    assert written.name in run.stdout
    assert "yes" in run.stdout or "NO" in run.stdout
    found: dict[str, Any] = json.loads(written.read_text())
    return found


def test_every_peer_ran_and_came_to_the_referees_figures(result: dict[str, Any]) -> None:
    assert [(r["peer"], r["rows"]) for r in result["runs"]] == [
        ("referee", 4000),
        ("referee", 40_000),
        ("referee", 1500),
        ("fairlearn-bootstrap", 1500),
        ("tfma-jackknife", 1500),
    ]
    for run in result["runs"]:
        assert run["seconds"] > 0
        assert run["peak_mb"] > 50
        assert 0 <= run["furthest_from_referee"] < 1e-6
        assert run["intervals"] > GROUPS


def test_peers_are_asked_of_every_group_and_comparison(result: dict[str, Any]) -> None:
    """fairlearn knows two comparisons of each rate; TFMA, here, none, and all of everybody."""
    figures = {r["peer"]: r["figures"] for r in result["runs"]}
    own = len(RATES) + 2
    assert figures == {
        "referee": GROUPS * own + len(SLICES) * len(COMPARISONS) + 9,
        "fairlearn-bootstrap": GROUPS * own + len(SLICES) * 2 * len(RATES),
        "tfma-jackknife": (GROUPS + 1) * (own - 1),
    }


def test_the_result_says_what_was_measured_on_what(result: dict[str, Any]) -> None:
    assert (result["rows"], result["large"], result["bootstraps"]) == (4000, 40_000, 1)
    versions = result["machine"]["versions"]
    assert {"fairlearn", "tensorflow-model-analysis", "numpy"} <= set(versions)
    assert "none" not in versions.values()
    targets = result["summary"]["targets"]
    assert [t["target"].partition(" of ")[0] for t in targets[:2]] == ["referee"] * 2
    assert len(targets) == 6
    assert all(isinstance(t["met"], bool) for t in targets)
    assert str(ROOT) not in json.dumps(result)


@pytest.mark.parametrize(
    "figures", [{"tpr of sex": 0.50001}, {"tpr of age": 0.5}, {"tpr of sex": float("nan")}, {}]
)
def test_a_peer_that_measures_something_else_is_no_peer(figures: dict[str, float]) -> None:
    assert furthest("peer", {"tpr of sex": 0.5}, {"tpr of sex": 0.5, "fpr of sex": 0.1}) == 0
    with pytest.raises(RuntimeError, match="peer did not measure what the referee did"):
        furthest("peer", figures, {"tpr of sex": 0.5})


def test_data_contract_and_policy_fit_each_other(tmp_path: Path) -> None:
    described = generate(tmp_path, 3000)
    contract = load_contract(tmp_path / CONTRACT)
    policy = load_policy(tmp_path / POLICY, contract)
    dataset = Dataset.open(tmp_path / "dataset")

    assert {c.name: len(c.group_labels) for c in contract.protected} == ATTRIBUTES
    assert {x.slice.attributes for x in policy.release_gate.limits} == {(), *SLICES}
    assert dataset.rows("evaluation") == 3000
    (path,) = dataset.files(split="evaluation")
    rows, scored = pq.read_table(path), pq.read_table(tmp_path / PREDICTIONS)
    assert rows["assay_row"].equals(scored["assay_row"])
    assert len(set(rows["assay_row"].to_pylist())) == 3000
    for column in contract.protected:
        assert set(rows[column.group_column].to_pylist()) == set(column.group_labels)
    assert generate(tmp_path / "again", 3000) == described


def _run(peer: str, rows: int, number: int, seconds: float, peak: float = 500.0) -> dict[str, Any]:
    return {
        "peer": peer, "rows": rows, "round": number, "seconds": seconds, "cpu_seconds": seconds,
        "import_seconds": 1.0, "work_seconds": seconds - 1.0, "others_cores": 0.0,
        "peak_mb": peak, "figures": 1, "intervals": 1, "furthest_from_referee": 0.0,
    }  # fmt: skip


def test_ratios_are_taken_round_by_round_and_a_lost_comparison_is_reported_as_lost() -> None:
    runs = []
    for number, slow in enumerate((1, 2, 1)):
        runs += [
            _run("referee", 1000, number, 2.0 * slow, 999.0 + number),
            _run("referee", 10_000, number, 21.0 * slow),
            _run("referee", 100, number, 2.0 * slow),
            _run("fairlearn-bootstrap", 100, number, 300.0 * slow),
            _run("tfma-jackknife", 100, number, 1.5 * slow),
        ]

    found = summarise(runs, 1000, 10_000, 100)

    assert [(t["figure"]["median"], t["met"]) for t in found["targets"]] == [
        (2.0, True),
        (1001.0, False),
        (10.5, True),
        (20.0, False),
        (150.0, True),
        (0.75, False),
    ]
    assert found["targets"][-1]["target"].startswith("faster than tfma-jackknife")
    assert [p["runs"] for p in found["by_peer"]] == [3] * 5
