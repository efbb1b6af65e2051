"""Every property that MLflow holds of a run is read, and each edit of one is told by its path."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.lineage.graph import NodeKind
from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage
from tests.components.stacks.pytorch_stack.conftest import Settled
from tests.components.stacks.pytorch_stack.runs import NAME, mlflow_run, store

RUN = "(SELECT run_uuid FROM runs WHERE name = :run)"
"""What ``RUN`` stands for in the statements below."""
EDITS = {
    "run/*/status": "UPDATE runs SET status = 'FAILED' WHERE run_uuid = RUN",
    "run/*/lifecycle_stage": "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = RUN",
    "run/*/end_time": "UPDATE runs SET end_time = end_time + 1 WHERE run_uuid = RUN",
    "run/*/name": "UPDATE runs SET name = 'another' WHERE run_uuid = RUN",
    "run/*/param/epochs": "UPDATE params SET value = '9' WHERE key = 'epochs' AND run_uuid = RUN",
    "run/*/tag/assay.policy": (
        "UPDATE tags SET value = 'x' WHERE key = 'assay.policy' AND run_uuid = RUN"
    ),
    "run/*/tag/assay.run_id": (
        "UPDATE tags SET value = 'x' WHERE key = 'assay.run_id' AND run_uuid = RUN"
    ),
    "run/*/tag/assay.stage.train": (
        "DELETE FROM tags WHERE key = 'assay.stage.train' AND run_uuid = RUN"
    ),
    "run/*/metric/train_loss/1/*": (
        "UPDATE metrics SET value = 0 WHERE key = 'train_loss' AND step = 1 AND run_uuid = RUN"
    ),
    "run/*/metric/roc_auc/0/*": (
        "UPDATE metrics SET is_nan = 1 WHERE key = 'roc_auc' AND run_uuid = RUN"
    ),
    "run/*/latest_metric/roc_auc": (
        "UPDATE latest_metrics SET value = 0.99 WHERE key = 'roc_auc' AND run_uuid = RUN"
    ),
    "run/*/input/*/tag/assay.rows_root": (
        "UPDATE input_tags SET value = 'x' WHERE name = 'assay.rows_root' AND input_uuid = "
        "(SELECT min(input_uuid) FROM inputs WHERE destination_id = RUN AND source_id IN "
        "(SELECT dataset_uuid FROM datasets WHERE name = 'clinic-train'))"
    ),
    "run/*/input/*/dataset/dataset_source": (
        "UPDATE datasets SET dataset_source = '{}' WHERE name = 'clinic-train'"
    ),
    "logged_model/*/tag/assay.contract": (
        "UPDATE logged_model_tags SET tag_value = 'x' WHERE tag_key = 'assay.contract' AND "
        "model_id = (SELECT model_id FROM logged_models WHERE source_run_id = RUN)"
    ),
    "logged_model/*/artifact_location": (
        "UPDATE logged_models SET artifact_location = 'x' WHERE source_run_id = RUN"
    ),
    "model_version/assay-clinic/1/source": (
        "UPDATE model_versions SET source = 'x' WHERE version = 1"
    ),
    "model_version/assay-clinic/1/tag/assay.sha256": (
        "UPDATE model_version_tags SET value = 'x' WHERE key = 'assay.sha256' AND version = 1"
    ),
    "experiment/*/lifecycle_stage": (
        "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id = "
        "(SELECT experiment_id FROM runs WHERE run_uuid = RUN)"
    ),
}


@pytest.fixture(scope="module")
def held(settled: Settled) -> Mapping[str, str]:
    """The entries of the first release."""
    return MlflowLineage(settled.home).read().entries[settled.released.spec.run_id]


@pytest.fixture
def copy(settled: Settled, tmp_path: Path) -> Path:
    """A home with a copy of the store, and the files that the store is of."""
    (tmp_path / "stores").mkdir()
    shutil.copyfile(settled.home / "stores" / "mlflow.sqlite", tmp_path / "stores/mlflow.sqlite")
    (tmp_path / "stores" / "mlartifacts").symlink_to(settled.home / "stores" / "mlartifacts")
    return tmp_path


def changed(home: Path, run: str, statement: str) -> None:
    """Change a store behind MLflow's back."""
    with sqlite3.connect(home / "stores" / "mlflow.sqlite") as database:
        statement = statement.replace("RUN", RUN)
        assert database.execute(statement, {"run": run} if RUN in statement else {}).rowcount


