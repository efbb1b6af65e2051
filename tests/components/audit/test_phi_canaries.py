"""500 canaries in the data, every command over the runs of it, and every byte outside searched.

``test_evidence_canaries`` follows the records of single runs; here it is the documents, answers,
messages and bundles that are made of them, through the commands and with the scanner that users
have. Runs end every way: released, blocked at a gate, killed, and refused for their data.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from components.audit.phi_scan import PhiScan, scan_phi
from components.audit.phi_search import Patterns
from components.audit.phi_values import Wanted
from components.contract.stages import Stage
from components.decisions.decision_log import decision_id, decision_logs
from components.stacks import batch_scoring
from components.stacks.process import ReleaseProcess
from components.stacks.stages import StageResult
from pipelines import lineage_stores
from pipelines.cli import app
from pipelines.worker import tell_without_values
from tests import plain_stack
from tests.components.lineage.test_evidence_canaries import COUNTS, Planted, _raises, _start
from tests.recorded_store import RecordedStore, recorded_store, sign_receipts

_RELEASE = "insurer/tfx"
RUNS = ("released", "blocked", "killed", "broken")


class Canaries:
    """A home with the runs, what commands said, and what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.home, self.out = folder / "home", folder / "out"
        self.home.mkdir()
        self.out.mkdir()
        self.planted = Planted()
        self.data = self.planted.write(folder / "insurer.csv")
        self.wanted = Wanted()
        for column, values in self.planted.values.items():
            self.wanted.add(column, values, len(values))
        self.runs: dict[str, ReleaseProcess] = {}
        self.codes: dict[str, int] = {}

    def start(self, name: str) -> plain_stack.PlainStack:
        """A run that is ready for its first stage."""
        self.runs[name] = _start(self.home, self.data)
        return plain_stack.PlainStack(self.runs[name])

    def released(self) -> None:
        """See that the home has a run, whichever of the tests a process begins with."""
        if "released" not in self.runs:
            assert self.start("released").run() == "released"

    def say(self, name: str, text: str) -> None:
        """Keep what came out on a terminal."""
        (self.out / f"{name}.txt").write_text(text, "utf-8")

    def command(self, *arguments: str | Path, name: str) -> None:
        """Run a command; what it says, the error included, is kept."""
        done = CliRunner().invoke(app, list(map(str, arguments)))
        told = "" if isinstance(done.exception, SystemExit) else str(done.exception or "")
        self.codes[name] = getattr(done.exception, "exit_code", done.exit_code)
        self.say(name, f"{done.output}\n{told}\n")

    def scan(self) -> PhiScan:
        """The home and all that was said and written, searched for the canaries."""
        return scan_phi(self.home, [self.out], self.wanted)


def _dies(_stack: plain_stack.PlainStack, result: StageResult) -> StageResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return result


def _killed(canaries: Canaries) -> None:
    """Another process takes the run as far as statistics and is killed there."""
    stack = canaries.start("killed")
    stack.changes[Stage.STATISTICS] = _dies
    child = os.fork()
    if not child:
        stack.run()
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def _broken(canaries: Canaries, capfd: pytest.CaptureFixture[str]) -> None:
    stack = canaries.start("broken")
    stack.changes[Stage.TRANSFORM] = _raises(canaries.planted.values["note"][0])
    with pytest.raises(RuntimeError) as caught:
        stack.run()
    tell_without_values(caught.type, caught.value, caught.tb)
    stack.process.close(interrupted="the tfx process ended with code 1")
    canaries.say("broken-run", "".join(capfd.readouterr()))


def _blocked(canaries: Canaries) -> None:
    """Scores turned round: the release gate closes."""
    stack = canaries.start("blocked")
    scores = stack.scores
    stack.scores = lambda: 1 - scores()  # type: ignore[method-assign]
    assert stack.run() == "blocked"


