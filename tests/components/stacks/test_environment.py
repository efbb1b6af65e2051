from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from components.contract.json_schema import ROOT
from components.stacks import environment as surroundings
from components.stacks.environment import bill_of_materials, code_revision, environment


def test_the_bill_of_materials_names_every_distribution_in_valid_cyclonedx() -> None:
    bill = bill_of_materials()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None
    components = json.loads(bill)["components"]
    found = {(c["name"], c["version"], c["purl"]) for c in components}
    version = metadata.version("duckdb")
    assert ("duckdb", version, f"pkg:pypi/duckdb@{version}") in found
    installed = {(d.name.lower(), d.version) for d in metadata.distributions() if d.name}
    assert {f[:2] for f in found} == installed


def test_the_same_environment_has_the_same_bill() -> None:
    assert bill_of_materials() == bill_of_materials()
    found = environment()
    assert found.sbom == hashlib.sha256(found.bill).hexdigest()


def test_the_lock_is_the_one_that_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = ROOT / "locks" / "portable-all.txt"
    (tmp_path / ".assay-synced").write_text("locks/portable-all.txt 0123  -\n")
    monkeypatch.setattr(surroundings.sys, "prefix", str(tmp_path))
    assert environment().lock == hashlib.sha256(lock.read_bytes()).hexdigest()
    (tmp_path / ".assay-synced").unlink()
    assert environment().lock == "none"


def test_the_image_is_what_its_variable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_IMAGE", "registry/assay@sha256:" + "0" * 64)
    assert environment().image == "registry/assay@sha256:" + "0" * 64
    monkeypatch.delenv("ASSAY_IMAGE")
    assert environment().image == "none"


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_code_that_differs_from_its_revision_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("components", "pipelines"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "one.py").write_text("ONE = 1\n")
    monkeypatch.setattr(surroundings, "ROOT", tmp_path)
    assert "git:" not in code_revision()
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "-m", "one")
    clean = code_revision()
    assert clean.endswith(f"git:{_git(tmp_path, 'rev-parse', 'HEAD')}")
    (tmp_path / "components" / "one.py").write_text("ONE = 2\n")
    edited = code_revision()
    (tmp_path / "components" / "one.py").write_text("ONE = 3\n")
    again = code_revision()
    assert "diff:" in edited
    assert len({clean, edited, again}) == 3
    (tmp_path / "components" / "one.py").write_text("ONE = 1\n")
    (tmp_path / "new.txt").write_text("not committed")
    assert "diff:" in code_revision()
    shutil.rmtree(tmp_path / ".git")
    assert "git:" not in code_revision()
