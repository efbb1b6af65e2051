"""`assay retention` as people meet it, and what other commands say of data that were purged."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.audit.retention_log import append, read_records
from components.contract.errors import AssayError, InputError
from components.contract.json_schema import ROOT
from components.decisions.decision_log import DecisionLog
from components.decisions.scoring import outcomes
from pipelines import lineage_stores, retention_cli
from pipelines.cli import app
from pipelines.evidence_commands import reads_evidence
from tests.recorded_store import recorded_store, sign_receipts
from tests.retained_home import LATER, LOG, NOW, RetainedHome, make_home

SHIPPED = ROOT / "policies" / "retention.yaml"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command came to: its exit code, and its lines."""

    code: int
    lines: list[str]

    @property
    def line(self) -> str:
        """The only line."""
        [line] = self.lines
        return line


def assay(*arguments: object) -> Said:
    """A command in this process; an error is told as the entry point tells it."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(done.exception, AssayError):
        return Said(done.exception.exit_code, str(done.exception).splitlines())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Said(done.exit_code, done.output.splitlines())


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> RetainedHome:
    """The home; tests change copies of it."""
    return make_home(tmp_path_factory.mktemp("commanded") / "home")


@pytest.fixture
def kept(pristine: RetainedHome, tmp_path: Path) -> RetainedHome:
    """The home once more, to be changed."""
    return pristine.copy(tmp_path / "home")


@pytest.fixture
def years_later(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Everything was long ago."""
    monkeypatch.setattr(retention_cli, "_now", lambda: LATER)
    return LATER


@pytest.fixture
def purged(kept: RetainedHome, years_later: datetime) -> RetainedHome:
    """A home out of which everything that is due was purged."""
    assert assay("retention", "purge", "--yes", "--home", kept.home).code == 0
    return kept


# ---- assay retention check


def test_a_check_finds_nothing_to_do_today(kept: RetainedHome) -> None:
    done = assay("retention", "check", "--home", kept.home)
    assert done.code == 0
    assert done.lines[-1] == f"on {NOW.date()}: 7 kept, 4 in effect"
    access = read_access(kept.home)[-1]
    assert (access.command, access.result) == ("retention check", "7 kept, 4 in effect")


def test_a_check_as_of_a_day_finds_what_is_due_then(kept: RetainedHome) -> None:
    done = assay("retention", "check", "--home", kept.home, "--as-of", LATER.date())
    assert done.code == 1
    assert f"due: {kept.own}, since {NOW.year + 6}-{NOW:%m-%d}" in done.lines
    assert done.lines[-1] == f"on {LATER.date()}: 4 in effect, 7 due"


def test_a_check_for_machines_says_the_same(kept: RetainedHome) -> None:
    done = assay("retention", "check", "--home", kept.home, "--as-of", LATER.date(), "--json")
    told = json.loads("\n".join(done.lines))
    assert (done.code, told["clear"], told["asOf"]) == (1, False, str(LATER.date()))
    [own] = [s for s in told["standings"] if s["name"] == kept.own]
    assert (own["state"], own["class"], own["parts"]) == ("due", "datasets", 6)


def test_a_check_names_the_files_that_were_deleted(kept: RetainedHome) -> None:
    segment = next((kept.home / "decisions" / LOG).glob("*.parquet"))
    segment.unlink()
    done = assay("retention", "check", "--home", kept.home)
    assert done.code == 1
    assert f"deleted early: decisions/{LOG}, 1 of 1 parts are gone" in done.lines
    assert f"    decisions/{LOG}/{segment.name}" in done.lines


