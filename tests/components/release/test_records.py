from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import canonical_json
from components.release.records import SCHEMA_VERSION, read_releases, write_release


def _release(home: Path, n: int, stack: str = "tfx") -> Path:
    return write_release(home, "rand_hie", stack, {"run": f"run-{n}"})


def test_releases_are_numbered_by_dataset_and_stack(tmp_path: Path) -> None:
    assert read_releases(tmp_path, "rand_hie", "tfx") == []
    paths = [_release(tmp_path, n) for n in range(1, 4)]
    assert [p.name for p in paths] == ["000001.json", "000002.json", "000003.json"]
    assert _release(tmp_path, 9, "pytorch").name == "000001.json"
    assert read_releases(tmp_path, "rand_hie", "tfx") == [
        {"run": f"run-{n}", "number": n, "schemaVersion": SCHEMA_VERSION} for n in (1, 2, 3)
    ]
    assert [r["run"] for r in read_releases(tmp_path, "rand_hie", "pytorch")] == ["run-9"]


def test_a_release_may_not_choose_its_own_number(tmp_path: Path) -> None:
    path = write_release(tmp_path, "d", "tfx", {"number": 99, "schemaVersion": "x", "run": "r"})
    assert path.read_bytes() == canonical_json(
        {"number": 1, "schemaVersion": SCHEMA_VERSION, "run": "r"}
    )


def test_no_release_is_ever_overwritten(tmp_path: Path) -> None:
    first, second = _release(tmp_path, 1), _release(tmp_path, 2)
    before = second.read_bytes()
    first.unlink()
    assert _release(tmp_path, 3).name == "000003.json"
    assert second.read_bytes() == before


def test_leftovers_of_a_crash_are_no_releases(tmp_path: Path) -> None:
    path = _release(tmp_path, 1)
    (path.parent / ".000002.json.ab12.tmp").write_text("half")
    assert _release(tmp_path, 2).name == "000002.json"
    assert len(read_releases(tmp_path, "rand_hie", "tfx")) == 2


@pytest.mark.parametrize("gone", [0, 1])
def test_a_release_that_is_missing_shows(tmp_path: Path, gone: int) -> None:
    paths = [_release(tmp_path, n) for n in range(1, 4)]
    paths[gone].unlink()
    with pytest.raises(EvidenceError, match=f"is not release {gone + 1} of rand_hie in tfx"):
        read_releases(tmp_path, "rand_hie", "tfx")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"number": 1}', b'{"number":1,"number":1}', b'{"number":2}', b"{}", b"[1]"],
)
def test_a_release_that_was_edited_shows(tmp_path: Path, raw: bytes) -> None:
    _release(tmp_path, 1).write_bytes(raw)
    with pytest.raises(EvidenceError):
        read_releases(tmp_path, "rand_hie", "tfx")


def test_a_release_that_is_not_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        write_release(tmp_path, "d", "tfx", {"auc": float("nan")})
    assert read_releases(tmp_path, "d", "tfx") == []


def test_a_home_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        _release(tmp_path / "file", 1)


def _release_there(home: Path, n: int, results: Any) -> None:
    try:
        results.put(_release(home, n).name)
    except FileExistsError:
        results.put(None)


def test_releases_at_the_same_moment_do_not_overwrite(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=_release_there, args=(tmp_path, n, results)) for n in range(6)
    ]
    for process in processes:
        process.start()
    written = [r for r in (results.get(timeout=30) for _ in processes) if r is not None]
    for process in processes:
        process.join(30)
    assert len(set(written)) == len(written)
    assert len(read_releases(tmp_path, "rand_hie", "tfx")) == len(written)
