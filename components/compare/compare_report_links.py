"""From what a claim says that it rests on to the file on disk, as a link relative to the page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from components.compare.comparison import Comparison
from components.lineage.graph import NodeKind

_NAMED = re.compile(r"(?P<path>\w[\w./-]*\w)(?:, record (?P<stage>[a-z_]+))?")
_EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text; ``href`` is empty where it leads nowhere."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """Where things lie.

    Attributes:
        page: the folder that the page is written to.
        runs: the directories of the runs that are compared, by run id.
        faults: the folder of the fault matrix, None where there is none.
    """

    page: Path
    runs: Mapping[str, Path]
    faults: Path | None

    def pieces(self, text: str) -> Iterator[Piece]:
        """A text in pieces: what it names and lies on disk becomes a link."""
        end = 0
        for found in _NAMED.finditer(text):
            target = self._target(found["path"], found["stage"])
            if target is not None:
                yield Piece(text[end : found.start()])
                yield Piece(found[0], self._href(target))
                end = found.end()
        yield Piece(text[end:])

    def record(self, comparison: Comparison, stack: str, stage: str) -> list[Piece]:
        """The record of a stage that carries a claim, with its digest."""
        run = comparison.runs[stack]
        node = comparison.graph.nodes.get(f"{NodeKind.STAGE}/{run.run_id}/{stage}")
        digest = node.attributes.get("record", "") if node else ""
        told = list(self.pieces(f"{run.run_id}, record {stage}"))
        return [*told, Piece(f", sha256 {digest}")] if digest else told

    def _target(self, name: str, stage: str | None) -> Path | None:
        """The file or folder that a name stands for; None where there is none of that name."""
        directory = self.runs.get(name)
        if directory is None and self.faults is not None and "/" in name:
            inside = self.faults / name
            if inside.exists() and inside.resolve().is_relative_to(self.faults.resolve()):
                directory = inside
        if directory is None:
            return None
        evidence = directory / _EVIDENCE
        if not evidence.is_dir():
            return directory
        return next(iter(sorted(evidence.glob(f"[0-9]*-{stage}.json"))), evidence)

    def _href(self, target: Path) -> str:
        return quote(Path(os.path.relpath(target.resolve(), self.page.resolve())).as_posix())
