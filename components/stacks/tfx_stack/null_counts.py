"""Nulls as TFDV counted them, held to the contract's limits over all rows.

A contract limits the nulls of all rows; TFDV is shown baseline and current rows apart and judges
each side by itself, so that a column half of whose current rows are null breaks a limit that all
rows keep to. Its counts add up, its verdicts do not: the counts are what is used here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from tensorflow_metadata.proto.v0 import statistics_pb2

from components.checks.measurement import Finding, Measurement, Status, within
from components.contract.clauses import Clause
from components.contract.contract import Contract

_Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def null_findings(
    sides: Sequence[_Statistics], clauses: Iterable[Clause], contract: Contract
) -> list[Finding]:
    """One finding for each ``nulls`` clause, over the rows of all sides.

    Args:
        sides: the statistics of each side, each with every column that has a value at all.
        clauses: the ``nulls`` clauses.
        contract: says how many nulls a column may have.
    """
    rows = sum(int(d.num_examples) for side in sides for d in side.datasets)
    return [_finding(c, rows, sum(_present(sides, c.subject)), contract) for c in clauses]


def _finding(clause: Clause, rows: int, present: int, contract: Contract) -> Finding:
    if rows == 0:
        return Finding(clause.rule, Status.INCONCLUSIVE, f"{clause.rule} unknown: TFDV saw no rows")
    fraction = (rows - present) / rows
    measured = Measurement("null fraction", fraction, rows, slice=clause.subject, source="tfdv")
    return within(clause.rule, measured, at_most=contract.column(clause.subject).max_null_fraction)


def _present(sides: Iterable[_Statistics], column: str) -> Iterator[int]:
    for feature in (f for side in sides for d in side.datasets for f in d.features):
        if (".".join(feature.path.step) or feature.name) == column:
            # Text, numbers and bytes keep their common figures in different places.
            figures = getattr(feature, feature.WhichOneof("stats") or "num_stats")
            yield int(figures.common_stats.num_non_missing)
