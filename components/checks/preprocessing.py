"""The referee's own preprocessing, in plain numpy, to hold both stacks' transforms against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.contract.features import ModelInput
from components.profile.sql import connect, parquet, quote


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the training rows say of one input: mean and std, or the vocabulary."""

    input: ModelInput
    mean: float = 0.0
    std: float = 0.0
    vocabulary: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of feature columns this input becomes."""
        return len(self.vocabulary) if self.input.categorical else 1


def fit(
    files: Sequence[Path], inputs: Sequence[ModelInput], min_category_count: int
) -> tuple[Fitted, ...]:
    """Exact training statistics of each input over Parquet files, in the inputs' order."""
    rows = parquet(files)
    fitted = []
    with connect() as database:
        for item in inputs:
            name = quote(item.name)
            if item.categorical:
                found = database.execute(
                    f"SELECT {name}, count(*) FROM {rows} WHERE {name} IS NOT NULL "  # noqa: S608
                    "GROUP BY 1"
                ).fetchall()
                counts: Counter[str] = Counter()
                for value, n in found:
                    if (text := as_text(value)) is not None:
                        counts[text] += n
                kept = [text for text, n in counts.items() if n >= min_category_count]
                # Code point order, the same in every engine whatever its collation.
                fitted.append(Fitted(item, vocabulary=tuple(sorted(kept))))
                continue
            value = f"CASE WHEN isnan({name}::DOUBLE) THEN NULL ELSE {name}::DOUBLE END"
            # favg sums without piling up rounding errors, in whatever order the threads come.
            mean, std = database.execute(
                f"SELECT favg({value}), stddev_pop({value}) FROM {rows}"  # noqa: S608
            ).fetchall()[0]
            fitted.append(Fitted(item, mean=mean or 0.0, std=std or 0.0))
    return tuple(fitted)


def features(rows: pa.Table, fitted: Sequence[Fitted]) -> npt.NDArray[np.float64]:
    """The feature matrix of some rows, shape (rows, sum of widths), in the inputs' order."""
    return np.hstack([_columns(rows[f.input.name], f) for f in fitted])


def _columns(column: pa.ChunkedArray, fitted: Fitted) -> npt.NDArray[np.float64]:
    if not fitted.input.categorical:
        raw = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
        scaled = (raw - fitted.mean) / fitted.std if fitted.std > 0 else np.zeros_like(raw)
        return np.where(np.isnan(raw), 0.0, scaled)[:, None]
    encoded = np.zeros((len(column), len(fitted.vocabulary)))
    index: dict[str | None, int] = {v: i for i, v in enumerate(fitted.vocabulary)}
    # Each distinct value is looked up once; a value that is not known stands at -1, as null does.
    values = column.combine_chunks().dictionary_encode()
    known = [index.get(as_text(v), -1) for v in values.dictionary.to_pylist()]
    codes = values.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    positions = np.array([*known, -1], dtype=np.int64)[codes]
    rows = np.flatnonzero(positions >= 0)
    encoded[rows, positions[rows]] = 1.0
    return encoded


def as_text(value: object) -> str | None:
    """A categorical value as the text that all engines share; None for null."""
    if value is None or value != value:  # NaN is no value
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
