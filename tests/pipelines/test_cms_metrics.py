"""`assay cms-metrics --log`: the yearly figures of a log, and who asked for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.contract.errors import InputError
from components.contract.json_schema import ROOT
from components.contract.stages import Stage
from components.datasets.prior_auth import Population
from components.datasets.prior_auth_writer import generate
from components.datasets.sources import open_source
from components.decisions.cms_metrics import cms_metrics
from components.decisions.scoring import batch_digest
from components.lineage.commitments import load_or_create_row_key
from pipelines.cli import app
from pipelines.evidence_commands import BrokenEvidenceError
from tests.components.decisions.test_cms_log import appeals, log_of, raw, without_left
from tests.plain_stack import PlainStack, start


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run on generated requests, and a log about them."""
    made = tmp_path_factory.mktemp("home")
    generate(Population(8_000, 5), made / "requests", lambda _rows: None)
    process = start(
        made,
        "mitigated",
        policy=ROOT / "policies" / "prior_auth.yaml",
        contract=ROOT / "schemas" / "prior_auth.yaml",
        data=made / "requests",
        stack="pytorch",
    )
    stack = PlainStack(process)
    assert process.run_stage(Stage.INGEST, lambda: stack.hook(Stage.INGEST))
    key = load_or_create_row_key(made / "keys" / "row.key")
    digest = batch_digest(key, open_source(process.contract, made / "requests"))
    log_of(made, digest, raw(made / "requests"), run=process.spec.run_id)
    return made


def run(home: Path, *arguments: str | Path) -> str:
    """Output of `assay cms-metrics` for 2024, which must end well."""
    asked = ["cms-metrics", "--year", "2024", "--home", str(home), *map(str, arguments)]
    done = CliRunner().invoke(app, asked)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return done.stdout


def test_a_logs_figures_are_those_of_its_raw_requests(home: Path, tmp_path: Path) -> None:
    batch = home / "requests"
    labels = appeals(tmp_path / "appeals.csv", raw(batch))
    told = json.loads(run(home, batch, "--log", "a-log", "--labels", labels, "--json"))
    held = cms_metrics(batch, 2024)
    assert without_left(told)["lines"] == held["lines"]
    assert read_access(home)[-1].subjects == ("a-log",)
    assert "left to a person" in run(home, batch, "--log", "a-log")
    assert "left to a person" not in run(home, batch)


def test_labels_without_a_log_and_unknown_logs_are_bad_input(home: Path) -> None:
    batch = home / "requests"
    with pytest.raises(InputError, match="goes with --log"):
        run(home, batch, "--labels", batch)
    with pytest.raises(InputError, match="is no decision log"):
        run(home, batch, "--log", "b-log")


def test_a_log_that_was_changed_is_no_evidence(home: Path) -> None:
    path = home / "decisions" / "a-log" / "segment-000002.parquet"
    kept = path.read_bytes()
    try:
        path.write_bytes(kept + b" ")
        with pytest.raises(BrokenEvidenceError, match="was changed"):
            run(home, home / "requests", "--log", "a-log")
    finally:
        path.write_bytes(kept)
