"""Search what was written about data for values that name the people in it.

Searched is every byte of a home outside the places that hold rows or data by design: ``datasets``,
``decisions``, and of a run the Parquet files, the TFRecord files, the statistics and the profiles
among its artifacts. Those stay where the data is; records name them by their digests alone. A link
is not followed: what it leads to is searched where it is. A file's own name counts as written too.

A short number in a binary form of its own (a database's page, a weight) cannot be told from others
and is not looked for there; see ``phi_values`` for what is. Memory is bounded: files are mapped,
and what is packed in them is unpacked up to 64 MiB; what is larger is told as not searched.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.audit.phi_layers import layers
from components.audit.phi_search import Hit, Patterns
from components.audit.phi_values import Wanted, wanted_values
from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import parse_canonical

DATA_FOLDERS = ("datasets", "decisions")
_MOST_FINDINGS = 1000  # of one file
_RUN_DATA = re.compile(
    r"runs/[^/]+/(artifacts|native)/(.*/)?"
    r"([^/]+\.parquet|data_tfrecord-[^/]+|FeatureStats\.pb|profile-[^/]+\.json)"
)


@dataclass(frozen=True, slots=True)
class PhiFinding:
    """A value out of the data in a file. The value itself is not told.

    Attributes:
        file: the file, below the folder that was searched; a value in its name stands as [column].
        offset: in bytes, of the value, or of the outermost packed part that it is in.
        column: of the contract.
        encoding: how the value stands there.
        within: how it was packed, from the outside in, as ``zip > zlib``; empty if it was not.
    """

    file: str
    offset: int
    column: str
    encoding: str
    within: str = ""


@dataclass(slots=True)
class PhiScan:
    """What a search came to.

    Attributes:
        findings: in the order of the files.
        unsearched: files that could not be searched whole, and why.
        files: number of files searched.
        size: bytes of these files.
        values: by column, how many values were looked for, of how many.
    """

    findings: list[PhiFinding] = field(default_factory=list)
    unsearched: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    size: int = 0
    values: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether everything was searched and nothing found."""
        return not self.findings and not self.unsearched

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "clean": self.is_clean,
            "findings": [asdict(f) for f in self.findings],
            "unsearched": [{"file": f, "why": why} for f, why in self.unsearched],
            "files": self.files,
            "bytes": self.size,
            "values": {c: {"searched": n, "of": of} for c, (n, of) in self.values.items()},
        }


def home_values(home: Path) -> Wanted:
    """The values to look for of all dataset versions of a home.

    A version's contract is that of a run of it, if its digest is what the manifest says.

    Raises:
        InputError: there are no datasets, or nothing in them can be looked for.
        EvidenceError: a version's manifest or file cannot be read, or no run has its contract.
    """
    import pyarrow as pa

    manifests = sorted((home / "datasets").glob("*/*/manifest.json"))
    if not manifests:
        raise InputError(
            "holds no rows whose values could be looked for",
            where=str(home / "datasets"),
            expected="a home with its data (`--home DIR`)",
        )
    contracts = _contracts(home)
    wanted = Wanted()
    for path in manifests:
        try:
            digest = str(parse_canonical(path.read_bytes(), str(path)).get("contract"))
            if digest not in contracts:
                raise EvidenceError(f"{path.parent}: no run of this home has its contract")
            found = wanted_values(contracts[digest], sorted(path.parent.rglob("*.parquet")))
        except (OSError, pa.ArrowException) as error:
            kind = type(error).__name__
            raise EvidenceError(f"{path.parent}: its rows cannot be read ({kind})") from error
        _merge(wanted, found)
    if not wanted.anywhere and not wanted.named:
        raise InputError(
            "no column names a person",
            where=str(home / "datasets"),
            expected="a contract with an entity",
        )
    return wanted


