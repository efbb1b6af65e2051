"""Prints the tally of the agreement suite at the end of a test run."""

from __future__ import annotations

import pytest

from tests.agreement.tally import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY.cases:
        terminalreporter.section("agreement of the engines with the referee")
        terminalreporter.write_line(str(TALLY))
