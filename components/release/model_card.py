"""The model card of a release, from its evidence alone."""

from __future__ import annotations

from pathlib import Path


def write_model_card(run_directory: Path) -> tuple[Path, ...]:
    """Write the model card of a run and return its files."""
    return ()
