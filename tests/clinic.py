"""A small made-up clinic: a contract with every logical type, its policy, and rows to go with it.

The documents are plain dictionaries, so that a test changes one thing and writes the file.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy

Document = dict[str, Any]
Change = Callable[[Document], object]


def _ours(**properties: Any) -> list[Document]:
    return [{"property": k, "value": v, "vendor": "assay"} for k, v in properties.items()]


def _column(name: str, logical_type: str, role: str, **fields: Any) -> Document:
    ours = {k: fields.pop(k) for k in list(fields) if k.startswith("assay")}
    return {
        "name": name,
        "logicalType": logical_type,
        **fields,
        "customProperties": _ours(assayRole=role, **ours),
    }


_CONTRACT: Document = {
    "version": "1.0.0",
    "apiVersion": "v3.2.0",
    "kind": "DataContract",
    "id": "urn:test:clinic",
    "name": "clinic",
    "status": "active",
    "servers": [{"server": "files", "type": "local", "path": "clinic.csv", "format": "csv"}],
    "schema": [
        {
            "name": "visits",
            "customProperties": _ours(assayMissingMarkers=["?", "-9"]),
            "properties": [
                _column("person", "string", "entity", required=True),
                _column("year", "integer", "span", required=True),
                _column(
                    "age",
                    "number",
                    "protected",
                    assayBands={"edges": [40, 65], "labels": ["young", "middle", "old"]},
                ),
                _column("sex", "string", "protected"),
                _column("ward", "string", "feature"),
                _column("cost", "number", "feature"),
                _column("smoker", "boolean", "feature"),
                _column("under_40", "boolean", "feature", assayProxyOf=["age"]),
                _column("note", "string", "excluded"),
                _column("readmitted", "integer", "label", required=True, assayPositive=1),
            ],
        }
    ],
}

_POLICY: Document = {
    "schemaVersion": "assay-policy/v1",
    "name": "clinic",
    "dataset": "clinic",
    "purpose": "A test.",
    "splits": {"salt": "s", "train": 0.6, "validation": 0.2, "evaluation": 0.2},
    "data_gate": {
        "baseline_spans": ["2001"],
        "current_spans": ["2002"],
        "min_rows": 10,
        "bins": 5,
        "max_categories": 50,
        "drift": {"default": {"statistic": "jensen_shannon", "at_most": 0.1}},
    },
    "training": {
        "seed": 1,
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "hidden": [4],
        "min_category_count": 1,
    },
    "candidates": {
        "plain": {
            "description": "d",
            "protected_features": ["age", "sex"],
            "protected_grounds": "long enough to be grounds",
            "mitigation": "none",
        },
        "fair": {
            "description": "d",
            "protected_features": [],
            "mitigation": "reweighing",
            "mitigate_by": ["sex"],
        },
    },
    "decision": {"threshold": 0.5},
    "leak_check": {
        "single_column_auc_at_most": 0.95,
        "min_n": 1,
        "grounds": "long enough to be grounds",
    },
    "release_gate": {
        "confidence": 0.95,
        "agreement": 0.01,
        "transform_tolerance": 0.001,
        "serving_tolerance": 0.001,
        "limits": [
            {
                "id": "auc",
                "metric": "roc_auc",
                "at_least": 0.6,
                "tested_on": "point",
                "min_n": 10,
                "grounds": "long enough to be grounds",
            },
            {
                "id": "tpr",
                "metric": "tpr_difference",
                "slice": "sex",
                "at_most": 0.1,
                "tested_on": "worst_bound",
                "min_n": 5,
                "grounds": "long enough to be grounds",
            },
            {
                "id": "tpr-age",
                "metric": "tpr_difference",
                "slice": "age",
                "at_most": 0.1,
                "tested_on": "worst_bound",
                "min_n": 5,
                "grounds": "long enough to be grounds",
            },
        ],
    },
}


def first_release(document: Document) -> None:
    """Change a policy to one that declares that there is no baseline yet."""
    gate = document["data_gate"]
    del gate["baseline_spans"], gate["current_spans"]
    gate["first_release"] = {"grounds": "nothing was ever collected before"}


COLUMNS = [p["name"] for p in _CONTRACT["schema"][0]["properties"]]


def contract_document() -> Document:
    """A fresh copy of the clinic's contract."""
    return copy.deepcopy(_CONTRACT)


def policy_document() -> Document:
    """A fresh copy of the clinic's policy."""
    return copy.deepcopy(_POLICY)


def table_of(document: Document) -> Document:
    """The one table of a contract."""
    return document["schema"][0]


def column_of(document: Document, name: str) -> Document:
    """One column of a contract."""
    return next(p for p in table_of(document)["properties"] if p["name"] == name)


def write(path: Path, document: Document) -> Path:
    """Write a document in YAML's flow style, which is JSON: much the quickest to write and read."""
    path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    return path


def contract(directory: Path, change: Change | None = None) -> Contract:
    """The clinic's contract, changed, written and loaded."""
    document = contract_document()
    if change:
        change(document)
    return load_contract(write(directory / "clinic.yaml", document))


def policy(directory: Path, of: Contract, change: Change | None = None) -> Policy:
    """The clinic's policy, changed, written and loaded."""
    document = policy_document()
    if change:
        change(document)
    return load_policy(write(directory / "clinic_policy.yaml", document), of)


def rows(people: int = 60, seed: int = 1) -> list[dict[str, str]]:
    """Two visits of each person, as text; some cells missing."""
    chance = random.Random(seed)
    found = []
    for person in range(people):
        sex, age = chance.choice(["f", "m"]), chance.randint(20, 90)
        for year in ("2001", "2002"):
            found.append(
                {
                    "person": f"p{person:04d}",
                    "year": year,
                    "age": str(age) if chance.random() > 0.05 else "",
                    "sex": sex,
                    "ward": chance.choice(["A", "B", 'C "west", upper', "Ä\nÖ", ""]),
                    "cost": f"{chance.expovariate(0.01):.2f}",
                    "smoker": chance.choice(["true", "false"]),
                    "under_40": str(age < 40).lower(),
                    "note": f"note-{chance.random()}",
                    "readmitted": str(int(chance.random() < 0.3)),
                }
            )
    return found


def csv_text(lines: list[dict[str, str]], columns: list[str] | None = None) -> str:
    """Rows as CSV text with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns or COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()
