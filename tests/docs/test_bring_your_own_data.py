"""Replays docs/bring-your-own-data.md: its commands, in its order, on the real data it names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from components.contract.contract_loader import load_contract
from components.contract.json_schema import ROOT
from components.contract.policy_loader import load_policy
from components.contract.stages import Stage
from components.datasets.canonical import ingest
from components.lineage.evidence import chain_of
from components.release.run_summary import summarise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GUIDE = ROOT / "docs" / "bring-your-own-data.md"
EXAMPLE = ROOT / "docs" / "diabetes130"
DATA = Path(os.environ.get("ASSAY_TEST_DATA", ROOT.parent / "shared" / "data"))
FILE = "diabetic_data.csv.gz"
STACKS = ("tfx", "pytorch")
_STEP = re.compile(
    r"^<!-- step: ([a-z-]+), exit: (\d) -->\n```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
STEPS = (
    "same-file", "infer", "lint-guessed", "take-ours", "check-first", "check", "run", "report",
    "many-files", "parquet",
)  # fmt: skip
JSON_STEPS = {"lint-guessed", "check-first", "check", "run", "many-files", "parquet"}
"""Steps whose last command is asked for JSON, which a reader has no use for."""


@dataclass(frozen=True)
class Step:
    """A command block of the guide: what it runs, what it must exit with, what it shows."""

    name: str
    exit_code: int
    commands: str
    shown: str


@dataclass(frozen=True)
class Replay:
    """The folder that the guide's commands were run in, and what each step did and said."""

    folder: Path
    done: dict[str, subprocess.CompletedProcess[str]]

    def json(self, step: str) -> dict:
        """The JSON that a step printed."""
        return json.loads(self.done[step].stdout)

    def run(self, stack: str) -> dict:
        """What `assay run` said of one stack."""
        (found,) = [r for r in self.json("run")["runs"] if r["stack"] == stack]
        return found

    def evidence(self, stack: str) -> dict[str, dict]:
        """Bodies of the records of a stack's run, by stage; reading them checks the chain."""
        (directory,) = (self.folder / ".assay" / "runs").glob(f"*-{stack}-*")
        summary = summarise(directory)
        chain = chain_of(summary.directory)
        return {r.stage: r.body for r in chain.records()}


def guide_steps() -> dict[str, Step]:
    """The guide's steps, in its order."""
    found = [Step(n, int(c), body, out) for n, c, body, out in _STEP.findall(GUIDE.read_text())]
    return {s.name: s for s in found}


@pytest.fixture(scope="session")
def data_file() -> Path:
    """The real file; it is not part of the project."""
    path = DATA / "diabetes130" / FILE
    if not path.is_file():
        reason = f"no diabetes130/{FILE} in the folder that ASSAY_TEST_DATA names"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def replay(data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """Every command of the guide, run once, as a reader's shell would."""
    folder = tmp_path_factory.mktemp("readmission")
    shutil.copyfile(data_file, folder / FILE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "ASSAY": str(ROOT), "PATH": path, "COLUMNS": "100"}
    environment.pop("ASSAY_HOME", None)
    done = {}
    for step in guide_steps().values():
        asked = " --json" if step.name in JSON_STEPS else ""
        done[step.name] = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", step.commands.rstrip() + asked],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done[step.name].returncode == step.exit_code, (
            f"{step.name}: {done[step.name].stdout[-2000:]}{done[step.name].stderr[-2000:]}"
        )
    return Replay(folder, done)


def failed(body: dict) -> set[str]:
    """Rules of a verdict that do not pass."""
    return {f["rule"] for f in body["findings"] if f["status"] != "PASS"}


def test_the_guide_has_the_steps_that_are_tested() -> None:
    assert tuple(guide_steps()) == STEPS
    assert GUIDE.read_text().count("```sh\n") == len(STEPS), "an sh block without its step"


def test_the_guide_names_no_folder_of_a_machine() -> None:
    assert not re.search(r"/(home|work|root|tmp|Users)/", GUIDE.read_text())


def test_the_file_is_the_one_that_the_guide_names(replay: Replay) -> None:
    assert replay.done["same-file"].stdout == guide_steps()["same-file"].shown


def test_guesses_are_for_a_person_to_confirm(replay: Replay) -> None:
    lint = replay.json("lint-guessed")
    assert len(lint["toConfirm"]) == 50
    assert "assayConfirm" not in (EXAMPLE / "schemas" / "diabetes130.yaml").read_text()
    assert replay.done["take-ours"].stdout == guide_steps()["take-ours"].shown


def test_the_first_contract_is_blocked_by_drift(replay: Replay) -> None:
    verdict = replay.json("check-first")["verdict"]
    assert verdict["status"] == "FAIL"
    assert failed(verdict) == {"drift:payer_code"}
    (reason,) = [f["reason"] for f in verdict["findings"] if f["status"] == "FAIL"]
    assert reason in guide_steps()["check-first"].shown


