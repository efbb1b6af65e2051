from __future__ import annotations

import base64
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import canonical_json, sha256_json
from components.lineage.dsse import UnknownSignerError, sign
from components.lineage.evidence_keys import HomeKeys
from components.lineage.keys import load_private, new_key
from components.release.records import (
    SCHEMA_VERSION,
    Release,
    histories,
    history_locked,
    read_releases,
    write_release,
)

FIRST_FORMAT = Path(__file__).parents[2] / "golden" / "release_records_v1"
SECOND_FORMAT = Path(__file__).parents[2] / "golden" / "release_records_v2"
AT = "2026-11-24T10:00:00.000000+00:00"
FIELDS: dict[str, str] = {
    "run": "run-1",
    "candidate": "mitigated",
    "model": "m" * 64,
    "head": "h" * 64,
    "policy": "p" * 64,
    "contract": "c" * 64,
    "actor": "engineer",
    "at": AT,
}


def _release(home: Path, n: int = 1, stack: str = "tfx", **fields: Any) -> Path:
    return write_release(home, "clinic", stack, {**FIELDS, "run": f"run-{n}", **fields})


def _read(home: Path, stack: str = "tfx") -> list[Release]:
    return read_releases(home, "clinic", stack)


def _statement(path: Path) -> dict[str, Any]:
    payload: str = json.loads(path.read_bytes())["payload"]
    statement: dict[str, Any] = json.loads(base64.b64decode(payload))
    return statement


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = _statement(path)["predicate"]
    return record


def _digest(path: Path) -> str:
    return sha256_json(_statement(path))


def _edit(path: Path, **fields: Any) -> None:
    """Change a record as somebody would who has the key; None takes a field away."""
    record = {k: v for k, v in {**_record(path), **fields}.items() if v is not None}
    subject = [{"name": "model", "digest": {"sha256": record.get("model")}}]
    statement = {**_statement(path), "subject": subject, "predicate": record}
    key = HomeKeys(path.parents[3]).signer()
    path.write_bytes(sign(statement, [key]))


def test_releases_are_numbered_by_dataset_and_stack(tmp_path: Path) -> None:
    assert _read(tmp_path) == []
    paths = [_release(tmp_path, n) for n in range(1, 4)]
    assert [p.name for p in paths] == ["000001.json", "000002.json", "000003.json"]
    assert _release(tmp_path, 9, "pytorch").name == "000001.json"
    assert [(r.number, r.run, r.supersedes) for r in _read(tmp_path)] == [
        (1, "run-1", 0),
        (2, "run-2", 1),
        (3, "run-3", 2),
    ]
    assert [r.run for r in _read(tmp_path, "pytorch")] == ["run-9"]
    assert read_releases(tmp_path, "other", "tfx") == []
    assert histories(tmp_path) == [("clinic", "pytorch"), ("clinic", "tfx")]


def test_a_home_without_releases_has_no_histories(tmp_path: Path) -> None:
    assert histories(tmp_path) == []
    (tmp_path / "releases" / "clinic" / "tfx").mkdir(parents=True)
    assert histories(tmp_path) == []


def test_a_release_is_read_back_whole(tmp_path: Path) -> None:
    path = _release(
        tmp_path,
        kind="waived",
        reason="the first model",
        waiver="w" * 64,
        continues="run-0",
        verdicts={"release_gate": "FAIL", "data_gate": "PASS"},
        cards={"json": "d" * 64},
    )
    assert _read(tmp_path) == [
        Release(
            number=1,
            dataset="clinic",
            stack="tfx",
            **{k: v for k, v in FIELDS.items() if k != "at"},
            at=datetime(2026, 11, 24, 10, tzinfo=UTC),
            digest=_digest(path),
            kind="waived",
            supersedes=0,
            reason="the first model",
            waiver="w" * 64,
            continues="run-0",
            verdicts=(("data_gate", "PASS"), ("release_gate", "FAIL")),
            cards=(("json", "d" * 64),),
        )
    ]


def test_a_release_says_no_more_than_it_was_told(tmp_path: Path) -> None:
    _release(tmp_path)
    (found,) = _read(tmp_path)
    assert (found.kind, found.reason, found.waiver, found.continues) == ("release", "", "", "")
    assert (found.verdicts, found.cards) == ((), ())