def test_a_broken_access_log_is_told_and_the_answer_too(kept: RetainedHome) -> None:
    assay("retention", "check", "--home", kept.home)
    (kept.home / "access" / "00000001.json").write_text("{}")
    done = assay("retention", "check", "--home", kept.home)
    assert done.code == 1
    assert "1 broken" in done.lines[-2]
    assert done.lines[-1].startswith("access log: broken")


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-W01-1", "20261124", ""])
def test_a_day_that_is_none_is_bad_input(kept: RetainedHome, day: str) -> None:
    done = assay("retention", "check", "--home", kept.home, "--as-of", day)
    assert done.code == 2
    assert "--as-of" in done.line and "is no day" in done.line
    assert read_access(kept.home) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("years: 6", "years: 5", "5 years are fewer than hipaa-164.316-b-2 asks for"),
        ("note:", "notes:", "notes"),
        ("  predictions:", "  forecasts:", "forecasts"),
        ("cms-0057-f", "cms-0000-z", "no regulation 'cms-0000-z'"),
        ("[decisions]", "[decisions, model]", "'model' stands in two classes"),
        ("years: 6", "years: 6.5", "6.5"),
    ],
)
def test_a_policy_that_is_none_is_bad_input(
    kept: RetainedHome, tmp_path: Path, old: str, new: str, told: str
) -> None:
    policy = tmp_path / "retention.yaml"
    policy.write_text(SHIPPED.read_text().replace(old, new, 1))
    for command in (["check"], ["purge", "--yes"]):
        done = assay("retention", *command, "--home", kept.home, "--policy", policy)
        assert (done.code, told in done.line, str(policy) in done.line) == (2, True, True)


def test_a_longer_policy_keeps_longer(kept: RetainedHome, tmp_path: Path) -> None:
    policy = tmp_path / "retention.yaml"
    policy.write_text(SHIPPED.read_text().replace("years: 6", "years: 30"))
    day = LATER.date()
    done = assay("retention", "check", "--home", kept.home, "--policy", policy, "--as-of", day)
    assert done.code == 0


@pytest.mark.parametrize(
    "command",
    [["check"], ["purge"], ["purge", "--yes"], ["hold", "x", "--reason", "r"],
     ["lift", "1", "--reason", "r"]],
)  # fmt: skip
def test_a_folder_that_is_no_home_is_bad_input(tmp_path: Path, command: list[str]) -> None:
    done = assay("retention", *command, "--home", tmp_path)
    assert (done.code, "no home" in done.line) == (2, True)
    assert list(tmp_path.iterdir()) == []


# ---- assay retention hold and lift


def test_a_hold_keeps_and_a_lift_ends_it(kept: RetainedHome, years_later: datetime) -> None:
    home = ["--home", kept.home]
    held = assay("retention", "hold", kept.blocked, "--reason", "a lawsuit", *home)
    assert held == Said(0, [f"hold 1: {kept.blocked} is kept until `assay retention lift 1`"])
    assert f"held: {kept.own}, hold 1, due otherwise" in assay("retention", "check", *home).lines
    lifted = assay("retention", "lift", "1", "--reason", "settled", *home)
    assert lifted == Said(0, [f"hold 1 of {kept.blocked} is lifted"])
    assert not any(x.startswith("held") for x in assay("retention", "check", *home).lines)
    told = [(a.command, a.subjects, a.result) for a in read_access(kept.home)]
    assert told[0] == ("retention hold", (kept.blocked,), "entry 1")
    assert told[2] == ("retention lift", (kept.blocked,), "entry 2: of hold 1")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["hold", "nobody", "--reason", "r"], "is no run, release or decision log"),
        (["hold", "insurer/tfx@9", "--reason", "r"], "is no run, release or decision log"),
        (["hold", LOG, "--reason", " "], "is no reason"),
        (["hold", LOG, "--reason", "two\nlines"], "is no reason"),
        (["hold", LOG, "--reason", "r" * 201], "is no reason"),
        (["lift", "1", "--reason", "r"], "no hold 1 is in force"),
    ],
)
def test_a_wrong_hold_is_bad_input(kept: RetainedHome, command: list[str], told: str) -> None:
    done = assay("retention", *command, "--home", kept.home)
    assert (done.code, told in done.line) == (2, True)
    assert not (kept.home / "retention").exists()
    assert read_access(kept.home) == []


