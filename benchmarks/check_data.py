"""The data of the check benchmark: two Parquet files, and what must hold of them.

One table of columns, ``COLUMNS``, is the only source: the files, the contract, the policy and
each peer's own schema are made from it, so that everybody is asked the same.

    python -m benchmarks.check_data FOLDER --rows 1000000
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BASELINE, CURRENT = "baseline.parquet", "current.parquet"
CONTRACT, POLICY = "contract.yaml", "policy.yaml"
SEEDS = {BASELINE: 0.1, CURRENT: 0.2}
DRIFT_LIMIT = 0.1
"""Most Jensen-Shannon divergence of a column, base 2, in [0, 1]."""
SHIFTED = ("text_b", "number_a")
"""The columns that ``shift`` moves, far beyond the limit and within domain and range."""


@dataclass(frozen=True, slots=True)
class BenchColumn:
    """A column: its type, its role, and what its values may be.

    ``values`` is the size of a text's domain, ``v0`` to ``v<values - 1>``; ``maximum`` the upper
    end of a number's range, whose lower end is 0. ``sql`` draws one value.
    """

    name: str
    kind: str
    role: str
    sql: str
    values: int = 0
    maximum: float = 0

    @property
    def domain(self) -> list[str]:
        """The allowed values of a text column."""
        return [f"v{i}" for i in range(self.values)]


def _texts() -> list[BenchColumn]:
    """Texts of 2 to 200 values, the low-numbered ones the more frequent."""
    sizes = (2, 3, 5, 8, 12, 20, 50, 200)
    return [
        BenchColumn(
            f"text_{letter}",
            "string",
            "feature",
            f"'v' || floor(pow(random(), 2) * {size})::INTEGER",
            values=size,
        )
        for letter, size in zip("abcdefgh", sizes, strict=True)
    ]


def _numbers() -> list[BenchColumn]:
    """Doubles with a long right tail: most of a number's range is nearly empty."""
    return [
        BenchColumn(
            f"number_{letter}",
            "number",
            "feature",
            f"exp(random() * 3 + random() * 2) * {factor}",
            maximum=150.0 * factor,
        )
        for factor, letter in enumerate("abcdef", start=1)
    ]


def _integers() -> list[BenchColumn]:
    return [
        BenchColumn(
            f"count_{letter}",
            "integer",
            "feature",
            f"floor(random() * random() * {top})::BIGINT",
            maximum=top,
        )
        for letter, top in zip("abcd", (10, 100, 1000, 100_000), strict=True)
    ]


COLUMNS = (
    BenchColumn("person", "integer", "entity", "i"),
    *_texts(),
    *_numbers(),
    *_integers(),
    BenchColumn("label", "integer", "label", "(random() < 0.1)::BIGINT", maximum=1),
)

COMPARED = tuple(c.name for c in COLUMNS if c.role == "feature")
"""The columns whose drift is judged: all but the person and the label."""


def generate(folder: Path, rows: int, shift: bool = False) -> dict[str, dict[str, Any]]:
    """Write both files, the contract and the policy.

    Args:
        folder: where to; it is made if it is not there.
        rows: of each file.
        shift: whether the current file's ``SHIFTED`` columns are moved.

    Returns:
        Bytes and SHA-256 of each Parquet file.
    """
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in SEEDS.items():
        moved = SHIFTED if shift and name == CURRENT else ()
        columns = ", ".join(f"{_draw(c, c.name in moved)} AS {c.name}" for c in COLUMNS)
        # One thread: with more of them, which row gets which random number is chance.
        with duckdb.connect(config={"threads": 1}) as database:
            database.execute(f"SELECT setseed({seed})")
            database.execute(
                f"COPY (SELECT {columns} FROM range({rows}) AS t(i)) "  # noqa: S608
                f"TO '{folder / name}' (FORMAT parquet, COMPRESSION zstd)"
            )
    (folder / CONTRACT).write_text(yaml.safe_dump(contract(rows), sort_keys=False))
    (folder / POLICY).write_text(yaml.safe_dump(policy(), sort_keys=False))
    return {name: _described(folder / name) for name in SEEDS}


