"""Scores raw columns with ONNX Runtime, from bytes whose digest was checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa

from components.contract.errors import EvidenceError
from components.stacks.pytorch_stack.onnx_export import FEATURES, OUTPUT
from components.stacks.pytorch_stack.tensors import RawSplit

_ERRORS_ONLY = 3
_ROWS_AT_ONCE = 65_536


class OnnxScorer:
    """A serving model.

    Raises:
        EvidenceError: the file is not the one that was recorded, or is gone. It is not opened then.
    """

    def __init__(self, file: Path, sha256: str) -> None:
        try:
            content = file.read_bytes()
        except FileNotFoundError as error:
            raise EvidenceError(f"{file.name} is not there ({sha256[:12]})") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise EvidenceError(f"{file.name} is not the model that was recorded ({sha256[:12]})")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        # Threads that wait for work by asking for it take half as much of the cores again.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # From the bytes that were checked: a second read of the file could give others, and a
        # model without a directory cannot point at files outside itself.
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def score(self, raw: RawSplit) -> npt.NDArray[np.float64]:
        """Probability of the positive label for each row, shape (n,)."""
        return self._run(OUTPUT, raw).astype(np.float64)

    def features(self, raw: RawSplit) -> npt.NDArray[np.float32]:
        """What the model's own preprocessing makes of each row, shape (n, width)."""
        return self._run(FEATURES, raw)

    def _run(self, output: str, raw: RawSplit) -> npt.NDArray[np.float32]:
        columns = feeds(raw)
        return np.concatenate(
            [
                self._session.run([output], {k: v[rows] for k, v in columns.items()})[0]
                for rows in _slices(len(raw))
            ]
        )


def feeds(raw: RawSplit) -> dict[str, npt.NDArray]:
    """Raw columns as ONNX inputs of shape (n,): NaN for a null number, empty for null text."""
    numbers = {name: values.numpy() for name, values in raw.numbers.items()}
    return numbers | {name: _texts(values) for name, values in raw.texts.items()}


def _texts(values: pa.Array) -> npt.NDArray[np.object_]:
    """Python strings, which ONNX Runtime wants; each distinct one is made once."""
    coded = values.fill_null("").dictionary_encode()
    return np.array(coded.dictionary.to_pylist(), dtype=object)[coded.indices.to_numpy()]


def _slices(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)
