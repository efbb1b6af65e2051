"""What a purge takes, what it leaves, and what is said of a purge that was cut off."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.audit.differences import Kind
from components.audit.mutation_check import StackCheck, check_stack
from components.audit.retention import State
from components.audit.retention_holds import lift_hold, place_hold
from components.audit.retention_log import append, purged, read_records
from components.audit.retention_policy import DataClass, RetentionPolicy
from components.audit.retention_purge import Purge, preview, purge, undisturbed
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.contract.policy_loader import load_policy
from components.datasets.canonical import ingest
from components.decisions.decision_log import DecisionLog
from components.lineage.digests import sha256_file
from components.lineage.row_key import read_row_key
from tests.recorded_store import recorded_store, sign_receipts
from tests.retained_home import LATER, LOG, NOW, RetainedHome, check, make_home, rules, states


class Killed(BaseException):
    """The process is gone at this very moment."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> RetainedHome:
    """The home; tests change copies of it."""
    return make_home(tmp_path_factory.mktemp("purged") / "home")


@pytest.fixture
def kept(pristine: RetainedHome, tmp_path: Path) -> RetainedHome:
    """The home once more, to be changed."""
    return pristine.copy(tmp_path / "home")


def _purge(home: Path) -> Purge:
    return purge(home, rules(), LATER)


def _files(home: Path) -> dict[str, str]:
    """Digest of every file, without the log of holds and tombstones."""
    found = (p for p in sorted(home.rglob("*")) if p.is_file())
    named = {p.relative_to(home).as_posix(): sha256_file(p) for p in found}
    return {name: sha for name, sha in named.items() if not name.startswith("retention/")}


# ---- what goes and what stays


def test_what_is_due_goes_and_nothing_else(kept: RetainedHome) -> None:
    home, before = kept.home, _files(kept.home)
    planned = {s.name for s in check(home).of(State.DUE)}
    done = _purge(home)
    after = _files(home)
    assert {p.standing.name for p in done.purged} == planned
    assert not done.stays
    gone = before.keys() - after.keys()
    assert after == {name: sha for name, sha in before.items() if name not in gone}
    assert {_area(name, kept) for name in gone} == {
        "own dataset", "log", "first run", "blocked run",
    }  # fmt: skip
    assert not list((home / kept.own).rglob("*.parquet"))
    assert not list((home / "decisions" / LOG).glob("*.parquet"))
    for run in (kept.first, kept.blocked):
        assert not [p for p in (home / "runs" / run / "artifacts").rglob("*") if p.is_file()]


def _area(name: str, kept: RetainedHome) -> str:
    areas = {
        f"{kept.own}/": "own dataset",
        f"decisions/{LOG}/segment": "log",
        f"runs/{kept.first}/artifacts/": "first run",
        f"runs/{kept.blocked}/artifacts/": "blocked run",
    }
    return next((area for start, area in areas.items() if name.startswith(start)), name)


def test_each_thing_has_a_tombstone_that_names_its_parts(kept: RetainedHome) -> None:
    due = {s.name: {p.place: p.sha256 for p in s.parts} for s in check(kept.home).of(State.DUE)}
    done = _purge(kept.home)
    stones = read_records(kept.home).tombstones
    assert {t.name: dict(t.parts) for t in stones} == due
    assert [p.tombstone for p in done.purged] == [t.number for t in stones]
    assert {t.at for t in stones} == {LATER}


def test_after_a_purge_the_check_says_so_and_the_next_one_takes_nothing(kept: RetainedHome) -> None:
    due = {s.name for s in check(kept.home).of(State.DUE)}
    _purge(kept.home)
    found = check(kept.home)
    assert found.clear
    assert {s.name for s in found.of(State.PURGED)} == due
    assert purged(kept.home, kept.own).startswith("purged under tombstone ")
    assert purged(kept.home, kept.shared) == ""
    before = len(read_records(kept.home).tombstones)
    assert _purge(kept.home).purged == ()
    assert len(read_records(kept.home).tombstones) == before


