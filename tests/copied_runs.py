"""Runs in another home, for tests that change them: the originals are shared."""

from __future__ import annotations

import shutil
from pathlib import Path


def copied_run(run: Path, home: Path) -> Path:
    """Copy a run's directory, and the public keys that its evidence is checked with."""
    target = home / "runs" / run.name
    shutil.copytree(run, target)
    (home / "keys").mkdir(exist_ok=True)
    for key in (run.parent.parent / "keys").glob("evidence*.pub"):
        shutil.copy(key, home / "keys")
    return target
