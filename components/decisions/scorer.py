"""What a serving model is to whoever scores a batch: raw columns in, scores out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Scorer(Protocol):
    """A serving model. Its score of a row depends on that row alone."""

    def score(self, columns: pa.Table) -> npt.NDArray[np.float64]:
        """Probability of the positive label for each row, in [0, 1], shape (n,).

        Args:
            columns: the model's inputs under the contract's names, of the contract's types.
        """
        ...
