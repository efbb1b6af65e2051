"""The data of the release benchmark: a dataset's evaluation rows, and stored scores of them.

Three protected columns of 2, 5 and 6 groups, of unequal size and unequally treated. The files are
what a run leaves: a canonical dataset with its manifest, a contract, a policy, and predictions in
the dataset's order, named by row.

    python -m benchmarks.release_data FOLDER --rows 1000000
"""

from __future__ import annotations

import argparse
import hashlib
import json
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import check_data

CONTRACT, POLICY, PREDICTIONS = "contract.yaml", "policy.yaml", "predictions.parquet"
ROWS = "evaluation/span-0000.parquet"
ATTRIBUTES = {"sex": 2, "site": 5, "age": 6}
"""Number of groups of each protected column."""

SLICES = (*((a,) for a in ATTRIBUTES), *combinations(ATTRIBUTES, 2))
"""Whose groups are measured: those of each column and of each pair."""

THRESHOLD, CONFIDENCE = 0.3, 0.95
_CHUNK = 1_000_000


def groups(attribute: str) -> list[str]:
    """Labels of an attribute's groups."""
    return [f"{attribute}{i}" for i in range(ATTRIBUTES[attribute])]


def generate(folder: Path, rows: int) -> dict[str, dict[str, Any]]:
    """Write the dataset, its contract and policy, and the predictions.

    Returns:
        Bytes and SHA-256 of each Parquet file.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.datasets.canonical import ROW_COLUMN

    (folder / ROWS).parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(20261124)
    names = {a: pa.array(groups(a)) for a in ATTRIBUTES}
    shares = {a: np.arange(k, 0, -1) / (k * (k + 1) / 2) for a, k in ATTRIBUTES.items()}
    row, label, score = pa.field(ROW_COLUMN, pa.binary(32)), "label", "score"
    columns = [(f"assay_group_{a}", pa.string()) for a in ATTRIBUTES]
    # As the canonical writer and the stacks write theirs.
    options: dict[str, Any] = {"compression": "zstd", "version": "2.6"}
    schema = pa.schema([row, (label, pa.int64()), *columns])
    scored = pa.schema([row, (score, pa.float64())])
    with (
        pq.ParquetWriter(folder / ROWS, schema, **options) as dataset,
        pq.ParquetWriter(folder / PREDICTIONS, scored, **options) as predictions,
    ):
        for start in range(0, rows, _CHUNK):
            n = min(_CHUNK, rows - start)
            ids = pa.Array.from_buffers(
                pa.binary(32), n, [None, pa.py_buffer(chance.bytes(32 * n))]
            )
            held = {a: chance.choice(k, n, p=shares[a]) for a, k in ATTRIBUTES.items()}
            risk = chance.beta(1.2, 5, n)
            positive = (chance.random(n) < risk).astype(np.int64)
            shift = sum(0.01 * codes for codes in held.values())
            scores = np.clip(risk + chance.normal(0, 0.1, n) + shift, 0, 1)
            # A network's scores have 32 bits.
            scores = scores.astype(np.float32).astype(np.float64)
            labels = [names[a].take(pa.array(codes)) for a, codes in held.items()]
            dataset.write_table(pa.table([ids, pa.array(positive), *labels], schema=schema))
            predictions.write_table(pa.table([ids, pa.array(scores)], schema=scored))
    # JSON is YAML too, and names no slice twice by an alias, which the loader refuses.
    (folder / CONTRACT).write_text(json.dumps(contract(), indent=1))
    (folder / POLICY).write_text(json.dumps(policy(), indent=1))
    described = {n: _described(folder / n) for n in (ROWS, PREDICTIONS)}
    _write_manifest(folder, rows, described[ROWS]["sha256"])
    return described


def _described(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _write_manifest(folder: Path, rows: int, digest: str) -> None:
    from components.datasets.canonical import SCHEMA_VERSION
    from components.lineage.digests import canonical_json

    part = {"file": ROWS, "rows": rows, "sha256": digest}
    manifest = {
        "schemaVersion": SCHEMA_VERSION,
        "splits": {"evaluation": {"rows": rows, "spans": {"all": part}}},
    }
    # The predictions lie beside the dataset, which knows only of its own files.
    directory = folder / "dataset"
    directory.mkdir()
    (folder / ROWS).parent.rename(directory / "evaluation")
    (directory / "manifest.json").write_bytes(canonical_json(manifest))


def contract() -> dict[str, Any]:
    """A data contract with the three protected columns, all of their groups declared."""
    document = check_data.contract(1)
    columns = [("person", "string", "entity"), ("cost", "number", "feature")]
    properties = [_property(*c) for c in columns]
    for attribute in ATTRIBUTES:
        declared = {"validValues": groups(attribute)}
        quality = [{"metric": "invalidValues", "mustBe": 0, "arguments": declared}]
        properties.append({**_property(attribute, "string", "protected"), "quality": quality})
    label = _property("label", "integer", "label")
    label["customProperties"].append({"property": "assayPositive", "value": 1, "vendor": "assay"})
    document["schema"][0]["properties"] = [*properties, label]
    return document


def _property(name: str, kind: str, role: str) -> dict[str, Any]:
    return {
        "name": name,
        "logicalType": kind,
        "required": True,
        "customProperties": [{"property": "assayRole", "value": role, "vendor": "assay"}],
    }


def policy() -> dict[str, Any]:
    """Limits on accuracy, on calibration, and on a difference and a ratio of every slice."""
    document = check_data.policy()
    grounds = "the benchmark asks how long it takes and not whether it holds"
    limits: list[dict[str, Any]] = [
        {"metric": "roc_auc", "at_least": 0.6},
        {"metric": "calibration_error", "at_most": 0.1},
    ]
    for attributes in SLICES:
        slice_ = attributes[0] if len(attributes) == 1 else list(attributes)
        limits += [
            {"metric": "tpr_difference", "slice": slice_, "at_most": 0.2},
            {"metric": "selection_rate_ratio", "slice": slice_, "at_least": 0.5},
        ]
    fixed = {"tested_on": "worst_bound", "min_n": 30, "grounds": grounds}
    document["purpose"] = "Benchmark of the referee of the release gate."
    document["decision"]["threshold"] = THRESHOLD
    document["release_gate"] |= {
        "confidence": CONFIDENCE,
        "limits": [{"id": f"limit-{i}", **x, **fixed} for i, x in enumerate(limits)],
    }
    return document


def main() -> None:
    """Write the files from the command line, and print what they are as JSON."""
    parser = argparse.ArgumentParser(description="Write the data of the release benchmark.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    print(json.dumps(generate(given.folder, given.rows)))


if __name__ == "__main__":
    main()