def _commands(canaries: Canaries) -> None:
    at, key = ("--home", canaries.home), canaries.home / "keys" / "evidence.pub"
    for name in RUNS:
        run = canaries.runs[name].spec.run_id
        canaries.command("card", run, "-o", canaries.out / f"card-{name}", *at, name=f"card-{name}")
        canaries.command("bundle", run, "-o", canaries.out / f"{name}.zip", *at, name=f"b-{name}")
        with_data = (canaries.out / f"{name}.zip", "--data", canaries.home, "--key", key)
        for form in ((), ("--json",)):
            canaries.command("recompute", run, *at, *form, name=f"recompute-{name}{len(form)}")
            canaries.command("reperform", *with_data, *form, name=f"reperform-{name}{len(form)}")
    bundle = canaries.out / "released.zip"
    canaries.command("verify", bundle, "--key", key, "--json", name="verify")
    directories = [canaries.runs[n].spec.directory for n in ("released", "blocked")]
    canaries.command("report", *directories, "-o", canaries.out / "report", name="report")
    documents = ("--format", "html", "--format", "xlsx", "--format", "pdf")
    answers = ("-o", canaries.out / "answers")
    canaries.command("audit", "questions", *at, "--stack", "tfx", *answers, *documents, name="ask")
    canaries.command("audit", "questions", *at, "--stack", "tfx", "--json", name="ask-json")
    canaries.command("audit", "mutations", *at, "--stack", "tfx", "--json", name="mutations")
    canaries.command("audit", "access", *at, "--json", name="access")
    canaries.command("releases", "insurer", *at, "--json", name="releases")
    for name in ("openlineage", "prov"):
        export = ("--from", "evidence", "--format", name, "-o", canaries.out / f"{name}.json")
        canaries.command("lineage", "export", *export, *at, name=f"export-{name}")


def _with_burden(lines: list[str], value: str) -> str:
    """The first row with a word where a number should stand."""
    cells = lines[1].split(",")
    cells[lines[0].split(",").index("burden")] = value
    return ",".join(cells)


def _refused(canaries: Canaries) -> None:
    """Data that cannot be read, or breaks a rule, and a canary where an argument should stand."""
    value = canaries.planted.values["note"][1]
    contract = canaries.runs["released"].spec.contract_path
    policy = canaries.runs["released"].spec.policy_path
    lines = canaries.data.read_text().splitlines()
    spoilt = {
        "too-long": [*lines, f"{value},{value}"],
        "open-quote": [*lines, f'"{value}'],
        "no-number": [*lines, _with_burden(lines, value)],
        "no-column": [lines[0].replace("person", "nobody"), *lines[1:]],
    }
    for name, rows in spoilt.items():
        path = canaries.data.with_name(f"{name}.csv")
        path.write_text("\n".join(rows))
        arguments = ("check", "--contract", contract, "--policy", policy, "--data", path)
        for form in ((), ("--json",)):
            canaries.command(*arguments, *form, name=f"check-{name}{len(form)}")


class ByBurden:
    """Scores of one column: the plain stack has no serving model of its own."""

    def score(self, columns: pa.Table) -> np.ndarray:
        """Scores in [0, 1]."""
        return 1 / (1 + np.exp(1 - columns["burden"].to_numpy()))


def _decisions(canaries: Canaries) -> None:
    """A batch is decided, followed, monitored and counted."""
    at = ("--home", canaries.home)
    person, note = (canaries.planted.values[c][7] for c in ("person", "note"))
    for form in ((), ("--json",)):
        n = len(form)
        canaries.command("score", _RELEASE, "--data", canaries.data, *at, *form, name=f"score{n}")
        canaries.command("monitor", _RELEASE, *at, *form, name=f"monitor{n}")
        with_data = ("--data", canaries.data)
        canaries.command("monitor", _RELEASE, *with_data, *at, *form, name=f"monitor-data{n}")
        for what in ("member", "span", "file"):
            value = {"member": person, "span": "2001", "file": canaries.data.name}[what]
            canaries.command("impact", f"--{what}", value, *at, *form, name=f"impact-{what}{n}")
            canaries.command("impact", f"--{what}", note, *at, *form, name=f"impact-no-{what}{n}")
    (log,) = decision_logs(canaries.home)
    for row in range(0, 60, 20):
        taken = decision_id(log.log_id, row)
        page = canaries.out / f"trace-{row}.html"
        canaries.command("trace", taken, "--html", page, *at, name=f"trace{row}")
        canaries.command("trace", taken, "--json", *at, name=f"trace-json{row}")
    wanted = {"not-a-decision": person, "no-log": f"{person}.0000000001"}
    wanted["no-row"] = decision_id(log.log_id, 9_999_999)
    for name, decision in wanted.items():
        canaries.command("trace", decision, *at, name=f"trace-{name}")
    run = canaries.runs["released"].spec.run_id
    row = log.decision(20)["assay_row"].hex()
    canaries.command("keys", "disclose", run, row, *at, name="disclose")
    canaries.command("keys", "disclose", run, person, *at, name="disclose-nobody")


