"""From when on a run's records count their years: the last moment at which they were in effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from components.audit.evidence_graph import release_key
from components.audit.evidence_runs import RunFacts
from components.release.records import Release

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Span:
    """Until when something was in use. ``since`` is None where nothing signed says it.

    ``standing`` is whether a release that is in force uses it, ``subjects`` are the run and the
    releases that a hold on this keeps.
    """

    since: datetime | None = None
    standing: bool = False
    subjects: set[str] = field(default_factory=set)

    def extend(self, moment: datetime | None) -> None:
        """Let it reach to a moment, if it ended before."""
        if moment is not None:
            self.since = max(self.since or _LONG_AGO, moment)

    def join(self, other: Span) -> None:
        """Let it reach as far as another one, whose holds keep it then."""
        self.extend(other.since)
        self.standing = self.standing or other.standing
        self.subjects |= other.subjects


def spans(
    runs: Mapping[str, RunFacts], releases: Mapping[str, tuple[Release, ...]]
) -> dict[str, Span]:
    """The span of each run.

    A release reaches back: to the run that trained its model, where that is another one. It is in
    effect until the next one of its dataset and stack, the last one until further notice.

    Args:
        runs: the runs of one stack, by id.
        releases: the history of each dataset in that stack, oldest first.
    """
    found = {name: Span(_ended(run), subjects={name}) for name, run in runs.items()}
    for history in releases.values():
        for release, following in zip(history, (*history[1:], None), strict=True):
            if release.run in found:
                span = found[release.run]
                span.subjects.add(release_key(release))
                span.extend(following.at if following else release.at)
                span.standing = span.standing or following is None
    for name, run in runs.items():
        if run.continued and run.continued[0] in found:
            # A hold on the run that releases a model keeps what the model was trained in.
            found[run.continued[0]].join(found[name])
    return found


def joined(all_spans: Iterable[Span]) -> Span:
    """One span over several: until the last of them was over."""
    whole = Span()
    for span in all_spans:
        whole.join(span)
    return whole


def _ended(run: RunFacts) -> datetime | None:
    """When its last record says that it was over."""
    times = [run.finished, *(s.finished for s in run.stages)]
    return max((datetime.fromisoformat(t) for t in times if t), default=None)
