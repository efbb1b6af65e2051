"""What a run is about, fixed before its first stage and bound into every record."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.durable import writable_directory, write_atomically

STACKS = ("tfx", "pytorch")
NONE = "none"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The identity of a run. Paths are where this machine finds things; digests are what counts.

    ``continues`` names the run whose judged model this one releases, where it trains none itself;
    ``reason`` says why. ``lock`` is the digest of the lock file that was installed, ``sbom`` that
    of the list of what is installed, ``image`` names the container image.
    """

    run_id: str
    stack: str
    candidate: str
    home: str
    contract_path: str
    contract: str
    policy_path: str
    policy: str
    dataset: str
    dataset_path: str
    dataset_version: str
    code: str
    environment: str
    actor: str
    started: str
    continues: str | None = None
    reason: str | None = None
    lock: str = NONE
    sbom: str = NONE
    image: str = NONE

    @property
    def directory(self) -> Path:
        """Where the run's evidence and artifacts live."""
        return Path(self.home) / "runs" / self.run_id

    @property
    def origin(self) -> Path:
        """Directory of the run that trained the model: this one, or the one it continues."""
        return Path(self.home) / "runs" / (self.continues or self.run_id)

    def save(self) -> None:
        """Write ``run.json``; the run's directory is made, and must be writable."""
        writable_directory(self.directory / "evidence")
        writable_directory(self.directory / "artifacts")
        write_atomically(self.directory / "run.json", canonical_json(asdict(self)))

    @classmethod
    def load(cls, directory: Path) -> RunSpec:
        """Read ``run.json`` back; its paths are those of the home that it lies in.

        A home that was copied or moved is read where it is, and not where it was.

        Raises:
            EvidenceError: there is none, or it is not one.
        """
        directory = directory.resolve()
        home = directory.parent.parent
        try:
            spec = cls(**json.loads((directory / "run.json").read_bytes()))
            dataset = home / "datasets" / spec.dataset / Path(spec.dataset_path).name
        except (OSError, ValueError, TypeError) as error:
            raise EvidenceError(f"{directory} is not a run") from error
        if spec.run_id != directory.name or directory.parent.name != "runs":
            raise EvidenceError(f"{directory} is not run {spec.run_id} in a home")
        return replace(
            spec,
            home=str(home),
            contract_path=str(directory / "contract.yaml"),
            policy_path=str(directory / "policy.yaml"),
            dataset_path=str(dataset),
        )


def new_run_id(stack: str, candidate: str) -> str:
    """A run id that sorts by time: ``20261122T120000Z-tfx-plain-1a2b3c``."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{now}-{stack}-{candidate}-{secrets.token_hex(3)}"


def utc_now() -> str:
    """The time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
