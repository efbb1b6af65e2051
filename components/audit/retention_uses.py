"""Until when each run of a home was in use, and what rests on it.

A release reaches back to its run and to the run that trained its model, where that is another one.
It is in effect until the next one of its dataset and stack, the last one until further notice. A
decision log keeps what it was decided with for as long as itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from components.audit.evidence_runs import RunFacts
from components.audit.mutations import Evidence
from components.audit.retention_items import Use, ended
from components.contract.errors import EvidenceError
from components.decisions.decision_log import PREDICATE_TYPE, DecisionLog
from components.lineage.signed_log import SignedLog
from components.release.history import periods
from components.release.records import Release


@dataclass(frozen=True, slots=True)
class LogFacts:
    """A decision log, every signature checked: SHA-256 of each segment by file, and its use."""

    log: str
    run: str
    segments: Mapping[str, str]
    use: Use


def release_name(release: Release) -> str:
    """A release as a hold names it."""
    return f"{release.dataset}/{release.stack}@{release.number}"


def read_log(log: DecisionLog) -> LogFacts:
    """What a decision log says of itself.

    Raises:
        EvidenceError: it is broken, or does not say by what it was made, or when.
    """
    header = log.header
    last = SignedLog(log.directory / "log", PREDICATE_TYPE, log.keys).entries()[-1]
    try:
        release = f"{header['dataset']}/{header['stack']}@{header['release']}"
        moment = datetime.fromisoformat(last.get("endedAt") or header["startedAt"])
        if moment.tzinfo is None:
            raise ValueError("a time without its zone")
        run = str(header["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"decision log {log.log_id} does not say by what, or when") from error
    use = Use(moment, subjects={log.log_id, run, release})
    return LogFacts(log.log_id, run, {s.file: s.sha256 for s in log.segments}, use)


def uses(stacks: Iterable[Evidence], logs: Iterable[LogFacts]) -> dict[str, Use]:
    """The use of each run, by its id."""
    held = list(stacks)
    runs = {name: run for evidence in held for name, run in evidence.runs.items()}
    own = {name: Use(ended(run), subjects={name}) for name, run in runs.items()}
    for history in (h for evidence in held for h in evidence.releases.values()):
        for period in periods(history):
            if period.release.run in own:
                use = own[period.release.run]
                use.subjects.add(release_name(period.release))
                use.extend(period.until or period.release.at)
                use.standing = use.standing or period.until is None
    for log in logs:
        if log.run in own:
            own[log.run].join(log.use)
    found = {name: joined([use]) for name, use in own.items()}
    for name, run in runs.items():
        for before in _trained_by(run, runs):
            found[before].join(own[name])
    return found


def _trained_by(run: RunFacts, runs: Mapping[str, RunFacts]) -> Iterable[str]:
    """The runs that a run goes on from, and those that these go on from."""
    found: list[str] = []
    while run.continued and run.continued[0] in runs and run.continued[0] not in found:
        run = runs[run.continued[0]]
        found.append(run.run)
    return found


def joined(several: Iterable[Use]) -> Use:
    """One use over several: until the last of them was over."""
    whole = Use()
    for use in several:
        whole.join(use)
    return whole