@pytest.mark.parametrize("command", [["check"], ["purge", "--yes"], ["lift", "1", "--reason", "r"]])
def test_a_tampered_log_is_a_closed_verdict(kept: RetainedHome, command: list[str]) -> None:
    assay("retention", "hold", LOG, "--reason", "r", "--home", kept.home)
    entry = kept.home / "retention" / "00000001.json"
    entry.write_bytes(entry.read_bytes().replace(b"A", b"B", 1))
    done = assay("retention", *command, "--home", kept.home)
    assert done.code == 1
    assert "tampered with or broken: 00000001.json" in done.line


def test_a_hold_is_not_lost_with_the_end_of_its_log(kept: RetainedHome) -> None:
    assay("retention", "hold", LOG, "--reason", "r", "--home", kept.home)
    shutil.rmtree(kept.home / "retention")
    done = assay("retention", "check", "--home", kept.home)
    assert done.code == 1
    assert any("its end was cut off" in line for line in done.lines)
    assert assay("retention", "purge", "--yes", "--home", kept.home).code == 1
    for command in (["hold", kept.first], ["lift", 1]):
        done = assay("retention", *command, "--reason", "r", "--home", kept.home)
        assert (done.code, "it ends with entry 0, once it had 1" in done.line) == (1, True)
    assert not list((kept.home / "retention").glob("*.json"))


# ---- assay retention purge


def test_without_yes_a_purge_only_tells(kept: RetainedHome, years_later: datetime) -> None:
    done = assay("retention", "purge", "--home", kept.home)
    assert done.code == 1
    assert sum(line.startswith("would be purged: ") for line in done.lines) == 7
    assert done.lines[-1] == "nothing was purged: --yes takes it away"
    assert list((kept.home / kept.own).rglob("*.parquet"))
    assert not (kept.home / "retention").exists()
    assert read_access(kept.home)[-1].result == "told only, nothing purged"


def test_a_purge_with_nothing_due_is_fine(kept: RetainedHome) -> None:
    for flags in ([], ["--yes"]):
        assert assay("retention", "purge", *flags, "--home", kept.home) == Said(
            0, ["nothing is due"]
        )


def test_a_purge_says_what_went_and_the_check_agrees(
    kept: RetainedHome, years_later: datetime
) -> None:
    done = assay("retention", "purge", "--yes", "--home", kept.home)
    assert done.code == 0
    assert sum(bool(re.match(r"purged under tombstone \d+: ", x)) for x in done.lines) == 7
    assert read_access(kept.home)[-1].result == "entry 7: 7 purged, 0 due and kept"
    after = assay("retention", "check", "--home", kept.home)
    assert (after.code, after.lines[-1]) == (0, f"on {LATER.date()}: 4 in effect, 7 purged")
    again = assay("retention", "purge", "--yes", "--home", kept.home, "--json")
    told = json.loads("\n".join(again.lines))
    assert (again.code, told["done"], told["purged"], told["stays"]) == (0, True, [], [])


def test_what_was_changed_closes_a_purge(kept: RetainedHome, years_later: datetime) -> None:
    file = min((kept.home / kept.own).rglob("*.parquet"))
    file.write_bytes(b"other rows")
    done = assay("retention", "purge", "--yes", "--home", kept.home)
    assert done.code == 1
    assert done.lines[-1] == f"stays, though due: {kept.own}, it is not what was signed"


# ---- other commands, afterwards


