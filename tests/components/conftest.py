"""Runs to report on: two candidates, two stacks, one of them blocked."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.release.run_summary import RunSummary, summarise
from tests.plain_stack import PILOT, PRODUCTION, PlainStack, start


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunSummary]:
    """Blocked and released runs, each with real evidence."""
    home = tmp_path_factory.mktemp("compared")
    lenient = home / "lenient.yaml"
    lenient.write_text(PILOT.read_text().replace("at_most: 0.2", "at_most: 0.9"))
    found: list[Path] = []
    for stack in ("tfx", "pytorch"):
        for candidate, policy in (("plain", PRODUCTION), ("mitigated", lenient)):
            process = start(home, candidate, policy=policy, stack=stack)
            PlainStack(process).run()
            found.append(process.spec.directory)
    return [summarise(directory) for directory in found]


@pytest.fixture(scope="session")
def pair(runs: list[RunSummary]) -> list[RunSummary]:
    """A released run of each stack, of one candidate and policy."""
    return [r for r in runs if r.candidate == "mitigated"]
