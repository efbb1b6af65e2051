"""The data contract as frozen types: columns, what may stand in them, and what each is for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

Scalar = str | int | float | bool


IDENTIFIER = "phi-identifier"
"""Classification of a column whose values name people."""

NO_SPAN = "all"
"""The span of a row that has none."""


class Role(StrEnum):
    """What a column is for. Every column has exactly one role."""

    FEATURE = "feature"
    LABEL = "label"
    ENTITY = "entity"
    SPAN = "span"
    PROTECTED = "protected"
    EXCLUDED = "excluded"


class LogicalType(StrEnum):
    """The ODCS logical types that Assay's engines share."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Bands:
    """Named groups of a numeric protected column, or named spans of a numeric span column.

    ``labels`` has one more entry than ``edges``; a value equal to an edge falls in the upper band,
    so band ``i`` holds ``edges[i-1] <= value < edges[i]``.
    """

    edges: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, its role and the values it may hold.

    ``minimum`` and ``maximum`` are inclusive. ``max_null_fraction`` is in [0, 1], inclusive;
    0 for a required column. ``allowed`` holds values of the column's type. ``pattern`` is searched
    for, as in JSON Schema: it matches anywhere in the text unless it says ``^`` and ``$``.
    ``to_confirm`` says what of the column is a guess that no person has confirmed yet.
    """

    name: str
    role: Role
    logical_type: LogicalType
    categorical: bool
    classification: str | None = None
    required: bool = False
    unique: bool = False
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    allowed: tuple[Scalar, ...] | None = None
    max_null_fraction: float = 1.0
    bands: Bands | None = None
    proxy_of: tuple[str, ...] = ()
    positive: Scalar | None = None
    to_confirm: str | None = None

    @property
    def group_column(self) -> str:
        """Name of the canonical column that holds the labels of this column's bands or groups."""
        return f"assay_group_{self.name}"

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Groups that the contract declares: bands, or the domain as text; empty if neither."""
        if self.bands is not None:
            return self.bands.labels
        number = self.logical_type is LogicalType.NUMBER
        return tuple(_as_text(v, number) for v in self.allowed or ())


def _as_text(value: Scalar, number: bool) -> str:
    """A domain's value as a canonical group column holds it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(float(value)) if number else str(value)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows come from: a built-in source by name, or files of the user's own."""

    builtin: str | None
    path: str | None
    format: str | None
    delimiter: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A data contract. ``digest`` is the SHA-256 of the file's bytes, in hex.

    ``severities`` maps rule ids (see ``components.contract.clauses``) to the severity that the
    contract states for them.
    """

    name: str
    version: str
    path: Path
    digest: str
    source: Source
    columns: tuple[Column, ...]
    unique_together: tuple[tuple[str, ...], ...] = ()
    min_rows: int = 1
    max_rows: float = math.inf
    missing_markers: tuple[str, ...] = ()
    severities: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if the contract has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def narrowed(self, names: Iterable[str]) -> Contract:
        """The contract of data that has only some of the columns; keys go with their columns."""
        held = set(names)
        return replace(
            self,
            columns=tuple(c for c in self.columns if c.name in held),
            unique_together=tuple(k for k in self.unique_together if held.issuperset(k)),
        )

    def with_role(self, role: Role) -> tuple[Column, ...]:
        """Columns of one role, in the contract's order."""
        return tuple(c for c in self.columns if c.role is role)

    @property
    def label(self) -> Column:
        """The one label column."""
        return self.with_role(Role.LABEL)[0]

    @property
    def entity(self) -> Column:
        """The one column that names a person."""
        return self.with_role(Role.ENTITY)[0]

    @property
    def span(self) -> Column | None:
        """The column that orders rows in time, if there is one."""
        spans = self.with_role(Role.SPAN)
        return spans[0] if spans else None

    @property
    def grouped(self) -> tuple[Column, ...]:
        """Columns whose labels stand in a canonical column: protected ones, and a banded span."""
        banded = (self.span,) if self.span is not None and self.span.bands else ()
        return self.protected + banded

    @property
    def span_label_column(self) -> str | None:
        """Name of the canonical column that holds each row's span, if there are spans."""
        if self.span is None:
            return None
        return self.span.group_column if self.span.bands else self.span.name

    @property
    def protected(self) -> tuple[Column, ...]:
        """Protected columns, in the contract's order."""
        return self.with_role(Role.PROTECTED)
