"""The restore drill: every audit question, answered from bundles and nothing else.

Bundles are verified with a key from outside, brought into a home that is made for the drill and
gone after it, and the questions are put to what stands there then. It shows before it is needed
whether what was handed out is enough to answer for the runs once their home is lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components.audit.answers import Answer, Respondent, Status
from components.audit.bundle_format import TamperedError
from components.audit.evidence_lineage import EvidenceLineage
from components.audit.import_bundle import import_bundle
from components.audit.questions import Catalogue
from components.audit.readings import EVIDENCE, answer_json
from components.audit.restore_drill_answers import FactDifference, differing, not_bundled
from components.audit.trust import Trust
from components.audit.verify import Verification, verify_file
from components.contract.errors import EvidenceError, InputError
from components.lineage.evidence import CLOSING_STAGE
from components.release.records import histories, read_releases

_PREFIX = "assay-restore-"


@dataclass(frozen=True, slots=True)
class Checked:
    """A bundle, and what its verification came to."""

    path: Path
    verification: Verification

    @property
    def run(self) -> str:
        """The run that a sound bundle is about."""
        return self.verification.run.run if self.verification.run else ""

    @property
    def continues(self) -> bool:
        """Whether it is a run that releases what another one trained."""
        return bool(self.verification.manifest and self.verification.manifest.continues)


@dataclass(frozen=True, slots=True)
class Beyond:
    """A home's runs of one stack that are in no bundle, and how many of them have no end."""

    runs: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What one stack's bundles answer.

    ``untold`` counts the releases in the bundles' histories whose runs are in no bundle: what is
    known of them is their record alone, and no answer tells of them. ``differences`` is what is not
    as the home says it of the same runs, by question; where no home was named it is empty, and
    ``beyond`` None.
    """

    stack: str
    runs: tuple[str, ...]
    answers: tuple[Answer, ...]
    untold: int
    differences: Mapping[str, tuple[FactDifference, ...]] = field(default_factory=dict)
    beyond: Beyond | None = None

    def count(self, status: Status) -> int:
        """How many questions have come out so."""
        return sum(a.status is status for a in self.answers)

    @property
    def holds(self) -> bool:
        """Whether every question is answered, and as the home answers it."""
        return self.count(Status.ANSWERED) == len(self.answers) and not self.differences

    def to_json(self, catalogue: Catalogue) -> dict[str, Any]:
        """Every answer with its facts, what the bundles do not hold to it, and what differs."""
        answers = [
            answer_json(answer)
            | {"notInBundles": [str(a) for a in not_bundled(question)]}
            | {"differences": [d.to_json() for d in self.differences.get(question.id, ())]}
            for question, answer in zip(catalogue.questions, self.answers, strict=True)
        ]
        return {
            "stack": self.stack,
            "runs": list(self.runs),
            **{str(status): self.count(status) for status in Status},
            "releasesUntold": self.untold,
            "differing": len(self.differences) if self.beyond else None,
            "runsBeyond": self.beyond.runs if self.beyond else None,
            "unfinishedBeyond": self.beyond.unfinished if self.beyond else None,
            "answers": answers,
        }


def check_bundles(paths: Sequence[Path], trust: Trust) -> list[Checked]:
    """Verify each bundle, and see that they can stand in one home.

    Returns:
        What each verification came to, in the order given; one may have been tampered with.

    Raises:
        InputError: one is no bundle or is signed by a key that does not count, two are about the
            same run, or two hold the same thing differently.
    """
    checked = [Checked(path, _verified(path, trust)) for path in paths]
    runs: dict[str, Path] = {}
    for bundle in (c for c in checked if c.verification.sound):
        if bundle.run in runs:
            raise InputError(
                f"is about run {bundle.run}, and so is {runs[bundle.run]}",
                where=str(bundle.path),
                expected="one bundle of each run",
            )
        runs[bundle.run] = bundle.path
    _require_one_home(checked)
    return checked


def _verified(path: Path, trust: Trust) -> Verification:
    """As ``verify_file``, whose errors do not say which of several bundles they are about."""
    try:
        return verify_file(path, trust)
    except InputError as error:
        raise type(error)(error.what, where=str(path), expected=error.expected) from error


def _require_one_home(checked: Sequence[Checked]) -> None:
    """What two bundles share is the same in both."""
    seen: dict[str, tuple[Path, Mapping[str, str]]] = {}
    for bundle in checked:
        for thing, entries in _shared(bundle.verification):
            path, others = seen.setdefault(thing, (bundle.path, entries))
            if others != entries:
                raise InputError(
                    f"holds another {thing} than {path}",
                    where=str(bundle.path),
                    expected="bundles of one home, made after the runs were over",
                )


def _shared(found: Verification) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What other bundles may hold as well: each release, and what a run left; files by digest.

    Contract, policy and cards are bound by digest in records: they cannot differ alone.
    """
    if found.run is None or found.contents is None:
        return
    digests = found.contents.digests
    for name in sorted(n for n in digests if n.startswith("releases/")):
        yield name, {name: digests[name]}
    for run in found.run.runs:
        own = (f"runs/{run}/evidence/", f"runs/{run}/native-receipt.json")
        yield f"runs/{run}", {n: d for n, d in digests.items() if n.startswith(own)}


