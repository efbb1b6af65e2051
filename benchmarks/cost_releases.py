"""Releases of a distribution in a year, as pip is told by the index that it is configured with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

# The first pip that can leave out what was uploaded after a day.
_PIP = "pip>=26"
# Releases with a file for Python 3.12 on recent Linux count, whatever this machine can install.
_TARGET = ["--python-version", "3.12", "--implementation", "cp"]
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(39, 16, -1)]
_NOTHING_FITS = "No matching distribution found"


def year_before(moment: datetime) -> datetime:
    """The same time on the same day a year earlier; of 29 February, on the day before."""
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    return moment.replace(year=moment.year - 1, day=day)


def releases_in(names: Iterable[str], since: datetime, folder: Path) -> dict[str, int | None]:
    """How many final releases of each were uploaded since; None where the index does not tell.

    Args:
        names: of distributions.
        since: with its time zone.
        folder: where an environment with a recent pip is made.

    Raises:
        RuntimeError: pip could not be installed.
    """
    python = _recent_pip(folder)
    return {name: _new(python, name, since) for name in names}


def _recent_pip(folder: Path) -> Path:
    python = folder / "pip" / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(folder / "pip")],
        [str(python), "-m", "pip", "install", "--quiet", _PIP],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"no recent pip: {done.stderr[-500:]}")
    return python


def _new(python: Path, name: str, since: datetime) -> int | None:
    every = _versions(python, name)
    before = _versions(python, name, "--uploaded-prior-to", since.isoformat())
    return None if not every or before is None else len(every - before)


def _versions(python: Path, name: str, *options: str) -> set[str] | None:
    """Final releases that fit; None where pip cannot tell."""
    # Isolated: folders of wheels on this machine would be searched too, and tell no times.
    command = [str(python), "-m", "pip", "--isolated", "index", "versions", name, "--json"]
    command += [*_TARGET, *(f"--platform={platform}" for platform in _PLATFORMS), *_index(python)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        return set() if _NOTHING_FITS in done.stderr else None
    return set(json.loads(done.stdout)["versions"])


def _index(python: Path) -> list[str]:
    command = [str(python), "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if asked.returncode else ["--index-url", asked.stdout.strip()]
