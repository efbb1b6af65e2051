"""A run's figures are made again from bytes; what was changed since, or untrue then, is named."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.audit.reperformance import PARTS, Reperformance, reperform
from components.audit.reperformed_profile import _rule
from components.checks.measurement import Measurement, conclude, within
from components.checks.small_figures import masked_verdict
from components.contract.errors import InputError
from components.contract.stages import Stage
from components.lineage.row_key import row_key_path
from components.release.recomputation import Outcome
from components.release.run_evidence import RunEvidence, read_evidence
from components.stacks.process import ReleaseProcess
from pipelines.launch import prepare_release
from tests import seeded
from tests.plain_stack import PlainStack, start


@dataclass(frozen=True)
class Runs:
    """A first release, a challenger that was held against it, the first again, and a leaky run."""

    home: Path
    first: RunEvidence
    second: RunEvidence
    back: RunEvidence
    leaked: RunEvidence

    @property
    def row_key(self) -> bytes:
        """The home's."""
        return row_key_path(self.home).read_bytes()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Their evidence, in one home."""
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(folder / "documents")

    def run(name: str, **spoilt: Any) -> Path:
        data = seeded.write_rows(folder / f"{name}.csv", **spoilt)
        process = start(folder, "plain", policy=policy, contract=contract, data=data)
        PlainStack(process).run()
        return process.spec.directory

    first, second, leaked = run("a"), run("b", seed=2), run("c", fault=seeded.leaked)
    back = ReleaseProcess(prepare_release(first, "a test"))
    assert PlainStack(back).release() == "released"
    evidence = [read_evidence(d) for d in (first, second, back.spec.directory, leaked)]
    return Runs(folder, *evidence)


def data_of(run: RunEvidence, target: Path) -> Path:
    """Copies of a run's dataset and artifacts, as an auditor is handed them."""
    home = run.directory.parent.parent
    version = Path(run.inputs["dataset"]) / run.inputs["datasetVersion"][:16]
    shutil.copytree(home / "datasets" / version, target / "datasets" / version)
    shutil.copytree(run.directory / "artifacts", target / "artifacts")
    return target


def dataset_of(data: Path) -> Path:
    """The one dataset version in a folder that ``data_of`` made."""
    (manifest,) = data.rglob("manifest.json")
    return manifest.parent


def wrong(found: Reperformance) -> set[tuple[str, str, str]]:
    """Part, name and outcome of what does not hold."""
    return {(f.part, f.name, str(f.outcome)) for f in found.wrong}


@pytest.mark.parametrize("name", ["first", "second", "back"])
def test_an_honest_run_comes_out_again_to_the_last_bit(runs: Runs, name: str) -> None:
    run = getattr(runs, name)
    found = reperform(run, runs.home, runs.row_key)
    assert found.holds
    assert {f.outcome for f in found.found} == {Outcome.EQUAL}
    counts = {part: sum(found.counts(part).values()) for part in PARTS}
    assert counts["data"] == 9
    assert counts["rows"] == 7
    assert counts["profile"] == 3
    assert counts["data gate"] > 30
    assert counts["release gate"] > 100
    (champion,) = {f.name for f in found.found} & {"champion_predictions.parquet"} or {""}
    assert (champion != "") is (name == "second")


def test_copies_of_the_two_folders_are_enough(runs: Runs, tmp_path: Path) -> None:
    data = data_of(runs.first, tmp_path / "handed over")
    shutil.rmtree(data / "artifacts" / "plain")  # neither model nor native files are needed
    found = reperform(runs.first, data)
    assert found.holds
    assert {f.name for f in found.found if f.outcome is Outcome.NOT_CHECKED} == {"commitments"}
    (data / "datasets" / runs.first.inputs["dataset"]).rename(data / "insurer")
    assert reperform(runs.first, data).holds


def test_a_run_that_ended_early_is_done_again_as_far_as_it_came(runs: Runs) -> None:
    found = reperform(runs.leaked, runs.home)
    assert found.holds
    assert found.counts("release gate") == {}
    assert sum(found.counts("data gate").values()) > 30


def test_each_step_is_told(runs: Runs) -> None:
    told: list[str] = []
    reperform(runs.first, runs.home, None, told.append)
    assert told[0] == "manifest.json"
    assert {"rows of train", "profile of everything", "release gate"} <= set(told)


