"""Generated contracts and data with planted faults: what the engines are asked to agree on."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from components.contract.contract import Column, Contract, LogicalType, Role, Source
from components.contract.policy import DataGatePolicy, DriftLimit, DriftStatistic

Cell = str | int | float | bool | None
ROWS = (0, 1, 11, 60, 250, 250, 1000)
MIN_ROWS = 10
WORDS = ("A", "B", "it's", "Ä\u0301", "日本", " ", "C, D", "nan", "-0")
_PATTERNS = ("^[A-Z]", "^[A-Z][a-z]*$", "\\d", "a|B", "^(a+)+$")


@dataclass(frozen=True)
class ColumnCase:
    """One column: its type, the clauses that stand on it, and the fault that is planted.

    ``statistic`` and ``near`` set its drift limit: ``near`` times the measured figure, so that a
    threshold stands 1 % on either side of it, or an absolute limit where it is None.
    """

    kind: str
    ranged: bool
    listed: bool
    pattern: str | None
    max_nulls: float
    unique: bool
    statistic: DriftStatistic
    near: float | None
    fault: str


@dataclass(frozen=True)
class Case:
    """A whole case; ``seed`` makes its rows."""

    columns: tuple[ColumnCase, ...]
    rows: tuple[int, int]
    parquet: bool
    composite_key: bool
    row_ratio: tuple[float, float] | None
    seed: int


_KINDS = {
    "category": LogicalType.STRING,
    "flag": LogicalType.BOOLEAN,
    "count": LogicalType.INTEGER,
    "code": LogicalType.INTEGER,
    "amount": LogicalType.NUMBER,
    "dose": LogicalType.NUMBER,
}
_CATEGORICAL = ("category", "flag", "code", "dose")


def _fault(name: str, *kinds: str) -> Callable[[Callable], Callable]:
    def keep(change: Callable) -> Callable:
        FAULTS[name] = (change, kinds)
        return change

    return keep


FAULTS: dict[str, tuple[Callable[[random.Random, list[Cell]], list[Cell]], tuple[str, ...]]] = {}
"""Name of a fault, what it does to a column's cells, and the kinds it fits; none: all kinds."""


