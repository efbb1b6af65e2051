"""What runs: the code, the environment that it runs in, and the container that holds both."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from components.contract.json_schema import ROOT
from components.lineage.digests import sha256_file, sha256_json
from components.stacks.run_spec import NONE

IMAGE_VARIABLE = "ASSAY_IMAGE"
SBOM_FILE = "sbom.cdx.json"
_SYNCED = ".assay-synced"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run is done with. ``bill`` is the SBOM itself, CycloneDX 1.6 in JSON.

    ``code`` and ``digest`` are as ``code_revision`` and ``environment_digest`` give them. ``lock``
    is the SHA-256 of the lock file that ``make setup`` installed, ``image`` the container image
    that the variable ``ASSAY_IMAGE`` names; either may be ``none``.
    """

    code: str
    digest: str
    lock: str
    image: str
    bill: bytes

    @property
    def sbom(self) -> str:
        """SHA-256 of the SBOM, in hex."""
        return hashlib.sha256(self.bill).hexdigest()


def environment() -> Environment:
    """What this process is done with."""
    return Environment(
        code_revision(),
        environment_digest(),
        _lock(),
        os.environ.get(IMAGE_VARIABLE) or NONE,
        bill_of_materials(),
    )


def code_revision() -> str:
    """The code that runs: package version, content digest, git revision, and changes to it.

    The content digest is a SHA-256 over every module of ``components`` and ``pipelines``, committed
    or not. Where the working tree differs from the revision, ``diff:`` is the SHA-256 of how.
    """
    modules = [
        [p.relative_to(ROOT).as_posix(), sha256_file(p)]
        for room in ("components", "pipelines")
        for p in sorted((ROOT / room).rglob("*.py"))
    ]
    parts = [f"assay {metadata.version('assay')}", f"sha256:{sha256_json(modules)}"]
    if revision := _git("rev-parse", "HEAD"):
        parts.append(f"git:{revision}")
        changed = [_git("diff", "HEAD", "--binary"), _git("status", "--porcelain")]
        if any(changed):
            parts.append(f"diff:{sha256_json(changed)}")
    return " ".join(parts)


def _git(*arguments: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            check=True,
            text=True,
            errors="replace",
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def environment_digest() -> str:
    """SHA-256 over the name and version of every installed distribution, in name order."""
    return sha256_json([f"{name}=={version}" for name, version in _distributions()])


def _distributions() -> list[tuple[str, str]]:
    # Each look at a name or a version parses the whole file again: one look at each file.
    files = [d.metadata for d in metadata.distributions()]
    return sorted({(f["Name"].lower(), f["Version"]) for f in files if f["Name"]})


def _lock() -> str:
    """The file that the environment was synced to, as the Makefile noted it there."""
    try:
        named = (Path(sys.prefix) / _SYNCED).read_text("utf-8").split()[0]
        return sha256_file(ROOT / named)
    except (OSError, IndexError):
        return NONE


def bill_of_materials() -> bytes:
    """Every installed distribution, as CycloneDX 1.6; the same bytes for the same environment.

    It has no serial number and no time: what is the same must have the same digest.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL

    bill = Bom()
    for name, version in _distributions():
        url = PackageURL("pypi", name=name, version=version)
        bill.components.add(
            Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=version,
                purl=url,
                bom_ref=str(url),
            )
        )
    text = make_outputter(bill, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    return _without_occasion(text)


def _without_occasion(text: str) -> bytes:
    import json

    document = json.loads(text)
    document.pop("serialNumber", None)
    document.get("metadata", {}).pop("timestamp", None)
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
