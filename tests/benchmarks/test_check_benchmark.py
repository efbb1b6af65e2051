"""The check benchmark asks every peer the same; how long they take is no business of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.check_data import COLUMNS, COMPARED, CONTRACT, POLICY, SHIFTED, generate
from benchmarks.check_report import summarise
from components.contract.clauses import drifting_columns, schema_clauses
from components.contract.contract_loader import load_contract
from components.contract.policy_loader import load_policy

ROWS = 5000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The benchmark's JSON on equal sides, and on sides of which two columns differ."""
    command = [sys.executable, "-m", "benchmarks.check", "--quick", "--rows", str(ROWS)]
    started = {}
    for name, more in (("equal", []), ("shifted", ["--shift"])):
        folder = tmp_path_factory.mktemp(name)
        run = subprocess.Popen(
            [*command, "--output", str(folder), *more], cwd=ROOT, stdout=subprocess.PIPE
        )
        started[name] = (folder, run)
    found = {}
    for name, (folder, run) in started.items():
        printed, _ = run.communicate()
        assert run.returncode == 0
        (written,) = folder.glob(f"check-{ROWS}-*.json")
        assert written.name in printed.decode()
        found[name] = json.loads(written.read_text())
    return found


def judged(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {run["peer"]: run["judged"] for run in result["runs"]}


def test_every_peer_ran_once(results: dict[str, dict[str, Any]]) -> None:
    peers = [run["peer"] for run in results["equal"]["runs"]]

    assert peers == [
        "assay-command", "assay", "duckdb-scan", "great-expectations", "tfdv-dataframe",
        "evidently",
    ]  # fmt: skip


def test_equal_sides_pass_everywhere(results: dict[str, dict[str, Any]]) -> None:
    verdicts = {peer: found["verdict"] for peer, found in judged(results["equal"]).items()}

    assert verdicts.pop("duckdb-scan") is None
    assert set(verdicts.values()) == {"PASS"}


@pytest.mark.parametrize("peer", ["assay-command", "assay", "tfdv-dataframe", "evidently"])
def test_peers_that_know_drift_judge_the_same_columns(
    results: dict[str, dict[str, Any]], peer: str
) -> None:
    equal, shifted = (judged(results[side])[peer] for side in ("equal", "shifted"))

    assert sorted(equal["compared"]) == sorted(COMPARED)
    assert equal["drifted"] == []
    assert sorted(shifted["compared"]) == sorted(COMPARED)
    assert sorted(shifted["drifted"]) == sorted(SHIFTED)
    assert shifted["verdict"] == "FAIL"


def test_peers_that_know_clauses_judge_as_many(results: dict[str, dict[str, Any]]) -> None:
    found = judged(results["equal"])
    clauses = {peer: f["clauses"] for peer, f in found.items() if f["clauses"]}

    # TFDV has no word for the unique person.
    assert clauses == {
        "assay-command": 62, "assay": 62, "great-expectations": 62, "tfdv-dataframe": 61,
    }  # fmt: skip
    for peer in clauses:
        assert found[peer]["broken"] == []
        assert sorted(found[peer]["read"]) == sorted(c.name for c in COLUMNS)


def test_the_result_says_what_was_measured_on_what(results: dict[str, dict[str, Any]]) -> None:
    result = results["equal"]

    assert (result["rows"], result["columns"], result["compared_columns"]) == (ROWS, 20, 18)
    assert {"cores", "python", "versions", "processor"} <= set(result["machine"])
    assert [t["target"] for t in result["summary"]["targets"]][-1] == "assay check under 1000 MB"
    assert all(isinstance(t["met"], bool) for t in result["summary"]["targets"])
    for run in result["runs"]:
        assert run["peak_mb"] > 0 and run["seconds"] > 0
    assert str(ROOT) not in json.dumps(result)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (generate(tmp_path / name, 300) for name in ("first", "second"))

    assert first == second
    assert first["baseline.parquet"]["sha256"] != first["current.parquet"]["sha256"]


def test_contract_and_policy_are_complete(tmp_path: Path) -> None:
    generate(tmp_path, 300)
    contract = load_contract(tmp_path / CONTRACT)
    policy = load_policy(tmp_path / POLICY, contract)

    assert len(contract.columns) == 20
    assert drifting_columns(contract) == COMPARED
    kinds = [str(c.kind) for c in schema_clauses(contract)]
    assert {k: kinds.count(k) for k in set(kinds)} == {
        "row_count": 2, "type": 20, "nulls": 20, "domain": 8, "range": 11, "unique": 1,
    }  # fmt: skip
    assert policy.data_gate.first_release is not None


def _run(peer: str, number: int, seconds: float, work: float | None, peak: float) -> dict[str, Any]:
    return {
        "peer": peer, "temperature": "warm", "round": number, "seconds": seconds,
        "cpu_seconds": seconds, "peak_mb": peak, "read_mb": 0.0, "others_cores": 0.0,
        "import_seconds": work, "work_seconds": work,
    }  # fmt: skip


def test_ratios_are_taken_round_by_round_and_a_tool_counts_at_its_best() -> None:
    runs = []
    for number, slow in enumerate((1, 2)):
        runs += [
            _run("assay-command", number, 2.0 * slow, None, 999.0),
            _run("assay", number, 2.0 * slow, 1.0 * slow, 900.0),
            _run("tfdv-beam", number, 90.0 * slow, 80.0 * slow, 2000.0),
            _run("tfdv-dataframe", number, 30.0 * slow, 9.9 * slow, 2000.0),
            _run("evidently", number, 19.0 * slow, 10.0 * slow, 2000.0),
            _run("evidently-preset", number, 4.0 * slow, 2.0 * slow, 2000.0),
        ]

    found = summarise(runs)

    assert found["by_temperature"]["warm"]["tfdv-beam"]["ratio_whole"]["max"] == 45.0
    assert [(t["setting"], t["figure"]["median"], t["met"]) for t in found["targets"]] == [
        ("tfdv-dataframe", 15.0, True),
        ("tfdv-dataframe", 9.9, False),
        ("evidently", 9.5, False),
        ("evidently", 10.0, True),
        ("assay-command", 999.0, True),
    ]