def test_before_its_time_nothing_goes(kept: RetainedHome) -> None:
    before = _files(kept.home)
    assert purge(kept.home, rules(), NOW).purged == ()
    assert _files(kept.home) == before
    assert not (kept.home / "retention").exists()


def test_a_preview_tells_what_goes_and_writes_nothing(kept: RetainedHome) -> None:
    before = _files(kept.home)
    told = preview(kept.home, rules(), LATER.date())
    assert _files(kept.home) == before
    assert not (kept.home / "retention").exists()
    done = _purge(kept.home)
    assert [p.standing.name for p in told.purged] == [p.standing.name for p in done.purged]


def test_classes_go_each_in_its_own_time(kept: RetainedHome) -> None:
    policy = rules()
    longer = {
        kind: replace(rule, years=20 if kind == "models" else rule.years)
        for kind, rule in policy.rules.items()
    }
    done = purge(kept.home, replace(policy, rules=longer), LATER)
    assert not any(p.standing.name.endswith("/models") for p in done.purged)
    assert (kept.home / "runs" / kept.first / "artifacts/plain/model.json").is_file()
    assert (kept.home / "runs" / kept.first / "artifacts/plain/checkpoints/1.json").is_file()
    assert not (kept.home / "runs" / kept.first / "artifacts/plain/rows.parquet").exists()


# ---- holds


def test_what_is_held_stays_until_the_hold_is_lifted(kept: RetainedHome) -> None:
    number = place_hold(kept.home, kept.blocked, "a lawsuit", NOW)
    _purge(kept.home)
    assert states(kept.home)[kept.own] == {State.HELD}
    assert states(kept.home)[f"decisions/{LOG}"] == {State.PURGED}
    assert list((kept.home / kept.own).rglob("*.parquet"))
    lift_hold(kept.home, number, "it is settled", NOW)
    done = _purge(kept.home)
    names = {kept.own, f"runs/{kept.blocked}/models", f"runs/{kept.blocked}/predictions"}
    assert {p.standing.name for p in done.purged} == names
    assert check(kept.home).clear


# ---- what is not as it was signed


@pytest.mark.parametrize("which", ["dataset", "log", "model", "checkpoint"])
def test_what_was_changed_stays_as_the_proof_of_it(kept: RetainedHome, which: str) -> None:
    plain = kept.home / "runs" / kept.first / "artifacts/plain"
    path, name = {
        "dataset": (min((kept.home / kept.own).rglob("*.parquet")), kept.own),
        "log": (min((kept.home / "decisions" / LOG).glob("*.parquet")), f"decisions/{LOG}"),
        "model": (plain / "model.json", f"runs/{kept.first}/models"),
        "checkpoint": (plain / "checkpoints/2.json", f"runs/{kept.first}/models"),
    }[which]
    path.write_bytes(path.read_bytes() + b" ")
    done = _purge(kept.home)
    assert done.stays == ((name, "it is not what was signed"),)
    assert path.is_file()
    assert name not in {t.name for t in read_records(kept.home).tombstones}
    assert states(kept.home)[name] == {State.DUE}


def test_what_was_deleted_before_is_not_covered_by_the_tombstone_of_the_rest(
    kept: RetainedHome,
) -> None:
    lost, *rest = sorted((kept.home / kept.own).rglob("*.parquet"))
    lost.unlink()
    _purge(kept.home)
    assert not any(path.exists() for path in rest)
    assert states(kept.home)[kept.own] == {State.PURGED, State.DELETED}
    [early] = check(kept.home).of(State.DELETED)
    assert [p.place for p in early.parts] == [lost.relative_to(kept.home).as_posix()]


def test_without_its_tombstone_a_purge_is_a_deletion(kept: RetainedHome) -> None:
    _purge(kept.home)
    last = max((kept.home / "retention").glob("*.json"))
    name = read_records(kept.home).tombstones[-1].name
    last.unlink()
    assert states(kept.home)[name] == {State.DELETED}
    shutil.rmtree(kept.home / "retention")
    assert not check(kept.home).of(State.PURGED)


