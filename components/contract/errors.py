"""Named errors. Bad input and malfunctions are different things and exit differently."""

from __future__ import annotations


class AssayError(Exception):
    """A malfunction: something that should have worked did not. Exit code 3."""

    exit_code = 3


class InputError(AssayError):
    """Bad input, told in one line: what is wrong, where, and what would be right. Exit code 2.

    Messages name files, fields and rules; they never carry a cell of the data.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str, expected: str) -> None:
        self.what, self.where, self.expected = what, where, expected
        super().__init__(" ".join(f"{where}: {what}; expected {expected}".splitlines()))


class EvidenceError(AssayError):
    """Evidence is missing, out of order, or not what its digest says."""


class ProcessError(AssayError):
    """A stage ran out of order, left less than it must, or was left out."""
