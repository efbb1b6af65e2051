"""Preprocessing as a torch module: fitted on training rows, exported as part of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import nn

from components.checks.preprocessing import as_text
from components.contract.contract import Contract, LogicalType
from components.contract.features import ModelInput
from components.stacks.pytorch_stack.tensors import RawSplit

UNKNOWN = -1
"""Code of a text that is not in the vocabulary, and of null."""


class Kind(StrEnum):
    """How a column reaches the module."""

    NUMERIC = "numeric"
    VALUES = "values"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class FittedInput:
    """What the training rows say of one input.

    ``vocabulary`` holds the known categories in the order of their text: numbers for ``VALUES``
    (booleans are 0 and 1), text for ``TEXT``; a ``NUMERIC`` input has ``mean`` and ``scale``,
    the inverse of the population standard deviation, or 0 where that is 0.
    """

    name: str
    kind: Kind
    mean: float = 0.0
    scale: float = 0.0
    vocabulary: tuple[str, ...] | tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Number of feature columns this input becomes."""
        return 1 if self.kind is Kind.NUMERIC else len(self.vocabulary)


def fit(
    train: RawSplit, inputs: Sequence[ModelInput], contract: Contract, min_category_count: int
) -> tuple[FittedInput, ...]:
    """Training statistics of each input, in the inputs' order."""
    fitted = []
    for item in inputs:
        if not item.categorical:
            fitted.append(_fit_numeric(item.name, train.numbers[item.name]))
        elif item.name in train.texts:
            counted = train.texts[item.name].drop_null().value_counts().to_pylist()
            known = sorted(c["values"] for c in counted if c["counts"] >= min_category_count)
            fitted.append(FittedInput(item.name, Kind.TEXT, vocabulary=tuple(known)))
        else:
            logical_type = contract.column(item.name).logical_type
            values = _frequent(train.numbers[item.name], min_category_count, logical_type)
            fitted.append(FittedInput(item.name, Kind.VALUES, vocabulary=values))
    return tuple(fitted)


def _fit_numeric(name: str, values: torch.Tensor) -> FittedInput:
    present = values[~torch.isnan(values)]
    if len(present) == 0:
        return FittedInput(name, Kind.NUMERIC)
    mean, std = float(present.mean()), float(present.std(correction=0))
    # A constant column's rounding error is not a deviation: ask its range, not its sum.
    varies = bool(present.min() < present.max())
    return FittedInput(name, Kind.NUMERIC, mean, 1 / std if varies and std > 0 else 0.0)


def _frequent(values: torch.Tensor, min_count: int, logical_type: LogicalType) -> tuple[float, ...]:
    present = values[~torch.isnan(values)]
    found, counts = torch.unique(present, return_counts=True)
    kept = [v for v, n in zip(found.tolist(), counts.tolist(), strict=True) if n >= min_count]
    python_type = {LogicalType.INTEGER: int, LogicalType.BOOLEAN: bool}.get(logical_type, float)
    return tuple(sorted(kept, key=lambda v: as_text(python_type(v)) or ""))


class Preprocessing(nn.Module):
    """Raw columns to features, one tensor of shape (n,) a column, in the inputs' order.

    Numeric and ``VALUES`` columns are float64 with NaN for null; ``TEXT`` columns are the int64
    codes of their text, ``UNKNOWN`` for null and for every text that is not in the vocabulary.
    The output is float32 of shape (n, sum of widths).
    """

    def __init__(self, fitted: Sequence[FittedInput]) -> None:
        super().__init__()
        self.fitted = tuple(fitted)
        numeric = [f for f in self.fitted if f.kind is Kind.NUMERIC]
        self.register_buffer("mean", _double([f.mean for f in numeric]))
        self.register_buffer("scale", _double([f.scale for f in numeric]))
        for i, f in enumerate(self.fitted):
            if f.kind is Kind.VALUES:
                self.register_buffer(f"vocabulary_{i}", _double(list(f.vocabulary)))
            elif f.kind is Kind.TEXT:
                self.register_buffer(f"vocabulary_{i}", torch.arange(f.width))
        self.register_buffer("order", self._order())

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(f.width for f in self.fitted)

    def _order(self) -> torch.Tensor:
        """Where each feature stands in ``forward``'s concatenation, numeric block first."""
        next_numeric = 0
        next_category = sum(f.kind is Kind.NUMERIC for f in self.fitted)
        order: list[int] = []
        for f in self.fitted:
            if f.kind is Kind.NUMERIC:
                order.append(next_numeric)
                next_numeric += 1
            else:
                order.extend(range(next_category, next_category + f.width))
                next_category += f.width
        return torch.tensor(order, dtype=torch.int64)

    def forward(self, *columns: torch.Tensor) -> torch.Tensor:
        blocks = []
        paired = list(enumerate(zip(self.fitted, columns, strict=True)))
        numeric = [c for _, (f, c) in paired if f.kind is Kind.NUMERIC]
        if numeric:
            raw = torch.stack(numeric, dim=1)
            scaled = (raw - self.mean) * self.scale
            blocks.append(torch.where(torch.isnan(raw), torch.zeros_like(scaled), scaled).float())
        # NaN and UNKNOWN equal nothing, so null and unknown categories are all zeros.
        blocks += [
            (c.unsqueeze(1) == self.get_buffer(f"vocabulary_{i}")).float()
            for i, (f, c) in paired
            if f.kind is not Kind.NUMERIC
        ]
        return torch.index_select(torch.cat(blocks, dim=1), 1, self.order)


def module_inputs(raw: RawSplit, fitted: Sequence[FittedInput]) -> tuple[torch.Tensor, ...]:
    """A split as the module's arguments: one tensor of shape (n,) for each input."""
    return tuple(
        codes(raw.texts[f.name], f.vocabulary) if f.kind is Kind.TEXT else raw.numbers[f.name]
        for f in fitted
    )


def codes(texts: pa.Array, vocabulary: Sequence[str | float]) -> torch.Tensor:
    """Position of each text in the vocabulary, int64 of shape (n,); ``UNKNOWN`` elsewhere."""
    known = pa.array(list(vocabulary), pa.string())
    found = pc.fill_null(pc.index_in(texts, value_set=known, skip_nulls=True), UNKNOWN)
    return torch.from_numpy(found.to_numpy(zero_copy_only=False).astype("int64", copy=True))


def _double(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)
