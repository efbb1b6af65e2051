from __future__ import annotations

import base64
import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, parse_canonical, sha256_json
from components.lineage.dsse import sign
from components.lineage.evidence import CLOSING_STAGE, EvidenceChain
from components.lineage.evidence_keys import HomeKeys

STAGES = ["ingest", "statistics", "data_gate", CLOSING_STAGE]


@pytest.fixture
def chain(tmp_path: Path) -> EvidenceChain:
    directory = tmp_path / "evidence"
    directory.mkdir()
    made = EvidenceChain(directory, "run-1", HomeKeys(tmp_path))
    for stage in STAGES:
        made.append(stage, {"stage": stage, "n": 1})
    return made


@pytest.fixture
def started(tmp_path: Path) -> EvidenceChain:
    directory = tmp_path / "started"
    directory.mkdir()
    made = EvidenceChain(directory, "run-1", HomeKeys(tmp_path))
    made.append("ingest", {})
    return made


def _files(chain: EvidenceChain) -> list[Path]:
    return sorted(chain.directory.glob("*.json"))


def _statement(path: Path) -> dict[str, Any]:
    payload: str = json.loads(path.read_bytes())["payload"]
    statement: dict[str, Any] = json.loads(base64.b64decode(payload))
    return statement


def _document(path: Path) -> dict[str, Any]:
    predicate: dict[str, Any] = _statement(path)["predicate"]
    return predicate


def _rewrite(path: Path, document: dict[str, Any]) -> None:
    """Sign again what was changed, with the home's own key: the signature is not what saves us."""
    subject = [{"name": "evidence", "digest": {"sha256": document["previous"]}}]
    sound = _statement(path.with_name("0001-ingest.json"))
    statement = {**sound, "subject": subject, "predicate": document}
    key = HomeKeys(path.parent.parent).signer()
    path.write_bytes(sign(statement, [key]))


def test_records_are_linked_named_and_closed(chain: EvidenceChain) -> None:
    records = chain.records()
    assert [p.name for p in _files(chain)] == [
        "0001-ingest.json",
        "0002-statistics.json",
        "0003-data_gate.json",
        "0004-close.json",
    ]
    assert [r.stage for r in records] == STAGES
    assert records[0].previous == "0" * 64
    for before, after, path in zip(records, records[1:], _files(chain), strict=False):
        assert after.previous == before.digest == sha256_json(_statement(path))
    assert chain.closed
    assert records[1].body == {"stage": "statistics", "n": 1}


def test_a_closed_run_takes_no_record_and_a_stage_only_one(
    chain: EvidenceChain, started: EvidenceChain
) -> None:
    with pytest.raises(EvidenceError, match="run run-1 is closed"):
        chain.append("push", {})
    with pytest.raises(EvidenceError, match="a record of stage ingest already"):
        started.append("ingest", {})
    assert not started.closed
    assert len(started.records()) == 1


Tampering = Callable[[list[Path]], object]


def _edit(index: int, **fields: Any) -> Tampering:
    def tamper(files: list[Path]) -> None:
        _rewrite(files[index], {**_document(files[index]), **fields})

    return tamper


def _bytes(index: int, change: Callable[[bytes], bytes]) -> Tampering:
    return lambda files: files[index].write_bytes(change(files[index].read_bytes()))


def _swap(files: list[Path]) -> None:
    first, second = files[0].read_bytes(), files[1].read_bytes()
    files[0].write_bytes(second)
    files[1].write_bytes(first)


def _insert(files: list[Path]) -> None:
    for path in reversed(files[1:]):
        path.rename(path.with_name(f"{int(path.name[:4]) + 1:04d}{path.name[4:]}"))
    first = _statement(files[0])
    previous = sha256_json(first)
    document = {**first["predicate"], "stage": "extra", "sequence": 2, "previous": previous}
    _rewrite(files[0].with_name("0002-extra.json"), document)


def _after_close(files: list[Path]) -> None:
    previous = sha256_json(_statement(files[-1]))
    more = {**_document(files[-1]), "stage": "push", "sequence": 5, "previous": previous}
    _rewrite(files[0].with_name("0005-push.json"), more)


