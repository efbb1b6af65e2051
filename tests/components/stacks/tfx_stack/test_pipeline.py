"""The pipeline's wiring: what stands behind a gate, and what a closed gate leaves in its node."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx.dsl.compiler import compiler

from components.checks.measurement import Finding, Status, conclude
from components.contract.errors import ProcessError
from components.datasets.canonical import ROW_COLUMN, SPLITS
from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage, StageResult
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack import portable_lane, stage_hooks, verified_evaluator
from components.stacks.tfx_stack.beam_options import beam_options
from components.stacks.tfx_stack.stage_artifacts import StageRecord, run_stage
from pipelines.tfx_pipeline import build_pipeline
from tests import clinic

MakeProcess = Callable[..., ReleaseProcess]

_OPENS = {
    "IngestStage": ["StatisticsGen", "ExampleValidator", "DistributionValidator", "DataGate"],
    "DataGate": ["Transform", "TransformStage"],
    "TransformStage": ["Trainer", "TrainStage", "TrainedModelScores"],
    "TrainStage": ["Evaluator", "ReleaseGate"],
    "ReleaseGate": ["Pusher", "PushStage"],
    "PushStage": ["PushedModelScores", "ScoreStage"],
}


@pytest.fixture(scope="module")
def nodes(process: ReleaseProcess) -> dict[str, Any]:
    """The compiled pipeline's nodes by id, in the order in which they run."""
    compiled = compiler.Compiler().compile(build_pipeline(process))
    return {n.pipeline_node.node_info.id: n.pipeline_node for n in compiled.nodes}


def _conditions(node: Any) -> set[str]:
    """The nodes whose outcome decides whether this one runs."""
    return {
        channel.producer_node_query.id
        for spec in node.inputs.inputs.values()
        for channel in spec.channels
        if spec.hidden or channel.output_key == "record"
    }


def test_each_gate_stands_before_all_that_follows_it(nodes: dict[str, Any]) -> None:
    passed: set[str] = set()
    for gate, followers in _OPENS.items():
        passed.add(gate)
        for name in followers:
            assert passed <= _conditions(nodes[name]), name


def test_stages_run_in_the_process_order(nodes: dict[str, Any]) -> None:
    names = ["IngestStage", "StatisticsStage", "DataGate", "TransformStage", "TrainStage",
             "ReleaseGate", "PushStage", "ScoreStage"]  # fmt: skip
    assert [n for n in nodes if n in names] == names
    for earlier, later in (("StatisticsStage", "DataGate"), ("TrainStage", "Evaluator")):
        assert earlier in nodes[later].upstream_nodes


def test_pusher_heeds_our_gate_and_not_evaluators(nodes: dict[str, Any]) -> None:
    (channel,) = nodes["Pusher"].inputs.inputs["model_blessing"].channels
    assert channel.producer_node_query.id == "ReleaseGate"


def test_the_node_that_evaluates_verifies_first(process: ReleaseProcess) -> None:
    (node,) = [n for n in build_pipeline(process).components if n.id == "Evaluator"]
    assert node.executor_spec.executor_class is verified_evaluator.Executor
    assert node.exec_properties["run_directory"] == str(process.spec.directory)
    assert names.node_of(node.type) == "Evaluator", "audits know it by this name"


def _rows(process: ReleaseProcess, dropped: int) -> Path:
    parts = []
    for split in SPLITS:
        for file in process.dataset.files(split=split):
            rows = pq.read_table(file, columns=[ROW_COLUMN])[ROW_COLUMN].combine_chunks()
            parts.append(pa.table({"split": [split] * len(rows), ROW_COLUMN: rows}))
    path = process.artifacts / "rows.parquet"
    pq.write_table(pa.concat_tables(parts).slice(dropped), path)
    return path


@pytest.mark.parametrize(("dropped", "is_open"), [(0, 1), (1, 0)])
def test_a_nodes_record_is_open_only_where_the_stage_is(
    make_process: MakeProcess, dropped: int, is_open: int
) -> None:
    process, record = make_process(), StageRecord()
    rows = _rows(process, dropped)
    opened = run_stage(process, Stage.INGEST, lambda: StageResult({"rows": rows}, {}), record)
    assert (opened, record.is_open) == (bool(is_open), is_open)
    assert record.record_sha256 == process.chain.records()[-1].digest
    assert record.get_string_custom_property("assay_run") == process.spec.run_id


def test_a_closed_gate_closes_its_record(make_process: MakeProcess) -> None:
    def lenient(document: clinic.Document) -> None:
        document["data_gate"]["drift"]["default"]["at_most"] = 0.9

    process = make_process(policy_change=lenient)
    path = _rows(process, 0)
    nothing = conclude([Finding("native", Status.INCONCLUSIVE, "nothing was compared")])
    results: Iterator[StageResult] = iter(
        [
            StageResult({"rows": path}, {}),
            StageResult({"statistics": path}, {}),
            StageResult({"report": path}, {}, native=nothing),
        ]
    )
    for stage in (Stage.INGEST, Stage.STATISTICS, Stage.DATA_GATE):
        record = StageRecord()
        run_stage(process, stage, lambda: next(results), record)
    assert (record.stage, record.is_open, record.verdict) == ("data_gate", 0, "INCONCLUSIVE")


def test_a_malfunction_leaves_the_record_closed(make_process: MakeProcess) -> None:
    record = StageRecord()
    with pytest.raises(ProcessError):
        run_stage(make_process(), Stage.INGEST, lambda: StageResult({}, {}), record)
    assert record.is_open == 0


def test_pushing_nothing_behind_an_open_gate_is_a_malfunction(process: ReleaseProcess) -> None:
    with pytest.raises(ProcessError, match="Pusher pushed nothing"):
        stage_hooks.push_result(process, "")


def test_beam_stays_on_this_machine_unless_told_otherwise() -> None:
    here = beam_options(())
    assert any(o.startswith("--runner=components.stacks.tfx_stack") for o in here)
    assert "--direct_num_workers=1" in here
    elsewhere = beam_options(("--runner=FlinkRunner", "--direct_num_workers=4"))
    assert [o for o in elsewhere if o.startswith("--runner")] == ["--runner=FlinkRunner"]
    assert not any("container_image" in o for o in elsewhere)
    assert [o for o in elsewhere if "num_workers" in o] == ["--direct_num_workers=4"]
    for options in (here, elsewhere):
        assert "--beam_plugins=components.stacks.tfx_stack.portable_lane" in options


def test_the_missing_module_is_supplied_once_and_only_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not portable_lane.supply_missing_module(), "it is there already"
    monkeypatch.delitem(sys.modules, portable_lane.MISSING_MODULE, raising=False)
    monkeypatch.setattr(portable_lane.importlib.util, "find_spec", lambda _: object())
    assert not portable_lane.supply_missing_module(), "the lane has it"
    monkeypatch.setattr(portable_lane.importlib.util, "find_spec", lambda _: None)
    assert portable_lane.supply_missing_module()
    assert portable_lane.MISSING_MODULE in sys.modules
