"""A disk that refuses one call: a named error, nothing acknowledged lost, nothing left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.contract.errors import EvidenceError, InputError
from components.lineage.durable import write_atomically, write_numbered, write_once
from components.lineage.evidence import EvidenceChain
from components.lineage.evidence_keys import HomeKeys
from components.lineage.keys import load_private, load_public, new_key, public_bytes
from components.lineage.signed_log import SignedLog
from tests.disk_faults import nth_call, refused, short

KIND = "urn:test:log:v1"
ERRORS = (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EDQUOT)
BODY = {"text": "x" * 500}


@dataclass(frozen=True)
class Writer:
    """One way to write: what is there before, the write, and what stands of it, as text.

    ``named`` are the errors that it may raise.
    """

    prepare: Callable[[Path], object]
    write: Callable[[Path], object]
    standing: Callable[[Path], list[str]]
    named: tuple[type[Exception], ...]
    before: int


def _chain(folder: Path) -> EvidenceChain:
    return EvidenceChain(folder, "run-1", HomeKeys(folder))


def _begin_chain(folder: Path) -> None:
    for stage in ("ingest", "statistics"):
        _chain(folder).append(stage, BODY)


def _log(folder: Path) -> SignedLog:
    return SignedLog(folder / "log", KIND, HomeKeys(folder))


def _begin_log(folder: Path) -> None:
    for number in (1, 2):
        _log(folder).append({"n": number})


def _files(folder: Path) -> list[str]:
    return [p.read_text() for p in sorted(folder.glob("[0-9]*.json"))]


def _numbered(folder: Path) -> object:
    return write_numbered(folder, lambda number: b"%d" % number)


def _pairs(folder: Path) -> list[str]:
    """Names of whole key pairs; half a pair is an error."""
    names = [p.stem for p in sorted(folder.glob("*.key"))]
    for name in names:
        private = load_private(folder / f"{name}.key")
        assert public_bytes(private) == load_public(folder / f"{name}.pub")
    assert [p.stem for p in sorted(folder.glob("*.pub"))] == names
    return names


WRITERS = {
    "evidence": Writer(
        _begin_chain,
        lambda folder: _chain(folder).append("data_gate", BODY),
        lambda folder: [r.stage for r in _chain(folder).records()],
        (OSError, EvidenceError, InputError),
        2,
    ),
    "log": Writer(
        _begin_log,
        lambda folder: _log(folder).append({"n": 3}),
        lambda folder: [str(e["n"]) for e in _log(folder).entries()],
        (OSError, EvidenceError, InputError),
        2,
    ),
    "numbered": Writer(_numbered, _numbered, _files, (InputError,), 1),
    "once": Writer(
        lambda folder: None,
        lambda folder: write_once(folder / "1.json", b"one" * 1000),
        _files,
        (OSError,),
        0,
    ),
    "atomically": Writer(
        lambda folder: (folder / "1.json").write_text("old"),
        lambda folder: write_atomically(folder / "1.json", b"new" * 1000),
        lambda folder: [t[:3] for t in _files(folder)],
        (OSError,),
        1,
    ),
    "key": Writer(
        lambda folder: new_key(folder, "ana"),
        lambda folder: new_key(folder, "ben"),
        lambda folder: [],
        (InputError,),
        0,
    ),
    "first key": Writer(
        lambda folder: None,
        lambda folder: HomeKeys(folder).signer(),
        lambda folder: [],
        (InputError, OSError),
        0,
    ),
}


def _left_behind(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob(".*") if p.is_file()]


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", WRITERS)
def test_a_call_that_fails_is_told_and_loses_nothing(
    tmp_path: Path, name: str, number: int
) -> None:
    writer, place = WRITERS[name], 0
    while True:
        place += 1
        folder = tmp_path / str(place)
        folder.mkdir()
        writer.prepare(folder)
        before = writer.standing(folder)
        assert len(before) == writer.before
        with nth_call(place, refused(number)) as counter:
            try:
                writer.write(folder)
            except writer.named as error:
                assert counter.hit is not None
                assert os.strerror(number) in str(error)
            else:
                # Only then is anything acknowledged: every call went well, or made what is there.
                assert counter.hit in (None, "mkdir")
        after = writer.standing(folder)
        assert len(before) <= len(after) <= len(before) + 1
        if name != "atomically":
            assert after[: len(before)] == before
        if counter.hit != "unlink":  # what cannot be taken away stays
            assert _left_behind(folder) == []
        if counter.hit is None:
            break
    assert place > len(("open", "write", "fsync", "link", "fsync"))


@pytest.mark.parametrize("name", ["evidence", "log"])
def test_after_a_call_that_failed_it_goes_on(tmp_path: Path, name: str) -> None:
    writer, place = WRITERS[name], 0
    while True:
        place += 1
        folder = tmp_path / str(place)
        folder.mkdir()
        writer.prepare(folder)
        with nth_call(place, refused(errno.EIO)) as counter, suppress(*writer.named):
            writer.write(folder)
        if counter.hit is None:
            break
        with suppress(EvidenceError):  # the record may stand, though it was not acknowledged
            writer.write(folder)
        assert writer.standing(folder)[:3] == [*writer.standing(folder)[:2], _third(name)]


def _third(name: str) -> str:
    return "data_gate" if name == "evidence" else "3"


def test_whatever_cannot_be_written_of_a_key_leaves_no_half_of_it(tmp_path: Path) -> None:
    place = 0
    while True:
        place += 1
        folder = tmp_path / str(place)
        with nth_call(place, refused(errno.ENOSPC)) as counter, suppress(InputError):
            new_key(folder, "ana")
        if counter.hit is None:
            break
        if counter.hit != "unlink":
            assert _pairs(folder) in ([], ["ana"])
    assert _pairs(folder) == ["ana"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_takes_less_than_it_is_given_is_made_up_for(tmp_path: Path, name: str) -> None:
    writer, place = WRITERS[name], 0
    while True:
        place += 1
        folder = tmp_path / str(place)
        folder.mkdir()
        writer.prepare(folder)
        with nth_call(place, short, ("write",)) as counter:
            writer.write(folder)
        after = writer.standing(folder)
        assert len(after) == len(set(after)) >= writer.before
        if counter.hit is None:
            break
        assert not list(folder.rglob("*.tmp"))
    assert place > 1


def test_writes_of_a_byte_at_a_time_make_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:1]))
    content = bytes(range(256)) * 4
    write_once(tmp_path / "once", content)
    write_atomically(tmp_path / "atomically", content)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "atomically").read_bytes() == content


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["evidence", "log"])
def test_a_record_that_cannot_be_read_is_named_and_nothing_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    writer = WRITERS[name]
    writer.prepare(tmp_path)
    files = sorted(tmp_path.rglob("*.json"))

    def refuse(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        for use in (writer.write, writer.standing):
            with pytest.raises(EvidenceError, match=f"json cannot be read .{os.strerror(number)}"):
                use(tmp_path)
    assert sorted(tmp_path.rglob("*.json")) == files


def test_after_an_fsync_that_failed_nothing_more_is_done(tmp_path: Path) -> None:
    _begin_chain(tmp_path)
    with nth_call(0, refused(errno.EIO)) as clean:
        _chain(tmp_path).append("data_gate", BODY)
    for place, call in enumerate(clean.names, start=1):
        if call != "fsync":
            continue
        folder = tmp_path / str(place)
        folder.mkdir()
        _begin_chain(folder)
        with pytest.raises(OSError, match="fsync"), nth_call(place, refused(errno.EIO)) as counter:
            _chain(folder).append("data_gate", BODY)
        # Asked again, a disk may say that all is well when it is not: there is no second try.
        assert counter.names[place:].count("fsync") == 0
        assert "link" not in counter.names[place:]
