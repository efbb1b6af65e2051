from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import EvidenceError
from components.lineage.dsse import STATEMENT_TYPE, UnknownSignerError, sign
from components.lineage.evidence_keys import HomeKeys
from components.lineage.signed_log import GENESIS, SignedLog

KIND = "urn:assay:test:v1"
WRITERS, EACH = 8, int(os.environ.get("ASSAY_TEST_APPENDS", "320")) // 8


@pytest.fixture
def log(tmp_path: Path) -> SignedLog:
    made = SignedLog(tmp_path / "log", KIND, HomeKeys(tmp_path))
    for n in range(4):
        made.append({"n": n})
    return made


def _path(log: SignedLog, number: int) -> Path:
    return log.directory / f"{number:08d}.json"


def _forge(log: SignedLog, number: int, **changes: Any) -> None:
    """An entry in the place of another, signed by the home's own key: no signature saves us."""
    entry = log.read()[number - 1]
    previous = log.read()[number - 2].sha256 if number > 1 else GENESIS
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "log", "digest": {"sha256": previous}}],
        "predicateType": KIND,
        "predicate": {"number": number, "entry": entry.entry},
        **changes,
    }
    _path(log, number).write_bytes(sign(statement, [log.keys.signer()]))


def test_entries_are_read_back_in_order_and_numbered(log: SignedLog) -> None:
    assert log.entries() == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}]
    assert [e.number for e in log.read()] == [1, 2, 3, 4]
    assert len({e.sha256 for e in log.read()}) == 4
    assert log.append({"n": 4}) == 5


def test_a_log_that_was_never_written_to_is_empty(tmp_path: Path) -> None:
    assert SignedLog(tmp_path / "none", KIND, HomeKeys(tmp_path)).read() == []
    assert list(tmp_path.iterdir()) == []


def test_every_bit_of_an_entry_counts(log: SignedLog) -> None:
    path = _path(log, 1)
    sound = path.read_bytes()
    for place in range(len(sound)):
        for bit in range(8):
            changed = bytearray(sound)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(EvidenceError, match=r"00000001\.json"):
                log.read()
    for changed_to in (b"", sound[:-1], sound + b"\n", sound * 2):
        path.write_bytes(changed_to)
        with pytest.raises(EvidenceError, match=r"00000001\.json"):
            log.read()


def _swap(log: SignedLog) -> None:
    second, third = _path(log, 2).read_bytes(), _path(log, 3).read_bytes()
    _path(log, 2).write_bytes(third)
    _path(log, 3).write_bytes(second)


def _renumber(log: SignedLog) -> None:
    _path(log, 2).unlink()
    for number in (3, 4):
        _path(log, number).rename(_path(log, number - 1))


def _rewrite_one_and_leave_the_next(log: SignedLog) -> None:
    _forge(log, 2, predicate={"number": 2, "entry": {"n": "forged"}})


def _make_a_folder_of_it(log: SignedLog) -> None:
    _path(log, 4).unlink()
    _path(log, 4).mkdir()


BROKEN: list[tuple[str, Callable[[SignedLog], Any], str]] = [
    ("first dropped", lambda log: _path(log, 1).unlink(), "00000001.json is missing"),
    ("middle dropped", lambda log: _path(log, 3).unlink(), "00000003.json is missing"),
    ("swapped", _swap, "00000002.json is no entry of this log"),
    ("renumbered", _renumber, "00000002.json is no entry of this log"),
    (
        "copied to the end",
        lambda log: shutil.copyfile(_path(log, 4), _path(log, 5)),
        "00000005.json is no entry of this log",
    ),
    (
        "signed anew",
        _rewrite_one_and_leave_the_next,
        "00000003.json does not follow the one before it",
    ),
    (
        "another kind",
        lambda log: _forge(log, 4, predicateType="urn:assay:other:v1"),
        "00000004.json is no entry of this log",
    ),
    (
        "another subject",
        lambda log: _forge(log, 4, subject=[]),
        "00000004.json is no entry of this log",
    ),
    (
        "a subject too many",
        lambda log: _forge(log, 1, subject=[{"name": "log", "digest": {"sha256": GENESIS}}] * 2),
        "00000001.json is no entry of this log",
    ),
    (
        "true for one",
        lambda log: _forge(log, 1, predicate={"number": True, "entry": {}}),
        "00000001.json is no entry of this log",
    ),
    (
        "a field too many",
        lambda log: _forge(log, 4, predicate={"number": 4, "entry": {}, "x": 1}),
        "00000004.json is no entry of this log",
    ),
    (
        "a list for an entry",
        lambda log: _forge(log, 4, predicate={"number": 4, "entry": [["n", 1]]}),
        "00000004.json is no entry of this log",
    ),
    (
        "a text for a predicate",
        lambda log: _forge(log, 4, predicate="n"),
        "00000004.json is no entry of this log",
    ),
    (
        "a folder",
        _make_a_folder_of_it,
        "00000004.json cannot be read",
    ),
]


