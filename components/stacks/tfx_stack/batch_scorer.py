"""Scores the rows of a batch with the SavedModel that Pusher left at its destination."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.contract.contract import Contract
from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_tree
from components.stacks.model_signing import verified_model
from components.stacks.run_spec import RunSpec
from components.stacks.tfx_stack.example_columns import ExampleColumn, contract_columns, to_lists
from components.stacks.tfx_stack.quiet_start import prepare_environment, quiet, silent

_ROWS_AT_ONCE = 65_536


class SavedModelBatchScorer:
    """A serving model for whoever scores a batch: rows become tf.Examples, encoded in C++."""

    def __init__(self, loaded: Any, columns: Sequence[ExampleColumn]) -> None:
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        from components.stacks.tfx_stack.serving import SIGNATURE

        # A signature does not keep the model alive that it is of.
        self._loaded, self._signature = loaded, loaded.signatures[SIGNATURE]
        self._columns, self._encoder = tuple(columns), RecordBatchToExamplesEncoder()

    def score(self, columns: pa.Table) -> npt.NDArray[np.float64]:
        """Probability of the positive label for each row, shape (n,)."""
        import tensorflow as tf

        from components.stacks.tfx_stack.serving import SCORE

        found = [np.empty(0)]
        for batch in columns.combine_chunks().to_batches(max_chunksize=_ROWS_AT_ONCE):
            examples = self._encoder.encode(to_lists(batch, self._columns))
            scores = self._signature(examples=tf.constant(examples))[SCORE]
            found.append(scores.numpy()[:, 0].astype(np.float64))
        return np.concatenate(found)


def load(
    spec: RunSpec, location: str, sha256: str, contract: Contract, inputs: Sequence[str]
) -> SavedModelBatchScorer:
    """The model that a run pushed, from where it was pushed to.

    What is checked and loaded is a copy that nobody else writes to.

    Args:
        spec: the run.
        location: where it was pushed, relative to the home.
        sha256: what the release says that the directory is.
        contract: kinds of the columns.
        inputs: the columns that the model sees.

    Raises:
        ModelSignatureError: it is not what the run trained and signed.
        EvidenceError: it is not the one that was released, or is gone.
    """
    prepare_environment()
    pushed = Path(spec.home) / location
    if not pushed.is_dir():
        raise EvidenceError(f"the model of run {spec.run_id} is not where it was pushed")
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        copy = Path(scratch) / pushed.name
        shutil.copytree(pushed, copy)
        if sha256_tree(copy) != sha256:
            raise EvidenceError(f"{pushed.name} is not the model that was recorded ({sha256[:12]})")
        model = verified_model(spec, copy)
        columns = [c for c in contract_columns(contract) if c.source in inputs]
        with silent(), quiet():
            import tensorflow as tf

            return SavedModelBatchScorer(tf.saved_model.load(str(model)), columns)
