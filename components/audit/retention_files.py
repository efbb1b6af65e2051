"""Where a run's outputs lie, class by class: what is looked for, and what a purge takes away.

A file is of the class of the output that names it. What no record names, as a tool's drafts of the
rows, is taken for rows as well: it goes where the run's predictions go. Native stores are left
alone: two runs may share a model there, and one of them may be in force or held.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from components.audit.evidence_runs import RunFacts
from components.audit.retention_policy import RecordClass, RetentionPolicy
from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_file, sha256_tree

_ROWS = RecordClass.PREDICTIONS
_BOOKKEEPING = ".system"


class RunFiles:
    """The files of one run.

    Attributes:
        parts: SHA-256 of every output by its place, ``runs/<run>/<stage>/<file>``, for each class;
            None is the class of what the policy does not know.
    """

    def __init__(self, home: Path, run: RunFacts, policy: RetentionPolicy) -> None:
        self.home, self.run = home, run
        self.directory = home / "runs" / run.run
        self.parts: dict[RecordClass | None, dict[str, str]] = defaultdict(dict)
        self._named: dict[str, tuple[RecordClass | None, list[Path]]] = {}
        self._places = self._walk()
        owners = self._owners(policy)
        for stage in run.stages:
            location = stage.facts.get("location", "")
            for output, name, _, digest in stage.outputs:
                kind = owners[name]
                place = f"runs/{run.run}/{stage.stage}/{name}"
                self.parts[kind][place] = digest
                kept = f"{stage.stage}-{output}.parquet"
                self._named[place] = (kind, self._copies(name, location, kept))

    @property
    def empty(self) -> bool:
        """Whether there is nothing at all of what its stages left."""
        return not self._places

    def copies(self, place: str) -> list[Path]:
        """Everything that may be the output of this place, drafts of the same name included."""
        return self._named[place][1]

    def of_class(self, kind: RecordClass) -> list[Path]:
        """Files and folders that a purge of this class takes away."""
        mine = [p for k, paths in self._named.values() if k is kind for p in paths]
        if kind is not _ROWS:
            return list(dict.fromkeys(mine))
        others = {p for k, paths in self._named.values() if k is not kind for p in paths}
        return list(dict.fromkeys([*mine, *self._loose(others)]))

    def _owners(self, policy: RetentionPolicy) -> dict[str, RecordClass | None]:
        """The class of each file name; the one that stands first in the policy where two share."""
        order = [*policy.rules, None]
        found: dict[str, RecordClass | None] = {}
        for stage in self.run.stages:
            for output, name, _, _ in stage.outputs:
                kinds = {policy.class_of(output), found.get(name, policy.class_of(output))}
                found[name] = min(kinds, key=order.index)
        return found

    def _walk(self) -> dict[str, list[Path]]:
        """Every file and folder that the run's stages left, by its base name."""
        found: dict[str, list[Path]] = defaultdict(list)
        for root in self._roots():
            for folder, folders, files in os.walk(root):
                folders[:] = sorted(f for f in folders if f != _BOOKKEEPING)
                for name in (*folders, *sorted(files)):
                    found[name].append(Path(folder) / name)
        return found

    def _roots(self) -> list[Path]:
        return [self.directory / name for name in ("artifacts", "native")]

    def _copies(self, name: str, location: str, kept: str) -> list[Path]:
        """As the mutation check finds them: by name, where it was pushed to, and as kept."""
        found = [*self._places.get(name, ()), self.directory / "artifacts" / kept]
        pushed = (self.home / location).parent / name if location else None
        if pushed and pushed.resolve().is_relative_to(self.home.resolve()):
            found.append(pushed)
        return [p for p in dict.fromkeys(found) if os.path.lexists(p)]

    def _loose(self, others: set[Path]) -> Iterator[Path]:
        """Files that no output of another class names or holds."""
        for paths in self._places.values():
            for path in paths:
                if not path.is_dir() and not others & {path, *path.parents}:
                    yield path


def digest_of(path: Path) -> str:
    """SHA-256 of a file or folder, in hex; empty where it has none."""
    try:
        return sha256_tree(path) if path.is_dir() else sha256_file(path)
    except (OSError, EvidenceError):
        return ""