def _again(files: list[Path]) -> None:
    files[-1].unlink()
    previous = sha256_json(_statement(files[-2]))
    more = {**_document(files[-2]), "stage": "ingest", "sequence": 4, "previous": previous}
    _rewrite(files[0].with_name("0004-ingest.json"), more)


def _unreadable(files: list[Path]) -> None:
    files[1].unlink()
    files[1].mkdir()


@pytest.mark.parametrize(
    ("tamper", "shown"),
    [
        pytest.param(_edit(0, body={"n": 2}), "0002-statistics.json: previous", id="edited"),
        pytest.param(_edit(3, previous="0" * 64), "0004-close.json: previous", id="relinked"),
        pytest.param(lambda f: f[0].unlink(), "sequence", id="first dropped"),
        pytest.param(lambda f: f[1].unlink(), "sequence", id="dropped"),
        pytest.param(_swap, "0001-ingest.json", id="swapped"),
        pytest.param(_insert, "0003-statistics.json: sequence", id="inserted"),
        pytest.param(
            lambda f: f[1].rename(f[1].with_name("0002-transform.json")),
            "holds a record of stage statistics",
            id="renamed",
        ),
        pytest.param(
            lambda f: shutil.copy(f[1], f[1].with_name("0002-transform.json")),
            "0002-transform.json: sequence",
            id="copied",
        ),
        pytest.param(_edit(1, run="run-2"), "0002-statistics.json: run", id="other run"),
        pytest.param(_edit(1, schemaVersion="assay-evidence/v2"), "schemaVersion", id="format"),
        pytest.param(_edit(0, sequence=True), "sequence", id="true is not one"),
        pytest.param(_edit(1, more=1), "does not have the fields", id="a field more"),
        pytest.param(_edit(1, body=[1]), "does not have the fields", id="body is a list"),
        pytest.param(_edit(1, stage=2), "holds a record of stage 2", id="stage is a number"),
        pytest.param(_bytes(1, lambda b: b[:-1]), "is not JSON", id="truncated"),
        pytest.param(_bytes(1, lambda b: b""), "is not JSON", id="emptied"),
        pytest.param(_bytes(1, lambda b: b + b"\n"), "not a canonical JSON", id="newline"),
        pytest.param(
            _bytes(1, lambda b: b.replace(b'{"payload"', b'{ "payload"', 1)),
            "not a canonical JSON",
            id="white space",
        ),
        pytest.param(
            _bytes(1, lambda b: b.replace(b'"payloadType"', b'"payload":"","payloadType"')),
            "not a canonical JSON",
            id="duplicate key",
        ),
        pytest.param(
            _bytes(1, lambda b: b.replace(b'"sig":"', b'"sig":"A')),
            "not standard base64",
            id="another signature",
        ),
        pytest.param(
            _bytes(1, lambda b: b.replace(b'"sig":"', b'"sig":NaN,"x":"')), "is not JSON", id="NaN"
        ),
        pytest.param(_bytes(1, lambda b: b"\xff" + b), "is not JSON", id="not UTF-8"),
        pytest.param(_bytes(1, lambda b: b"\xef\xbb\xbf" + b), "is not JSON", id="byte order mark"),
        pytest.param(_after_close, "follows the record that closed", id="appended after close"),
        pytest.param(_again, "a second record of stage ingest", id="stage again"),
        pytest.param(_unreadable, "cannot be read", id="a folder"),
    ],
)
def test_tampering_shows(chain: EvidenceChain, tamper: Tampering, shown: str) -> None:
    tamper(_files(chain))
    with pytest.raises(EvidenceError) as caught:
        chain.records()
    assert shown in str(caught.value)
    with pytest.raises(EvidenceError):
        chain.append("push", {})
    with pytest.raises(EvidenceError):
        _ = chain.closed


def test_every_flipped_bit_shows(started: EvidenceChain) -> None:
    started.append("statistics", {"n": 1})
    path = _files(started)[0]
    sound = path.read_bytes()
    for place in range(len(sound)):
        for bit in (1, 32):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ bit]) + sound[place + 1 :])
            with pytest.raises(EvidenceError):
                started.records()
    path.write_bytes(sound)
    assert len(started.records()) == 2