def test_each_release_holds_the_digest_of_the_one_before(tmp_path: Path) -> None:
    paths = [_release(tmp_path, n) for n in range(1, 4)]
    previous = [_record(p)["previous"] for p in paths]
    digests = [_digest(p) for p in paths]
    assert previous == ["0" * 64, *digests[:2]]
    assert [r.digest for r in _read(tmp_path)] == digests


def test_a_release_may_not_choose_its_own_place(tmp_path: Path) -> None:
    claimed = {"schemaVersion": "x", "number": 99, "dataset": "d", "stack": "s",
               "supersedes": 5, "previous": "f" * 64}  # fmt: skip
    path = write_release(tmp_path, "clinic", "tfx", {**FIELDS, **claimed})
    document = _record(path)
    assert {k: document[k] for k in claimed} == {
        "schemaVersion": SCHEMA_VERSION,
        "number": 1,
        "dataset": "clinic",
        "stack": "tfx",
        "supersedes": 0,
        "previous": "0" * 64,
    }


# The first format


@pytest.fixture
def first_format(tmp_path: Path) -> Path:
    """A home whose history was written in the first format; changes stay in the test."""
    shutil.copytree(FIRST_FORMAT, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_history_in_the_first_format_is_read_for_ever() -> None:
    found = _read(FIRST_FORMAT)
    assert [(r.number, r.run, r.supersedes, r.at) for r in found] == [
        (1, "tfx-mitigated-0001", 0, datetime(2026, 11, 2, 9, 15, 27, 104523, UTC)),
        (2, "tfx-plain-0002", 1, datetime(2026, 11, 9, 16, 40, 3, 18, UTC)),
        (3, "tfx-mitigated-0003", 2, datetime(2026, 11, 20, 8, tzinfo=UTC)),
    ]
    for release in found:
        assert (release.dataset, release.stack) == ("clinic", "tfx")
        assert (release.kind, release.reason, release.waiver) == ("release", "", "")
        assert (release.continues, release.verdicts, release.cards) == ("", (), ())
        assert release.actor == "engineer"
    first = FIRST_FORMAT / "releases" / "clinic" / "tfx" / "000001.json"
    assert found[0].digest == sha256(first.read_bytes()).hexdigest()
    assert found[0].model.startswith("cd36b49d7b2a8b5e")
    assert histories(FIRST_FORMAT) == [("clinic", "tfx")]


def test_a_history_in_the_first_format_is_followed_and_then_sealed(first_format: Path) -> None:
    old = sorted((first_format / "releases" / "clinic" / "tfx").iterdir())
    fourth = _release(first_format, 4)
    assert fourth.name == "000004.json"
    assert _record(fourth)["previous"] == sha256(old[2].read_bytes()).hexdigest()
    assert [r.number for r in _read(first_format)] == [1, 2, 3, 4]
    changed = {**json.loads(old[2].read_bytes()), "candidate": "plain"}
    old[2].write_bytes(canonical_json(changed))
    with pytest.raises(EvidenceError, match=r"000004\.json does not follow the release before it"):
        _read(first_format)


def test_the_first_format_does_not_come_back(first_format: Path) -> None:
    old = json.loads((first_format / "releases/clinic/tfx/000003.json").read_bytes())
    fourth = _release(first_format, 4)
    fifth = fourth.with_name("000005.json")
    fifth.write_bytes(canonical_json({**old, "number": 5}))
    with pytest.raises(EvidenceError, match="is no release record of a known format"):
        _read(first_format)


def test_a_history_in_the_second_format_is_read_for_ever() -> None:
    one, two, three = _read(SECOND_FORMAT)
    assert [(r.number, r.kind, r.supersedes) for r in (one, two, three)] == [
        (1, "release", 0),
        (2, "waived", 1),
        (3, "rollback", 2),
    ]
    assert (two.continues, three.continues) == ("tfx-plain-0001", "tfx-mitigated-0001")
    assert two.reason == "nurses read every chart"
    assert two.verdicts == (("release_gate", "FAIL"),)
    assert len(two.waiver) == len(one.model) == 64
    first = SECOND_FORMAT / "releases" / "clinic" / "tfx" / "000001.json"
    assert one.digest == sha256(first.read_bytes()).hexdigest()


def test_a_history_in_the_second_format_is_followed_and_does_not_come_back(tmp_path: Path) -> None:
    shutil.copytree(SECOND_FORMAT, tmp_path, dirs_exist_ok=True)
    fourth = _release(tmp_path, 4)
    third = fourth.with_name("000003.json")
    assert _record(fourth)["previous"] == sha256(third.read_bytes()).hexdigest()
    fifth = {**json.loads(third.read_bytes()), "number": 5, "previous": _digest(fourth)}
    assert len(_read(tmp_path)) == 4
    fourth.with_name("000005.json").write_bytes(canonical_json(fifth))
    with pytest.raises(EvidenceError, match="is no release record of a known format"):
        _read(tmp_path)


@pytest.mark.parametrize("version", ["assay-release/v2", "assay-release/v4", "x", 1, None])
def test_an_unknown_format_is_refused(tmp_path: Path, version: object) -> None:
    _edit(_release(tmp_path), schemaVersion=version)
    with pytest.raises(EvidenceError, match="is signed, but no release record"):
        _read(tmp_path)


def test_a_record_of_another_kind_is_no_release(tmp_path: Path) -> None:
    path = _release(tmp_path)
    statement = {**_statement(path), "predicateType": "urn:assay:evidence:v1"}
    path.write_bytes(sign(statement, [HomeKeys(tmp_path).signer()]))
    with pytest.raises(EvidenceError, match="is signed, but no release record"):
        _read(tmp_path)


def test_a_release_that_somebody_else_signed_is_refused(tmp_path: Path) -> None:
    path = _release(tmp_path)
    stranger = load_private(new_key(tmp_path / "elsewhere", "mallory").private)
    path.write_bytes(sign(_statement(path), [stranger]))
    with pytest.raises(UnknownSignerError, match=r"000001\.json: a signature is by a key that"):
        _read(tmp_path)


@pytest.mark.parametrize("version", ["assay-release/v1", "assay-release/v2"])
def test_an_earlier_format_does_not_take_the_place_of_a_signed_record(
    tmp_path: Path, version: str
) -> None:
    path = _release(tmp_path)
    forged = {**_record(path), "schemaVersion": version, "actor": "mallory"}
    path.write_bytes(canonical_json(forged))
    assert _read(tmp_path)[0].actor == "mallory"
    evidence = tmp_path / "runs" / "run-1" / "evidence"
    evidence.mkdir(parents=True)
    (evidence / "0001-ingest.json").write_bytes(b"signed")
    with pytest.raises(EvidenceError, match=r"000001\.json is not signed, though run run-1 has"):
        _read(tmp_path)


@pytest.mark.parametrize("spoil", [lambda p: p.mkdir(), lambda p: p.symlink_to(p.name), os.mkfifo])
def test_a_release_that_is_no_file_shows(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = _release(tmp_path)
    spoil(path.with_name("000002.json"))
    with pytest.raises(EvidenceError, match=r"000002\.json"):
        _read(tmp_path)


def test_every_flipped_bit_of_a_release_shows(tmp_path: Path) -> None:
    path = _release(tmp_path)
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(EvidenceError):
            _read(tmp_path)


# What does not show is not evidence


@pytest.mark.parametrize("gone", [0, 1])
def test_a_release_that_is_missing_shows(tmp_path: Path, gone: int) -> None:
    paths = [_release(tmp_path, n) for n in range(1, 4)]
    paths[gone].unlink()
    says = f"is not release {gone + 1} of clinic in tfx"
    with pytest.raises(EvidenceError, match=says):
        _read(tmp_path)
    before = paths[2].read_bytes()
    with pytest.raises(EvidenceError, match=says):
        _release(tmp_path, 4)
    assert paths[2].read_bytes() == before
    assert len(list(paths[2].parent.iterdir())) == 2


@pytest.mark.parametrize("gone", [0, 1])
def test_a_release_that_is_taken_out_and_the_rest_renumbered_shows(
    tmp_path: Path, gone: int
) -> None:
    paths = [_release(tmp_path, n) for n in range(1, 4)]
    for here, after in zip(paths[gone:], paths[gone + 1 :], strict=False):
        after.replace(here)
        _edit(here, number=int(here.stem), supersedes=int(here.stem) - 1)
    with pytest.raises(EvidenceError, match="does not follow the release before it"):
        _read(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"number": 1}', b'{"number":1,"number":1}', b'{"number":2}', b"{}", b"[1]"],
)
def test_a_release_that_is_no_record_shows(tmp_path: Path, raw: bytes) -> None:
    _release(tmp_path).write_bytes(raw)
    with pytest.raises(EvidenceError):
        _read(tmp_path)


@pytest.mark.parametrize("field", [*FIELDS, "previous", "kind"])
def test_a_release_that_was_edited_shows(tmp_path: Path, field: str) -> None:
    first = _release(tmp_path)
    _release(tmp_path, 2)
    _edit(first, **{field: "2026-11-24T10:00:00.000001+00:00" if field == "at" else "x"})
    with pytest.raises(EvidenceError, match="does not follow the release before it"):
        _read(tmp_path)


@pytest.mark.parametrize("field", [*FIELDS, "previous", "dataset", "stack"])
def test_a_release_without_one_of_its_fields_shows(tmp_path: Path, field: str) -> None:
    _edit(_release(tmp_path), **{field: None})
    with pytest.raises(EvidenceError):
        _read(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"at": "yesterday"},
        {"at": 1},
        {"at": "2026-11-24T10:00:00"},
        {"verdicts": "PASS"},
        {"verdicts": ["PASS"]},
        {"cards": 1},
        *({name: 1} for name in FIELDS if name != "at"),
    ],
    ids=str,
)
def test_a_field_of_another_kind_shows(tmp_path: Path, fields: dict[str, Any]) -> None:
    _edit(_release(tmp_path), **fields)
    says = r"000001\.json does not have the fields of a release record"
    with pytest.raises(EvidenceError, match=says):
        _read(tmp_path)


