"""Every table as JSON, CSV and workbook: what it says, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from components.compare import compare_tables as tables
from components.compare.compare_report_view import shown
from components.compare.compare_tables import Grid
from components.compare.compare_tables_files import file_name, to_csv, to_workbook, write_tables
from components.compare.comparison import Table
from components.contract.errors import InputError
from components.release.run_summary import RunSummary
from tests.compared import comparison, matrix, table

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


def grid(*rows: tables.Row, name: str = "t") -> Grid:
    """A grid of two columns."""
    return Grid(name, "T", "", ("a", "b"), rows)


def test_every_table_is_written_three_times(pair: list[RunSummary], tmp_path: Path) -> None:
    made = comparison(pair, faults=matrix(), tables=[table("Cost of running")])
    grids = tables.grids(made)
    write_tables(made, grids, tmp_path)
    names = {file_name(g) for g in grids}
    assert {"faults", "questions", "fairness", "drift", "lineage-nodes", "cost-of-running"} < names
    assert {p.name for p in (tmp_path / "tables").iterdir()} == {
        f"{n}.{ending}" for n in names for ending in ("csv", "json")
    }
    book = openpyxl.load_workbook(tmp_path / "tables.xlsx")
    assert len(book.sheetnames) == len(grids)
    document = json.loads((tmp_path / "comparison.json").read_text())
    assert [t["name"] for t in document["tables"]] == [g.name for g in grids]
    assert document["verdict"]
    for g in grids:
        assert all(len(row) == len(g.head) for row in g.rows), g.name
        rows = list(csv.reader((tmp_path / "tables" / f"{file_name(g)}.csv").open(newline="")))
        assert len(rows) == len(g.rows) + 1
        assert book[file_name(g)[:31]].max_row == len(g.rows) + 1


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    made = grid((text, -1.5), (text, None))
    rows = list(csv.reader(io.StringIO(to_csv(made, "").decode())))
    assert rows[1:] == [[f"'{text}", "-1.5"], [f"'{text}", ""]]
    sheet = openpyxl.load_workbook(io.BytesIO(to_workbook([made], "")))["t"]
    cell = sheet["A2"]
    assert cell.data_type == "s"
    assert cell.value.startswith("'")
    assert (sheet["B2"].value, sheet["B3"].value) == (-1.5, None)


def test_a_head_is_no_formula_either() -> None:
    made = Grid("t", "T", "", ("=1",), ())
    assert to_csv(made, "").decode() == "'=1\r\n"


def test_what_is_not_comparable_says_so_in_every_file(
    pair: list[RunSummary], tmp_path: Path
) -> None:
    made = comparison(pair, faults=matrix(), differences=["code a and b"])
    write_tables(made, tables.grids(made), tmp_path)
    mark = "NOT COMPARABLE: code a and b"
    for path in (tmp_path / "tables").glob("*.csv"):
        assert path.read_text().startswith(f"{mark}\r\n") or path.read_text().startswith(mark)
    for path in (tmp_path / "tables").glob("*.json"):
        assert json.loads(path.read_text())["notComparable"] == mark
    book = openpyxl.load_workbook(tmp_path / "tables.xlsx")
    assert all(sheet["A1"].value == mark for sheet in book)
    document = json.loads((tmp_path / "comparison.json").read_text())
    assert document["notComparable"] == ["code a and b"]
    assert all(t["notComparable"] == mark for t in document["tables"])


def test_names_out_of_a_file_lead_nowhere() -> None:
    assert file_name(grid(name="../../etc/passwd")) == "etc-passwd"
    assert file_name(grid(name="É / \\ ..")) == "table"
    assert len(file_name(grid(name="x" * 500))) == 60


def test_two_tables_of_one_file_are_refused(pair: list[RunSummary], tmp_path: Path) -> None:
    made = comparison(pair, tables=[table("a b"), table("a-b")])
    with pytest.raises(InputError, match="two tables are called 'a-b'"):
        write_tables(made, tables.grids(made), tmp_path)


def test_a_table_of_another_comparison_does_not_stay_beside_this_one(
    pair: list[RunSummary], tmp_path: Path
) -> None:
    earlier = comparison(pair, tables=[table("install")])
    write_tables(earlier, tables.grids(earlier), tmp_path)
    write_tables(earlier, tables.grids(earlier), tmp_path)
    forced = comparison(pair, differences=["code a and b"])
    with pytest.raises(InputError, match="holds 'install.csv', which is not of this comparison"):
        write_tables(forced, tables.grids(forced), tmp_path)
    assert json.loads((tmp_path / "comparison.json").read_text())["notComparable"] == []


def test_sheets_with_long_names_are_told_apart() -> None:
    grids = [grid(name="x" * 40 + str(i)) for i in range(3)]
    names = openpyxl.load_workbook(io.BytesIO(to_workbook(grids, ""))).sheetnames
    assert len(set(names)) == 3
    assert all(len(n) <= 31 for n in names)


def test_figures_that_are_hidden_stay_hidden(pair: list[RunSummary], tmp_path: Path) -> None:
    hidden = tuple(
        replace(f, value=float("nan"), low=None, high=None, n=None) if f.of else f
        for f in pair[0].figures
    )
    made = comparison([replace(pair[0], figures=hidden), pair[1]])
    rows = tables.fairness_grid(made).rows
    stack = made.stacks.index(pair[0].stack)
    assert all(row[3 + 4 * stack : 7 + 4 * stack] == (None,) * 4 for row in rows)
    write_tables(made, tables.grids(made), tmp_path)
    assert "NaN" not in (tmp_path / "tables" / "fairness.json").read_text()


def test_drift_has_the_limit_that_each_column_was_held_to(pair: list[RunSummary]) -> None:
    made = tables.drift_grid(comparison(pair))
    limits = pair[0].policy.data_gate
    assert len(made.rows) > 10
    for column, statistic, limit, *_ in made.rows:
        assert limit == limits.limit_for(str(column)).at_most
        assert statistic == limits.limit_for(str(column)).statistic


def test_questions_are_told_as_the_audit_score_has_them(pair: list[RunSummary]) -> None:
    made = comparison(pair)
    rows = tables.questions_grid(made).rows
    assert [r[0] for r in rows] == [q.id for q in made.questions]
    score = tables.score_grid(made)
    assert score is not None
    assert not any(str(r[0]).startswith("question ") for r in score.rows)
    assert tables.score_grid(comparison(pair, asked=False)) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("a", "a"), (0, "0"), (-3.0, "-3"), (12345, "12,345"), (0.123456, "0.1235"),
     (1234.56, "1,234.6"), (0.00001234, "1.234e-05")],
)  # fmt: skip
def test_numbers_are_shown_with_what_matters_of_them(value: tables.Value, text: str) -> None:
    assert shown(value) == text


def test_an_empty_table_has_a_head(pair: list[RunSummary]) -> None:
    made = tables.table_grid(Table("t", "T", "", ()))
    assert made.head == ("measure", "unit", "kind", "note", "evidence")
