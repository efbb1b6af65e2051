"""`assay lineage export`: from any store, valid, the same every time, and nobody's value in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prov.model import ProvDocument

from components.audit.access_log import read_access
from components.contract.contract_loader import load_contract
from components.lineage.digests import sha256_file
from components.lineage.evidence import chain_of
from tests import seeded
from tests.carded_runs import Cards
from tests.components.lineage.openlineage_spec import check_event

ASSAY = Path(sys.executable).parent / "assay"
RARE = "canarygroup"
Event = dict[str, Any]


def canaries(rows: seeded.Rows) -> None:
    """Every person and region can be told by its text, and three people are of a rare sex."""
    rows["person"] = np.array([f"canaryperson{p}" for p in rows["person"]])
    rows["region"] = np.array([f"canaryregion-{r}" for r in rows["region"]])
    evaluation = rows["person"][~seeded._learned_from(rows)]
    rare = np.isin(rows["person"], sorted(set(evaluation))[:3])
    rows["sex"] = np.where(rare, RARE, rows["sex"].astype(object))


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Cards:
    """A home where a run was released and another, whose data are full of canaries, was blocked."""
    made = Cards(tmp_path_factory.mktemp("exported"))
    made.run()
    made.run(canaries)
    return made


@pytest.fixture
def home(cards: Cards, tmp_path: Path) -> Path:
    """The home, in a copy that a test may spoil; the data, which no export reads, stay behind."""
    copied = tmp_path / "home"
    shutil.copytree(cards.home, copied, ignore=shutil.ignore_patterns("datasets", "*.csv"))
    return copied


def runs_of(home: Path) -> dict[str, str]:
    """Run ids by outcome."""
    directories = sorted((home / "runs").iterdir())
    return {chain_of(d).records()[-1].body["outcome"]: d.name for d in directories}


def export(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command."""
    command = [ASSAY, "lineage", "export", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def events_in(path: Path) -> list[Event]:
    """The events of a file, each checked against every schema that it names."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for event in found:
        check_event(event)
    return found


def test_all_runs_out_of_evidence_as_openlineage(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.ndjson"
    done = export("--from", "evidence", "--home", home, "-o", out, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    found = events_in(out)
    ends = [e["eventType"] for e in found if "parent" not in e["run"]["facets"]]
    assert sorted(ends) == ["COMPLETE", "FAIL", "START", "START"]
    stages = [e for e in found if "parent" in e["run"]["facets"]]
    assert len(stages) == 2 * (8 + 6)
    names = {name for e in found for name in check_event(e)}
    assert names >= {
        "schema", "version", "dataQualityAssertions", "test", "columnLineage", "assay_evidence",
        "assay_figures", "assay_release", "assay_model", "assay_policy", "assay_run",
    }  # fmt: skip


def test_records_findings_figures_and_columns_are_those_of_the_run(
    home: Path, tmp_path: Path
) -> None:
    run, out = runs_of(home)["released"], tmp_path / "one.ndjson"
    done = export("--from", "evidence", "--run", run, "--home", home, "-o", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = {r.stage: r for r in chain_of(home / "runs" / run).records()}
    contract = load_contract(home / "runs" / run / "contract.yaml")
    ends = {
        e["job"]["name"].rpartition(".")[2]: e
        for e in events_in(out)
        if e["eventType"] == "COMPLETE" and "parent" in e["run"]["facets"]
    }
    for stage, event in ends.items():
        assert event["run"]["facets"]["assay_evidence"]["record"] == records[stage].digest
    (data,) = ends["data_gate"]["inputs"]
    fields = data["facets"]["schema"]["fields"]
    assert fields == [{"name": c.name, "type": str(c.logical_type)} for c in contract.columns]
    rules = {f["rule"] for f in records["data_gate"].body["referee"]["findings"]} | {"plain"}
    judged = data["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {a["name"] for a in judged} == rules
    assert all(a["success"] for a in judged)
    assert {a["column"] for a in judged if a["assertion"] == "type"} == {
        c.name for c in contract.columns
    }
    gate = records["release_gate"].body["nativeMeasurements"]
    recorded = {(m["name"], m["slice"]): m["value"] for m in gate if m["n"] is not None}
    figures = ends["release_gate"]["run"]["facets"]["assay_figures"]["figures"]
    assert len(figures) == len(recorded) > 20
    assert all(recorded[f["name"], f["slice"]] == f["value"] for f in figures)
    models = [d for d in ends["train"]["outputs"] if d["name"] == "insurer.tfx.model"]
    trained = records["train"].body["outputs"]
    assert [m["facets"]["assay_model"]["sha256"] for m in models] == [trained["model"]["sha256"]]
    signature = models[0]["facets"]["assay_model"]["signature"]
    assert signature == trained["model_signature"]["sha256"]
    (scores,) = [d for d in ends["score"]["outputs"] if d["name"].endswith(".score.predictions")]
    inputs = scores["facets"]["columnLineage"]["fields"]["score"]["inputFields"]
    assert [i["field"] for i in inputs] == ["burden", "visits", "region"]


def test_no_value_out_of_the_data_is_handed_out(home: Path, tmp_path: Path) -> None:
    """The record names a rare group and figures that it hides; no export does."""
    run = runs_of(home)["blocked"]
    gate = chain_of(home / "runs" / run).records()[5]
    measured = [m for m in gate.body["measurements"] if m["slice"] == f"sex={RARE}"]
    assert measured
    assert all(m["n"] in (None, 0) for m in measured)
    few = {m["name"] + m["slice"] for m in gate.body["measurements"] if m["n"] is None}
    for form in ("openlineage", "prov"):
        out = tmp_path / form
        done = export(
            "--from", "evidence", "--format", form, "--home", home, "-o", out, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "canary" not in (out.read_text() + done.stdout + done.stderr).lower()
    (closed,) = [
        e["run"]["facets"]
        for e in events_in(tmp_path / "openlineage")
        if e["eventType"] == "FAIL" and e["job"]["name"].endswith(".release_gate")
    ]
    figures = {f["name"] + f["slice"] for f in closed["assay_figures"]["figures"]}
    assert len(figures) > 20
    assert not few & figures
    assert any("(rare group 1)" in test["name"] for test in closed["test"]["tests"])


def test_a_release_that_a_waiver_excused_says_so(tmp_path: Path) -> None:
    cards = Cards(tmp_path)
    closed = cards.run(seeded.biased)
    waiver = cards.waive(closed, "a pilot of a week")
    again = cards.again(closed, seeded.biased)
    done = export("--from", "evidence", "--home", tmp_path, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [e for e in events_in(tmp_path / "out") if e["eventType"] != "START"]
    gates = [e for e in found if e["job"]["name"].endswith(".release_gate")]
    assert [e["eventType"] for e in gates] == ["FAIL", "FAIL"]
    excused = [e["run"]["facets"]["assay_verdict"].get("waiver") for e in gates]
    assert excused == [None, waiver.sha256]
    end = found[-1]["run"]["facets"]
    assert (found[-1]["eventType"], end["assay_release"]["kind"]) == ("COMPLETE", "waived")
    assert end["assay_run"]["runId"] == again.spec.run_id
    assert end["assay_run"]["continues"] == closed.spec.run_id


def test_prov_reads_back_and_the_same_lineage_is_the_same_bytes(home: Path, tmp_path: Path) -> None:
    for form in ("prov", "openlineage"):
        first, second = tmp_path / f"{form}-1", tmp_path / f"{form}-2"
        for out in (first, second):
            done = export(
                "--from", "evidence", "--format", form, "--home", home, "-o", out, "--json",
                cwd=tmp_path,
            )  # fmt: skip
            told = json.loads(done.stdout)
            assert told["sha256"] == sha256_file(out)
            assert told["runs"] == sorted(runs_of(home).values())
        assert first.read_bytes() == second.read_bytes()
    document = ProvDocument.deserialize(str(tmp_path / "prov-1"), format="json")
    assert len(document.get_records()) > 50


def test_a_file_that_is_there_stays(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ("--from", "evidence", "--format", "prov", "--home", home, "-o", out)
    assert export(*arguments, cwd=tmp_path).returncode == 0
    before = out.stat().st_mtime_ns
    assert export(*arguments, cwd=tmp_path).returncode == 0
    assert out.stat().st_mtime_ns == before
    out.write_text("mine")
    done = export(*arguments, cwd=tmp_path)
    assert (done.returncode, out.read_text()) == (2, "mine")
    assert done.stderr == (
        f"assay: {out}: is there already, with something else in it; expected a name that is free\n"
    )
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_each_export_is_in_the_access_log(home: Path, tmp_path: Path) -> None:
    run = runs_of(home)["released"]
    export("--from", "evidence", "--run", run, "--home", home, "-o", "a", cwd=tmp_path)
    export("--from", "mlmd", "--stack", "pytorch", "--home", home, "-o", "b", cwd=tmp_path)
    (access,) = read_access(home)
    assert (access.command, access.subjects) == ("lineage export", (run,))
    assert access.result == "openlineage from evidence: 1 runs"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "excel"], "--from: no store 'excel'; expected mlmd, mlflow or evidence"),
        (
            ["--from", "mlmd", "--stack", "pytorch"],
            "--from: mlmd is not a store of pytorch; expected mlflow or evidence",
        ),
        (["--from", "evidence", "--stack", "spark"], "--stack: no stack 'spark'; expected tfx or"),
        (["--from", "evidence", "--format", "csv"], "--format: no format 'csv'; expected openlin"),
        (["--from", "evidence", "--run", "nobody"], "no run 'nobody'"),
        (["--from", "evidence", "--run", "../keys"], "no run '../keys'"),
        (["--from", "mlflow"], "mlflow.sqlite"),
        (["--from", "evidence", "--home", "nowhere"], "nowhere: is no directory; expected a home"),
        (["--from", "evidence", "--stack", "pytorch"], "holds no run"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(
    home: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    before = sorted(home.rglob("*"))
    done = export("--home", home, *arguments, "-o", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert sorted(home.rglob("*")) == before


def test_a_contract_that_is_not_the_runs_own_ends_it(home: Path, tmp_path: Path) -> None:
    path = home / "runs" / runs_of(home)["released"] / "contract.yaml"
    path.write_text(path.read_text() + "\n")
    done = export("--from", "evidence", "--home", home, "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "contract.yaml is not the one that the run was bound to" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tracked(home: Path) -> Path:
    """The same home with an MLflow store that holds one of its runs, and figures of two groups."""
    from mlflow import MlflowClient

    run = runs_of(home)["released"]
    directory = home / "runs" / run
    (home / "stores").mkdir()
    uri = f"sqlite:///{home / 'stores' / 'mlflow.sqlite'}"
    client = MlflowClient(uri, uri)
    started = "2026-01-01T08:00:00.000000+00:00"
    tags = {
        "assay.run_id": run,
        "assay.stack": "pytorch",
        "assay.candidate": "plain",
        "assay.dataset": "insurer",
        "assay.dataset_version": "1" * 64,
        "assay.contract": sha256_file(directory / "contract.yaml"),
        "assay.policy": sha256_file(directory / "policy.yaml"),
        "assay.started": started,
        "assay.finished": started,
        "assay.outcome": "released",
    }
    for stage in ("release_gate", "score"):
        tags |= {
            f"assay.stage.{stage}": "PASS",
            f"assay.stage.{stage}.started": started,
            f"assay.stage.{stage}.finished": started,
            f"assay.output.{stage}.predictions": "2" * 64,
        }
    experiment = client.create_experiment("assay-insurer")
    held = client.create_run(experiment, tags=tags, run_name=run).info.run_id
    for figure in ("roc_auc", "selection_rate/sex/f", "selection_rate/age/under 50"):
        client.log_metric(held, figure, 0.25)
    return home


def test_out_of_mlflow_alone(tracked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = export("--from", "mlflow", "--stack", "pytorch", "--home", tracked, "-o", out,
                  cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = events_in(out)
    assert [(e["job"]["name"], e["eventType"]) for e in found] == [
        ("insurer.pytorch", "START"),
        ("insurer.pytorch.release_gate", "START"),
        ("insurer.pytorch.release_gate", "COMPLETE"),
        ("insurer.pytorch.score", "START"),
        ("insurer.pytorch.score", "COMPLETE"),
        ("insurer.pytorch", "COMPLETE"),
    ]
    names = {name for e in found for name in check_event(e)}
    assert "columnLineage" in names
    assert not {"assay_evidence", "sourceCodeLocation", "test"} & names
    figures = found[2]["run"]["facets"]["assay_figures"]["figures"]
    assert [(f["name"], f["slice"]) for f in figures] == [
        ("roc_auc", "overall"),
        ("selection_rate", "age=under 50"),  # the contract declares no group of sex
    ]