@pytest.mark.parametrize("number", [True, 2, "1", 0, None])
def test_a_number_that_is_not_its_own_shows(tmp_path: Path, number: object) -> None:
    _edit(_release(tmp_path), number=number)
    with pytest.raises(EvidenceError, match="is not release 1 of clinic in tfx"):
        _read(tmp_path)


def test_a_release_of_another_stack_is_none_of_this_one(tmp_path: Path) -> None:
    path = _release(tmp_path)
    for dataset, stack in (("clinic", "pytorch"), ("other", "tfx")):
        target = tmp_path / "releases" / dataset / stack
        target.mkdir(parents=True)
        shutil.copy(path, target)
        with pytest.raises(EvidenceError, match=f"is no release of {dataset} in {stack}"):
            read_releases(tmp_path, dataset, stack)


def test_a_time_is_a_moment_whatever_its_zone(tmp_path: Path) -> None:
    _release(tmp_path, at="2026-11-24T12:00:00+02:00")
    _release(tmp_path, 2, at="2026-11-24T10:00:00Z")
    one, other = _read(tmp_path)
    assert one.at == other.at == datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=2)))


def test_leftovers_of_a_crash_are_no_releases(tmp_path: Path) -> None:
    path = _release(tmp_path)
    (path.parent / ".000002.json.ab12.tmp").write_text("half")
    assert _release(tmp_path, 2).name == "000002.json"
    assert len(_read(tmp_path)) == 2


