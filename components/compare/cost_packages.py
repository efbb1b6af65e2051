"""What a stack brings into a Python environment, read from what is installed; nothing is imported.

A stack's closure is everything that ``assay[tfx]`` or ``assay[pytorch]`` asks for, and what that
asks for in turn, as far as the markers hold on this Python and this system.
"""

from __future__ import annotations

import csv
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from components.contract.errors import InputError

ROOT = "assay"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
_PATCHES = range(31)


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed distribution, as its metadata tells it.

    ``size`` is the bytes of its files as its RECORD lists them, so without cached bytecode; None
    where it has no RECORD. ``requires_python`` is empty where any Python will do.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    size: int | None = 0


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """A requirement that the installed version does not satisfy; ``found`` is empty for none."""

    asked_by: str
    requirement: str
    found: str


@dataclass(frozen=True, slots=True)
class Closure:
    """What one extra comes to.

    Attributes:
        direct: names that the project itself asks for, for this extra and not without it.
        names: of everything that is installed for it, the project itself not counted.
        conflicts: requirements among these that what is installed does not satisfy.
    """

    direct: frozenset[str]
    names: frozenset[str]
    conflicts: tuple[Conflict, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Requirements of which nothing is installed: the rest is then no measure of the extra."""
        return tuple(sorted({c.requirement for c in self.conflicts if not c.found}))


def installed() -> dict[str, Installed]:
    """Every distribution of this environment, by its canonical name."""
    found: dict[str, Installed] = {}
    for one in metadata.distributions():
        name = canonicalize_name(one.metadata["Name"])
        # The first on the path is the one that Python would import.
        if name not in found:
            told = one.metadata  # it raises for what is absent, in some versions
            needs = told["Requires-Python"] if "Requires-Python" in told else ""  # noqa: SIM401
            requires = tuple(one.requires or ())
            found[name] = Installed(name, one.version, requires, needs, _size(one))
    return found


def _size(distribution: metadata.Distribution) -> int | None:
    record = distribution.read_text("RECORD")
    if record is None:
        return None
    return sum(int(row[2]) for row in csv.reader(record.splitlines()) if row[2:] and row[2])


def closure(extra: str, held: Mapping[str, Installed], root: str = ROOT) -> Closure:
    """Follow an extra of the project through everything that is installed.

    Args:
        extra: ``tfx`` or ``pytorch``; empty for the core alone.
        held: what is installed, by canonical name.
        root: the project.

    Raises:
        InputError: the project itself is not installed.
    """
    if root not in held:
        raise InputError(
            f"{root} is not installed", where="this Python environment", expected="`make setup`"
        )
    direct = _names(_asked(held[root], extra))
    if extra:
        direct -= _names(_asked(held[root], ""))
    names: set[str] = set()
    conflicts: set[Conflict] = set()
    todo, done = [(root, extra)], set[tuple[str, str]]()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        names.add(name)
        for requirement in _asked(held[name], wanted):
            asked = canonicalize_name(requirement.name)
            found = held.get(asked)
            # Pre-releases count here: what is installed was chosen already.
            if found is None or not requirement.specifier.contains(found.version, prereleases=True):
                version = "" if found is None else found.version
                conflicts.add(Conflict(name, _told(requirement), version))
            if found is not None:
                todo += [(asked, each) for each in ("", *requirement.extras)]
    return Closure(direct, frozenset(names - {root}), tuple(sorted(conflicts)))


def _asked(one: Installed, extra: str) -> list[Requirement]:
    parsed = [Requirement(text) for text in one.requires]
    return [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": extra})]


def _names(requirements: Iterable[Requirement]) -> frozenset[str]:
    return frozenset(canonicalize_name(r.name) for r in requirements)


def _told(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def megabytes(names: Iterable[str], held: Mapping[str, Installed]) -> float:
    """Megabytes (10^6 bytes) of these distributions; those without a RECORD count nothing."""
    return round(sum(held[name].size or 0 for name in names) / 1e6, 1)


def supported(names: Iterable[str], held: Mapping[str, Installed]) -> dict[str, tuple[str, ...]]:
    """Each Python of ``PYTHONS``, and which of these distributions do not run on it.

    It is what their metadata says: a wheel may be missing all the same.
    """
    wanted = {name: SpecifierSet(held[name].requires_python) for name in names if name in held}
    return {
        python: tuple(sorted(n for n, needs in wanted.items() if not _some(python, needs)))
        for python in PYTHONS
    }


def _some(python: str, needs: SpecifierSet) -> bool:
    return any(needs.contains(f"{python}.{patch}") for patch in _PATCHES)


def environment() -> str:
    """The Python and the system that all of this is about, as a report names them."""
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