def _draw(column: BenchColumn, moved: bool) -> str:
    if not moved:
        return column.sql
    return f"'v{column.values - 1}'" if column.kind == "string" else "random() * 3"


def _described(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def contract(rows: int) -> dict[str, Any]:
    """The data contract: types, presence, ranges, domains, the unique person, the row count."""
    return {
        "version": "1.0.0",
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": "urn:assay:contract:bench",
        "name": "bench",
        "status": "active",
        "servers": [{"server": "files", "type": "local", "path": CURRENT, "format": "parquet"}],
        "schema": [
            {
                "name": "rows",
                "physicalType": "table",
                "quality": [{"metric": "rowCount", "mustBeBetween": list(row_bounds(rows))}],
                "properties": [_property(c) for c in COLUMNS],
            }
        ],
    }


def row_bounds(rows: int) -> tuple[int, int]:
    """Fewest and most rows that the contract allows."""
    return rows // 2, rows * 2


def _property(column: BenchColumn) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "name": column.name,
        "logicalType": column.kind,
        "required": True,
        "classification": "phi-identifier" if column.role == "entity" else "phi",
        "customProperties": [_ours("assayRole", column.role)],
    }
    if column.role == "entity":
        stated["unique"] = True
    if column.role == "label":
        stated["customProperties"].append(_ours("assayPositive", 1))
    if column.values:
        arguments = {"validValues": column.domain}
        stated["quality"] = [{"metric": "invalidValues", "mustBe": 0, "arguments": arguments}]
    if column.maximum:
        whole = column.kind == "integer"
        bounds = (0, int(column.maximum)) if whole else (0.0, float(column.maximum))
        stated["logicalTypeOptions"] = dict(zip(("minimum", "maximum"), bounds, strict=True))
    return stated


def _ours(name: str, value: Any) -> dict[str, Any]:
    return {"property": name, "value": value, "vendor": "assay"}


def policy() -> dict[str, Any]:
    """The policy: one drift limit for every feature. Its release gate is never reached here."""
    grounds = "the benchmark stops at the data gate; the policy format asks for a limit"
    floor = {"id": "auc-floor", "metric": "roc_auc", "at_least": 0.51, "tested_on": "point"}
    return {
        "schemaVersion": "assay-policy/v1",
        "name": "bench",
        "dataset": "bench",
        "purpose": "Benchmark of assay check.",
        "splits": {"salt": "bench", "train": 0.6, "validation": 0.1, "evaluation": 0.3},
        "data_gate": {
            # The baseline comes with --reference, not out of spans of the data.
            "first_release": {"grounds": "the baseline is given on the command line"},
            "min_rows": 500,
            "bins": 10,
            "max_categories": 1000,
            "drift": {"default": {"statistic": "jensen_shannon", "at_most": DRIFT_LIMIT}},
        },
        "training": {
            "seed": 1, "epochs": 1, "batch_size": 128, "learning_rate": 0.001,
            "weight_decay": 0.001, "dropout": 0.0, "hidden": [8], "min_category_count": 20,
        },
        "candidates": {
            "plain": {
                "description": "none is trained",
                "protected_features": [],
                "mitigation": "none",
            }
        },
        "decision": {"threshold": 0.5},
        "leak_check": {"single_column_auc_at_most": 0.9, "min_n": 100, "grounds": grounds},
        "release_gate": {
            "confidence": 0.95,
            "agreement": 0.02,
            "transform_tolerance": 0.001,
            "serving_tolerance": 0.0001,
            "limits": [floor | {"min_n": 100, "grounds": grounds}],
        },
    }  # fmt: skip


def main() -> None:
    """Write the files from the command line, and print what they are as JSON."""
    import json

    parser = argparse.ArgumentParser(description="Write the data of the check benchmark.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shift", action="store_true", help="move two columns of the current file")
    given = parser.parse_args()
    print(json.dumps(generate(given.folder, given.rows, given.shift)))


if __name__ == "__main__":
    main()
