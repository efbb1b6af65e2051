"""How fast `assay verify` is, beside the machine's own SHA-256 over the same file.

    python -m benchmarks.verify [--megabytes 1024] [--rounds 3]

A bundle with one large report is made; then, in turns, the whole command and ``hashlib`` over the
same file are timed, each in a process of its own, after the file was read once. Printed is one
JSON object: seconds of each round, the ratio of the best ones, and the seconds of a bundle without
a report, which is what starting costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import machine_facts, tell, timed
from components.audit.bundle_zip import write_zip
from components.audit.import_bundle import public_pem
from tests.small_bundle import raw_key, released, sources

_HASH = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as m:
    print(hashlib.sha256(m).hexdigest())
"""
_MEGABYTE = 1 << 20


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.megabytes, given.rounds), indent=1))


def measure(folder: Path, megabytes: int, rounds: int) -> dict[str, Any]:
    """Make the bundles, time both, and say how they compare."""
    key, large, small = folder / "home.pub", folder / "large.zip", folder / "small.zip"
    key.write_bytes(public_pem(raw_key("home")))
    write_zip(small, dict(sources(released())))
    tell(f"making a bundle of {megabytes} MB")
    make_large(folder, large, megabytes)
    found: dict[str, list[float]] = {"verify": [], "sha256": [], "start": []}
    for _ in range(rounds):
        commands = {
            "sha256": [sys.executable, "-c", _HASH, str(large)],
            "verify": [str(assay()), "verify", str(large), "--key", str(key)],
            "start": [str(assay()), "verify", str(small), "--key", str(key)],
        }
        for name, command in commands.items():
            found[name].append(timed(name, command).seconds)
            tell(f"{name}: {found[name][-1]:.2f} s")
    best = {name: min(seconds) for name, seconds in found.items()}
    return {
        "bytes": large.stat().st_size,
        "seconds": found,
        "share_of_sha256_speed": round(best["sha256"] / best["verify"], 3),
        "start_seconds": best["start"],
        "load_average": os.getloadavg()[0],
        "machine": machine_facts(["cryptography", "jsonschema"]),
    }


def make_large(folder: Path, path: Path, megabytes: int) -> None:
    """A bundle whose report has that size, of bytes that no compression makes less."""
    report = folder / "report.bin"
    with report.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(os.urandom(_MEGABYTE))
    from tests.small_bundle import with_report

    write_zip(path, with_report(released(), report))
    report.unlink()


def assay() -> Path:
    """The installed command, beside this Python."""
    found = shutil.which("assay", path=str(Path(sys.executable).parent))
    if found is None:
        raise FileNotFoundError("assay is not installed beside this Python")
    return Path(found)


if __name__ == "__main__":
    main()