def test_a_tombstone_from_the_middle_is_missed(kept: RetainedHome) -> None:
    _purge(kept.home)
    (kept.home / "retention" / "00000002.json").unlink()
    with pytest.raises(EvidenceError, match=r"00000002\.json is missing"):
        _purge(kept.home)


def test_a_tombstone_from_before_a_part_was_made_is_none_of_its(kept: RetainedHome) -> None:
    _purge(kept.home)
    records = read_records(kept.home)
    stone = next(t for t in records.tombstones if t.name == kept.own)
    place, digest = next(iter(stone.parts.items()))
    assert records.tombstone(place, digest, NOW) == stone.number
    assert records.tombstone(place, digest, LATER.replace(year=LATER.year + 1)) == 0
    assert records.tombstone(place, "0" * 64, NOW) == 0
    assert records.tombstone(place + "x", digest, NOW) == 0


def test_a_tombstone_from_before_its_time_covers_no_deletion(kept: RetainedHome) -> None:
    """Whoever has the home's key can sign one that gives the data another age."""
    log = DecisionLog.open(kept.home, LOG)
    (segment,) = log.segments
    place, rule = f"decisions/{LOG}/{segment.file}", rules().rules[DataClass.DECISION_LOGS]
    long_ago = NOW.replace(year=NOW.year - 20)
    forged = {
        "class": "decision_logs",
        "name": f"decisions/{LOG}",
        "parts": {place: segment.sha256},
        "others": 0,
        "policy": rules().digest,
        "serves": list(rule.serves),
        "years": rule.years,
        "since": long_ago.isoformat(timespec="microseconds"),
        "due": str(rule.keep_until(long_ago)),
    }
    append(kept.home, "tombstone", datetime.now(UTC), forged)
    (kept.home / place).unlink()
    assert states(kept.home)[f"decisions/{LOG}"] == {State.DELETED}


def test_where_evidence_is_broken_nothing_goes(kept: RetainedHome) -> None:
    min((kept.home / "runs" / kept.second / "evidence").glob("*.json")).unlink()
    before = _files(kept.home)
    for attempt in (lambda: _purge(kept.home), lambda: preview(kept.home, rules(), LATER.date())):
        with pytest.raises(EvidenceError, match="nothing is purged"):
            attempt()
    assert _files(kept.home) == before
    assert not (kept.home / "retention").exists()


def test_a_link_is_not_followed_out_of_the_home(kept: RetainedHome, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    (kept.home / kept.own).rename(outside)
    (kept.home / kept.own).symlink_to(outside)
    before = _files(outside)
    done = _purge(kept.home)
    assert done.stays == ((kept.own, "a link leads elsewhere"),)
    assert _files(outside) == before


def test_a_link_does_not_lead_a_purge_to_what_a_standing_release_rests_on(
    kept: RetainedHome,
) -> None:
    artifacts = kept.home / "runs" / kept.blocked / "artifacts"
    shutil.rmtree(artifacts)
    artifacts.symlink_to(Path("..", "..", kept.shared))
    before = _files(kept.home / kept.shared)
    name = f"runs/{kept.blocked}/predictions"
    assert (name, "a link leads elsewhere") in _purge(kept.home).stays
    assert _files(kept.home / kept.shared) == before


def test_of_a_link_among_a_tools_drafts_the_link_goes(kept: RetainedHome, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "a.parquet").write_bytes(b"x")
    link = kept.home / "runs" / kept.first / "artifacts" / "drafts"
    link.symlink_to(outside)
    _purge(kept.home)
    assert not os.path.lexists(link)
    assert (outside / "a.parquet").is_file()


def test_a_tools_drafts_go_with_the_rows(kept: RetainedHome) -> None:
    draft = kept.home / "runs" / kept.blocked / "native" / "Split-train" / "data.gz"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"rows")
    standing = kept.home / "runs" / kept.second / "native" / "data.gz"
    standing.parent.mkdir()
    standing.write_bytes(b"rows")
    _purge(kept.home)
    assert not draft.exists()
    assert standing.exists()


