"""Each fault changes what it says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import yaml

from components.compare.data_faults import IDENTITY, SETTINGS, SQL, write_policy, write_rows
from components.compare.fault_catalogue import FAULTS
from components.compare.faults import Moment
from components.contract.contract import Contract
from components.contract.json_schema import ROOT
from components.contract.policy import Policy
from components.datasets.canonical import split_of
from components.datasets.sources import open_source

PILOT = ROOT / "policies" / "rand_hie_pilot.yaml"
CURRENT = "year IN ('3', '4')"


@pytest.fixture(scope="module")
def rows(
    rand_hie_contract: Contract, rand_hie_policy: Policy, tmp_path_factory: pytest.TempPathFactory
) -> duckdb.DuckDBPyConnection:
    """A table of the rows as they are, and one for each fault."""
    folder, database = tmp_path_factory.mktemp("faults"), duckdb.connect()
    source = open_source(rand_hie_contract)
    for name in (None, *SQL):
        path = write_rows(source, name, rand_hie_policy, folder / f"{name}.csv")
        database.execute(
            f"CREATE TABLE {name or 'good'} AS FROM read_csv('{path}', all_varchar = true)"
        )
    return database


def ask(rows: duckdb.DuckDBPyConnection, query: str) -> object:
    """The one value that a query gives."""
    ((value,),) = rows.execute(query).fetchall()
    return value


def test_every_fault_of_data_and_settings_is_there() -> None:
    named = {f.name for f in FAULTS if f.moment in (Moment.DATA, Moment.SETTINGS)}
    assert named == {*SQL, *SETTINGS}


def test_cents_are_a_hundred_times_dollars_in_the_current_years_alone(
    rows: duckdb.DuckDBPyConnection,
) -> None:
    total = "SELECT sum(meddol::DOUBLE) FROM {} WHERE {}"
    for where, factor in ((CURRENT, 100), (f"NOT {CURRENT}", 1)):
        good, bad = (ask(rows, total.format(t, where)) for t in ("good", "dollars_to_cents"))
        assert bad == pytest.approx(factor * good)


def test_a_site_turns_up_and_a_site_is_gone(rows: duckdb.DuckDBPyConnection) -> None:
    seven = "SELECT count(*) FROM new_category WHERE site = '7'"
    assert ask(rows, seven) == ask(rows, f"{seven} AND {CURRENT}") != 0
    gone = "SELECT count(*) FROM {} WHERE site = '2' AND " + CURRENT  # noqa: S608
    assert ask(rows, gone.format("good")) == 564
    assert ask(rows, gone.format("category_gone")) == 0


def test_nine_in_ten_of_a_group_are_lost(rows: duckdb.DuckDBPyConnection) -> None:
    black = "SELECT count(*) FROM {} WHERE black = '1'"
    good, bad = (ask(rows, black.format(t)) for t in ("good", "group_dropped"))
    assert 0.05 * good < bad < 0.15 * good
    others = "SELECT count(*) FROM {} WHERE black <> '1'"
    assert ask(rows, others.format("good")) == ask(rows, others.format("group_dropped"))


def test_a_feature_holds_the_label(rows: duckdb.DuckDBPyConnection) -> None:
    told = "SELECT count(*) FROM leaked_label WHERE (mentvis = '300') <> (admitted_next_year = '1')"
    assert ask(rows, told) == 0


def test_one_group_has_its_labels_turned_round(rows: duckdb.DuckDBPyConnection) -> None:
    positive = "SELECT avg(admitted_next_year::INT) FROM {} WHERE black {} '1'"
    good, bad = (ask(rows, positive.format(t, "=")) for t in ("good", "flipped_labels"))
    assert bad == pytest.approx(1 - good)
    assert ask(rows, positive.format("good", "<>")) == ask(
        rows, positive.format("flipped_labels", "<>")
    )


def test_a_year_comes_twice(rows: duckdb.DuckDBPyConnection) -> None:
    assert ask(rows, "SELECT count(*) FROM span_twice WHERE year = '2'") == 2 * 5425
    assert ask(rows, "SELECT count(*) FROM span_twice WHERE year <> '2'") == 14278 - 5425


def test_identities_come_in_a_column_of_their_own(rows: duckdb.DuckDBPyConnection) -> None:
    named = f"SELECT count(*) FROM phi_in_text WHERE notes LIKE '%{IDENTITY}%'"  # noqa: S608
    assert ask(rows, named) == 14278


def test_the_baseline_is_gone(rows: duckdb.DuckDBPyConnection) -> None:
    assert ask(rows, "SELECT min(year) FROM baseline_deleted") == "3"


def test_a_group_is_judged_on_nobody(
    rows: duckdb.DuckDBPyConnection, rand_hie_policy: Policy
) -> None:
    people = rows.execute("SELECT DISTINCT zper FROM empty_slice WHERE black <> '0'").fetchall()
    assert people
    assert {split_of(p, rand_hie_policy.splits) for (p,) in people} == {"train", "validation"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_policy_is_changed_where_the_fault_says(tmp_path: Path, name: str) -> None:
    good = yaml.safe_load(PILOT.read_bytes())
    found = yaml.safe_load(write_policy(PILOT, name, tmp_path / "p.yaml").read_bytes())
    changed = [
        (section, key)
        for section in good
        if isinstance(good[section], dict)
        for key in good[section]
        if found[section][key] != good[section][key]
    ]
    assert (
        changed
        == {
            "stale_baseline": [("data_gate", "baseline_spans")],
            "threshold_removed": [("release_gate", "limits")],
            "nan_metric": [("training", "learning_rate")],
        }[name]
    )


def test_a_policy_without_a_fault_says_the_same(tmp_path: Path) -> None:
    written = write_policy(PILOT, None, tmp_path / "p.yaml")
    assert yaml.safe_load(written.read_bytes()) == yaml.safe_load(PILOT.read_bytes())


def test_rows_that_cannot_be_written_whole_leave_what_was_there(
    rand_hie_contract: Contract,
    rand_hie_policy: Policy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("whole")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_rows(open_source(rand_hie_contract), None, rand_hie_policy, path)
    assert path.read_text() == "whole"
