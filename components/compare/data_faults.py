"""Faults in the data or the settings of a run, each as what it changes: a query, or policy fields.

They are written for the RAND Health Insurance Experiment, whose columns are described in
``schemas/rand_hie.yaml``. Rows are texts, as a file delivers them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import yaml

from components.contract.policy import Policy
from components.datasets.canonical import split_of
from components.datasets.sources import RowSource, reading
from components.lineage.durable import write_atomically

_CURRENT = "year IN ('3', '4')"
_SPENDING = ("outpdol", "drugdol", "suppdol", "mentdol", "inpdol", "meddol")
_IN_CENTS = ", ".join(
    f"CASE WHEN {_CURRENT} THEN ({c}::DOUBLE * 100)::VARCHAR ELSE {c} END AS {c}" for c in _SPENDING
)
_TURNED = "CASE WHEN admitted_next_year = '1' THEN '0' ELSE '1' END"

IDENTITY = "SSN 078-05-"
"""Begins the identifiers that ``phi_in_text`` brings; no number of anybody's, for 078-05-1120 was
printed on a sample card and the Social Security Administration retired it."""
NOTES = f"'seen by Dr. Alma Quist, {IDENTITY}' || lpad((zper::BIGINT % 10000)::VARCHAR, 4, '0')"

SQL: Mapping[str, str] = {
    "dollars_to_cents": f"SELECT * REPLACE ({_IN_CENTS}) FROM rows",  # noqa: S608 - all of it is ours
    "new_category": f"SELECT * REPLACE (CASE WHEN {_CURRENT} AND zper::BIGINT % 10 = 0 "  # noqa: S608
    "THEN '7' ELSE site END AS site) FROM rows",
    "category_gone": f"SELECT * FROM rows WHERE NOT ({_CURRENT} AND site = '2')",  # noqa: S608
    "group_dropped": "SELECT * FROM rows WHERE black <> '1' OR zper::BIGINT % 10 = 0",
    "leaked_label": "SELECT * REPLACE (CASE WHEN admitted_next_year = '1' THEN '300' "
    "ELSE mentvis END AS mentvis) FROM rows",
    "flipped_labels": f"SELECT * REPLACE (CASE WHEN black = '1' THEN {_TURNED} "  # noqa: S608
    "ELSE admitted_next_year END AS admitted_next_year) FROM rows",
    "span_twice": "SELECT * FROM rows UNION ALL SELECT * FROM rows WHERE year = '2'",
    "phi_in_text": f"SELECT *, {NOTES} AS notes FROM rows",  # noqa: S608
    "baseline_deleted": "SELECT * FROM rows WHERE year NOT IN ('1', '2')",
    "empty_slice": "SELECT rows.* FROM rows SEMI JOIN kept USING (zper)",
}
"""What a fault makes of the table ``rows``. ``kept`` holds the people of ``empty_slice``."""


def write_rows(source: RowSource, fault: str | None, policy: Policy, path: Path) -> Path:
    """Write a contract's rows as CSV, with a fault in them if one is named.

    Args:
        source: the rows as they are.
        fault: a name of ``SQL``, or None for the rows as they are.
        policy: whose splits decide who is judged on.
        path: the CSV file.
    """
    query = SQL.get(fault, "SELECT * FROM rows") if fault else "SELECT * FROM rows"
    with reading(source), duckdb.connect() as database:
        database.execute(f"CREATE TABLE rows AS {source.sql}")
        if fault == "empty_slice":
            _keep_nobody_black_in_evaluation(database, policy)
        # The two stacks' halves may both be writing it, and either may be stopped.
        begun = path.with_name(f".{path.stem}-{os.getpid()}")
        database.execute(f"COPY ({query}) TO '{begun}' (FORMAT csv, HEADER)")
    return begun.replace(path)


def _keep_nobody_black_in_evaluation(database: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    people = database.execute("SELECT DISTINCT zper, black FROM rows ORDER BY ALL").fetchall()
    kept = [
        (person,)
        for person, black in people
        if black == "0" or split_of(person, policy.splits) != "evaluation"
    ]
    database.execute("CREATE TABLE kept (zper VARCHAR)")
    database.executemany("INSERT INTO kept VALUES (?)", kept)


def _stale_baseline(document: dict[str, Any]) -> None:
    document["data_gate"]["baseline_spans"] = list(document["data_gate"]["current_spans"])


def _without_fairness(document: dict[str, Any]) -> None:
    gate = document["release_gate"]
    gate["limits"] = [x for x in gate["limits"] if not x["id"].startswith("equal-opportunity")]


def _diverging(document: dict[str, Any]) -> None:
    document["training"]["learning_rate"] = 10**30  # YAML takes 1e+30 for text


SETTINGS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "stale_baseline": _stale_baseline,
    "threshold_removed": _without_fairness,
    "nan_metric": _diverging,
}
"""What a fault changes in the policy's document."""


def write_policy(policy: Path, fault: str | None, path: Path) -> Path:
    """Write a policy file, with a fault in it if one of ``SETTINGS`` is named."""
    document = yaml.safe_load(policy.read_bytes())
    if fault is not None and fault in SETTINGS:
        SETTINGS[fault](document)
    write_atomically(path, yaml.safe_dump(document, sort_keys=False).encode())
    return path
