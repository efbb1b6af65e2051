"""SHA-256 of every file in the folders that MLflow keeps for runs and logged models."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.lineage.digests import sha256_file

if TYPE_CHECKING:
    from components.stacks.pytorch_stack.mlflow_rows import Rows

_FOLDER = "mlartifacts"
_ID = re.compile(r"[\w-]+")


def files_of(rows: Rows, stores: Path) -> Iterator[tuple[str, str, str]]:
    """MLflow run, path as of an entry, and SHA-256 in hex of each file.

    Args:
        rows: of runs and logged models. Their folders are found by their ids, and not by the
            addresses that they carry: those may be edited, and are of where the home once lay.
        stores: the home's folder ``stores``.
    """
    for run in rows["runs"]:
        for name, digest in _files(stores / _FOLDER, run.run_uuid):
            yield run.run_uuid, f"run/{run.run_uuid}/file/{name}", digest
    for model in rows["logged_models"]:
        for name, digest in _files(stores / _FOLDER / "models", model.model_id):
            yield model.source_run_id, f"logged_model/{model.model_id}/file/{name}", digest


def _files(parent: Path, identity: str) -> Iterator[tuple[str, str]]:
    if not _ID.fullmatch(identity):
        return
    directory = parent / identity
    for folder, folders, files in os.walk(directory):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in (*links, *files):
            path = Path(folder) / name
            yield path.relative_to(directory).as_posix(), _digest(path)


def _digest(path: Path) -> str:
    """A file's SHA-256, or why there is none; what is no regular file is not opened."""
    if path.is_symlink() or not path.is_file():
        return "no regular file"
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable ({error.strerror})"
