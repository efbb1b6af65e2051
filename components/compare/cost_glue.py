"""How much code of our own each stack takes, by the stage that it serves."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from components.contract.errors import InputError
from components.contract.stages import Stage

EVERY_STAGE = "every stage"
STORE = "native store and lineage"
SCORING = "scoring after release"
COMPARING = "exports and Keras bridge"
PARTS = (*(str(stage) for stage in Stage), EVERY_STAGE, STORE, SCORING, COMPARING)
"""What a module can serve: one stage, or what no single stage is."""

MODULES: Mapping[str, Mapping[str, str]] = {
    "tfx": {
        Stage.INGEST: "example_columns parquet_example_gen",
        Stage.STATISTICS: "statistics_options",
        Stage.DATA_GATE: "comparison_anomalies contract_to_tfmd data_gate_findings null_counts"
        " schema_anomalies tfmd_domains",
        Stage.TRANSFORM: "preprocessing",
        Stage.TRAIN: "training training_loss",
        Stage.RELEASE_GATE: "average_precision evaluation_config evaluation_rankings"
        " evaluation_results evaluation_sums evaluation_thresholds evaluation_verdict"
        " release_stage verified_evaluator",
        Stage.PUSH: "serving",
        Stage.SCORE: "scoring_nodes",
        EVERY_STAGE: "__init__ beam_options example_records local_beam_runner local_run"
        " portable_lane quiet_start stage_artifacts stage_hooks stage_nodes vocabulary"
        " tfx_pipeline tfx_release_pipeline",
        STORE: "mlmd_lineage mlmd_links mlmd_names mlmd_postgresql mlmd_rows mlmd_store"
        " native_properties native_receipt native_records recorded_artifacts",
        SCORING: "batch_scorer",
        COMPARING: "edge_export keras_jax keras_tensorflow",
    },
    "pytorch": {
        Stage.INGEST: "dataset_inputs tensors",
        Stage.STATISTICS: "",
        Stage.DATA_GATE: "contract_to_gx evidently_reports frames gx_validation"
        " policy_to_evidently search_patterns",
        Stage.TRANSFORM: "preprocessing",
        Stage.TRAIN: "checkpoints network training training_penalty",
        Stage.RELEASE_GATE: "metric_names mlflow_evaluation mlflow_limits native_metrics"
        " release_measurements release_stage",
        Stage.PUSH: "onnx_export registry",
        Stage.SCORE: "onnx_scoring",
        EVERY_STAGE: "__init__ artifacts data_stages frameworks model_stages serving_stages"
        " pytorch_pipeline",
        STORE: "mlflow_entries mlflow_files mlflow_lineage mlflow_rows mlflow_schema mlflow_store"
        " mlflow_strays native_receipt outcome run_handle tag_texts",
        SCORING: "batch_scorer",
        COMPARING: "edge_export keras_torch",
    },
}
"""The modules of each stack's room and pipeline, by what they serve. A module that serves several
stages stands where most of it belongs, or under every stage."""

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def glue(stack: str, root: Path) -> dict[str, int]:
    """Code lines of a stack by what they serve, every one of ``PARTS``.

    Args:
        stack: ``tfx`` or ``pytorch``.
        root: the folder that holds ``components`` and ``pipelines``.

    Raises:
        InputError: a module of the room is not mapped, or one that is mapped is not there.
    """
    files = modules(stack, root)
    parts = {m: part for part, names in MODULES[stack].items() for m in names.split()}
    if set(files) != set(parts):
        odd = ", ".join(sorted(set(files) ^ set(parts)))
        raise InputError(
            f"modules of the {stack} stack without a stage, or a stage without its module: {odd}",
            where="components/compare/cost_glue.py",
            expected="every module of the room in MODULES, and no other",
        )
    lines: Counter[str] = Counter()
    for module, file in files.items():
        lines[parts[module]] += code_lines(file.read_text("utf-8"))
    return {part: lines[part] for part in PARTS}


def modules(stack: str, root: Path) -> dict[str, Path]:
    """The files of a stack's room and of its pipelines, by module name."""
    room = root / "components" / "stacks" / f"{stack}_stack"
    found = [*room.glob("*.py"), *(root / "pipelines").glob(f"{stack}*_pipeline.py")]
    return {file.stem: file for file in sorted(found)}


def code_lines(source: str) -> int:
    """Lines that hold code: none of blank lines, comments, docstrings and other bare texts."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and _is_text(node.value):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
