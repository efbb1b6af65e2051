"""A home's evidence keys: the first is made on first use, and never beside what is signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contract.errors import InputError
from components.lineage.evidence_keys import HomeKeys

SIGNED = (
    "runs/a/evidence/0001-ingest.json",
    "releases/people/tfx/000001.json",
    "access/00000001.json",
)


def test_a_run_without_evidence_does_not_keep_the_first_key_from_being_made(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "evidence").mkdir(parents=True)
    assert HomeKeys(tmp_path).trusted() == {}
    HomeKeys(tmp_path).signer()
    assert list(HomeKeys(tmp_path).trusted()) == ["evidence"]


@pytest.mark.parametrize("name", SIGNED)
def test_beside_signed_files_no_key_is_made_and_none_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text('{"payload":""}')
    with pytest.raises(InputError, match=r"evidence\.key: is missing"):
        HomeKeys(tmp_path).signer()
    with pytest.raises(InputError, match=r"evidence\.pub: is missing"):
        HomeKeys(tmp_path).trusted()
    assert not (tmp_path / "keys").exists()


def test_release_records_of_before_there_were_signatures_need_no_key(tmp_path: Path) -> None:
    path = tmp_path / "releases/people/tfx/000001.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"number":1}')
    assert HomeKeys(tmp_path).trusted() == {}
    HomeKeys(tmp_path).signer()


def test_a_private_key_beside_signed_files_gets_its_public_half_back(tmp_path: Path) -> None:
    HomeKeys(tmp_path).signer()
    public = tmp_path / "keys" / "evidence.pub"
    before = public.read_bytes()
    public.unlink()
    (tmp_path / "access").mkdir()
    (tmp_path / "access" / "00000001.json").write_text("{}")
    HomeKeys(tmp_path).signer()
    assert public.read_bytes() == before
