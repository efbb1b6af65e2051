"""Finding contracts and policies by name: the user's own first, then those that Assay brings."""

from __future__ import annotations

import re
from pathlib import Path

from components.contract.errors import InputError
from components.contract.json_schema import ROOT

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def find(kind: str, name: str) -> Path:
    """The YAML file of that name in ``./<kind>`` or in Assay's own ``<kind>``.

    Args:
        kind: ``schemas`` or ``policies``.
        name: a dataset's or policy's name.

    Raises:
        InputError: there is none; the message lists those that there are.
    """
    folders = list(dict.fromkeys([Path.cwd() / kind, ROOT / kind]))
    if _NAME.fullmatch(name):
        for folder in folders:
            if (path := folder / f"{name}.yaml").is_file():
                return path
    known = sorted({p.stem for folder in folders for p in folder.glob("*.yaml")})
    raise InputError(f"no {name!r}", where=f"{kind}/", expected=f"one of {', '.join(known)}")


def run_directory(run: str, home: Path) -> Path:
    """A run's directory, given as a path or as the run's id.

    Raises:
        InputError: there is no such run.
    """
    for directory in (home / "runs" / run, Path(run)):
        if (directory / "run.json").is_file():
            return directory.resolve()
    raise InputError(
        f"no run {run!r}", where=str(home / "runs"), expected="a run's id, or its directory"
    )
