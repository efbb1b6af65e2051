"""Switches off the telemetry of everything that Assay runs. Imported before any framework is."""

from __future__ import annotations

import os

SWITCHES = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def switch_off() -> None:
    """Set every switch in this process's environment; child processes inherit them."""
    os.environ.update(SWITCHES)