def test_a_changed_score_is_named_and_not_judged(runs: Runs, tmp_path: Path) -> None:
    data = data_of(runs.first, tmp_path / "d")
    path = data / "artifacts" / "predictions.parquet"
    table = pq.read_table(path)
    scores = table["score"].to_pylist()
    scores[3] += 1e-9
    changed = table.set_column(1, "score", pa.array(scores)).replace_schema_metadata(
        table.schema.metadata
    )
    pq.write_table(changed, path, compression="zstd")
    assert wrong(reperform(runs.first, data)) == {
        ("release gate", "predictions.parquet", "different"),
        ("release gate", "every figure", "cannot be recomputed"),
    }


def test_another_runs_predictions_are_named(runs: Runs, tmp_path: Path) -> None:
    data = data_of(runs.first, tmp_path / "d")
    shutil.copy(runs.second.directory / "artifacts" / "predictions.parquet", data / "artifacts")
    found = reperform(runs.first, data)
    assert wrong(found) == {
        ("release gate", "predictions.parquet", "different"),
        ("release gate", "every figure", "cannot be recomputed"),
    }
    assert sum(found.counts("data gate").values()) > 30, "the rest is done all the same"


def test_missing_predictions_are_named(runs: Runs, tmp_path: Path) -> None:
    data = data_of(runs.second, tmp_path / "d")
    (data / "artifacts" / "champion_predictions.parquet").unlink()
    assert wrong(reperform(runs.second, data)) == {
        ("release gate", "champion_predictions.parquet", "cannot be recomputed"),
        ("release gate", "every figure", "cannot be recomputed"),
    }


def _swapped(directory: Path) -> str:
    one, two = directory / "train" / "span-0000.parquet", directory / "train" / "span-0001.parquet"
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    return "train/span-0000.parquet different"


def _no_parquet(directory: Path) -> str:
    (directory / "evaluation" / "span-0001.parquet").write_bytes(b"PAR1 is what it says")
    return "evaluation/span-0001.parquet different"


def _missing(directory: Path) -> str:
    (directory / "validation" / "span-0000.parquet").unlink()
    return "validation/span-0000.parquet cannot be recomputed"


def _added(directory: Path) -> str:
    shutil.copy(directory / "train" / "span-0000.parquet", directory / "train" / "span-9.parquet")
    return "train/span-9.parquet different"


def _other_manifest(directory: Path) -> str:
    path = directory / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"insurer", b"insured", 1))
    return "manifest.json different"


def _no_manifest(directory: Path) -> str:
    (directory / "manifest.json").unlink()
    return "manifest.json cannot be recomputed"


@pytest.mark.parametrize(
    "change", [_swapped, _no_parquet, _missing, _added, _other_manifest, _no_manifest]
)
def test_data_that_is_not_what_was_read_is_named_and_not_opened(
    runs: Runs, tmp_path: Path, change: Callable[[Path], str]
) -> None:
    data = data_of(runs.first, tmp_path / "d")
    directory = dataset_of(data)
    expected = change(directory)
    found = reperform(runs.first, data, runs.row_key)
    named = {f"{f.name} {f.outcome}" for f in found.wrong if f.part == "data"}
    assert expected in named
    assert len(named) == (2 if change is _swapped else 1)
    others = [f for f in found.found if f.part != "data"]
    assert {f.part for f in others} == {"rows", "profile", "data gate", "release gate"}
    assert {f.outcome for f in others} == {Outcome.IMPOSSIBLE}
    assert {f.computed for f in others} == {f"{expected.split()[0]} is not what was recorded"}


def test_another_datasets_folder_is_not_the_runs(runs: Runs, tmp_path: Path) -> None:
    data = data_of(runs.first, tmp_path / "d")
    other = dataset_of(data_of(runs.second, tmp_path / "other"))
    shutil.rmtree(dataset_of(data))
    shutil.copytree(other, data / "datasets" / "insurer" / runs.first.inputs["datasetVersion"][:16])
    found = reperform(runs.first, data)
    assert wrong(found) >= {("data", "manifest.json", "different")}
    assert not found.holds


def test_another_row_key_is_found_out(runs: Runs) -> None:
    found = reperform(runs.first, runs.home, bytes(32))
    assert wrong(found) == {("rows", "commitments", "different")}
    assert {f.slice for f in found.wrong} == {"train", "validation", "evaluation"}


