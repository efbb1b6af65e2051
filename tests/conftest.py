"""Fixtures that many rooms share: the shipped contract and policies, and their real data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.json_schema import ROOT
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.datasets.canonical import Dataset, ingest
from components.stacks.telemetry import switch_off
from tests import clinic as clinic_documents
from tests.agreement.tally import TALLY

# Tests import frameworks too, some of which report home as soon as they are loaded.
switch_off()


@pytest.fixture(scope="session")
def rand_hie_contract() -> Contract:
    """The shipped contract of the RAND Health Insurance Experiment."""
    return load_contract(ROOT / "schemas" / "rand_hie.yaml")


@pytest.fixture(scope="session")
def rand_hie_policy(rand_hie_contract: Contract) -> Policy:
    """Its production policy."""
    return load_policy(ROOT / "policies" / "rand_hie.yaml", rand_hie_contract)


@pytest.fixture(scope="session")
def rand_hie_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the canonical RAND HIE data; tests read it and change nothing."""
    return tmp_path_factory.mktemp("rand_hie_home")


@pytest.fixture(scope="session")
def rand_hie(rand_hie_contract: Contract, rand_hie_policy: Policy, rand_hie_home: Path) -> Dataset:
    """The canonical RAND HIE data."""
    return ingest(rand_hie_contract, rand_hie_policy, rand_hie_home, b"k" * 32)


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The made-up clinic's contract, as it is."""
    return clinic_documents.contract(tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="session")
def rules(clinic: Contract) -> Policy:
    """The made-up clinic's policy, as it is."""
    return clinic_documents.policy(clinic.path.parent, clinic)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real headless Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed; `make test` installs it on Debian"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=["--headless", "--no-sandbox", "--disable-gpu",
                  "--disable-background-networking", "--disable-component-update",
                  "--disable-sync"],
        )  # fmt: skip
        yield started
        started.close()


class ByRoom(LoadScopeScheduling):
    """A file is for one process, and so is all of ``conformance``, whose runs take minutes to make.

    Not by marks and ``--dist loadgroup``: pytest 9 no longer takes the names that it gives.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        room = path.rpartition("/")[0]
        return room if room.endswith(f"/{_LONGEST[0]}") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByRoom:
    """How tests are dealt out, whatever ``--dist`` says."""
    return ByRoom(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What makes whole runs comes first, so that both processes are done at one time."""
    items.sort(key=lambda item: _place(item.path.parent.name))


def _place(room: str) -> int:
    return _LONGEST.index(room) if room in _LONGEST else len(_LONGEST)


_LONGEST = ("conformance", "docs", "benchmarks", "agreement")


# The tally of tests/agreement, told at the end wherever its tests ran. Here and not beside them:
# the process that prints for pytest-xdist's workers loads no conftest of a folder further down.

_TALLY = "assay_agreement"
_tallies: list[str] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands its tally to the process that prints."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None and TALLY.cases:
        output[_TALLY] = str(TALLY)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended."""
    if _TALLY in getattr(node, "workeroutput", {}):
        _tallies.append(node.workeroutput[_TALLY])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each process that compared anything."""
    lines = [*_tallies, *([str(TALLY)] if TALLY.cases else [])]
    if lines:
        terminalreporter.section("agreement of the engines with the referee")
        for line in lines:
            terminalreporter.write_line(line)
