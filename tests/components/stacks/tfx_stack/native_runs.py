"""Runs of the plain stack whose MLMD holds what a TFX pipeline would have left there.

The evidence is real and so is MLMD; what is left out is TFX's minute of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as pb

from components.lineage.evidence import EvidenceRecord
from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack import native_records
from components.stacks.tfx_stack.mlmd_store import CountedStore
from pipelines import tfx_pipeline
from tests import clinic
from tests.components.stacks.tfx_stack.conftest import learnable_rows
from tests.plain_stack import PlainStack, start

ROOM = "components.stacks.tfx_stack.stage_nodes"
RECORD_FIELDS = ("stage", "verdict", "reason", "record_sha256")
ARTIFACT_TYPES = {
    "examples": "Examples", "statistics": "ExampleStatistics", "anomalies": "ExampleAnomalies",
    "transform_graph": "TransformGraph", "model": "Model", "evaluation": "ModelEvaluation",
    "pushed_model": "PushedModel", "record": "AssayStageRecord",
}  # fmt: skip


@dataclass(frozen=True)
class Clinic:
    """A home with the made-up clinic's data, whose rules a model keeps with ease, or never."""

    home: Path
    contract: Path
    policy: Path
    data: Path

    @classmethod
    def open(cls, folder: Path, *, least_auc: float = 0.51, min_rows: int = 10) -> Clinic:
        """A home in a folder; no model has an area of 0.9999, no data a million rows."""
        contract = clinic.contract(folder)
        rules = partial(_rules, least_auc=least_auc, min_rows=min_rows)
        policy = clinic.policy(folder, contract, rules)
        data = folder / "clinic.csv"
        data.write_text(clinic.csv_text(learnable_rows()), encoding="utf-8")
        return cls(folder / "home", contract.path, policy.path, data)

    def start(self, continues: ReleaseProcess | None = None) -> ReleaseProcess:
        """A run that is ready for its first stage."""
        return start(
            self.home, "plain", policy=self.policy, contract=self.contract, data=self.data,
            continues=continues,
        )  # fmt: skip


def _rules(document: clinic.Document, least_auc: float, min_rows: int) -> None:
    document["data_gate"]["min_rows"] = min_rows
    document["data_gate"]["drift"]["default"]["at_most"] = 0.9
    common = {"tested_on": "point", "min_n": 1, "grounds": "A test of MLMD, of no figure."}
    document["release_gate"]["limits"] = [
        {"id": "auc", "metric": "roc_auc", "at_least": least_auc, **common},
        *(
            {"id": s, "metric": "tpr_difference", "slice": s, "at_most": 0.999, **common}
            for s in ("sex", "age")
        ),
    ]


class Pipeline:
    """Writes a run's rows into MLMD, as TFX does it."""

    def __init__(self, process: ReleaseProcess) -> None:
        self.process = process
        self.store = CountedStore(Path(process.spec.home), writable=True)
        self.context = self.store.get_context_by_type_and_name(
            names.RUN_CONTEXT, process.spec.run_id
        )

    def add(self, record: EvidenceRecord) -> None:
        """What the stock nodes of a stage left, then the node that recorded it."""
        for (node, key), (stage, output) in names.STAGE_OUTPUTS.items():
            if str(stage) == record.stage and output in record.body["outputs"]:
                self.execute(f"tfx.components.{node}", key, self._left(node, key))
        stage = Stage(record.stage)
        again = self.process.spec.continues is not None and stage is Stage.RELEASE_GATE
        node = next(
            n for n, s in names.STAGE_NODES.items() if s is stage and (n == "RejudgedBlessing")
            is again
        )  # fmt: skip
        artifact = self._left(node, "record")
        body = record.body["verdict"]
        values = (record.stage, body["status"], body["reason"], record.digest)
        if not again:
            for name, value in zip(RECORD_FIELDS, values, strict=True):
                artifact.properties[name].string_value = value
        self.execute(f"{ROOM}.{node}", "record", artifact)

    def execute(self, type_name: str, key: str, artifact: Any) -> None:
        """One execution with one output."""
        kind = self.store.put_execution_type(pb.ExecutionType(name=type_name))
        execution = pb.Execution(type_id=kind, last_known_state=pb.Execution.COMPLETE)
        execution.custom_properties["run_directory"].string_value = "somewhere"
        event = pb.Event(type=pb.Event.OUTPUT)
        event.path.steps.add().key = key
        event.path.steps.add().index = 0
        self.store.put_execution(execution, [(artifact, event)], [self.context])

    def _left(self, node: str, key: str) -> Any:
        directory = self.process.spec.directory / "native" / node / key / "1"
        (directory / (names.SERVING_FORMAT if key == "model" else "")).mkdir(parents=True)
        if key != "record":
            (directory / "file").write_text(node)
        kind = pb.ArtifactType(name=ARTIFACT_TYPES[key])
        if key == "record":
            for name in RECORD_FIELDS:
                kind.properties[name] = pb.STRING
        made = pb.Artifact(type_id=self.store.put_artifact_type(kind), uri=str(directory))
        if key == "pushed_model":
            home = Path(self.process.spec.home)
            pushed = home / "serving" / self.process.spec.dataset / "tfx" / "7"
            made.custom_properties[names.PUSHED_DESTINATION].string_value = str(pushed)
        made.state = pb.Artifact.LIVE
        return made


def run(process: ReleaseProcess, stack: PlainStack | None = None) -> str:
    """A whole run, recorded in MLMD and settled; returns its outcome."""
    stack = stack or PlainStack(process)
    return settled(process, stack.run() if process.spec.continues is None else stack.release())


def settled(process: ReleaseProcess, outcome: str) -> str:
    """Record a closed run in MLMD as its pipeline would have, and settle it."""
    native_records.begin_run(process)
    pipeline = Pipeline(process)
    for record in process.chain.records():
        if record.stage != "close":
            pipeline.add(record)
    tfx_pipeline.settle(process, outcome)
    return outcome