@pytest.mark.parametrize("path", EDITS)
def test_an_edit_is_told_by_its_path(settled, held, copy: Path, path: str) -> None:
    run = settled.released.spec.run_id
    changed(copy, run, EDITS[path])
    now = MlflowLineage(copy).read().entries[run]
    (found,) = {p for p in held.keys() | now.keys() if held.get(p) != now.get(p)}
    parts, expected = found.split("/"), path.split("/")
    assert len(parts) == len(expected)
    assert all(e in ("*", p) for p, e in zip(parts, expected, strict=True)), found
    assert MlflowLineage(copy).read([run]).entries[run] == now


def test_a_run_that_was_deleted_for_good_is_no_longer_there(settled, copy: Path) -> None:
    run = settled.released.spec.run_id
    for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
        changed(copy, run, "DELETE FROM TABLE WHERE run_uuid = RUN".replace("TABLE", table))
    found = MlflowLineage(copy).read()
    assert run not in found.entries
    assert f"run/{run}" not in found.graph.nodes
    held = {n.key for n in found.graph.of_kind(NodeKind.RELEASE)}
    # Its version is nobody's any more.
    assert held == {"clinic/pytorch/2", "clinic/pytorch/3", "clinic/pytorch/version 1"}


def test_a_run_that_mlflow_deleted_is_still_told_of(settled, held, copy: Path) -> None:
    uri = f"sqlite:///{copy / 'stores' / 'mlflow.sqlite'}"
    MlflowClient(uri, uri).delete_run(mlflow_run(settled.released).info.run_id)
    now = MlflowLineage(copy).read().entries[settled.released.spec.run_id]
    named = {p.split("/")[-1] for p in held.keys() | now.keys() if held.get(p) != now.get(p)}
    assert named == {"lifecycle_stage", "deleted_time"}


def test_nothing_that_mlflows_own_client_shows_is_left_out(settled: Settled, held) -> None:
    client, run = store(settled.released), mlflow_run(settled.released)
    root = f"run/{run.info.run_id}"
    for key, value in run.data.params.items():
        assert held[f"{root}/param/{key}"] == value
    for key, value in run.data.tags.items():
        assert held[f"{root}/tag/{key}"] == value
    assert {p for p in held if p.startswith(f"{root}/latest_metric/")} == {
        f"{root}/latest_metric/{key}" for key in run.data.metrics
    }
    for key in ("train_loss", "validation_loss", "roc_auc"):
        for metric in client.get_metric_history(run.info.run_id, key):
            shown = held[f"{root}/metric/{key}/{metric.step}/{metric.timestamp}"]
            assert float(shown) == metric.value
    tags = {
        p.split("/tag/")[1]: v for p, v in held.items() if f"{root}/input/" in p and "/tag/" in p
    }
    for given in run.inputs.dataset_inputs:
        assert {t.key for t in given.tags} <= tags.keys()
    version = client.get_model_version(NAME, "1")
    for key, value in version.tags.items():
        assert held[f"model_version/{NAME}/1/tag/{key}"] == value
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    for key, value in model.tags.items():
        assert held[f"logged_model/{model.model_id}/tag/{key}"] == value
    assert held[f"{root}/artifact_uri"] == run.info.artifact_uri


def test_every_digest_in_mlflow_is_whole(settled: Settled, held) -> None:
    dataset = settled.released.dataset
    roots = {v for p, v in held.items() if p.endswith("/tag/assay.rows_root")}
    splits = {dataset.root(s) for s in ("train", "validation", "evaluation")}
    assert roots == {*splits, dataset.manifest["root"]}
    outputs = {p: v for p, v in held.items() if "/tag/assay.output." in p}
    records = settled.released.chain.records()
    assert set(outputs.values()) == {
        o["sha256"] for r in records for o in r.body.get("outputs", {}).values()
    }
    assert len(outputs) == sum(len(r.body.get("outputs", {})) for r in records)
    named = {p.rpartition(".")[2]: v for p, v in held.items() if p.startswith("run/")}
    spec = settled.released.spec
    assert (named["lock"], named["sbom"], named["image"]) == (spec.lock, spec.sbom, spec.image)
    assert (named["started"], named["seed"]) != ("", "")
