"""Is this machine fit to run Assay? Looks at packages and files; imports no framework."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from components.contract.errors import InputError
from components.contract.json_schema import ROOT
from components.lineage.durable import writable_directory
from components.stacks.telemetry import SWITCHES

LANES = {(3, 11): "portable", (3, 12): "official", (3, 13): "official"}
_OFFICIAL_GLIBC = (2, 39)
_EXTRAS = {
    "tfx": ("tfx", "tensorflow", "tensorflow_data_validation", "ml_metadata", "apache_beam"),
    "pytorch": ("torch", "lightning", "mlflow", "great_expectations", "evidently", "onnxruntime"),
    "kubeflow": ("kfp",),
}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: ``ok``, ``absent`` (optional, not installed) or ``bad``."""

    name: str
    status: str
    detail: str


def examine(home: Path) -> list[Check]:
    """Every check, in the order in which a person would mend things."""
    return [
        _python(),
        _glibc(),
        *_extras(),
        _versions(),
        _home(home),
        *_stores(home),
        _telemetry(),
    ]


def lane() -> str | None:
    """The lane of this Python: ``portable``, ``official``, or None for neither."""
    return LANES.get(sys.version_info[:2])


def _python() -> Check:
    version, found = platform.python_version(), lane()
    if found is None:
        return Check("python", "bad", f"{version}; 3.11, 3.12 or 3.13 is needed")
    return Check("python", "ok", f"{version}, {found} lane")


def _glibc() -> Check:
    name, version = platform.libc_ver()
    if name != "glibc":
        return Check("glibc", "bad", "none found; the TFX wheels need glibc")
    numbers = tuple(int(n) for n in version.split(".")[:2])
    if lane() == "official" and numbers < _OFFICIAL_GLIBC:
        return Check("glibc", "bad", f"{version}; the official lane's TFX needs 2.39 or newer")
    return Check("glibc", "ok", version)


def _extras() -> Iterator[Check]:
    for extra, modules in _EXTRAS.items():
        absent = [m for m in modules if importlib.util.find_spec(m) is None]
        if len(absent) == len(modules):
            setup = extra if extra in ("tfx", "pytorch") else "all"
            yield Check(f"extra {extra}", "absent", f"`make setup EXTRAS={setup}` installs it")
        elif absent:
            yield Check(f"extra {extra}", "bad", f"incomplete: no {', '.join(absent)}")
        else:
            yield Check(f"extra {extra}", "ok", f"{len(modules)} of {len(modules)} packages found")


def _versions() -> Check:
    path = ROOT / "locks" / f"{lane()}-{_profile()}.txt"
    if not path.is_file():
        return Check("versions", "absent", "no lock file beside this installation")
    pinned = {_normal(n): v for n, v in _PIN.findall(path.read_text("utf-8"))}
    installed = {_normal(d.name): d.version for d in metadata.distributions() if d.name}
    wrong = sorted(
        f"{n} {installed[n]} (lock: {v})"
        for n, v in pinned.items()
        if n in installed and installed[n] != v
    )
    matching = sum(n in installed for n in pinned) - len(wrong)
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        return Check("versions", "bad", f"{len(wrong)} differ from {path.name}: {shown}")
    return Check("versions", "ok", f"{matching} packages as in {path.name}")


def _profile() -> str:
    """The install profile that this environment looks like; each has a lock of its own."""
    present = [e for e in ("tfx", "pytorch") if importlib.util.find_spec(_EXTRAS[e][0])]
    if len(present) == 1:
        return present[0]
    return "all" if present else "core"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _home(home: Path) -> Check:
    try:
        writable_directory(home)
    except InputError as error:
        return Check("home", "bad", str(error))
    return Check("home", "ok", f"{home.resolve()} can be written")


def _stores(home: Path) -> Iterator[Check]:
    for name in ("mlmd", "mlflow"):
        path = home / "stores" / f"{name}.sqlite"
        if not path.exists():
            yield Check(f"store {name}", "absent", "made by the first run")
            continue
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
                answer = store.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.Error as error:
            yield Check(f"store {name}", "bad", f"{path}: {error}")
            continue
        yield Check(f"store {name}", "ok" if answer == "ok" else "bad", f"{path.name}: {answer}")


def _telemetry() -> Check:
    overridden = sorted(k for k, v in SWITCHES.items() if os.environ.get(k, v).lower() != v.lower())
    if overridden:
        return Check(
            "telemetry",
            "ok",
            f"off in every run; {', '.join(overridden)} of this shell is overridden there",
        )
    return Check("telemetry", "ok", "off in every run (" + ", ".join(sorted(SWITCHES)) + ")")
