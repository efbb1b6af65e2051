"""`assay score` with a release of the plain stack: which release may decide, and on which batch."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.datasets.sources import open_source
from components.decisions.decision_log import DecisionLog, decision_logs
from components.stacks import batch_scoring
from components.stacks.batch_scoring import find_release, open_release
from pipelines.cli import app
from tests.components.stacks.test_releasing import Insurer
from tests.plain_stack import CONTRACT, PlainStack, start

FIRST, SECOND = "rand_hie/pytorch@1", "rand_hie/pytorch@2"


class ByVisits:
    """A score of one column, for a home whose stack has no serving model of its own."""

    def score(self, columns: pa.Table) -> np.ndarray:
        return np.clip(columns["mdvis"].to_numpy() / 50 + 0.04, 0, 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases, of which the second one stands."""
    made = tmp_path_factory.mktemp("home")
    for _ in range(2):
        process = start(made, "mitigated", stack="pytorch")
        assert PlainStack(process).run() == "released"
    return made


@pytest.fixture(autouse=True)
def by_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_scoring, "load_scorer", lambda deciding: ByVisits())


def _batch(path: Path, change: str = "", where: str = "TRUE") -> Path:
    """Rows of the example without their label, as CSV, changed by SQL."""
    contract = load_contract(CONTRACT)
    source = open_source(contract)
    names = ", ".join(f'"{c.name}"' for c in contract.columns if c is not contract.label)
    with duckdb.connect() as database:
        database.execute(
            f"COPY (SELECT * {change} FROM (SELECT {names} FROM ({source.sql}))"  # noqa: S608
            f" WHERE {where}) TO '{path}' (HEADER)"
        )
    return path


def _score(
    home: Path, data: Path, *more: str, release: str = "rand_hie/pytorch"
) -> tuple[int, dict]:
    done = CliRunner().invoke(
        app, ["score", release, "--data", str(data), "--home", str(home), "--json", *more]
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)


def _logs(home: Path) -> list[DecisionLog]:
    """Oldest first, by when they were begun: names of the same second are in no order."""
    return sorted(decision_logs(home), key=lambda log: log.header["startedAt"])


def test_a_batch_without_labels_is_decided_once(home: Path, tmp_path: Path) -> None:
    batch = _batch(tmp_path / "batch.csv")
    code, told = _score(home, batch)
    assert (code, told["route"], told["rows"]) == (0, "decide", 14278)
    assert told["check"]["status"] == "PASS"
    assert sum(told["outcomes"].values()) == 14278
    assert all(told["outcomes"][o] for o in ("selected", "not_selected"))
    assert _score(home, batch)[1] == told  # the same log, not a second one
    assert DecisionLog.open(home, told["log"]).head == told["head"]
    assert _score(home, batch, "--expect-head", told["head"])[1] == told
    with pytest.raises(EvidenceError, match="cut off, or written anew"):
        _score(home, batch, "--expect-head", "0" * 64)
    few = _batch(tmp_path / "few.csv", where="zper::INTEGER % 2 = 0")
    with pytest.raises(EvidenceError, match="is gone"):
        _score(home, few, "--expect-head", told["head"])


def test_a_log_that_lost_its_tail_is_not_decided_again_unseen(home: Path, tmp_path: Path) -> None:
    batch = _batch(tmp_path / "cut.csv", where="zper::INTEGER % 3 > 0")
    told = _score(home, batch)[1]
    directory = home.resolve() / "decisions" / told["log"]
    for name in ("log/00000002.json", "log/00000003.json", "segment-000001.parquet"):
        (directory / name).unlink()
    with pytest.raises(EvidenceError, match="cut off"):
        _score(home, batch, "--expect-head", told["head"])
    assert DecisionLog.open(home, told["log"]).rows == 0


def test_another_row_key_decides_about_nobody_twice(home: Path, tmp_path: Path) -> None:
    batch, key = _batch(tmp_path / "keyed.csv"), home / "keys" / "row.key"
    before, kept = len(_logs(home)), key.read_bytes()
    try:
        key.write_bytes(b"another key of thirty-two bytes!")
        with pytest.raises(InputError, match="the row key is not the one"):
            _score(home, batch)
    finally:
        key.write_bytes(kept)
    assert len(_logs(home)) == before