def test_a_kept_profile_that_was_changed_needs_the_row_key(runs: Runs, tmp_path: Path) -> None:
    data = data_of(runs.first, tmp_path / "d")
    path = data / "artifacts" / "profile-current.json"
    path.write_bytes(path.read_bytes().replace(b'"nulls": 0', b'"nulls": 1', 1))
    assert wrong(reperform(runs.first, data)) == {("profile", "current", "cannot be recomputed")}
    assert reperform(runs.first, data, runs.row_key).holds
    path.unlink()
    assert wrong(reperform(runs.first, data)) == {("profile", "current", "cannot be recomputed")}
    assert reperform(runs.first, data, runs.row_key).holds


def claimed(run: RunEvidence, stage: Stage, change: Callable[[dict[str, Any]], None]) -> Any:
    """A run's evidence with another body of one stage, as if that had been signed."""
    body = copy.deepcopy(run.own[stage].body)
    change(body)
    return replace(run, own={**run.own, stage: replace(run.own[stage], body=body)})


def _measured(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        figure = next(
            m for m in body["measurements"] if (m["name"], m["slice"]) == (name, "overall")
        )
        figure.update(changes)

    return change


def test_a_figure_that_was_untrue_when_it_was_signed_is_named(runs: Runs) -> None:
    run = claimed(runs.first, Stage.RELEASE_GATE, _measured("roc_auc", value="0.99"))
    found = reperform(run, runs.home)
    assert wrong(found) == {("release gate", "roc_auc", "different")}
    (figure,) = found.wrong
    assert figure.slice == "overall"
    assert figure.recorded.startswith("0.99 [")
    assert not figure.computed.startswith("0.99")


def test_a_figure_within_the_policys_tolerance_is_told_apart(runs: Runs) -> None:
    gate = runs.first.own[Stage.RELEASE_GATE].body
    honest = next(m for m in gate["measurements"] if m["name"] == "brier")
    tolerance = runs.first.policy.release_gate.agreement
    for apart, outcome in ((tolerance * 0.9, Outcome.CLOSE), (tolerance * 1.1, Outcome.DIFFERENT)):
        value = str(float(honest["value"]) + apart)
        run = claimed(runs.first, Stage.RELEASE_GATE, _measured("brier", value=value))
        found = reperform(run, runs.home)
        assert {f.name: f.outcome for f in found.found if not f.same and f.name == "brier"} == {
            "brier": outcome
        }
        assert found.holds is (outcome is Outcome.CLOSE)


@pytest.mark.parametrize(
    "changes", [{"n": 1}, {"value": "NaN"}, {"value": None}, {"low": None}, {"high": "Infinity"}]
)
def test_what_is_no_number_or_rests_on_other_cases_is_never_close(
    runs: Runs, changes: dict[str, Any]
) -> None:
    run = claimed(runs.first, Stage.RELEASE_GATE, _measured("roc_auc", **changes))
    assert wrong(reperform(run, runs.home)) == {("release gate", "roc_auc", "different")}


def test_a_finding_that_was_untrue_is_named(runs: Runs) -> None:
    def lie(body: dict[str, Any]) -> None:
        found = {f["rule"]: f for f in body["referee"]["findings"]}
        found["limit:auc"]["status"] = "FAIL"

    found = reperform(claimed(runs.first, Stage.RELEASE_GATE, lie), runs.home)
    assert [(f.name, f.slice, f.recorded, f.computed) for f in found.wrong] == [
        ("finding", "limit:auc", "FAIL", "PASS")
    ]


def test_drift_that_was_untrue_is_named(runs: Runs) -> None:
    def lie(body: dict[str, Any]) -> None:
        found = {f["rule"]: f for f in body["referee"]["findings"]}
        found["drift:burden"]["measurement"]["value"] = "0.4"
        found["drift:visits"]["status"] = "FAIL"

    found = reperform(claimed(runs.first, Stage.DATA_GATE, lie), runs.home)
    assert {(f.part, f.name, f.slice) for f in found.wrong} == {
        ("data gate", "drift:burden", "burden"),
        ("data gate", "finding", "drift:visits"),
    }


def test_a_breach_of_a_few_rows_comes_out_again_as_hidden(runs: Runs) -> None:
    breach = Measurement("values outside the domain", 3.0, 900, slice="region", unit="rows")
    few = within("domain:region", breach, at_most=0.0)
    many = within("domain:region", replace(breach, value=30.0), at_most=0.0)
    told = masked_verdict(conclude([few]), (), ()).findings[0].to_json()
    assert {f.outcome for f in _rule("domain:region", told, few, runs.first)} == {Outcome.EQUAL}
    figure, finding = _rule("domain:region", told, many, runs.first)
    assert (figure.outcome, finding.outcome) == (Outcome.DIFFERENT, Outcome.EQUAL)


def test_a_rule_that_one_side_lacks_is_named(runs: Runs) -> None:
    def lie(body: dict[str, Any]) -> None:
        findings = body["referee"]["findings"]
        findings[:] = [f for f in findings if f["rule"] != "drift:burden"]
        findings.append({**findings[0], "rule": "made:up"})

    found = reperform(claimed(runs.first, Stage.DATA_GATE, lie), runs.home)
    told = {(f.name, f.slice): (f.recorded, f.computed) for f in found.wrong}
    assert told[("finding", "made:up")] == (
        runs.first.own[Stage.DATA_GATE].body["referee"]["findings"][0]["status"], "",
    )  # fmt: skip
    assert told[("finding", "drift:burden")] == ("", "PASS")


def test_a_profile_of_other_rows_is_named_column_by_column(runs: Runs, tmp_path: Path) -> None:
    """The profile that was signed counts other rows than the dataset that was signed."""
    data = data_of(runs.first, tmp_path / "d")
    other = runs.second.directory / "artifacts" / "profile-everything.json"
    shutil.copy(other, data / "artifacts")
    theirs = runs.second.own[Stage.STATISTICS].body["outputs"]["profile_everything"]["sha256"]

    def lie(body: dict[str, Any]) -> None:
        body["outputs"]["profile_everything"]["sha256"] = theirs

    found = reperform(claimed(runs.first, Stage.STATISTICS, lie), data)
    assert {(f.part, f.name) for f in found.wrong} == {("profile", "everything")}
    by_column = {f.slice: f.computed for f in found.wrong}
    assert "burden" in by_column
    assert "other" in by_column["burden"]
    assert not any(c.isdigit() for c in by_column["burden"]), "it counts people: nothing is quoted"


def test_the_manifest_is_held_against_the_records(runs: Runs) -> None:
    first = next(iter(runs.first.own.values()))
    body = copy.deepcopy(first.body)
    body["inputs"]["rowsRoot"] = "0" * 64
    run = replace(runs.first, own={**runs.first.own, first.stage: replace(first, body=body)})
    assert wrong(reperform(run, runs.home)) >= {("data", "rowsRoot of manifest.json", "different")}


def test_a_commitment_that_is_another_rows_is_found(runs: Runs, tmp_path: Path) -> None:
    """Two rows with each other's commitment give the same root; only the row key tells."""
    from components.audit.reperformed_data import check_rows
    from components.datasets.canonical import Dataset

    data = data_of(runs.first, tmp_path / "d")
    dataset = Dataset.open(dataset_of(data))
    path = dataset.files(split="train")[0]
    table = pq.read_table(path)
    rows = table["assay_row"].to_pylist()
    rows[0], rows[1] = rows[1], rows[0]
    at = table.schema.get_field_index("assay_row")
    pq.write_table(table.set_column(at, "assay_row", pa.array(rows, pa.binary(32))), path)
    found = list(check_rows(dataset, runs.first.contract, runs.row_key, lambda _: None))
    assert [(f.name, f.slice, f.computed) for f in found if not f.same] == [
        ("commitments", "train", "2 of them do not")
    ]
    assert pc.count_distinct(table["assay_row"]).as_py() == len(rows)


def test_a_folder_that_is_not_there_is_bad_input(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no directory"):
        reperform(runs.first, tmp_path / "nowhere")


def test_an_empty_folder_proves_nothing(runs: Runs, tmp_path: Path) -> None:
    assert not reperform(runs.first, tmp_path).holds


def test_no_framework_is_loaded() -> None:
    code = (
        "import sys, pipelines.reperform_cli, components.audit.reperformance;"
        "sys.exit(bool({'tensorflow', 'torch', 'mlflow', 'tfx', 'onnxruntime', 'model_signing'}"
        " & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
