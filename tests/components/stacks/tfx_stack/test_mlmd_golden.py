"""A small store written row by row, and the whole graph that it must always give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as pb

from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage
from components.stacks.tfx_stack.mlmd_store import CountedStore

GOLDEN = Path(__file__).with_name("mlmd_graph.json")
RUN, ORIGIN = "20260102T000000Z-tfx-fair-bbbbbb", "20260101T000000Z-tfx-fair-aaaaaa"
BOUND = {
    "stack": "tfx", "candidate": "fair", "dataset": "clinic", "dataset_version": "d" * 64,
    "rows_root": "e" * 64, "rows": "120", "contract": "c" * 64, "policy": "b" * 64,
    "code": "assay 1.0", "environment": "a" * 64, "seed": "7", "actor": "ann",
    "started": "2026-01-02T00:00:00.000000+00:00",
}  # fmt: skip
ENDED = {
    "outcome": "released", "reason": "every gate is open", "head": "f" * 64,
    "finished": "2026-01-02T00:01:00.000000+00:00",
}  # fmt: skip
RELEASE = {
    "number": "2", "kind": "waived", "at": "2026-01-02T00:01:00.000000+00:00", "actor": "ann",
    "reason": "a reason", "model": "1" * 64, "supersedes": "1", "waiver": "2" * 64,
}  # fmt: skip
WAIVER = {
    "sha256": "2" * 64, "reason": "excused", "expires": "2026-02-01", "signer": "bob",
    "cosigner": "eve",
}  # fmt: skip


def write(home: Path) -> None:
    """Two runs: one that trained and was released, and one that released its model again."""
    store = Writer(home)
    first = {**ENDED, **{f"release_{k}": v for k, v in RELEASE.items()}}
    first |= {"release_number": "1", "release_supersedes": "0", "release_waiver": ""}
    store.context(ORIGIN, {**BOUND, **first, "release_kind": "release"})
    outputs = {"rows": {"name": "rows.parquet", "kind": "file", "sha256": "3" * 64}}
    store.stage(ORIGIN, "IngestStage", "ingest", {names.OUTPUTS: json.dumps(outputs)})
    store.stock(ORIGIN, "ParquetExampleGen", "examples", "4" * 64)
    store.stage(ORIGIN, "TrainStage", "train", {})
    store.stock(ORIGIN, "Trainer", "model", "1" * 64)
    store.stage(ORIGIN, "PushStage", "push", {})
    store.stock(ORIGIN, "Pusher", "pushed_model", "1" * 64)

    again = {**ENDED, **{f"release_{k}": v for k, v in RELEASE.items()}, "continues": ORIGIN}
    store.context(RUN, {**BOUND, **again})
    judged = {
        names.WAIVER: json.dumps(WAIVER),
        names.FIGURES: json.dumps({"roc_auc@overall": "0.75"}),
        names.FINDINGS: json.dumps({"limit:auc": "FAIL"}),
    }
    store.stage(RUN, "RejudgedBlessing", "release_gate", judged)
    store.stage(RUN, "PushStage", "push", {})
    store.stock(RUN, "Pusher", "pushed_model", "1" * 64)


class Writer:
    """Puts rows into a store of a home."""

    def __init__(self, home: Path) -> None:
        self.store = CountedStore(home, writable=True)
        self.contexts: dict[str, Any] = {}

    def context(self, run: str, told: dict[str, str]) -> None:
        """The context of a run."""
        kind = self.store.put_context_type(pb.ContextType(name=names.RUN_CONTEXT))
        row = pb.Context(type_id=kind, name=run)
        held = {f"assay_{k}": v for k, v in {**told, "run": run}.items() if v}
        (row.id,) = self.store.put_contexts([_told(row, held)])
        self.contexts[run] = row

    def stage(self, run: str, node: str, stage: str, more: dict[str, str]) -> None:
        """The execution of a node that recorded a stage."""
        told = {
            names.RUN: run, names.STAGE: stage, "assay_status": "PASS", "assay_reason": "all hold",
            "assay_started": BOUND["started"], "assay_finished": ENDED["finished"],
            "assay_tools": "tfx 1.21.0", "assay_record": "9" * 64, **more,
        }  # fmt: skip
        self._execute(run, node, told, [])

    def stock(self, run: str, node: str, key: str, digest: str) -> None:
        """The execution of a stock node, with its output."""
        kind = self.store.put_artifact_type(pb.ArtifactType(name=key))
        artifact = pb.Artifact(type_id=kind, uri=f"/old/home/runs/{run}/native/{node}/{key}/5")
        told = {names.RUN: run, names.SHA256: digest}
        if key == "pushed_model":
            told[names.PUSHED_DESTINATION] = "/old/home/serving/clinic/tfx/17"
        event = pb.Event(type=pb.Event.OUTPUT)
        event.path.steps.add().key = key
        self._execute(run, node, {names.RUN: run}, [(_told(artifact, told), event)])

    def _execute(self, run: str, node: str, told: dict[str, str], made: list[Any]) -> None:
        kind = self.store.put_execution_type(pb.ExecutionType(name=f"a.room.{node}"))
        row = _told(pb.Execution(type_id=kind), told)
        self.store.put_execution(row, made, [self.contexts[run]])


def _told(row: Any, properties: dict[str, str]) -> Any:
    for name, value in properties.items():
        row.custom_properties[name].string_value = value
    return row


def test_the_graph_is_the_golden_one(tmp_path: Path) -> None:
    write(tmp_path)
    graph = MlmdLineage(tmp_path).read().graph
    found = {
        "nodes": {n.id: dict(n.attributes) for n in graph.nodes.values()},
        "edges": [[e.source, str(e.kind), e.target, e.role] for e in graph.edges],
    }
    assert found == json.loads(GOLDEN.read_text())