def _contracts(home: Path) -> dict[str, Contract]:
    """Contracts by digest, each loaded once."""
    found: dict[str, Contract] = {}
    for path in sorted((home / "runs").glob("*/contract.yaml")):
        if hashlib.sha256(path.read_bytes()).hexdigest() not in found:
            contract = load_contract(path)
            found[contract.digest] = contract
    return found


def _merge(wanted: Wanted, other: Wanted) -> None:
    wanted.anywhere.update(other.anywhere)
    for column, values in other.named.items():
        wanted.named.setdefault(column, set()).update(values)
    for column, (searched, of) in other.counts.items():
        wanted.counts[column] = max(wanted.counts.get(column, (0, 0)), (searched, of))


def scan_phi(home: Path, further: Sequence[Path] = (), wanted: Wanted | None = None) -> PhiScan:
    """Search a home, and further files and folders, for the values of the home's data.

    Args:
        home: its data folders are left out.
        further: files or folders that are searched whole.
        wanted: what to look for instead of the values of the home's data.

    Raises:
        InputError, EvidenceError: as ``home_values`` raises them.
    """
    wanted = home_values(home) if wanted is None else wanted
    patterns = Patterns(wanted)
    scan = PhiScan(values=dict(wanted.counts))
    for path, name in _files(home, further, scan):
        hits = list(patterns.find(name.encode("utf-8", "surrogateescape")))
        shown = _without(name, hits)
        scan.findings += [PhiFinding(shown, 0, h.column, h.encoding, "the name") for h in hits]
        try:
            _scan_file(path, shown, patterns, scan)
        except OSError as error:
            scan.unsearched.append((shown, error.strerror or type(error).__name__))
    return scan


def _without(name: str, hits: Iterable[Hit]) -> str:
    """A file's name with each value that is in it replaced by its column."""
    raw = name.encode("utf-8", "surrogateescape")
    for hit in sorted(hits, key=lambda h: -h.offset):
        raw = raw[: hit.offset] + f"[{hit.column}]".encode() + raw[hit.offset + hit.length :]
    return raw.decode("utf-8", "backslashreplace")


def _files(home: Path, further: Sequence[Path], scan: PhiScan) -> Iterator[tuple[Path, str]]:
    """Every regular file to search and its name to show."""
    for path in _regular(home, scan):
        name = path.relative_to(home).as_posix()
        if name.split("/", 1)[0] not in DATA_FOLDERS and not _RUN_DATA.fullmatch(name):
            yield path, name
    for root in further:
        for path in _regular(root, scan):
            yield path, path.relative_to(root.parent).as_posix()


def _regular(root: Path, scan: PhiScan) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return

    def refused(error: OSError) -> None:
        scan.unsearched.append((str(error.filename), error.strerror or type(error).__name__))

    for folder, folders, names in os.walk(root, onerror=refused):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _scan_file(path: Path, name: str, patterns: Patterns, scan: PhiScan) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        scan.files, scan.size = scan.files + 1, scan.size + size
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found: dict[PhiFinding, None] = {}
            for finding in _findings(content, name, patterns, scan):
                found[finding] = None
                if len(found) >= _MOST_FINDINGS:
                    break
            scan.findings += sorted(found, key=lambda f: (f.offset, f.within, f.column, f.encoding))


def _findings(
    content: Any, name: str, patterns: Patterns, scan: PhiScan, within: tuple[str, ...] = (),
    place: int | None = None,
) -> Iterator[PhiFinding]:  # fmt: skip
    """What is in some bytes and in all that is packed in them; ``place`` is that of the outside."""
    path = " > ".join(within)
    for hit in patterns.find(content):
        offset = hit.offset if place is None else place
        yield PhiFinding(name, offset, hit.column, hit.encoding, path)
    for layer in layers(content, len(within)):
        outside = layer.offset if place is None else place
        inner = (*within, layer.kind)
        if layer.content is None:
            why = f"{' > '.join(inner)} at byte {outside} could not be unpacked whole"
            scan.unsearched.append((name, why))
        elif layer.content:
            yield from _findings(layer.content, name, patterns, scan, inner, outside)