def test_a_segment_that_no_entry_names_goes_with_its_log(kept: RetainedHome) -> None:
    half = kept.home / "decisions" / LOG / "segment-000002.parquet"
    half.write_bytes(b"rows")
    _purge(kept.home)
    assert not half.exists()


# ---- data that come back


def test_purged_rows_can_be_read_again_from_their_source(
    kept: RetainedHome, pristine: RetainedHome
) -> None:
    before = {n: sha for n, sha in _files(kept.home).items() if n.startswith(kept.own)}
    _purge(kept.home)
    documents = pristine.home.parent / "documents"
    contract = load_contract(documents / "insurer.yaml")
    policy = load_policy(documents / "policy.yaml", contract)
    key = read_row_key(kept.home)
    again = ingest(contract, policy, kept.home, key, pristine.home.parent / "biased.csv")
    assert again.directory == kept.home / kept.own
    assert {n: sha for n, sha in _files(kept.home).items() if n.startswith(kept.own)} == before
    assert purged(kept.home, kept.own) == ""


def test_an_old_tombstone_is_none_of_data_that_were_read_since(kept: RetainedHome) -> None:
    standing = next(s for s in check(kept.home).standings if s.name == kept.own)
    long_ago = NOW.replace(year=NOW.year - 10, day=28)
    fields = {
        "class": "datasets", "name": kept.own, "parts": {p.place: p.sha256 for p in standing.parts},
        "others": 0, "policy": rules().digest, "serves": [], "years": 6,
        "since": long_ago.replace(year=long_ago.year - 7).isoformat(),
        "due": str(long_ago.replace(year=long_ago.year - 1).date()),
    }  # fmt: skip
    append(kept.home, "tombstone", long_ago, fields)
    assert states(kept.home)[kept.own] == {State.DUE}
    for file in (kept.home / kept.own).rglob("*.parquet"):
        file.unlink()
    assert states(kept.home)[kept.own] == {State.DELETED}
    sign_receipts(kept.home, recorded_store(kept.home))
    assert {d.kind for d in _mutations(kept.home).differences} == {Kind.DATA}


# ---- other commands at the same time


def test_while_a_run_is_at_work_nothing_goes(kept: RetainedHome) -> None:
    lock = kept.home / "runs" / kept.blocked / "run.lock"
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        before = _files(kept.home)
        with pytest.raises(InputError, match="is at work"):
            _purge(kept.home)
        assert _files(kept.home) == before
        assert not (kept.home / "retention").exists()
    assert _purge(kept.home).purged  # a lock that nobody holds is of a run that was killed


@pytest.mark.parametrize("folder", ["", "decisions"])
def test_during_a_purge_no_hold_and_no_scoring_begins(kept: RetainedHome, folder: str) -> None:
    descriptor = os.open(kept.home / folder, os.O_RDONLY)
    try:
        with undisturbed(kept.home), pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


# ---- purges that were cut off