@_fault("none")
def _none(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return cells


@_fault("all null")
def _all_null(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [None] * len(cells)


@_fault("more nulls")
def _more_nulls(chance: random.Random, cells: list[Cell]) -> list[Cell]:
    share = chance.choice([0.05, 0.25, 0.5])
    return [None if chance.random() < share else c for c in cells]


@_fault("constant")
def _constant(_: random.Random, cells: list[Cell]) -> list[Cell]:
    held = [c for c in cells if c is not None]
    return [held[0] if held else None] * len(cells)


@_fault("duplicate")
def _duplicate(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [*cells[:-1], cells[0]] if len(cells) > 1 else cells


@_fault("new category at 0.1 %", "category")
def _new_category(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return ["New", *cells[1:]] if cells else cells


@_fault("a category vanishes", "category", "code", "dose")
def _vanish(_: random.Random, cells: list[Cell]) -> list[Cell]:
    held = sorted({c for c in cells if c is not None}, key=str)
    return [held[-1] if c == held[0] else c for c in cells] if held else cells


@_fault("empty strings", "category")
def _empty(chance: random.Random, cells: list[Cell]) -> list[Cell]:
    return ["" if chance.random() < 0.1 else c for c in cells]


@_fault("other unicode form", "category")
def _unicode(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return ["\u00c4\u0301" if i == 0 else c for i, c in enumerate(cells)]


@_fault("dollars to cents", "amount", "count")
def _cents(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [c if c is None else c * 100 for c in cells]  # type: ignore[operator]


@_fault("shifted", "amount", "count")
def _shifted(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [c if c is None else c + 7 for c in cells]  # type: ignore[operator]


@_fault("just above the range", "amount")
def _above(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [RANGE[1] * 1.01, *cells[1:]] if cells else cells


@_fault("a hair above the range", "amount")
def _hair(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [math.nextafter(RANGE[1], math.inf), *cells[1:]] if cells else cells


@_fault("on the range", "amount", "count")
def _on(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [RANGE[i] if i < 2 else c for i, c in enumerate(cells)]


@_fault("one below the range", "count")
def _below(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [RANGE[0] - 1, *cells[1:]] if cells else cells


@_fault("NaN", "amount", "dose")
def _nan(chance: random.Random, cells: list[Cell]) -> list[Cell]:
    return [math.nan if chance.random() < 0.1 else c for c in cells]


@_fault("infinities", "amount", "dose")
def _infinite(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [(math.inf, -math.inf)[i] if i < 2 else c for i, c in enumerate(cells)]


@_fault("a fraction among integers", "count", "code")
def _fraction(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [1.5, *cells[1:]] if cells else cells


@_fault("a large integer", "count")
def _large(_: random.Random, cells: list[Cell]) -> list[Cell]:
    return [2**53, *cells[1:]] if cells else cells


RANGE = (0, 400)
_DOSES = (0.1, 0.25, 2.5)


def _cells(of: ColumnCase, rows: int, chance: random.Random) -> list[Cell]:
    """Cells without a fault."""
    draw: dict[str, Callable[[int], Cell]] = {
        "category": lambda _: chance.choice(WORDS[:4]) if chance.random() < 0.9 else WORDS[5],
        "flag": lambda _: chance.random() < 0.3,
        "count": lambda _: int(chance.expovariate(0.05)) if chance.random() < 0.6 else 0,
        "code": lambda _: chance.choice([1, 2, 3, 7]),
        "amount": lambda _: round(chance.expovariate(0.02), 2) if chance.random() < 0.6 else 0.0,
        "dose": lambda _: chance.choice(_DOSES),
    }
    if of.unique:
        kind = _KINDS[of.kind]
        start = chance.randrange(1000)
        numbers = [start + i for i in range(rows)]
        if kind is LogicalType.STRING:
            return [f"N{n}" for n in numbers]
        return [n / 4 for n in numbers] if kind is LogicalType.NUMBER else numbers
    nulls = min(0.5, of.max_nulls / 2)
    return [None if chance.random() < nulls else draw[of.kind](i) for i in range(rows)]


def _allowed(of: ColumnCase) -> tuple[Cell, ...]:
    return {
        "category": WORDS,
        "flag": (False,) if of.ranged else (False, True),
        "count": tuple(range(40)),
        "code": (1, 2, 3, 7) if of.ranged else (1, 2, 3),
        "amount": (0.0, 1.5),
        "dose": _DOSES,
    }[of.kind]


def column_of(of: ColumnCase, name: str) -> Column:
    """The contract's column."""
    kind = _KINDS[of.kind]
    numeric = kind in (LogicalType.INTEGER, LogicalType.NUMBER)
    return Column(
        name,
        Role.FEATURE,
        kind,
        categorical=of.kind in _CATEGORICAL,
        max_null_fraction=of.max_nulls,
        required=of.max_nulls == 0,
        unique=of.unique,
        minimum=RANGE[0] if of.ranged and numeric else None,
        maximum=RANGE[1] if of.ranged and numeric else None,
        pattern=of.pattern if of.kind == "category" else None,
        allowed=_allowed(of) if of.listed else None,  # type: ignore[arg-type]
    )


def contract_of(case: Case) -> Contract:
    """The case's contract: a person, a label, and the case's columns."""
    person = Column("person", Role.ENTITY, LogicalType.INTEGER, categorical=False)
    label = Column("ill", Role.LABEL, LogicalType.INTEGER, categorical=True, positive=1)
    columns = tuple(column_of(c, f"c{i}") for i, c in enumerate(case.columns))
    return Contract(
        name="generated",
        version="1",
        path=Path("generated.yaml"),
        digest="0" * 64,
        source=Source(None, "x", "csv", ","),
        columns=(person, *columns, label),
        unique_together=(("person", "c0"),) if case.composite_key else (),
        min_rows=12,
        max_rows=300,
    )


def gate_of(case: Case) -> DataGatePolicy:
    """The case's drift limits, before those that stand near the measured figure are set."""
    limits = {f"c{i}": DriftLimit(c.statistic, 0.1) for i, c in enumerate(case.columns)}
    ratio = case.row_ratio or (None, None)
    return DataGatePolicy(
        baseline_spans=("a",),
        current_spans=("b",),
        min_rows=MIN_ROWS,
        bins=5,
        max_categories=50,
        default=DriftLimit(DriftStatistic.JENSEN_SHANNON, 0.1),
        columns=limits,
        row_ratio_at_least=ratio[0],
        row_ratio_at_most=ratio[1],
    )


def near_the_figure(gate: DataGatePolicy, case: Case, figures: dict[str, float]) -> DataGatePolicy:
    """The limits of columns that ask for it, 1 % to either side of what was measured."""
    columns = dict(gate.columns)
    for i, column in enumerate(case.columns):
        figure = figures.get(f"c{i}", math.nan)
        if column.near is not None and figure > 1e-6:
            columns[f"c{i}"] = DriftLimit(column.statistic, figure * column.near)
    return replace(gate, columns=columns)


def write_sides(case: Case, contract: Contract, folder: Path) -> tuple[Path, Path]:
    """Baseline and current rows as files; the faults are planted in the current ones."""
    chance = random.Random(case.seed)
    paths = []
    for side, rows in zip(("baseline", "current"), case.rows, strict=True):
        people: list[Cell] = [chance.randrange(40) for _ in range(rows)]
        labels: list[Cell] = [int(chance.random() < 0.2) for _ in range(rows)]
        table: dict[str, list[Cell]] = {"person": people}
        for i, column in enumerate(case.columns):
            cells = _cells(column, rows, chance)
            if side == "current":
                cells = FAULTS[column.fault][0](chance, cells)
            table[f"c{i}"] = cells
        table["ill"] = labels
        write = _write_parquet if case.parquet else _write_csv
        paths.append(write(folder / side, table, contract))
    return paths[0], paths[1]


def _write_csv(path: Path, table: dict[str, list[Cell]], _: Contract) -> Path:
    path = path.with_suffix(".csv")
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        for row in zip(*table.values(), strict=True):
            writer.writerow([_text(c) for c in row])
    return path


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _write_parquet(path: Path, table: dict[str, list[Cell]], contract: Contract) -> Path:
    path = path.with_suffix(".parquet")
    arrays: dict[str, Any] = {}
    for name, cells in table.items():
        kind = contract.column(name).logical_type
        # Integers stored as floats, as pandas leaves them once a null was among them.
        types = {
            LogicalType.STRING: pa.string(),
            LogicalType.BOOLEAN: pa.bool_(),
            LogicalType.NUMBER: pa.float64(),
            LogicalType.INTEGER: pa.float64() if _has_fraction(cells) else pa.int64(),
        }
        arrays[name] = pa.array(cells, types[kind])
    pq.write_table(pa.table(arrays), path)
    return path


def _has_fraction(cells: list[Cell]) -> bool:
    return any(isinstance(c, float) for c in cells) or None in cells


@st.composite
def column_cases(draw: st.DrawFn) -> ColumnCase:
    """One column, with a fault that fits its kind."""
    kind = draw(st.sampled_from(list(_KINDS)))
    fitting = [f for f, (_, kinds) in FAULTS.items() if not kinds or kind in kinds]
    return ColumnCase(
        kind=kind,
        ranged=draw(st.booleans()),
        listed=draw(st.booleans()),
        pattern=draw(st.one_of(st.none(), st.sampled_from(_PATTERNS))),
        max_nulls=draw(st.sampled_from([0.0, 0.05, 0.25, 1 / 3, 1.0])),
        unique=kind in ("category", "count", "amount") and draw(st.integers(0, 4)) == 0,
        statistic=draw(st.sampled_from(list(DriftStatistic))),
        near=draw(st.sampled_from([None, 0.99, 1.01])),
        fault=draw(st.sampled_from(fitting)),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A whole case: one to four columns, two sides, one file format."""
    return Case(
        columns=tuple(draw(st.lists(column_cases(), min_size=1, max_size=4))),
        rows=(draw(st.sampled_from(ROWS)), draw(st.sampled_from(ROWS))),
        parquet=draw(st.booleans()),
        composite_key=draw(st.booleans()),
        row_ratio=draw(st.sampled_from([None, (0.5, 2.0), (1.0, 1.0)])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )
