"""All that a model card is made from: a run's evidence and what its digests name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.checks.measurement import Finding, Measurement, Verdict
from components.checks.small_figures import Key, hidden_figures, masked, masked_verdict
from components.contract.contract import Contract
from components.contract.errors import EvidenceError
from components.contract.policy import Candidate, Policy
from components.contract.stages import Stage
from components.contract.strict_yaml import load_yaml
from components.lineage.digests import parse_canonical
from components.lineage.evidence import EvidenceRecord
from components.release.card_masking import Masking
from components.release.card_statements import PROFILE
from components.release.records import Release, read_releases
from components.release.run_evidence import RunEvidence, read_evidence


@dataclass(frozen=True, slots=True)
class Described:
    """What the contract says in words: of the data, and of each column by its name."""

    purpose: str = ""
    usage: str = ""
    limitations: str = ""
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CardSource:
    """A run's evidence, read once, with what hangs on its digests.

    ``measurements`` and ``native`` have no number that tells of 1 to 10 people; ``hidden`` has the
    name and slice of each that would. ``manifest`` is the dataset's, None where it is not in the
    run's home any more. ``history`` has the releases that stood or had stood when the run was
    decided, and ``earlier`` the manifests of their datasets, where these are still in the home.
    ``profile`` names what is added to the card, empty for nothing.
    """

    run: RunEvidence
    candidate: Candidate
    measurements: tuple[Measurement, ...]
    native: tuple[Measurement, ...]
    hidden: frozenset[Key]
    masking: Masking
    described: Described
    manifest: dict[str, Any] | None
    history: tuple[Release, ...]
    earlier: tuple[dict[str, Any], ...]
    profile: str

    @property
    def policy(self) -> Policy:
        """The policy that the run is bound to."""
        return self.run.policy

    @property
    def contract(self) -> Contract:
        """The contract that the run is bound to."""
        return self.run.contract

    @property
    def gate(self) -> EvidenceRecord | None:
        """The run's own record of the release gate; None where it did not get there."""
        return self.run.own.get(Stage.RELEASE_GATE)

    @property
    def kind(self) -> str:
        """``release``, ``waived`` or ``rollback``; empty where nothing was released."""
        if self.run.outcome != "released":
            return ""
        if self.run.continues and self.run.continues in {
            r.continues or r.run for r in self.history
        }:
            return "rollback"
        return "waived" if self.run.waiver is not None else "release"

    @property
    def model(self) -> str:
        """SHA-256 of the trained model, in hex; empty where none was trained."""
        trained = self.run.stage(Stage.TRAIN)
        return str(trained.body["outputs"]["model"]["sha256"]) if trained else ""

    def measured(self, name: str, where: str = "overall") -> Measurement | None:
        """The referee's figure of that name and slice, if it was measured."""
        return next((m for m in self.measurements if (m.name, m.slice) == (name, where)), None)

    def findings(self, stage: Stage, side: str) -> tuple[Finding, ...]:
        """Findings of one side at one stage; none where the side did not speak."""
        record = self.run.stage(stage)
        verdict = record.body[side] if record is not None else None
        if not verdict:
            return ()
        return masked_verdict(Verdict.from_json(verdict), (), self.hidden).findings


def read_source(directory: Path, profile: str | None = None) -> CardSource:
    """Read all that a run's model card is made from.

    Args:
        directory: the run, ``HOME/runs/<run id>``.
        profile: what to add to the card; the policy's own choice where it is None.

    Raises:
        InputError: there is no evidence.
        EvidenceError: a chain is broken, or a document is not the one it is bound to.
    """
    # Resolved, as `.` has no name and no parent, and both count here.
    run = read_evidence(directory.resolve())
    home = run.directory.parent.parent
    gate = run.own.get(Stage.RELEASE_GATE)
    measured, native = _figures(gate, "measurements"), _figures(gate, "nativeMeasurements")
    hidden = hidden_figures(measured)
    history = _history(home, run)
    before = [read_evidence(d) for r in history if (d := home / "runs" / r.run).is_dir()]
    return CardSource(
        run=run,
        candidate=run.policy.candidates[run.first.body["candidate"]],
        measurements=tuple(masked(m, hidden) for m in measured),
        native=tuple(masked(m, hidden) for m in native),
        hidden=hidden,
        masking=Masking.of(
            run.contract,
            measured,
            (_figures(e.own.get(Stage.RELEASE_GATE), "measurements") for e in before),
        ),
        described=_described(run.directory / "contract.yaml"),
        manifest=_manifest(home, run),
        history=history,
        earlier=tuple(m for e in before if (m := _manifest(home, e)) is not None),
        profile=profile if profile is not None else run.policy.model_card.get(PROFILE, ""),
    )


def _figures(gate: EvidenceRecord | None, key: str) -> list[Measurement]:
    return [Measurement.from_json(m) for m in gate.body[key]] if gate else []


def _manifest(home: Path, run: RunEvidence) -> dict[str, Any] | None:
    """The dataset's manifest, which the run's records name by its digest."""
    version = run.inputs["datasetVersion"]
    path = home / "datasets" / run.contract.name / version[:16] / "manifest.json"
    if not path.is_file():
        return None
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != version:
        raise EvidenceError(f"{path} is not the manifest the run was bound to")
    return parse_canonical(raw, path.name)


def _history(home: Path, run: RunEvidence) -> tuple[Release, ...]:
    """Releases before this run's own: a card made later must say what the first one said."""
    known = read_releases(home, run.contract.name, run.first.body["stack"])
    names = [r.run for r in known]
    return tuple(known[: names.index(run.run_id)] if run.run_id in names else known)


def _described(path: Path) -> Described:
    document, _ = load_yaml(path)
    words = document.get("description")
    words = words if isinstance(words, dict) else {}
    return Described(
        **{k: str(words.get(k, "")) for k in ("purpose", "usage", "limitations")},
        columns={
            str(c["name"]): str(c.get("description", ""))
            for c in document["schema"][0]["properties"]
        },
    )