def test_a_release_that_is_not_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        _release(tmp_path, auc=float("nan"))
    assert _read(tmp_path) == []


def test_a_home_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        _release(tmp_path / "file")


def _release_there(home: Path, n: int, results: Any) -> None:
    results.put(_release(home, n).name)


def test_releases_at_the_same_moment_do_not_overwrite(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=_release_there, args=(tmp_path, n, results)) for n in range(6)
    ]
    for process in processes:
        process.start()
    written = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    assert sorted(written) == [f"{n:06d}.json" for n in range(1, 7)]
    assert sorted(r.run for r in _read(tmp_path)) == [f"run-{n}" for n in range(6)]


def _hold(home: Path, stack: str, held: Any) -> None:
    with history_locked(home, "clinic", stack):
        held.set()


def test_a_history_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    same, other = context.Event(), context.Event()
    holders = [
        context.Process(target=_hold, args=(tmp_path, stack, held))
        for stack, held in (("tfx", same), ("pytorch", other))
    ]
    with history_locked(tmp_path, "clinic", "tfx"):
        for process in holders:
            process.start()
        assert other.wait(30)
        assert not same.wait(0.3)
    assert same.wait(30)
    for process in holders:
        process.join(30)
    assert histories(tmp_path) == []


def test_a_history_is_let_go_where_something_breaks(tmp_path: Path) -> None:
    with pytest.raises(KeyError), history_locked(tmp_path, "clinic", "tfx"):
        raise KeyError
    with history_locked(tmp_path, "clinic", "tfx"):
        assert _release(tmp_path).name == "000001.json"