def _cut_off(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> None:
    """Let a removal fail after so many removals of data."""
    real, count = os.unlink, 0

    def unlink(path: object, *args: object, **kwargs: object) -> None:
        nonlocal count
        if not str(path).endswith(".tmp") and ".writable." not in str(path):
            if count == after:
                raise error
            count += 1
        real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", unlink)


def test_a_purge_that_was_cut_off_anywhere_is_finished_by_the_next(
    pristine: RetainedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pristine.copy(tmp_path / "whole")
    _purge(whole.home)
    wanted, stones = _files(whole.home), _stones(whole.home)
    removals = sum(1 for name in _files(pristine.home) if name not in wanted)
    assert removals > 30
    for after in range(removals):
        kept = RetainedHome(tmp_path / str(after), pristine.first, pristine.second, "")
        shutil.copytree(pristine.home, kept.home, copy_function=os.link)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            _cut_off(patch, after, Killed())
            _purge(kept.home)
        found = check(kept.home)
        assert (found.of(State.DELETED), found.clear) == ([], False), after
        _purge(kept.home)
        assert _files(kept.home) == wanted, after
        assert _stones(kept.home) == stones, after
        shutil.rmtree(kept.home)


def _stones(home: Path) -> list[tuple[str, dict[str, str]]]:
    return [(t.name, dict(t.parts)) for t in read_records(home).tombstones]


def test_what_is_put_under_a_hold_after_a_purge_was_cut_off_stays(
    kept: RetainedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        _cut_off(patch, 2, Killed())
        _purge(kept.home)
    assert states(kept.home)[kept.own] == {State.PURGED, State.DUE}
    place_hold(kept.home, kept.blocked, "a lawsuit", LATER)
    _purge(kept.home)
    assert states(kept.home)[kept.own] == {State.PURGED, State.HELD}
    assert len(list((kept.home / kept.own).rglob("*.parquet"))) == 4


def test_a_disk_that_refuses_is_told_in_one_line(
    kept: RetainedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot be removed"):
        _cut_off(patch, 3, PermissionError(13, "Permission denied"))
        _purge(kept.home)
    assert not check(kept.home).of(State.DELETED)
    _purge(kept.home)
    assert check(kept.home).clear


def test_without_a_tombstone_nothing_goes(
    kept: RetainedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(kept.home)
    monkeypatch.setenv("ASSAY_EVIDENCE_KEY", str(kept.home / "no.key"))
    with pytest.raises(InputError):
        _purge(kept.home)
    assert _files(kept.home) == before


def test_the_shipped_policy_is_what_tests_purge_by() -> None:
    policy: RetentionPolicy = rules()
    assert {rule.years for rule in policy.rules.values()} == {6}


# ---- what the mutation check says afterwards


def _mutations(home: Path, run: str | None = None) -> StackCheck:
    return check_stack(home, "tfx", recorded_store(home), run)


def test_what_was_purged_is_no_mutation(kept: RetainedHome) -> None:
    sign_receipts(kept.home, recorded_store(kept.home))
    assert _mutations(kept.home).differences == ()
    _purge(kept.home)
    found = _mutations(kept.home)
    assert found.differences == ()
    names = {t.name for t in read_records(kept.home).tombstones} - {f"decisions/{LOG}"}
    assert {t.name for t in found.purged} == names
    assert {p["name"] for p in found.to_json()["purged"]} == names
    of_one = _mutations(kept.home, kept.first)
    assert of_one.differences == ()
    assert {t.name for t in of_one.purged} == {n for n in names if kept.first in n}


def test_what_was_deleted_without_a_tombstone_is_one(kept: RetainedHome) -> None:
    sign_receipts(kept.home, recorded_store(kept.home))
    lost = min((kept.home / kept.own).rglob("*.parquet"))
    lost.unlink()
    _purge(kept.home)
    for path in (kept.home / "runs" / kept.second).rglob("*redictions.parquet"):
        path.unlink()
    told = {(d.kind, d.where) for d in _mutations(kept.home).differences}
    assert (Kind.DATA, lost.relative_to(kept.home).as_posix()) in told
    assert {kind for kind, _ in told} == {Kind.DATA, Kind.MISSING_FILE}
    assert all(kept.second in where for kind, where in told if kind is Kind.MISSING_FILE)


def test_what_is_put_in_the_place_of_purged_data_is_one(kept: RetainedHome) -> None:
    sign_receipts(kept.home, recorded_store(kept.home))
    place = min((kept.home / kept.own).rglob("*.parquet"))
    _purge(kept.home)
    place.write_bytes(b"other rows")
    [told] = _mutations(kept.home).differences
    assert (told.kind, told.where) == (Kind.DATA, place.relative_to(kept.home).as_posix())


def test_without_sound_tombstones_everything_purged_is_missing(kept: RetainedHome) -> None:
    sign_receipts(kept.home, recorded_store(kept.home))
    _purge(kept.home)
    (kept.home / "retention" / "00000002.json").write_text("{}")
    found = _mutations(kept.home)
    assert found.purged == ()
    assert {d.kind for d in found.differences} == {Kind.DATA, Kind.MISSING_FILE, Kind.EVIDENCE}