def test_mutations_name_the_tombstone(
    kept: RetainedHome, years_later: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recorded_store(kept.home)
    sign_receipts(kept.home, store)
    monkeypatch.setattr(lineage_stores, "native_store", lambda *_: store)
    assert assay("retention", "purge", "--yes", "--home", kept.home).code == 0
    done = assay("audit", "mutations", "--stack", "tfx", "--home", kept.home)
    assert done.code == 0
    stone = next(t for t in read_records(kept.home).tombstones if t.name == kept.own)
    assert f"purged under tombstone {stone.number} of {LATER.date()}: {kept.own}" in done.lines
    assert done.lines[-1].endswith("nothing differs")


def test_a_trace_of_a_purged_decision_says_so(purged: RetainedHome) -> None:
    done = assay("trace", f"{LOG}.0000000001", "--home", purged.home)
    assert done.code == 2
    assert f"decisions/{LOG} was purged under tombstone " in done.line


def test_a_trace_says_that_the_training_rows_were_purged(kept: RetainedHome) -> None:
    files = sorted((kept.home / kept.shared).rglob("*.parquet"))
    parts = {p.relative_to(kept.home).as_posix(): "0" * 64 for p in files}
    fields = {
        "class": "datasets", "name": kept.shared, "parts": parts, "others": 0, "policy": "p",
        "serves": [], "years": 6, "since": NOW.isoformat(), "due": str(NOW.date()),
    }  # fmt: skip
    append(kept.home, "tombstone", LATER, fields)
    for file in files:
        file.unlink()
    done = assay("trace", f"{LOG}.0000000001", "--json", "--home", kept.home)
    told = json.loads("\n".join(done.lines))
    assert (done.code, told["differences"]) == (0, [])
    assert "was purged under tombstone 1 of" in told["training"]["missing"]


def test_a_segment_deleted_without_a_tombstone_is_broken_evidence(purged: RetainedHome) -> None:
    shutil.rmtree(purged.home / "retention")
    done = assay("trace", f"{LOG}.0000000001", "--home", purged.home)
    assert done.code == 1
    assert "tampered with or broken" in done.line


def test_a_purged_run_can_be_bundled_and_verified(purged: RetainedHome, tmp_path: Path) -> None:
    bundle = tmp_path / "run.assay"
    done = assay("bundle", purged.blocked, "-o", bundle, "--home", purged.home)
    assert done.code == 0, done.lines
    key = purged.home / "keys" / "evidence.pub"
    assert assay("verify", bundle, "--key", key).code == 0
    again = assay("reperform", bundle, "--data", purged.home, "--key", key)
    assert again.code == 1
    assert re.fullmatch(f"{purged.own} was purged under tombstone 1 of .*", again.lines[-1])


def test_a_recompute_of_a_purged_run_says_so(purged: RetainedHome) -> None:
    done = assay("recompute", purged.blocked, "--home", purged.home)
    assert (done.code, f"{purged.own} was purged under tombstone" in done.line) == (2, True)
    done = assay("recompute", purged.first, "--home", purged.home)
    told = f"runs/{purged.first}/predictions was purged under tombstone"
    assert (done.code, told in done.line) == (2, True)


def test_what_was_changed_is_not_told_as_purged(purged: RetainedHome) -> None:
    planted = purged.home / "runs" / purged.first / "artifacts" / "predictions.parquet"
    planted.write_bytes(b"other scores")
    done = assay("recompute", purged.first, "--home", purged.home)
    assert (done.code, "tampered with or broken: predictions.parquet" in done.line) == (1, True)


def test_an_impact_tells_what_purged_data_can_no_longer_say(purged: RetainedHome) -> None:
    member = assay("impact", "--member", "p00001", "--home", purged.home)
    assert member.code == 1
    assert any(line.startswith(f"log {LOG}: what it held is missing") for line in member.lines)
    assert any(line.startswith(f"run {purged.second}, released: ") for line in member.lines)
    span = assay("impact", "--span", "2001", "--home", purged.home)
    assert span.code == 1
    assert any(re.match("dataset [0-9a-f]{64}: what it held", line) for line in span.lines)
    assert any(line.startswith(f"log {LOG}, by release 1") for line in span.lines)


def test_what_is_decided_of_a_purged_batch_says_so(purged: RetainedHome) -> None:
    @reads_evidence
    def score(home: Path) -> None:
        outcomes(DecisionLog.open(home, LOG))

    with pytest.raises(InputError, match=f"decisions/{LOG} was purged under tombstone"):
        score(home=purged.home)
