"""What is kept, held and due of a home, and what may be said of what is gone."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from components.audit.access_log import record_access
from components.audit.mutation_check import read_signed
from components.audit.mutations import Evidence
from components.audit.retention import State, check_retention
from components.audit.retention_holds import lift_hold, place_hold
from components.audit.retention_inventory import take_inventory
from components.audit.retention_items import Use
from components.audit.retention_log import append, read_records
from components.audit.retention_policy import DataClass
from components.audit.retention_purge import purge
from components.audit.retention_uses import LogFacts, joined, uses
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from tests.plain_stack import PlainStack, start
from tests.retained_home import LATER, LOG, NOW, RetainedHome, check, make_home, rules, states


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> RetainedHome:
    """The home; tests change copies of it."""
    return make_home(tmp_path_factory.mktemp("retained") / "home")


@pytest.fixture
def kept(pristine: RetainedHome, tmp_path: Path) -> RetainedHome:
    """The home once more, to be changed."""
    return pristine.copy(tmp_path / "home")


def _present(home: Path) -> set[State]:
    return {state for found in states(home).values() for state in found}


# ---- what is due


def test_before_its_years_are_over_nothing_is_due(pristine: RetainedHome) -> None:
    found = check(pristine.home, NOW)
    assert found.clear
    assert {s.state for s in found.standings} == {State.KEPT, State.IN_EFFECT}


def test_after_its_years_what_no_standing_release_rests_on_is_due(pristine: RetainedHome) -> None:
    found = check(pristine.home)
    first, second, blocked = pristine.first, pristine.second, pristine.blocked
    assert not found.clear
    assert {s.name for s in found.of(State.DUE)} == {
        pristine.own,
        f"decisions/{LOG}",
        *(f"runs/{first}/{kind}" for kind in ("models", "predictions", "decision_logs")),
        *(f"runs/{blocked}/{kind}" for kind in ("models", "predictions")),
    }
    assert {s.name for s in found.of(State.IN_EFFECT)} == {
        pristine.shared,
        *(f"runs/{second}/{kind}" for kind in ("models", "predictions", "decision_logs")),
    }
    assert len(found.standings) == 11


def test_the_last_day_still_counts(pristine: RetainedHome) -> None:
    standing = next(s for s in check(pristine.home).standings if s.name == pristine.own)
    until = standing.keep_until
    assert until is not None
    at = datetime(until.year, until.month, until.day, tzinfo=UTC)
    assert states(pristine.home, at)[pristine.own] == {State.KEPT}
    assert states(pristine.home, at + timedelta(days=1))[pristine.own] == {State.DUE}


def test_a_year_without_29_february_keeps_until_1_march() -> None:
    rule = rules().rules[DataClass.DATASETS]
    assert rule.keep_until(datetime(2024, 2, 29, tzinfo=UTC)) == date(2030, 3, 1)
    assert rule.keep_until(datetime(2026, 2, 28, tzinfo=UTC)) == date(2032, 2, 28)


def test_several_uses_last_until_the_last_of_them() -> None:
    early, late = Use(NOW, subjects={"a"}), Use(LATER, standing=True, subjects={"b"})
    for pair in ((early, late), (late, early)):
        assert joined(pair) == Use(LATER, True, {"a", "b"})


# ---- holds


@pytest.mark.parametrize("subject", ["first", "insurer/tfx@1", LOG])
def test_a_hold_keeps_what_its_subject_rests_on(kept: RetainedHome, subject: str) -> None:
    named = kept.first if subject == "first" else subject
    number = place_hold(kept.home, named, "a lawsuit", NOW)
    found = {s.name: s for s in check(kept.home).standings}
    for name in (
        f"runs/{kept.first}/models",
        f"runs/{kept.first}/predictions",
        kept.shared,
        f"decisions/{LOG}",
    ):
        assert (found[name].state, f"hold {number}" in found[name].why) == (State.HELD, True), name
    assert found[kept.own].state is State.DUE
    assert found[f"runs/{kept.blocked}/models"].state is State.DUE


def test_a_lifted_hold_keeps_nothing(kept: RetainedHome) -> None:
    before = states(kept.home)
    number = place_hold(kept.home, kept.blocked, "a lawsuit", NOW)
    assert states(kept.home)[kept.own] == {State.HELD}
    assert lift_hold(kept.home, number, "it is settled", NOW) == (kept.blocked, number + 1)
    assert states(kept.home) == before


def test_of_two_holds_one_is_enough(kept: RetainedHome) -> None:
    one = place_hold(kept.home, kept.blocked, "a lawsuit", NOW)
    place_hold(kept.home, kept.blocked, "another one", NOW)
    lift_hold(kept.home, one, "it is settled", NOW)
    assert states(kept.home)[kept.own] == {State.HELD}


@pytest.mark.parametrize(
    "subject", ["", "..", "nobody", "insurer/tfx@3", "insurer/tfx@0", "insurer/pytorch@1", "a/b"]
)
def test_what_the_home_has_not_is_not_held(kept: RetainedHome, subject: str) -> None:
    with pytest.raises(InputError, match="is no run, release or decision log"):
        place_hold(kept.home, subject, "a lawsuit", NOW)
    assert not (kept.home / "retention").exists()


def test_a_hold_is_lifted_once(kept: RetainedHome) -> None:
    number = place_hold(kept.home, LOG, "a lawsuit", NOW)
    lift_hold(kept.home, number, "it is settled", NOW)
    for wrong in (number, number + 1, 0, -1):
        with pytest.raises(InputError, match="no hold"):
            lift_hold(kept.home, wrong, "it is settled", NOW)


# ---- what is gone


def test_a_file_deleted_without_a_tombstone_is_told(kept: RetainedHome) -> None:
    file = min((kept.home / kept.own).rglob("*.parquet"))
    file.unlink()
    found = check(kept.home, NOW)
    assert not found.clear
    [lost] = found.of(State.DELETED)
    assert (lost.name, lost.why) == (kept.own, "1 of 6 parts are gone")
    assert lost.to_json()["gone"] == [file.relative_to(kept.home).as_posix()]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("decisions/*/*.parquet", f"decisions/{LOG}"),
        ("runs/{first}/artifacts/plain/p*.json", "runs/{first}/models"),
        ("runs/{first}/artifacts/**/p*redictions.parquet", "runs/{first}/predictions"),
        ("runs/{first}/artifacts/profile-everything.json", "runs/{first}/predictions"),
    ],
)
def test_every_kind_of_data_is_missed(kept: RetainedHome, pattern: str, name: str) -> None:
    found = list(kept.home.glob(pattern.format(first=kept.first)))
    assert found
    for path in found:
        path.unlink()
    lost = check(kept.home, NOW).of(State.DELETED)
    assert lost and all(s.name.startswith(name.format(first=kept.first)) for s in lost)


def test_a_dataset_without_its_manifest_is_missed(kept: RetainedHome) -> None:
    (kept.home / kept.own / "manifest.json").unlink()
    found = states(kept.home, NOW)
    assert found[kept.own] == {State.DELETED}
    assert sum(State.UNKNOWN in held for held in found.values()) == 6


def test_data_of_an_imported_run_are_elsewhere(kept: RetainedHome) -> None:
    shutil.rmtree(kept.home / kept.own)
    shutil.rmtree(kept.home / "runs" / kept.blocked / "artifacts")
    assert State.DELETED in states(kept.home, NOW)[kept.own]
    record_access(kept.home, "import", [kept.blocked], "imported")
    found = check(kept.home, NOW)
    assert found.clear
    assert {s.name for s in found.of(State.ELSEWHERE)} == {
        kept.own,
        f"runs/{kept.blocked}/models",
        f"runs/{kept.blocked}/predictions",
    }


def test_of_an_imported_run_whose_data_are_here_what_is_gone_was_deleted(
    kept: RetainedHome,
) -> None:
    record_access(kept.home, "import", [kept.blocked], "was there already, the same")
    (kept.home / "runs" / kept.blocked / "artifacts/plain/model.json").unlink()
    assert State.DELETED in states(kept.home, NOW)[f"runs/{kept.blocked}/models"]


def test_an_imported_run_takes_no_data_from_one_that_was_made_here(kept: RetainedHome) -> None:
    shutil.rmtree(kept.home / "runs" / kept.first / "artifacts")
    record_access(kept.home, "import", [kept.first], "imported")
    shutil.rmtree(kept.home / kept.shared)
    assert states(kept.home, NOW)[kept.shared] == {State.DELETED}


# ---- what nobody knows


@pytest.mark.parametrize(
    "place",
    [
        "export.csv",
        "notes/a.txt",
        "datasets/insurer/.ingest-1/rows.parquet",
        "datasets/other/0123456789abcdef/train/span-0000.parquet",
        "{own}/train/span-0009.parquet",
        "decisions/other/segment-000001.parquet",
        "runs/20260101T000000Z-tfx-plain-000000/artifacts/rows.parquet",
    ],
)
def test_what_no_record_tells_of_is_unknown_and_never_due(kept: RetainedHome, place: str) -> None:
    path = kept.home / place.format(own=kept.own)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    found = check(kept.home, NOW)
    [unknown] = found.of(State.UNKNOWN)
    assert not found.clear
    assert path.relative_to(kept.home).as_posix().startswith(unknown.name)
    assert unknown.item is None


# ---- what is broken


def test_broken_evidence_is_told(kept: RetainedHome) -> None:
    record = min((kept.home / "runs" / kept.first / "evidence").glob("*.json"))
    record.unlink()
    found = check(kept.home, NOW)
    assert not found.clear
    assert kept.first in " ".join(s.name + s.why for s in found.of(State.BROKEN))


def test_a_run_that_nobody_closed_is_not_broken(kept: RetainedHome, pristine: RetainedHome) -> None:
    files = pristine.home.parent
    contract, policy = files / "documents/insurer.yaml", files / "documents/policy.yaml"
    run = start(kept.home, "plain", policy=policy, contract=contract, data=files / "good.csv")
    run.run_stage(Stage.INGEST, lambda: PlainStack(run).hook(Stage.INGEST))
    found = check(kept.home, NOW)
    assert found.clear
    assert State.KEPT in states(kept.home, NOW)[f"runs/{run.spec.run_id}/predictions"]


def test_a_broken_decision_log_is_told(kept: RetainedHome) -> None:
    (kept.home / "decisions" / LOG / "log" / "00000002.json").write_text("{}")
    [broken] = check(kept.home, NOW).of(State.BROKEN)
    assert broken.name == f"decisions/{LOG}"


@pytest.mark.parametrize("change", ["edit", "remove", "other kind", "pipe"])
def test_a_tampered_log_of_holds_stops_everything(kept: RetainedHome, change: str) -> None:
    number = place_hold(kept.home, LOG, "a lawsuit", NOW)
    place_hold(kept.home, kept.first, "a lawsuit", NOW)
    entry = kept.home / "retention" / f"{number:08d}.json"
    if change == "edit":
        entry.write_bytes(entry.read_bytes().replace(b"A", b"B", 1))
    elif change == "remove":
        entry.unlink()
    elif change == "other kind":
        append(kept.home, "waiver", NOW, {"subject": LOG})
    else:
        entry.unlink()
        os.mkfifo(entry)
    with pytest.raises(EvidenceError):
        check(kept.home, NOW)
    with pytest.raises(EvidenceError):
        place_hold(kept.home, kept.second, "a lawsuit", NOW)


def test_a_hold_cut_off_the_end_shows_in_the_access_log(kept: RetainedHome) -> None:
    number = place_hold(kept.home, LOG, "a lawsuit", NOW)
    record_access(kept.home, "retention hold", [LOG], f"entry {number}")
    assert check(kept.home, NOW).clear
    (kept.home / "retention" / f"{number:08d}.json").unlink()
    [broken] = check(kept.home, NOW).of(State.BROKEN)
    assert (broken.name, "cut off" in broken.why) == ("retention", True)


def test_a_tombstone_of_what_was_not_due_is_none(kept: RetainedHome) -> None:
    fields = {
        "class": "models", "name": "n", "parts": {}, "others": 0, "policy": "p", "serves": [],
        "years": 6, "since": NOW.isoformat(), "due": str(LATER.date()),
    }  # fmt: skip
    append(kept.home, "tombstone", NOW, fields)
    with pytest.raises(EvidenceError, match="is no hold, lift or tombstone"):
        read_records(kept.home)


# ---- what rests on what


def _continuing(evidence: Evidence, later: str, earlier: str) -> Evidence:
    """The same evidence, in which one run goes on from another."""
    run = evidence.runs[later]
    gate = run.stage(Stage.RELEASE_GATE)
    assert gate is not None
    goes_on = replace(gate, facts={**gate.facts, "continues": earlier, "head": "h"})
    stages = tuple(goes_on if s is gate else s for s in run.stages)
    return replace(evidence, runs={**evidence.runs, later: replace(run, stages=stages)})


def test_the_run_that_trained_a_standing_release_is_in_effect(pristine: RetainedHome) -> None:
    evidence, _ = read_signed(pristine.home, "tfx", None)
    assert not uses([evidence], [])[pristine.blocked].standing
    found = uses([_continuing(evidence, pristine.second, pristine.blocked)], [])
    assert found[pristine.blocked].standing
    assert {pristine.second, "insurer/tfx@2"} <= found[pristine.blocked].subjects
    assert pristine.blocked not in found[pristine.second].subjects


def test_runs_reach_back_over_runs_between_and_never_for_ever(pristine: RetainedHome) -> None:
    evidence, _ = read_signed(pristine.home, "tfx", None)
    evidence = _continuing(evidence, pristine.second, pristine.first)
    evidence = _continuing(evidence, pristine.first, pristine.blocked)
    assert uses([evidence], [])[pristine.blocked].standing
    evidence = _continuing(evidence, pristine.blocked, pristine.second)
    assert all(use.standing for use in uses([evidence], []).values())


def test_a_release_that_was_put_back_is_in_effect_again(pristine: RetainedHome) -> None:
    evidence, _ = read_signed(pristine.home, "tfx", None)
    assert not uses([evidence], [])[pristine.first].standing
    first, second = evidence.releases["insurer"]
    again = replace(first, number=3, at=second.at + timedelta(days=1), kind="rollback")
    found = uses([replace(evidence, releases={"insurer": (first, second, again)})], [])
    assert found[pristine.first].standing and not found[pristine.second].standing
    assert {"insurer/tfx@1", "insurer/tfx@3"} <= found[pristine.first].subjects
    assert found[pristine.second].until == again.at


def test_a_log_keeps_what_it_was_decided_with_for_as_long_as_itself(pristine: RetainedHome) -> None:
    evidence, _ = read_signed(pristine.home, "tfx", None)
    log = LogFacts("a-log", pristine.first, {}, Use(LATER, subjects={"a-log"}))
    found = uses([evidence], [log])[pristine.first]
    assert (found.until, "a-log" in found.subjects) == (LATER, True)
    uses([evidence], [replace(log, run="a run of another home")])


def test_a_dataset_lasts_as_long_as_the_last_run_that_read_it(pristine: RetainedHome) -> None:
    items = {i.name: i for i in take_inventory(pristine.home, rules()).items}
    shared, own = items[pristine.shared], items[pristine.own]
    assert {pristine.first, pristine.second, LOG} <= shared.use.subjects
    runs = [items[f"runs/{n}/models"] for n in (pristine.first, pristine.second)]
    assert shared.use.until == max(i.use.until for i in runs if i.use.until)
    assert shared.made == max(i.made for i in runs if i.made)
    assert own.use.subjects == {pristine.blocked}


# ---- the policy


def test_each_output_has_one_class_or_none() -> None:
    policy = rules()
    assert policy.class_of("model") is DataClass.MODELS
    assert policy.class_of("report") is DataClass.PREDICTIONS
    assert policy.class_of("drafts") is None


def test_an_output_that_no_class_names_is_unknown(kept: RetainedHome) -> None:
    policy = rules()
    models = replace(policy.rules[DataClass.MODELS], outputs=("model", "serving_model"))
    other = replace(policy, rules={**policy.rules, DataClass.MODELS: models})
    found = check_retention(kept.home, other, NOW.date())
    named = {s.name: s.why for s in found.of(State.UNKNOWN)}
    assert set(named) == {f"runs/{n}" for n in (kept.first, kept.second, kept.blocked)}
    assert "checkpoint" in named[f"runs/{kept.first}"]
    done = purge(kept.home, other, LATER)
    assert (kept.home / "runs" / kept.first / "artifacts/plain/checkpoints/1.json").is_file()
    assert (kept.home / "runs" / kept.first / "artifacts/plain/report.json").is_file()
    assert any(p.standing.name == f"runs/{kept.first}/models" for p in done.purged)
