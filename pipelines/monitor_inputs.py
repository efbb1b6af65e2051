"""Drift of what a release's decisions were made on: the batches that were scored, given again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from components.checks.drift import drift_findings
from components.checks.measurement import Finding, Status
from components.checks.suppression import FEWEST_SHOWN
from components.contract.errors import InputError
from components.datasets.sources import open_source
from components.decisions.batch_logs import REFUSE
from components.decisions.decision_log import DecisionLog
from components.decisions.scoring import batch_digest
from components.lineage.row_key import read_row_key
from components.profile.profile import ColumnProfile, Profile
from components.profile.stored import StoredProfile
from components.release.records import Release
from components.stacks.batch_scoring import DecidingRelease, batch_contract, open_release
from pipelines.check import Watch, check_batch

_RULE = "monitoring:input_drift"


def input_findings(
    home: Path, release: Release, logs: Sequence[DecisionLog], data: Sequence[Path], watch: Watch
) -> list[Finding]:
    """Drift of each column that the model sees, over the batches of all logs together.

    The statistics and limits are those of the policy's data gate, the baseline is the profile of
    the training rows: what `assay score` holds each batch against alone.

    Args:
        home: the home.
        release: the release that decided.
        logs: its logs; one whose batch is not given makes this INCONCLUSIVE.
        data: the batches, each a file or folder with the very bytes that were scored.
        watch: told what is being counted.

    Raises:
        InputError: a batch cannot be read, is of none of the logs, or is given twice.
        EvidenceError: the run or its profile is not what was released.
    """
    deciding = open_release(home, release)
    stored = StoredProfile.read(deciding.profile)
    key = read_row_key(home)
    due = {log.header["batch"] for log in logs if log.header["route"] != REFUSE}
    waiting, whole = set(due), None
    for path in data:
        batch, profile = _profiled(deciding, path, key, due, watch)
        if batch not in waiting:
            raise InputError("is given twice", where=str(path), expected="each batch once")
        waiting.remove(batch)
        kept = _kept(profile, deciding.inputs, stored.profile.columns)
        whole = kept if whole is None else whole + kept
    found = _judged(deciding, whole, stored)
    if waiting:
        reason = f"drift of inputs unknown: those of {len(waiting)} of {len(due)} logs not given"
        found.append(Finding(_RULE, Status.INCONCLUSIVE, reason))
    return found


def _profiled(
    deciding: DecidingRelease, path: Path, key: bytes, due: set[str], watch: Watch
) -> tuple[str, Profile]:
    """A batch's keyed digest and its profile, once it is known to be that of a log."""
    source = open_source(deciding.contract, path)
    batch = batch_digest(key, source)
    if batch not in due:
        raise InputError(
            "is the batch of none of these logs",
            where=source.named,
            expected="the files that were scored, as they were",
        )
    contract = batch_contract(deciding, source)
    checked = check_batch(contract, deciding.policy, source, deciding.profile, watch)
    if batch_digest(key, source) != batch:
        raise InputError(
            "was changed while it was read", where=source.named, expected="files that rest"
        )
    return batch, checked.profile


def _kept(
    profile: Profile, inputs: Sequence[str], baseline: Mapping[str, ColumnProfile]
) -> Profile:
    """The inputs that were counted in the baseline's bins: others cannot be added up or judged."""
    held = profile.columns
    names = [n for n in inputs if n in baseline and held[n].edges == baseline[n].edges]
    return Profile(rows=profile.rows, columns={n: held[n] for n in names})


def _judged(
    deciding: DecidingRelease, whole: Profile | None, stored: StoredProfile
) -> list[Finding]:
    contract = deciding.contract.narrowed(deciding.inputs)
    gate = replace(
        deciding.policy.data_gate,
        row_ratio_at_least=None,
        row_ratio_at_most=None,
        first_release=None,
    )
    unusable = stored.unusable_for(deciding.contract, gate)
    if whole is not None and whole.rows < FEWEST_SHOWN:
        unusable = f"under {FEWEST_SHOWN} rows given"
    found = drift_findings(whole, stored.profile, contract, gate, unusable)
    return [replace(f, rule=f"{_RULE}:{f.rule.removeprefix('drift:')}") for f in found]
