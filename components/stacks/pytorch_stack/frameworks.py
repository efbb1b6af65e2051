"""Starts the frameworks of this stack: telemetry off, chatter off, versions on record."""

from __future__ import annotations

import logging
import os
import warnings
from functools import cache
from importlib import metadata

from components.stacks import telemetry

_LOGGERS = (
    "alembic",
    "evidently",
    "great_expectations",
    "great_expectations.data_context.types.base",
    "lightning.fabric.utilities.rank_zero",
    "lightning.pytorch.utilities.rank_zero",
    "mlflow",
    "torch.onnx._internal.exporter._registration",
)

_SETTINGS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",  # MLflow looks for git only to tag its own runs
    "MPLBACKEND": "Agg",  # MLflow's evaluation draws; no window is wanted, nor a display
}

_EXPECTED_WARNINGS = (
    # (message, category): each is about a choice this stack makes on purpose.
    (r"The '(train|val)_dataloader' does not have many workers", Warning),
    (r".*LeafSpec.*is deprecated", Warning),
    (r"# The axis name: .* will not be used", UserWarning),
    (r"`result_format` configured at the Validator-level", UserWarning),
)


def start() -> None:
    """Switch off telemetry and quieten the frameworks; called before any of them is imported.

    Errors of theirs still surface as exceptions. Only loggers and warnings named here are touched.
    """
    telemetry.switch_off()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
        # Some of them set their own level again at import; a filter stays.
        logging.getLogger(name).addFilter(_is_error)
    for message, category in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=category)


@cache
def tool(distribution: str) -> str:
    """Name and version of a distribution, as a measurement names its source."""
    return f"{distribution} {metadata.version(distribution)}"


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def versions(*distributions: str) -> dict[str, str]:
    """Installed version of each distribution, by name."""
    return {name: metadata.version(name) for name in distributions}