def _kept_and_forgotten(canaries: Canaries) -> None:
    """What is due, what a bundle alone still answers, and a person who is asked for too late."""
    at, person = ("--home", canaries.home), canaries.planted.values["person"][7]
    reason = ("--reason", "a test")
    canaries.command("retention", "check", *at, name="retention-check")
    canaries.command("retention", "hold", person, *reason, *at, name="hold-nobody")
    canaries.command("retention", "purge", *at, name="retention-purge")
    bundle = (canaries.out / "released.zip", "--key", canaries.home / "keys" / "evidence.pub")
    for form in ((), ("--json",)):
        restore = ("audit", "restore", *bundle, *at, *form)
        canaries.command(*restore, name=f"restore{len(form)}")
    canaries.command("keys", "destroy-row-key", "--yes", *at, name="destroy")
    canaries.command("impact", "--member", person, *at, name="impact-forgotten")


def _bad_batches(canaries: Canaries) -> dict[str, Path]:
    """Batches that cannot be scored, a canary in the place where they go wrong."""
    value = canaries.planted.values["note"][3]
    lines = canaries.data.read_text().splitlines()
    rows = pa_csv.read_csv(canaries.data)
    burden = rows.schema.get_field_index("burden")
    made = {
        "column": [f"{lines[0]},{value}", *(f"{x},{value}" for x in lines[1:])],
        "headless": lines[1:],
        "word": [lines[0], _with_burden(lines, value), *lines[2:]],
        "long": [*lines, f"{value},{value}"],
        "quote": [*lines, f'"{value}'],
    }
    tables = {
        "column-typed": rows.append_column(value, pa.array([value] * rows.num_rows)),
        "words-typed": rows.set_column(burden, "burden", pa.array([value] * rows.num_rows)),
        "lists-typed": rows.set_column(burden, "burden", pa.array([[value]] * rows.num_rows)),
    }
    paths = {name: canaries.data.with_name(f"batch-{name}.csv") for name in made}
    for name, text in made.items():
        paths[name].write_text("\n".join(text))
    for name, table in tables.items():
        paths[name] = canaries.data.with_name(f"batch-{name}.parquet")
        pq.write_table(table, paths[name])
    whole = paths["column-typed"].read_bytes()
    for name, raw in {
        "torn": whole[: len(whole) // 2],
        "headed": b"PAR1" + value.encode() * 9 + b"PAR1",
        "spoilt": whole.replace(value.encode(), value.encode()[::-1]),
    }.items():
        paths[name] = canaries.data.with_name(f"batch-{name}.parquet")
        paths[name].write_bytes(raw)
    return paths


def _refused_batches(canaries: Canaries) -> None:
    at, note = ("--home", canaries.home), canaries.planted.values["note"][3]
    for name, path in _bad_batches(canaries).items():
        for form in ((), ("--json",)):
            n = len(form)
            canaries.command("score", _RELEASE, "--data", path, *at, *form, name=f"bad-{name}{n}")
        canaries.command("monitor", _RELEASE, "--data", path, *at, name=f"bad-monitor-{name}")
        canaries.command("monitor", _RELEASE, "--labels", path, *at, name=f"bad-labels-{name}")
        canaries.command("cms-metrics", path, "--year", "2024", name=f"bad-cms-{name}")
    sound = {
        "line_of_business": ["exchange"] * 30,
        "urgency": ["standard"] * 30,
        "requested_at": [1_704_100_000] * 30,
        "decided_at": [1_704_200_000] * 30,
        "outcome": ["approved"] * 30,
    }
    for column in ("", *sound):
        cells = {**sound, column: [note, *sound[column][1:]]} if column else sound
        if column.endswith("_at"):
            cells[column] = list(map(str, cells[column]))
        path = canaries.data.with_name(f"requests-{column}.parquet")
        pq.write_table(pa.table(cells), path)
        for form in ((), ("--json",)):
            name = f"cms-{column}{len(form)}"
            canaries.command("cms-metrics", path, "--year", "2024", *form, name=name)


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    """The data and an empty home; the tests put the runs in, those first that need them first."""
    made = Canaries(tmp_path_factory.mktemp("canaries"))
    yield made
    shutil.rmtree(made.home.parent)


def test_nothing_outside_the_data_holds_a_canary(
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    assert sum(map(len, canaries.planted.values.values())) == 500
    canaries.released()
    _blocked(canaries)
    _killed(canaries)
    _broken(canaries, capfd)
    store = recorded_store(canaries.home)
    sign_receipts(canaries.home, store)

    def native(_stack: str, _home: Path) -> RecordedStore:
        return store

    monkeypatch.setattr(lineage_stores, "native_store", native)
    monkeypatch.setattr(batch_scoring, "load_scorer", lambda _deciding: ByBurden())
    _commands(canaries)
    _refused(canaries)
    _decisions(canaries)
    _refused_batches(canaries)
    _kept_and_forgotten(canaries)
    canaries.say("log", caplog.text)
    canaries.say("terminal", "".join(capfd.readouterr()))
    scan = canaries.scan()
    assert scan.findings == []
    assert scan.unsearched == []
    assert scan.files > 100
    # All of it was there to be searched.
    assert {"released.zip", "blocked.zip", "report", "answers", "card-released"} <= {
        p.name for p in canaries.out.iterdir()
    }
    assert {p.suffix for p in (canaries.out / "answers").iterdir()} >= {".html", ".xlsx", ".pdf"}
    assert canaries.codes["card-released"] == canaries.codes["b-blocked"] == 0
    ends = {code: {name for name, c in canaries.codes.items() if c == code} for code in range(4)}
    assert {"verify", "ask", "report", "export-prov", "reperform-released1"} <= ends[0]
    assert {"check-no-number0", "check-no-column1"} <= ends[1]
    assert {"check-too-long0", "check-open-quote1", "b-killed", "recompute-broken0"} <= ends[2]
    assert {"score0", "impact-member1", "impact-no-member0", "trace20", "disclose"} <= ends[0]
    assert {"cms-0", "cms-line_of_business1", "retention-purge", "restore1"} <= ends[0]
    assert {"bad-word0", "bad-words-typed1", "bad-lists-typed0", "retention-check"} <= ends[1]
    assert {"bad-column0", "bad-column-typed1", "bad-torn0", "bad-quote1"} <= ends[2]
    assert {"trace-no-row", "trace-not-a-decision", "trace-no-log", "cms-outcome0"} <= ends[2]
    assert {"bad-monitor-column", "bad-labels-word", "impact-forgotten", "hold-nobody"} <= ends[2]
    assert ends[3] == set()


def test_the_canaries_are_found_where_they_stand_by_design(canaries: Canaries) -> None:
    hits = Patterns(canaries.wanted).find(canaries.data.read_bytes())
    assert {h.column for h in hits} == set(COUNTS)


def test_the_command_finds_what_is_put_beside_and_never_tells_it(
    canaries: Canaries, tmp_path: Path
) -> None:
    canaries.released()
    runner, at = CliRunner(), ["audit", "phi", "--home", str(canaries.home)]
    done = runner.invoke(app, [*at, str(canaries.out)])
    assert (done.exit_code, done.exception) == (0, None)
    assert "nothing found in" in done.output
    person = canaries.planted.values["person"][5]
    (tmp_path / "leak.txt").write_text(f"who: {person}")
    for extra in ([], ["--json"]):
        done = runner.invoke(app, [*at, str(tmp_path), *extra])
        assert done.exit_code == 1
        assert person not in done.output
    (finding, *_) = json.loads(done.stdout)["findings"]
    assert (Path(finding["file"]).name, finding["offset"], finding["column"]) == (
        "leak.txt", 5, "person",
    )  # fmt: skip
    told = runner.invoke(app, ["audit", "access", "--home", str(canaries.home)]).output
    assert told.count("audit phi") == 3


def test_bad_input_is_refused_and_nothing_is_written(canaries: Canaries, tmp_path: Path) -> None:
    canaries.released()
    (tmp_path / "runs").mkdir()
    for arguments, says in (
        (["--home", str(tmp_path / "none")], "is no directory"),
        (["--home", str(tmp_path)], "holds no rows"),
        (["--home", str(canaries.home), str(tmp_path / "none")], "is not there"),
    ):
        done = CliRunner().invoke(app, ["audit", "phi", *arguments])
        assert says in str(done.exception)
        assert getattr(done.exception, "exit_code", None) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
