"""What earlier runs left in the home: found by their evidence, known by its digests."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_tree
from components.lineage.evidence import EvidenceChain, chain_of
from components.stacks.model_signing import verified_model
from components.stacks.process import ReleaseProcess
from components.stacks.releasing import ChampionRun
from components.stacks.stages import Stage


def location_of(path: Path, home: Path) -> str:
    """Where something is, as a record may say it: relative to the home."""
    return path.resolve().relative_to(home.resolve()).as_posix()


def serving_directory(model_uri: str) -> Path:
    """Where TFX keeps the serving format of a Model artifact."""
    from tfx.utils import path_utils

    return Path(path_utils.serving_model_path(model_uri))


def model_of_origin(process: ReleaseProcess) -> Path:
    """The Model artifact of the run that trained the model.

    Raises:
        EvidenceError: it is not there, or is not the model that was judged and signed.
    """
    path = _located(process.origin, Stage.TRAIN, process)
    _check(serving_directory(str(path)), process.model)
    verified_model(process.spec, serving_directory(str(path)))
    return path


def examples_of_origin(process: ReleaseProcess) -> Path:
    """The Examples artifact of the run that trained the model.

    Raises:
        EvidenceError: it is not there, or no longer what was recorded.
    """
    path = _located(process.origin, Stage.INGEST, process)
    outputs = _recorded(process.origin, Stage.INGEST, "outputs")
    _check(path, outputs["examples"]["sha256"])
    return path


def fetch_champion(home: Path, champion: ChampionRun, target: Path) -> None:
    """Copy the champion's SavedModel from where it was pushed.

    Raises:
        EvidenceError: it is not there, or is not the model that its release names, as signed.
    """
    chain = chain_of(champion.spec.directory)
    pushed = home / str(_recorded(chain, Stage.PUSH, "facts")["location"])
    if not pushed.is_dir():
        raise EvidenceError(f"release {champion.release.number} is not where it was pushed")
    shutil.copytree(pushed, target)
    # The copy is what will be scored, so it is the copy that must be right.
    _check(target, champion.release.model)
    verified_model(champion.spec, target)


def _located(chain: EvidenceChain, stage: Stage, process: ReleaseProcess) -> Path:
    location = _recorded(chain, stage, "facts").get("location")
    path = Path(process.spec.home) / str(location)
    if location is None or not path.is_dir():
        raise EvidenceError(f"what stage {stage} of run {chain.run_id} left is not there")
    return path


def _recorded(chain: EvidenceChain, stage: Stage, part: str) -> dict:
    record = next((r for r in chain.records() if r.stage == stage), None)
    if record is None:
        raise EvidenceError(f"run {chain.run_id} has no record of stage {stage}")
    return dict(record.body[part])


def _check(directory: Path, expected: str) -> None:
    found = sha256_tree(directory)
    if found != expected:
        raise EvidenceError(
            f"{directory.name} has another content than was recorded "
            f"({expected[:12]}, now {found[:12]})"
        )
