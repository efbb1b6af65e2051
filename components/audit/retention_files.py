"""Where a run's outputs lie, class by class: what is looked for, and what a purge takes away.

A file is of the class of the output that names it. What no record names, as a tool's drafts of the
rows, is taken for rows as well: it goes with the run's predictions. Native stores are left alone:
two runs may share a model there, and one of them may be in force or held.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.audit.artifact_check import left_in
from components.audit.evidence_runs import RunFacts, StageFacts
from components.audit.retention_items import Part
from components.audit.retention_policy import DataClass, RetentionPolicy

"""Where TFX notes executions; nothing of it is an output."""

Places = Mapping[str, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What a run left: its outputs by class, those that the policy does not know under None.

    ``others`` are files that no output names or holds. ``unknown`` are outputs that the policy does
    not know, by name.
    """

    parts: Mapping[DataClass | None, Sequence[Part]]
    others: tuple[Path, ...]
    unknown: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing at all of what its stages left."""
        named = (p for parts in self.parts.values() for p in parts)
        return not self.others and not any(p.copies for p in named)


def files_of(home: Path, run: RunFacts, policy: RetentionPolicy) -> RunFiles:
    """Look for everything that a run recorded as left behind.

    A file that outputs of two classes share is of the class that stands first in the policy; it is
    of none where the policy does not know one of the outputs.
    """
    directory = home / "runs" / run.run
    places = left_in(directory)
    owners = _owners(run, policy)
    parts: dict[DataClass | None, list[Part]] = defaultdict(list)
    for stage in run.stages:
        for output, name, _, digest in stage.outputs:
            copies = _copies(home, directory, places, stage, output, name)
            place = f"runs/{run.run}/{stage.stage}/{name}"
            parts[owners[name]].append(Part(place, digest, copies))
    named = {path for held in parts.values() for p in held for path in p.copies}
    others = (
        path
        for paths in places.values()
        for path in paths
        if not (path.is_dir() and not path.is_symlink()) and not named & {path, *path.parents}
    )
    outputs = {o[0] for stage in run.stages for o in stage.outputs}
    unknown = sorted(o for o in outputs if policy.class_of(o) is None)
    unique = {kind: tuple(dict.fromkeys(held)) for kind, held in parts.items()}
    return RunFiles(unique, tuple(others), tuple(unknown))


def _owners(run: RunFacts, policy: RetentionPolicy) -> dict[str, DataClass | None]:
    order = [None, *policy.rules]
    found: dict[str, DataClass | None] = {}
    for stage in run.stages:
        for output, name, _, _ in stage.outputs:
            kinds = {policy.class_of(output), found.get(name, policy.class_of(output))}
            found[name] = min(kinds, key=order.index)
    return found


def _copies(
    home: Path, directory: Path, places: Places, stage: StageFacts, output: str, name: str
) -> tuple[Path, ...]:
    """As the mutation check finds them: by name, where it was pushed to, and as kept."""
    kept = directory / "artifacts" / f"{stage.stage}-{output}.parquet"
    found = [*places.get(name, ()), kept]
    location = stage.facts.get("location", "")
    pushed = (home / location).parent / name if location else None
    if pushed and pushed.resolve().is_relative_to(home.resolve()):
        found.append(pushed)
    return tuple(p for p in dict.fromkeys(found) if os.path.lexists(p))