@pytest.mark.parametrize(("how", "named"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_log_says_where(
    log: SignedLog, how: Callable[[SignedLog], Any], named: str
) -> None:
    how(log)
    with pytest.raises(EvidenceError) as caught:
        log.read()
    assert str(caught.value).startswith(named)


def test_an_entry_of_another_key_or_another_log_is_none(log: SignedLog, tmp_path: Path) -> None:
    other = SignedLog(tmp_path / "other" / "log", KIND, HomeKeys(tmp_path / "other"))
    other.append({"n": 0})
    shutil.copyfile(_path(other, 1), _path(log, 1))
    with pytest.raises(UnknownSignerError, match=r"00000001\.json"):
        log.read()
    with pytest.raises(EvidenceError, match="no entry of this log"):
        SignedLog(other.directory, "urn:assay:other:v1", other.keys).read()


def test_what_is_cut_off_the_tail_shows_by_the_digest_that_was_kept(log: SignedLog) -> None:
    kept = log.read()[-1]
    _path(log, 4).unlink()
    assert kept not in log.read()
    log.append({"n": "another"})
    assert kept not in log.read()


def test_an_append_reads_the_last_entry_and_no_other(log: SignedLog) -> None:
    for number in (1, 2, 3):
        _path(log, number).write_bytes(b"broken")
    assert log.append({"n": 4}) == 5
    with pytest.raises(EvidenceError, match=r"00000001\.json"):
        log.read()
    _path(log, 5).write_bytes(b"broken")
    with pytest.raises(EvidenceError, match=r"00000005\.json"):
        log.append({"n": 5})
    assert not _path(log, 6).exists()


def test_leftovers_of_a_crash_and_other_files_are_no_entries(log: SignedLog) -> None:
    for name in (
        ".00000005.json.ab.tmp",
        "5.json",
        "000000005.json",
        "00000005.json.bak",
        "a.json",
    ):
        (log.directory / name).write_bytes(_path(log, 4).read_bytes()[:100])
    assert len(log.read()) == 4
    assert log.append({"n": 4}) == 5
    assert len(log.read()) == 5


@pytest.mark.parametrize("entry", [{"x": float("nan")}, {"x": 2**53}, {"x": "\ud800"}, {"x": b""}])
def test_what_is_not_canonical_json_leaves_nothing(log: SignedLog, entry: dict[str, Any]) -> None:
    before = sorted(p.name for p in log.directory.iterdir())
    with pytest.raises(EvidenceError, match="not canonical JSON"):
        log.append(entry)
    assert sorted(p.name for p in log.directory.iterdir()) == before


def _append_many(home: Path, writer: int, results: Any) -> None:
    log = SignedLog(home / "log", KIND, HomeKeys(home))
    for i in range(EACH):
        results.put((log.append({"writer": writer, "i": i}), writer, i))


def test_writers_at_once_fork_nothing_and_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    writers = [
        context.Process(target=_append_many, args=(tmp_path, w, results)) for w in range(WRITERS)
    ]
    for process in writers:
        process.start()
    acknowledged = [results.get(timeout=120) for _ in range(WRITERS * EACH)]
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    read = SignedLog(tmp_path / "log", KIND, HomeKeys(tmp_path)).read()
    assert sorted(acknowledged) == [(e.number, e.entry["writer"], e.entry["i"]) for e in read]
    for writer in range(WRITERS):
        assert [e.entry["i"] for e in read if e.entry["writer"] == writer] == list(range(EACH))


def _append_until_killed(home: Path, pipe: Any) -> None:
    log = SignedLog(home / "log", KIND, HomeKeys(home))
    while True:
        pipe.send(log.append({"x": "y" * 10_000}))


def test_a_writer_that_is_killed_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = SignedLog(tmp_path / "log", KIND, HomeKeys(tmp_path))
    for _ in range(10):
        ours, theirs = context.Pipe()
        writer = context.Process(target=_append_until_killed, args=(tmp_path, theirs))
        writer.start()
        acknowledged = [ours.recv() for _ in range(3)]
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join(60)
        theirs.close()
        while ours.poll():
            try:
                acknowledged.append(ours.recv())
            except EOFError:
                break
        assert len(log.read()) >= acknowledged[-1]
    assert log.append({}) == len(log.read())
