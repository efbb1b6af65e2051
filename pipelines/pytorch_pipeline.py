"""The PyTorch stack's pipeline, top to bottom as it runs. Wiring only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from components.stacks.stages import Stage

if TYPE_CHECKING:
    from components.stacks.process import ReleaseProcess


def run(process: ReleaseProcess) -> None:
    """Run the eight stages in order; the first that stays closed ends the run.

    Native tools: Arrow and torch, MLflow, Great Expectations, Evidently, Lightning, fairlearn,
    ONNX Runtime. They are imported here and not sooner.
    """
    from components.stacks.pytorch_stack import frameworks

    frameworks.start()
    from components.stacks.pytorch_stack import (
        data_stages,
        model_stages,
        outcome,
        release_stage,
        serving_stages,
    )

    stages = {
        Stage.INGEST: data_stages.ingest,
        Stage.STATISTICS: data_stages.statistics,
        Stage.DATA_GATE: data_stages.data_gate,
        Stage.TRANSFORM: model_stages.transform,
        Stage.TRAIN: model_stages.train_model,
        Stage.RELEASE_GATE: release_stage.release_gate,
        Stage.PUSH: serving_stages.push,
        Stage.SCORE: serving_stages.score,
    }
    with outcome.tracked(process):
        for stage, hook in stages.items():
            if not process.run_stage(stage, partial(hook, process)):
                return


def release(process: ReleaseProcess) -> None:
    """The last stages of a run that releases what another run trained; none if its gate is closed.

    The gate is judged again from stored scores, which takes no framework.
    """
    if not process.rejudge():
        return
    from components.stacks.pytorch_stack import frameworks

    frameworks.start()
    from components.stacks.pytorch_stack import outcome, serving_stages
    from components.stacks.pytorch_stack.mlflow_store import TrackedRun

    with outcome.tracked(process):
        TrackedRun.start(process)
        for stage, hook in {
            Stage.PUSH: serving_stages.push,
            Stage.SCORE: serving_stages.score,
        }.items():
            if not process.run_stage(stage, partial(hook, process)):
                return


def settle(process: ReleaseProcess, outcome: str) -> None:
    """Bring MLflow into line with a closed run: its outcome, and the alias of a released model.

    Then a receipt signs what MLflow holds of the run. A run that never came to MLflow has nothing
    to settle there, and its receipt says that. Done twice it comes to the same.
    """
    from components.stacks.pytorch_stack import native_receipt, run_handle

    if run_handle.is_saved(process):
        from components.stacks.pytorch_stack import frameworks

        frameworks.start()
        from components.stacks.pytorch_stack import outcome as outcomes

        outcomes.settle(process, outcome)
    native_receipt.write(process)