@pytest.mark.parametrize("step", ["check", "many-files", "parquet"])
def test_the_finished_contract_holds_for_every_form_of_the_rows(replay: Replay, step: str) -> None:
    checked = replay.json(step)
    assert checked["verdict"]["status"] == "PASS"
    assert checked["data"]["rows"] == 101_766
    assert len(checked["data"]["files"]) == (3 if step == "many-files" else 1)
    n = len(checked["verdict"]["findings"])
    assert f"PASS {n} of {n} rules hold" in guide_steps()[step].shown
    figures = [f.get("measurement") for f in checked["verdict"]["findings"]]
    assert figures == [f.get("measurement") for f in replay.json("check")["verdict"]["findings"]]


def test_the_same_rows_have_the_same_root(replay: Replay, tmp_path: Path) -> None:
    contract = load_contract(EXAMPLE / "schemas" / "diabetes130.yaml")
    policy = load_policy(EXAMPLE / "policies" / "diabetes130.yaml", contract)
    roots = {
        form: ingest(contract, policy, tmp_path, b"k" * 32, replay.folder / form).manifest["root"]
        for form in (FILE, "parts", "stays.parquet")
    }
    assert len(set(roots.values())) == 1


@pytest.mark.parametrize("stack", STACKS)
def test_the_data_go_through_and_the_model_is_blocked_by_fairness(
    replay: Replay, stack: str
) -> None:
    run = replay.run(stack)
    assert run["outcome"] == "blocked"
    passed = [s["stage"] for s in run["stages"] if s["status"] == "PASS"]
    assert passed == [str(s) for s in list(Stage)[: list(Stage).index(Stage.RELEASE_GATE)]]
    gate = replay.evidence(stack)["release_gate"]
    assert gate["verdict"]["status"] == "INCONCLUSIVE"
    unfair = {f"limit:equal-opportunity-{c}" for c in ("race", "gender", "age")}
    assert failed(gate["referee"]) == unfair
    for limit in ("race", "gender", "age"):
        (finding,) = [
            f
            for f in gate["referee"]["findings"]
            if f["rule"] == f"limit:equal-opportunity-{limit}"
        ]
        assert finding["status"] == "INCONCLUSIVE"
        assert "30 required" in finding["reason"]
    assert set(replay.evidence(stack)["close"]["notRun"]) == {"push", "score"}


@pytest.mark.parametrize("stack", STACKS)
def test_accuracy_is_what_others_found(replay: Replay, stack: str) -> None:
    findings = {f["rule"]: f for f in replay.evidence(stack)["release_gate"]["referee"]["findings"]}
    assert (
        findings["limit:auc-floor"]["status"]
        == findings["limit:auc-leak-ceiling"]["status"]
        == "PASS"
    )
    assert 0.64 <= float(findings["limit:auc-floor"]["measurement"]["value"]) <= 0.69


def test_the_guide_shows_the_accuracy_that_comes_out(replay: Replay) -> None:
    (shown,) = re.findall(r"^\| AUC \[95 %\] \| ([\d.]+) .*? \| ([\d.]+) ", GUIDE.read_text(), re.M)
    for stack, auc in zip(STACKS, shown, strict=True):
        # Another machine's floating-point sums train a slightly different network.
        assert replay.run(stack)["rocAuc"]["value"] == pytest.approx(float(auc), abs=0.01)


def test_no_person_or_stay_is_named_in_evidence_report_or_logs(
    replay: Replay, data_file: Path
) -> None:
    cells = duckdb.sql(
        f"SELECT patient_nbr, encounter_id FROM read_csv('{data_file}', all_varchar=true)"  # noqa: S608 - ours
    ).fetchall()
    # Shorter numbers are counts as well.
    numbers = {n for row in cells for n in row if len(n) >= 6}
    assert len(numbers) > 150_000
    home = replay.folder / ".assay"
    kinds = ("runs/*/evidence/*.json", "runs/*/artifacts/*.json", "runs/*/native.log")
    texts = [p for kind in kinds for p in home.glob(kind)]
    texts += [p for p in (replay.folder / "report").rglob("*") if p.is_file()]
    assert {p.name for p in texts} >= {"native.log", "index.html", "0006-release_gate.json"}
    for path in texts:
        named = set(
            re.findall(
                r"(?<![\d.\w])(\d{6,9})(?:\.0)?(?![\d.\w])", path.read_text(errors="replace")
            )
        )
        assert not named & numbers, path.name
    for step, done in replay.done.items():
        said = set(re.findall(r"(?<![\d.\w])\d{6,9}(?![\d.\w])", done.stdout + done.stderr))
        assert not said & numbers, step
