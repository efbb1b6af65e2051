"""TFX's Evaluator, which verifies the signatures of the models that TFMA is about to load.

An earlier node verified the candidate, and another one the champion; whoever changed a file since
would have TFMA judge, and TensorFlow run, another model. So the node that loads them looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.evaluator import executor as stock
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as standard
from tfx.types.component_spec import ExecutionParameter
from tfx.utils import json_utils

from components.lineage.digests import sha256_tree
from components.lineage.model_signature import ModelSignatureError
from components.release.records import read_releases
from components.stacks.model_signing import verified_model
from components.stacks.process import ReleaseProcess
from components.stacks.run_spec import RunSpec
from components.stacks.tfx_stack.recorded_artifacts import serving_directory


class EvaluatorSpec(standard.EvaluatorSpec):  # type: ignore[misc]
    """What TFX's own Evaluator takes, and the directory of the run."""

    PARAMETERS = {
        **standard.EvaluatorSpec.PARAMETERS,
        "run_directory": ExecutionParameter(type=str),
    }


class Executor(stock.Executor):  # type: ignore[misc]
    """Evaluates models that are what was signed, and refuses others before TFMA sees them."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Verify the candidate, and the baseline model where there is one; then evaluate.

        Raises:
            ModelSignatureError: one of them is not what was signed.
        """
        process = ReleaseProcess.open(Path(exec_properties["run_directory"]))
        verified_model(process.spec, _model(input_dict[standard.MODEL_KEY]))
        if baseline := input_dict.get(standard.BASELINE_MODEL_KEY):
            model = _model(baseline)
            verified_model(_released_by(process, model), model)
        super().Do(input_dict, output_dict, exec_properties)


def _model(artifacts: list[types.Artifact]) -> Path:
    return serving_directory(artifact_utils.get_single_uri(artifacts))


def _released_by(process: ReleaseProcess, model: Path) -> RunSpec:
    """The run that released a model.

    Not the champion's by name: another may stand by now, and then the gate says so.
    """
    spec, digest = process.spec, sha256_tree(model)
    for release in reversed(read_releases(Path(spec.home), spec.dataset, spec.stack)):
        if release.model == digest:
            return RunSpec.load(Path(spec.home) / "runs" / release.run)
    raise ModelSignatureError(f"the baseline model ({digest[:12]}) is the model of no release")


class Evaluator(base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    """As TFX's own, for models of runs; outputs ``evaluation`` and ``blessing``."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: Any,
        model: Any,
        baseline_model: Any | None,
        eval_config: Any,
        example_splits: Sequence[str],
        run_directory: str,
    ) -> None:
        super().__init__(
            spec=EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                eval_config=eval_config,
                example_splits=json_utils.dumps(list(example_splits)),
                fairness_indicator_thresholds=json_utils.dumps(None),
                run_directory=run_directory,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
