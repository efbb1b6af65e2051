"""JSON for machines: the one envelope that every command prints."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

CLI_SCHEMA = "assay-cli/v1"


def print_json(body: dict[str, Any]) -> None:
    """Print a command's result under the format's and assay's version."""
    document = {"schemaVersion": CLI_SCHEMA, "assayVersion": metadata.version("assay"), **body}
    print(json.dumps(document, indent=2, allow_nan=False))
