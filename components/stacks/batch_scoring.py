"""The release that may decide today, with everything that a batch is held against.

Only the release that stands decides: one that was superseded or rolled back is refused even where
it is named, for a decision by it could not be told from one that was made in time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.contract.features import model_inputs
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.datasets.sources import RowSource
from components.decisions.scorer import Scorer
from components.lineage.digests import sha256_file
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord, chain_of
from components.release.records import Release, histories, read_releases
from components.stacks.run_spec import RunSpec
from components.stacks.stages import Stage

PROFILE = "profile_everything"
"""Output of the statistics stage: all rows that the model was trained and judged on."""

_NAMED = re.compile(r"([a-z][a-z0-9_]*)/([a-z]+)(?:@([1-9][0-9]{0,5}))?")
_EXPECTED = "DATASET/STACK, DATASET/STACK@NUMBER, or the id of the run that was released"


@dataclass(frozen=True, slots=True)
class DecidingRelease:
    """The release that stands, its run, and the contract and policy that it was released under.

    ``profile`` is the file of the training rows' profile, as recorded. ``location`` is where the
    model was pushed to, as recorded.
    """

    release: Release
    spec: RunSpec
    contract: Contract
    policy: Policy
    profile: Path
    location: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the model sees."""
        candidate = self.policy.candidates[self.release.candidate]
        return tuple(i.name for i in model_inputs(self.contract, candidate))


def find_release(home: Path, named: str) -> Release:
    """The release of that name, if it stands.

    Raises:
        InputError: there is none of that name, or another one stands by now.
        EvidenceError: the history does not hold.
    """
    found = _NAMED.fullmatch(named)
    if found is None:
        return _by_run(home, named)
    dataset, stack, number = found[1], found[2], found[3]
    history = read_releases(home, dataset, stack)
    if not history:
        known = ", ".join(f"{d}/{s}" for d, s in histories(home)) or "none yet"
        raise InputError("no such release", where=named, expected=f"one of {known}")
    if number is None:
        return history[-1]
    if int(number) > len(history):
        expected = f"a number up to {len(history)}"
        raise InputError("no such release", where=named, expected=expected)
    return _standing(history[int(number) - 1], history, named)


def _by_run(home: Path, run: str) -> Release:
    for dataset, stack in histories(home):
        history = read_releases(home, dataset, stack)
        own = [r for r in history if r.run == run]
        if own:
            return _standing(own[-1], history, run)
    raise InputError("no such release", where=run[:120], expected=_EXPECTED)


def _standing(release: Release, history: list[Release], named: str) -> Release:
    stands = history[-1]
    if release is stands:
        return release
    follower = history[release.number]
    how = "was rolled back" if follower.kind == "rollback" else "was superseded"
    raise InputError(
        f"release {release.number} {how} on {follower.at:%Y-%m-%d}, and decides no more",
        where=named,
        expected=f"release {stands.number}, which stands: run {stands.run}",
    )


def open_release(home: Path, release: Release) -> DecidingRelease:
    """Everything of a release, once it is known to be what its run came to.

    Raises:
        EvidenceError: run, contract, policy or profile are not those that were released.
    """
    spec = RunSpec.load(home / "runs" / release.run)
    own = {r.stage: r for r in chain_of(spec.directory).records()}
    trained = {r.stage: r for r in chain_of(spec.origin).records()}
    closing, pushed = own.get(CLOSING_STAGE), own.get(Stage.PUSH)
    if closing is None or pushed is None or closing.digest != release.head:
        raise EvidenceError(f"release {release.number} is not what run {release.run} came to")
    if pushed.body["outputs"]["serving_model"]["sha256"] != release.model:
        raise EvidenceError(f"release {release.number} names another model than its run pushed")
    contract = load_contract(Path(spec.contract_path))
    policy = load_policy(Path(spec.policy_path), contract)
    if (contract.digest, policy.digest) != (release.contract, release.policy):
        raise EvidenceError(f"contract or policy of run {release.run} are not those it went by")
    location = str(pushed.body["facts"]["location"])
    return DecidingRelease(release, spec, contract, policy, _profile(spec, trained), location)


def _profile(spec: RunSpec, trained: dict[str, EvidenceRecord]) -> Path:
    path = spec.origin / "artifacts" / f"{PROFILE.replace('_', '-')}.json"
    recorded = trained[Stage.STATISTICS].body["outputs"].get(PROFILE, {}).get("sha256")
    if not path.is_file() or sha256_file(path) != recorded:
        raise EvidenceError(f"{path.name} of run {spec.origin.name} is not what it recorded")
    return path


def batch_contract(deciding: DecidingRelease, source: RowSource) -> Contract:
    """The contract of a batch: of the columns that are there, and of any number of rows.

    The label is not known yet where a case is decided; the model's inputs and the entity must be.

    Raises:
        InputError: the batch lacks one of those, or has columns that the contract does not know.
    """
    contract = deciding.contract
    known = {c.name for c in contract.columns}
    held = known & set(source.types)
    needed = [*deciding.inputs, contract.entity.name]
    absent = [n for n in dict.fromkeys(needed) if n not in held]
    # Told by their places: in a file without a header line the names are somebody's cells.
    foreign = [str(place) for place, n in enumerate(source.types, start=1) if n not in known]
    if absent or foreign:
        wrong = [f"lacks {', '.join(absent)}"] if absent else []
        wrong += [f"has {len(foreign)} more, the first as column {foreign[0]}"] if foreign else []
        raise InputError(
            f"the batch has columns of another contract: it {' and '.join(wrong)}",
            where=source.named,
            expected=f"the columns of {contract.name} {contract.version} "
            f"({contract.digest[:12]}), the label left out or not",
        )
    return replace(contract.narrowed(held), min_rows=1)


def load_scorer(deciding: DecidingRelease) -> Scorer:
    """The release's serving model, its signature verified before it is loaded.

    Raises:
        ModelSignatureError: it is not what the run trained and signed.
        EvidenceError: it is not the model that was released, or is not there.
    """
    if deciding.release.stack == "tfx":
        from components.stacks.tfx_stack import batch_scorer as tfx

        return tfx.load(
            deciding.spec, deciding.location, deciding.release.model, deciding.contract,
            deciding.inputs,
        )  # fmt: skip
    from components.stacks.pytorch_stack import batch_scorer as pytorch

    return pytorch.load(deciding.spec, deciding.release.model)