@pytest.mark.parametrize("terminal", [True, False])
def test_decided_rows_are_counted_on_a_terminal_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")
    batch = _batch(tmp_path / "bar.csv", where=f"zper::INTEGER % 7 > {int(terminal)}")
    done = CliRunner().invoke(
        app, ["score", "rand_hie/pytorch", "--data", str(batch), "--home", str(home)]
    )
    assert done.exit_code == 0
    assert ("scoring" in done.stderr, "100%" in done.stderr) == (terminal, terminal)
    assert done.stdout.splitlines()[-1] == f"head {_logs(home)[-1].head}"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("REPLACE ((income::DOUBLE * 3 + 1)::VARCHAR AS income)", "drift:income"),
        ("REPLACE ('7' AS tookphys)", "domain:tookphys"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused_on_record(
    home: Path, tmp_path: Path, change: str, rule: str
) -> None:
    code, told = _score(home, _batch(tmp_path / "bad.csv", change))
    assert (code, told["route"], told["rows"]) == (1, "refuse", 0)
    assert rule in {f["rule"] for f in told["check"]["findings"]}
    (log,) = [x for x in decision_logs(home) if x.log_id == told["log"]]
    assert (log.closed, log.segments) == (True, [])


@pytest.mark.parametrize("as_json", [True, False])
def test_a_refusal_tells_no_count_of_a_few_rows(
    home: Path, tmp_path: Path, *, as_json: bool
) -> None:
    """A person's two cells are wrong: that number is in no record, and on no terminal."""
    change = "REPLACE (CASE zper WHEN '125165' THEN '7' ELSE tookphys END AS tookphys)"
    batch = _batch(tmp_path / "two.csv", change)
    done = CliRunner().invoke(
        app,
        ["score", "rand_hie/pytorch", "--data", str(batch), "--home", str(home)]
        + ["--json"] * as_json,
    )
    assert done.exit_code == 1
    told = "values outside the domain of tookphys under 11, at most 0 required"
    (finding,) = _logs(home)[-1].header["check"]["findings"]
    assert (finding["reason"], finding["measurement"]["value"]) == (told, None)
    assert told in done.stdout
    assert "tookphys 2" not in done.stdout


def test_a_few_decisions_are_not_counted_out(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of all are selected; with the number of all, the others' would tell of them."""

    class OfThree(ByVisits):
        def score(self, columns: pa.Table) -> np.ndarray:
            found = np.zeros(columns.num_rows)
            found[:3] = 1.0
            return found

    monkeypatch.setattr(batch_scoring, "load_scorer", lambda deciding: OfThree())
    batch = _batch(tmp_path / "three.csv", where="zper::INTEGER % 5 > 0")
    told = _score(home, batch)[1]
    assert told["outcomes"] == {"selected": None, "not_selected": None, "review": 0}
    assert told["rows"] == DecisionLog.open(home, told["log"]).rows
    done = CliRunner().invoke(
        app, ["score", "rand_hie/pytorch", "--data", str(batch), "--home", str(home)]
    )
    said = "selected not shown, not_selected not shown, 0 review"
    assert done.stdout.splitlines()[0] == f"{told['log']}: {said}"


def test_too_few_rows_to_judge_drift_are_refused(home: Path, tmp_path: Path) -> None:
    code, told = _score(home, _batch(tmp_path / "few.csv", where="zper::INTEGER % 97 = 5"))
    unjudged = {f["rule"] for f in told["check"]["findings"] if f["status"] == "INCONCLUSIVE"}
    assert (code, told["rows"], "drift:income" in unjudged) == (1, 0, True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("EXCLUDE (mdvis)", "it lacks mdvis"),
        ("EXCLUDE (zper)", "it lacks zper"),
        (", 1 AS copay", "it has 1 more, the first as column "),
        ("RENAME (num AS persons)", "it lacks num and has 1 more, the first as column "),
    ],
)
def test_columns_of_another_contract_are_named(
    home: Path, tmp_path: Path, change: str, named: str
) -> None:
    before = len(decision_logs(home))
    with pytest.raises(InputError, match=named):
        _score(home, _batch(tmp_path / "other.csv", change))
    assert len(decision_logs(home)) == before


def test_a_file_without_a_header_line_is_not_quoted(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("canary,1\nother,2\n")
    with pytest.raises(InputError, match="lacks") as refused:
        _score(home, path)
    assert "canary" not in str(refused.value)


def test_only_the_release_that_stands_decides(home: Path, tmp_path: Path) -> None:
    stands = find_release(home, "rand_hie/pytorch")
    assert stands.number == 2
    assert find_release(home, SECOND) == find_release(home, stands.run) == stands
    with pytest.raises(InputError, match="release 1 was superseded .* release 2, which stands"):
        find_release(home, FIRST)
    for unknown in ("rand_hie/pytorch@3", "rand_hie/tfx", "nothing", "../x", stands.run[:-1]):
        with pytest.raises(InputError, match="no such release"):
            find_release(home, unknown)


def test_a_release_that_was_rolled_back_decides_no_more(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    first, second = insurer.run(), insurer.run(seed=2)
    assert PlainStack(insurer.continued(first)).release() == "released"
    for named in ("insurer/tfx@2", second.spec.run_id):
        with pytest.raises(InputError, match=r"release 2 was rolled back .* release 3, which"):
            _score(tmp_path, tmp_path / "rows-1.csv", release=named)
    assert decision_logs(tmp_path) == []
    assert find_release(tmp_path, "insurer/tfx").number == 3


def test_a_profile_that_was_changed_is_no_baseline(home: Path) -> None:
    release = find_release(home, SECOND)
    path = home / "runs" / release.run / "artifacts" / "profile-everything.json"
    kept = path.read_bytes()
    try:
        path.write_bytes(kept.replace(b'"bins": 10', b'"bins": 11', 1) + b" ")
        with pytest.raises(EvidenceError, match="is not what it recorded"):
            open_release(home, release)
    finally:
        path.write_bytes(kept)