def test_a_chain_cut_short_is_not_closed(chain: EvidenceChain) -> None:
    _files(chain)[-1].unlink()
    assert not chain.closed
    assert [r.stage for r in chain.records()] == STAGES[:-1]


def test_the_chain_of_another_run_is_not_read(chain: EvidenceChain) -> None:
    with pytest.raises(EvidenceError, match="run is not what the chain calls for"):
        EvidenceChain(chain.directory, "run-2", chain.keys).records()


def test_leftovers_of_a_crash_are_ignored(started: EvidenceChain) -> None:
    for name in (".0002-statistics.json.77.tmp", "notes.txt", ".writable.5"):
        (started.directory / name).write_text("half")
    assert len(started.records()) == 1
    assert started.append("statistics", {}).sequence == 2


@pytest.mark.parametrize(
    "body", [{"x": float("nan")}, {"x": 2**53}, {"x": "\ud800"}, {"x": object()}, {1: "x"}]
)
def test_a_body_that_is_not_canonical_json_leaves_nothing(
    started: EvidenceChain, body: dict[Any, Any]
) -> None:
    with pytest.raises(EvidenceError, match="not canonical JSON"):
        started.append("statistics", body)
    assert [p.name for p in started.directory.iterdir()] == ["0001-ingest.json"]


def _append(directory: Path, stages: list[str], results: Any) -> None:
    chain = EvidenceChain(directory, "run-1", HomeKeys(directory))
    for stage in stages:
        try:
            results.put((stage, chain.append(stage, {"stage": stage}).sequence))
        except EvidenceError as error:
            results.put((stage, str(error)))


def _race(directory: Path, plans: list[list[str]]) -> list[tuple[str, int | str]]:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_append, args=(directory, p, results)) for p in plans]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for plan in plans for _ in plan]
    for process in processes:
        process.join(60)
    return found


def test_writers_at_once_fork_nothing_and_lose_nothing(tmp_path: Path) -> None:
    plans = [[f"stage{w}x{i}" for i in range(10)] for w in range(4)]
    found = _race(tmp_path, plans)
    records = EvidenceChain(tmp_path, "run-1", HomeKeys(tmp_path)).records()
    assert sorted(found) == sorted((r.stage, r.sequence) for r in records)
    assert len(records) == 40


def test_of_writers_of_one_stage_one_wins(tmp_path: Path) -> None:
    found = _race(tmp_path, [["ingest"]] * 6)
    assert sorted(isinstance(result, int) for _, result in found) == [False] * 5 + [True]
    assert len(EvidenceChain(tmp_path, "run-1", HomeKeys(tmp_path)).records()) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\ud800"}',
        b'{"a":9007199254740993}',
        b'{"a":1e400}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b"[1]",
        b"1",
        b"null",
        b"",
        b"{",
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b"\xff",
    ],
)
def test_json_that_is_not_its_own_canonical_form_is_refused(raw: bytes) -> None:
    with pytest.raises(EvidenceError):
        parse_canonical(raw, "file.json")


def test_canonical_json_is_parsed() -> None:
    document = {"a": [1, -5, 0.5, "Ä\n", None, True], "b": {}}
    assert parse_canonical(canonical_json(document), "f") == document


@pytest.mark.parametrize(
    "raw", [b'{"a":1.5}', b'{"a":1e-7}', '{"\U0001f600":1,"\ufb33":2}'.encode()]
)
def test_canonical_json_is_parsed_where_python_writes_it_otherwise(raw: bytes) -> None:
    assert canonical_json(parse_canonical(raw, "f")) == raw


@pytest.mark.parametrize("raw", ['{"\ufb33":2,"\U0001f600":1}'.encode(), b'{"a":1e22}'])
def test_what_python_would_write_is_not_canonical_for_that(raw: bytes) -> None:
    with pytest.raises(EvidenceError, match="not a canonical JSON object"):
        parse_canonical(raw, "f")
