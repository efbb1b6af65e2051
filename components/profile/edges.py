"""Bin edges of numeric columns: quantiles of a baseline, fixed for all that is held against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.contract.contract import Contract
from components.profile.compute import (
    TypedRows,
    Watch,
    canonical_rows,
    is_numeric,
    nobody,
    value_sql,
)
from components.profile.sql import literal

Edges = Mapping[str, tuple[float, ...]]
"""Inner bin edges of each numeric column, strictly rising."""


def quantile_edges(
    files: Sequence[Path], contract: Contract, bins: int
) -> dict[str, tuple[float, ...]]:
    """``edges_of`` of canonical Parquet files; no edges where there are no files."""
    if not files:
        return {c.name: () for c in contract.columns if is_numeric(c)}
    with canonical_rows(files) as rows:
        return edges_of(rows, contract, bins)


def edges_of(
    rows: TypedRows, contract: Contract, bins: int, watch: Watch = nobody
) -> dict[str, tuple[float, ...]]:
    """Inner bin edges for every numeric column: exact quantiles of the rows' values.

    At most ``bins - 1`` edges, strictly rising; fewer where values repeat. The lowest value is
    no edge, since no value lies below it. Where a bin's worth of rows or more hold the lowest
    value (most people spend nothing), that value gets a bin to itself and the quantiles are those
    of the values above it; it then is an edge as well, one more than ``bins - 1``, so that lower
    values in other data fall apart from it. A constant gets the bins below, at and above itself. A
    column without values gets no edges.
    """
    edges: dict[str, tuple[float, ...]] = {}
    for column in contract.columns:
        if is_numeric(column):
            watch(column.name)
            edges[column.name] = _edges(rows, f"({value_sql(column)})", bins)
    return edges


def _edges(rows: TypedRows, value: str, bins: int) -> tuple[float, ...]:
    steps = [i / bins for i in range(1, bins)]
    lowest, quantiles = rows.one(f"min({value}), quantile_disc({value}, {steps})")
    if lowest is None:
        return ()
    if quantiles[0] > lowest:
        return tuple(sorted({float(q) for q in quantiles}))
    # A bin's worth of rows or more hold the lowest value.
    steps = [i / (bins - 1) for i in range(bins - 1)]
    above = rows.where(f"{value} > {literal(lowest)}").one(f"quantile_disc({value}, {steps})")[0]
    found = {float(q) for q in above or ()} or {math.nextafter(lowest, math.inf)}
    return tuple(sorted({float(lowest), *found}))
