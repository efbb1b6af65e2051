"""A home with everything that retention is about, for tests that purge copies of it.

Three runs of a made-up insurer and the log of a release's decisions: ``first`` was released and
superseded by ``second``; ``blocked`` read a dataset of its own. All of it was made today, so tests
ask as of a day in years to come.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.audit.retention import RetentionCheck, State, check_retention
from components.audit.retention_policy import RetentionPolicy, load_retention
from components.contract.json_schema import ROOT
from components.stacks.process import ReleaseProcess
from components.stacks.run_spec import RunSpec
from components.stacks.stages import Stage, StageResult
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, changed_outputs, start

POLICY = ROOT / "policies" / "retention.yaml"
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=366 * 7)
LOG = "decided-once"


@dataclass(frozen=True, slots=True)
class RetainedHome:
    """The home, and the ids of its runs."""

    home: Path
    first: str
    second: str
    blocked: str

    def copy(self, target: Path) -> RetainedHome:
        """The same in another place, to be changed there."""
        shutil.copytree(self.home, target)
        return RetainedHome(target, self.first, self.second, self.blocked)

    @property
    def shared(self) -> str:
        """The dataset that both released runs read."""
        return self._dataset(self.first)

    @property
    def own(self) -> str:
        """The dataset that the blocked run alone read."""
        return self._dataset(self.blocked)

    def _dataset(self, run: str) -> str:
        version = RunSpec.load(self.home / "runs" / run).dataset_version
        return f"datasets/insurer/{version[:16]}"


def make_home(home: Path) -> RetainedHome:
    """Make the home; its documents and source files lie beside it."""
    contract, policy = seeded.write_documents(home.parent / "documents", lambda _: None)
    good = seeded.write_rows(home.parent / "good.csv", None)
    biased = seeded.write_rows(home.parent / "biased.csv", seeded.biased)

    def begin(data: Path) -> ReleaseProcess:
        return start(home, "plain", policy=policy, contract=contract, data=data)

    first, second, blocked = begin(good), begin(good), begin(biased)
    changes = {Stage.TRAIN: _checkpoints}
    assert PlainStack(first, changes).run() == "released"
    decide(first, LOG, rows_of(first, "evaluation"))
    assert PlainStack(second, changes).run() == "released"
    assert PlainStack(blocked, changes).run() == "blocked"
    ids = [p.spec.run_id for p in (first, second, blocked)]
    return RetainedHome(home, *ids)


def _checkpoints(stack: PlainStack, result: StageResult) -> StageResult:
    """Checkpoints in a folder, as real stacks leave them."""
    folder = stack.out / "checkpoints"
    folder.mkdir()
    for step in ("1", "2"):
        (folder / f"{step}.json").write_text(f"[{step}]")
    return changed_outputs(result, checkpoint=folder)


def rules() -> RetentionPolicy:
    """The shipped policy."""
    return load_retention(POLICY)


def states(home: Path, when: datetime = LATER) -> dict[str, set[State]]:
    """How it stands with everything, by name."""
    found: dict[str, set[State]] = {}
    for standing in check(home, when).standings:
        found.setdefault(standing.name, set()).add(standing.state)
    return found


def check(home: Path, when: datetime = LATER) -> RetentionCheck:
    """What the check says on a day under the shipped policy."""
    return check_retention(home, rules(), when.date())
