from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.checks.measurement import Status, conclude
from components.checks.schema import schema_findings
from components.contract.contract import Contract
from components.profile.profile import ColumnProfile, Profile
from tests.clinic import Document, column_of, contract, table_of


@pytest.fixture
def clinic(tmp_path: Path) -> Contract:
    def change(document: Document) -> None:
        column_of(document, "note").update(unique=True)
        column_of(document, "cost").update(logicalTypeOptions={"minimum": 0})
        column_of(document, "ward").update(
            quality=[{"metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent"}]
        )
        table_of(document)["quality"] = [
            {"metric": "rowCount", "mustBeBetween": [10, 100]},
            {
                "metric": "duplicateValues",
                "mustBe": 0,
                "arguments": {"properties": ["person", "year"]},
            },
        ]

    return contract(tmp_path, change)


def _profile(clinic: Contract, rows: int = 20, **changes: dict[str, Any]) -> Profile:
    columns = {
        c.name: replace(ColumnProfile(rows, 0, None, None, None, 9), **changes.get(c.name, {}))
        for c in clinic.columns
    }
    return Profile(rows, columns, {"note": 0, "person+year": 0})


def _closed(profile: Profile, clinic: Contract) -> dict[str, Status]:
    return {
        f.rule: f.status for f in schema_findings(profile, clinic) if f.status is not Status.PASS
    }


def test_one_rule_for_every_clause(clinic: Contract) -> None:
    rules = [f.rule for f in schema_findings(_profile(clinic), clinic)]
    assert len(set(rules)) == len(rules)
    assert set(rules) == {
        "row_count:least",
        "row_count:most",
        *(f"type:{c.name}" for c in clinic.columns),
        "nulls:person",
        "nulls:year",
        "nulls:ward",
        "nulls:readmitted",
        "range:cost",
        "unique:note",
        "unique:person+year",
    }
    assert conclude(schema_findings(_profile(clinic), clinic)).is_open


def test_each_clause_fails_alone(clinic: Contract) -> None:
    fail = Status.FAIL
    assert _closed(_profile(clinic, cost={"unparseable": 1}), clinic) == {"type:cost": fail}
    assert _closed(_profile(clinic, cost={"out_of_range": 1}), clinic) == {"range:cost": fail}
    assert _closed(_profile(clinic, cost={"nulls": 20}), clinic) == {}
    assert _closed(_profile(clinic, ward={"nulls": 5}), clinic) == {}
    assert _closed(_profile(clinic, ward={"nulls": 6}), clinic) == {"nulls:ward": fail}
    assert _closed(_profile(clinic, year={"nulls": 1}), clinic) == {"nulls:year": fail}
    assert _closed(_profile(clinic, rows=9), clinic) == {"row_count:least": fail}
    assert _closed(_profile(clinic, rows=10), clinic) == {}
    assert _closed(_profile(clinic, rows=101), clinic) == {"row_count:most": fail}
    repeated = replace(_profile(clinic), duplicates={"note": 0, "person+year": 1})
    assert _closed(repeated, clinic) == {"unique:person+year": fail}


def test_what_was_not_counted_is_inconclusive(clinic: Contract) -> None:
    unknown = Status.INCONCLUSIVE
    full = _profile(clinic)
    without = replace(full, columns={n: c for n, c in full.columns.items() if n != "year"})
    assert _closed(without, clinic) == {"type:year": unknown, "nulls:year": unknown}
    both = {"unique:note": unknown, "unique:person+year": unknown}
    assert _closed(replace(full, duplicates=None), clinic) == both
    assert _closed(replace(full, duplicates={}), clinic) == both


def test_no_rows_at_all_are_closed(clinic: Contract) -> None:
    closed = _closed(_profile(clinic, rows=0), clinic)
    assert closed["row_count:least"] is Status.FAIL
    assert closed["nulls:year"] is Status.INCONCLUSIVE


def test_a_column_that_the_data_lack_fails_its_type(clinic: Contract) -> None:
    full = _profile(clinic)
    without = replace(full, columns={n: c for n, c in full.columns.items() if n != "cost"})
    found = {f.rule: f for f in schema_findings(without, clinic, absent={"cost"})}
    assert found["type:cost"].status is Status.FAIL
    assert found["type:cost"].reason == "column cost is not in the data"
    assert found["range:cost"].status is Status.INCONCLUSIVE


def test_a_guess_that_nobody_confirmed_closes(tmp_path: Path) -> None:
    def guess(document: Document) -> None:
        column_of(document, "cost")["customProperties"].append(
            {"property": "assayConfirm", "value": "class guessed", "vendor": "assay"}
        )

    guessed = contract(tmp_path, guess)
    closed = {f.rule: f for f in schema_findings(_profile(guessed), guessed)}["confirmed:cost"]
    assert closed.status is Status.INCONCLUSIVE
    assert closed.reason == "a person has yet to confirm of cost: class guessed"
