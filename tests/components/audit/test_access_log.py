from __future__ import annotations

import multiprocessing
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.audit.access_log import (
    MOST_CHARACTERS,
    PREDICATE_TYPE,
    read_access,
    record_access,
)
from components.contract.errors import EvidenceError, InputError
from components.lineage.actor import account
from components.lineage.evidence_keys import HomeKeys
from components.lineage.signed_log import SignedLog

RUN = "20261124T120000Z-tfx-plain-1a2b3c"
WRITERS = 8
EACH = int(os.environ.get("ASSAY_TEST_APPENDS", "160")) // WRITERS


def test_who_what_when_and_what_came_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_ACTOR", "Ana Silva")
    before = datetime.now(UTC)
    record_access(tmp_path, "audit mutations", [RUN, "release/clinic/tfx/1"], "nothing differs")
    record_access(tmp_path, "audit access", [], "1 entries, none changed")
    first, second = read_access(tmp_path)
    assert (first.actor, first.account) == ("Ana Silva", account())
    assert (first.command, first.result) == ("audit mutations", "nothing differs")
    assert first.subjects == (RUN, "release/clinic/tfx/1")
    assert before <= first.moment <= second.moment <= datetime.now(UTC)
    assert first.moment.utcoffset() == timedelta()
    assert (first.number, second.number) == (1, 2)
    assert second.subjects == ()


def test_the_account_is_the_systems_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSAY_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    record_access(tmp_path, "audit access", [], "")
    (access,) = read_access(tmp_path)
    assert access.actor == "somebody-else"
    assert access.account == account() != "somebody-else"


def test_a_home_without_a_log_has_none_and_gets_none_by_reading(tmp_path: Path) -> None:
    assert read_access(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no directory"):
        record_access(tmp_path / "none", "audit access", [], "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "texts", [("x" * 201, [], ""), ("c", ["x" * 201], ""), ("c", [], "x" * 201)]
)
def test_no_document_gets_into_the_log(tmp_path: Path, texts: tuple[str, list[str], str]) -> None:
    with pytest.raises(EvidenceError, match=str(MOST_CHARACTERS)):
        record_access(tmp_path, *texts)
    assert list(tmp_path.iterdir()) == []


def test_an_access_that_cannot_be_recorded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "access").write_text("a file where the log would be")
    with pytest.raises(EvidenceError, match="access is no folder"):
        record_access(tmp_path, "audit access", [], "")


def test_a_pipe_in_the_place_of_an_entry_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    record_access(tmp_path, "audit access", [], "")
    entry = tmp_path / "access" / "00000001.json"
    entry.unlink()
    os.mkfifo(entry)
    for look in (
        lambda: record_access(tmp_path, "audit access", [], ""),
        lambda: read_access(tmp_path),
    ):
        with pytest.raises(EvidenceError, match=r"access/00000001\.json' is a pipe"):
            look()


def test_a_log_whose_end_is_broken_takes_nothing_more(tmp_path: Path) -> None:
    record_access(tmp_path, "audit access", [], "")
    (tmp_path / "access" / "00000001.json").write_bytes(b"{}")
    with pytest.raises(EvidenceError, match=r"00000001\.json"):
        record_access(tmp_path, "audit access", [], "")


def _append(home: Path, entry: dict[str, Any]) -> None:
    SignedLog(home / "access", PREDICATE_TYPE, HomeKeys(home)).append(entry)


@pytest.mark.parametrize(
    "change",
    [
        {"at": "yesterday"},
        {"at": "2026-11-24T12:00:00"},
        {"at": "2026-11-24T12:00:00+01:00"},
        {"subjects": None},
        {"subjects": "run"},
        {"more": 1},
        {"number": 7},
        {"sha256": "0"},
    ],
)
def test_what_is_signed_and_no_access_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    record_access(tmp_path, "audit access", [], "")
    entry = read_access(tmp_path)[0].entry()
    _append(tmp_path, entry)
    assert len(read_access(tmp_path)) == 2
    _append(tmp_path, {**entry, **change})
    with pytest.raises(EvidenceError, match="entry 3 is no access"):
        read_access(tmp_path)


def test_a_run_record_is_no_access(tmp_path: Path) -> None:
    SignedLog(tmp_path / "access", "urn:assay:evidence:v1", HomeKeys(tmp_path)).append({})
    with pytest.raises(EvidenceError, match="no entry of this log"):
        read_access(tmp_path)


def test_the_log_of_another_home_is_not_believed(tmp_path: Path) -> None:
    for home in (tmp_path / "a", tmp_path / "b"):
        home.mkdir()
        record_access(home, "audit access", [], "")
    shutil.rmtree(tmp_path / "a" / "access")
    shutil.copytree(tmp_path / "b" / "access", tmp_path / "a" / "access")
    with pytest.raises(EvidenceError, match="not trusted"):
        read_access(tmp_path / "a")


def _record_many(home: Path, writer: int, results: Any) -> None:
    for i in range(EACH):
        record_access(home, "audit questions", [f"{writer}/{i}"], "answered")
        results.put(f"{writer}/{i}")


def test_people_who_look_at_the_same_time_are_all_recorded(tmp_path: Path) -> None:
    """The home's first key is made in the race, too."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    writers = [
        context.Process(target=_record_many, args=(tmp_path, w, results)) for w in range(WRITERS)
    ]
    for process in writers:
        process.start()
    acknowledged = [results.get(timeout=120) for _ in range(WRITERS * EACH)]
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    read = read_access(tmp_path)
    assert sorted(a.subjects[0] for a in read) == sorted(acknowledged)
    assert [a.number for a in read] == list(range(1, WRITERS * EACH + 1))