def restore(
    bundles: Sequence[Checked], trust: Trust, catalogue: Catalogue, home: Path | None = None
) -> list[Restored]:
    """Answer every question from bundles alone, stack by stack, and compare with a home.

    Args:
        bundles: as ``check_bundles`` gave them.
        trust: whose signatures count.
        catalogue: the questions.
        home: what it answers about the same runs is held against the bundles' answers.

    Raises:
        TamperedError: a bundle is not sound.
        InputError: the home holds no such run, or nothing can be written for the drill.
        EvidenceError: the home's evidence is broken.
    """
    with _restored_home(bundles, trust) as (place, runs):
        found = [
            Restored(
                stack,
                tuple(sorted(named)),
                _answers(place, stack, named, catalogue),
                _untold(place, stack, named),
            )
            for stack, named in sorted(runs.items())
        ]
    if home is None:
        return found
    return [_held(r, home, catalogue) for r in found]


@contextmanager
def _restored_home(
    bundles: Sequence[Checked], trust: Trust
) -> Iterator[tuple[Path, Mapping[str, set[str]]]]:
    """A home that holds the bundles' runs and is gone afterwards; the runs by stack."""
    runs: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        place = Path(folder) / "home"
        # A run that another one continues comes without its card in that one's bundle.
        for bundle in sorted(bundles, key=lambda b: b.continues):
            found = import_bundle(bundle.path, trust, place).verification
            if found.problems:
                first = found.problems[0]
                raise TamperedError(f"{bundle.path}, {first.entry}", first.what)
            if found.run is None or found.manifest is None:
                raise EvidenceError(f"{bundle.path} was imported and holds no run")
            runs.setdefault(found.manifest.stack, set()).update(found.run.runs)
        yield place, runs


def _untold(home: Path, stack: str, runs: Collection[str]) -> int:
    known = [read_releases(home, *history) for history in histories(home) if history[1] == stack]
    return sum(release.run not in runs for releases in known for release in releases)


def _answers(
    home: Path, stack: str, runs: Collection[str], catalogue: Catalogue
) -> tuple[Answer, ...]:
    graph = EvidenceLineage(home, stack).read(runs).graph
    return tuple(Respondent(graph, EVIDENCE).answer_all(catalogue.questions))


def _held(restored: Restored, home: Path, catalogue: Catalogue) -> Restored:
    try:
        held = _answers(home, restored.stack, restored.runs, catalogue)
    except EvidenceError as error:
        raise type(error)(f"{home}: {error}") from error
    pairs = zip(restored.answers, held, strict=True)
    found = {ours.question: differing(ours, theirs) for ours, theirs in pairs}
    different = {question: facts for question, facts in found.items() if facts}
    return replace(restored, differences=different, beyond=_beyond(restored, home))


def _beyond(restored: Restored, home: Path) -> Beyond:
    named = (home / "runs").glob(f"*-{restored.stack}-*")
    others = [p / "evidence" for p in named if p.name not in restored.runs]
    begun = [p for p in others if any(p.glob("[0-9]*-*.json"))]
    ended = [p for p in begun if any(p.glob(f"[0-9]*-{CLOSING_STAGE}.json"))]
    return Beyond(len(begun), len(begun) - len(ended))
