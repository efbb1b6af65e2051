"""Scores the rows of a batch with the ONNX file that was pushed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from components.contract.errors import ProcessError
from components.stacks.model_signing import verified_model
from components.stacks.pytorch_stack.onnx_export import MODEL_FILE
from components.stacks.pytorch_stack.onnx_scoring import OnnxScorer
from components.stacks.pytorch_stack.tensors import RawSplit
from components.stacks.run_spec import RunSpec


class OnnxBatchScorer:
    """A serving model for whoever scores a batch."""

    def __init__(self, model: OnnxScorer) -> None:
        self._model = model

    def score(self, columns: pa.Table) -> npt.NDArray[np.float64]:
        """Probability of the positive label for each row, shape (n,).

        Raises:
            ProcessError: an integer is too large for float64 to hold exactly.
        """
        texts = {n for n in columns.column_names if pa.types.is_string(columns[n].type)}
        return self._model.score(
            RawSplit(
                name="batch",
                numbers={
                    n: _numbers(n, columns[n]) for n in columns.column_names if n not in texts
                },
                texts={n: columns[n].combine_chunks() for n in texts},
                labels=torch.empty(0),
                rows=pa.nulls(columns.num_rows),
            )
        )


def load(spec: RunSpec, sha256: str) -> OnnxBatchScorer:
    """The model that a run pushed, as the registry gave it back then.

    Args:
        spec: the run.
        sha256: what the release says that the file is.

    Raises:
        ModelSignatureError: it is not what the run trained and signed.
        EvidenceError: it is not the one that was released, or is gone. It is not opened then.
    """
    file = spec.directory / "artifacts" / "native" / "serving" / MODEL_FILE
    return OnnxBatchScorer(OnnxScorer(verified_model(spec, file), sha256))


def _numbers(name: str, column: pa.ChunkedArray) -> torch.Tensor:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    try:
        cells = column.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        # Arrow's message holds the value; ours must not.
        raise ProcessError(f"column {name} holds integers beyond 2**53") from None
    return torch.from_numpy(np.array(cells))
