"""What frameworks print while they start stays off the terminal, and nothing else does."""

from __future__ import annotations

import os

import pytest

from components.stacks.tfx_stack.quiet_start import silent


def test_standard_error_is_silent_in_the_block_alone(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before\n")
    with silent():
        os.write(2, b"from C++\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_an_error_in_the_block_gives_standard_error_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="broken"), silent():
        raise ValueError("broken")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
