"""The life of a row key: made once, read, destroyed once, and never made anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.contract.errors import InputError
from components.lineage import row_key
from components.lineage.commitments import destroyed_at, load_or_create_row_key, notice
from components.lineage.row_key import (
    destroy_row_key,
    read_row_key,
    row_key_for_rows,
    row_key_path,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    row_key_for_rows(tmp_path)
    return tmp_path


def test_the_first_rows_make_a_key_and_reading_makes_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the row key is missing"):
        read_row_key(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert row_key_for_rows(tmp_path) == read_row_key(tmp_path) == row_key_for_rows(tmp_path)


@pytest.mark.parametrize(
    "left", ["datasets/insurer/0123456789abcdef/manifest.json", "runs/r/run.json"]
)
def test_no_second_key_is_made_beside_what_the_first_one_named(home: Path, left: str) -> None:
    (home / left).parent.mkdir(parents=True)
    (home / left).touch()
    assert row_key_for_rows(home) == read_row_key(home)
    row_key_path(home).unlink()
    with pytest.raises(InputError, match="the row key is missing"):
        row_key_for_rows(home)
    assert not row_key_path(home).exists()


def test_a_destroyed_key_is_overwritten_gone_and_never_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = row_key_path(home)
    key, spied = path.read_bytes(), home / "spied"
    os.link(path, spied)  # sees what becomes of the bytes
    destroy_row_key(home)
    assert len(spied.read_bytes()) == 32
    assert spied.read_bytes() != key
    assert [p.name for p in path.parent.iterdir()] == ["row.key.destroyed"]
    for make in (
        lambda: read_row_key(home),
        lambda: row_key_for_rows(home),
        lambda: load_or_create_row_key(path),
    ):
        with pytest.raises(InputError, match=f"was destroyed on {destroyed_at(path)}"):
            make()
    with pytest.raises(InputError, match="was destroyed already, on 2"):
        destroy_row_key(home)
    assert not path.exists()


def test_a_key_that_is_put_back_is_refused_and_can_be_destroyed_again(home: Path) -> None:
    path = row_key_path(home)
    kept = path.read_bytes()
    destroy_row_key(home)
    path.write_bytes(kept)
    path.chmod(0o600)
    with pytest.raises(InputError, match="was destroyed on"):
        read_row_key(home)
    destroy_row_key(home)
    assert not path.exists()


@pytest.mark.parametrize("step", ["write", "fsync", "unlink"])
def test_who_is_stopped_half_way_leaves_a_key_that_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        real = getattr(os, step)

        def stops(target: int | Path, *rest: object) -> object:
            about_key = target == row_key_path(home) if step == "unlink" else _is_key(target, home)
            if about_key:
                raise OSError(5, "stopped")
            return real(target, *rest)

        patched.setattr(os, step, stops)
        with pytest.raises(InputError, match="cannot be destroyed"):
            destroy_row_key(home)
    assert row_key_path(home).exists()
    with pytest.raises(InputError, match="was destroyed on"):
        read_row_key(home)
    destroy_row_key(home)
    assert not row_key_path(home).exists()


def _is_key(descriptor: object, home: Path) -> bool:
    return isinstance(descriptor, int) and os.fstat(descriptor).st_ino == (
        row_key_path(home).stat().st_ino
    )


def test_a_link_in_the_place_of_the_key_is_not_followed(home: Path, tmp_path: Path) -> None:
    path, other = row_key_path(home), tmp_path / "other"
    path.rename(other)
    path.symlink_to(other)
    before = other.read_bytes()
    with pytest.raises(InputError, match="cannot be destroyed"):
        destroy_row_key(home)
    assert other.read_bytes() == before


def test_there_must_be_a_key_to_destroy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no row key"):
        destroy_row_key(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("said", [b"", b"\xff", b"yesterday\n"])
def test_a_notice_that_says_nothing_still_counts(home: Path, said: bytes) -> None:
    notice(row_key_path(home)).write_bytes(said)
    with pytest.raises(InputError, match="a day that its notice does not say"):
        row_key.read_row_key(home)
    notice(row_key_path(home)).unlink()
    os.mkfifo(notice(row_key_path(home)))  # not waited for
    with pytest.raises(InputError, match="a day that its notice does not say"):
        row_key.read_row_key(home)
