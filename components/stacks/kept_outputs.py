"""Outputs of a stage that a later stage's check needs, kept with the run byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_file
from components.lineage.durable import sync_directory, sync_file
from components.lineage.evidence import EvidenceChain
from components.stacks.stages import Stage


def keep(artifacts: Path, stage: Stage, output: str, source: Path) -> None:
    """Copy one output of a stage, as it is about to be recorded, into the run's artifacts."""
    target = _path(artifacts, stage, output)
    shutil.copyfile(source, target)
    sync_file(target)
    sync_directory(artifacts)


def kept(artifacts: Path, chain: EvidenceChain, stage: Stage, output: str) -> Path:
    """What a stage handed over, once it is known to be what was recorded.

    Raises:
        EvidenceError: it was changed since, or is gone.
    """
    path = _path(artifacts, stage, output)
    record = next(r for r in chain.records() if r.stage == stage)
    if not path.is_file() or sha256_file(path) != record.body["outputs"][output]["sha256"]:
        raise EvidenceError(f"{path.name} is not what stage {stage} recorded")
    return path


def _path(artifacts: Path, stage: Stage, output: str) -> Path:
    return artifacts / f"{stage}-{output}.parquet"
