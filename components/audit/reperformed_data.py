"""Data files against the manifest that a run was bound to, and rows against their commitments.

A file that is not the one that was ingested is named and is not opened: whatever it holds, it is
not what the run read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from components.contract.contract import Contract
from components.contract.errors import EvidenceError
from components.datasets.canonical import ROW_COLUMN, Dataset, rows_root
from components.lineage.commitments import commit_rows, encode_rows
from components.lineage.digests import parse_canonical, sha256_file
from components.profile.compute import Watch
from components.release.recomputation import Outcome, Recomputed, compare_texts

DATA, ROWS = "data", "rows"
_MANIFEST = "manifest.json"
_ALL = "all rows"


@dataclass(frozen=True, slots=True)
class CheckedData:
    """What the files came to. ``dataset`` is there where all of them are those that were read."""

    found: tuple[Recomputed, ...]
    dataset: Dataset | None

    @property
    def wrong(self) -> str:
        """The first file that is not what was recorded; empty where there is none."""
        return next((f.name for f in self.found if not f.same), "")


def check_files(directory: Path, inputs: Mapping[str, str], watch: Watch) -> CheckedData:
    """Hold a dataset version's files against the digests that a run was bound to.

    Args:
        directory: where the dataset version lies, or should.
        inputs: the run's, as its records hold them.
        watch: told what is being read.
    """
    watch(_MANIFEST)
    version = digest_of(directory / _MANIFEST)
    first = _compared(_MANIFEST, inputs["datasetVersion"], version)
    if not first.same:
        return CheckedData((first,), None)
    manifest = parse_canonical((directory / _MANIFEST).read_bytes(), _MANIFEST)
    dataset = Dataset(directory, manifest, version)
    found = [first]
    for name, said in (("contract", manifest["contract"]), ("rowsRoot", manifest["root"])):
        found.append(_compared(f"{name} of {_MANIFEST}", inputs[name], said))
    known = {
        part["file"]: part["sha256"]
        for whole in manifest["splits"].values()
        for part in whole["spans"].values()
    }
    present = {p.relative_to(directory).as_posix() for p in directory.rglob("*.parquet")}
    for name in sorted(present | set(known)):
        watch(name)
        found.append(_compared(name, known.get(name, ""), digest_of(directory / name)))
    sound = all(f.same for f in found)
    return CheckedData(tuple(found), dataset if sound else None)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex; empty where there is none."""
    if not path.is_file():
        return ""
    try:
        return sha256_file(path)
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read ({error.strerror})") from error


def _compared(name: str, recorded: str, computed: str) -> Recomputed:
    if not computed:
        return Recomputed(name, "", recorded, "is not there", Outcome.IMPOSSIBLE, DATA)
    return compare_texts(name, "", recorded or "no such file", computed, DATA)


def check_rows(
    dataset: Dataset, contract: Contract, row_key: bytes | None, watch: Watch
) -> Iterator[Recomputed]:
    """Roots of each split's row commitments; with the row key also that each is its own row's.

    Args:
        dataset: a sound one.
        contract: its contract.
        row_key: the key that the commitments were made with; without it nobody can make them.
        watch: told which split is being read.
    """
    names = [c.name for c in contract.columns]
    held: dict[str, list[bytes]] = defaultdict(list)
    made: dict[str, list[bytes]] = defaultdict(list)
    for split in dataset.manifest["splits"]:
        watch(f"rows of {split}")
        for path in dataset.files(split=split):
            table = pq.read_table(path, columns=[ROW_COLUMN, *(names if row_key else [])])
            held[split] += table[ROW_COLUMN].to_pylist()
            if row_key:
                # Rows that look alike are of one person and one span, so they lie in one file.
                made[split] += commit_rows(row_key, encode_rows(table.select(names)))
        yield compare_texts("root", split, dataset.root(split), rows_root(held[split]), ROWS)
        if row_key:
            yield _own(split, held[split], made[split])
    everything = [c for split in held.values() for c in split]
    recorded = str(dataset.manifest["root"])
    yield compare_texts("root", _ALL, recorded, rows_root(everything), ROWS)
    if not row_key:
        told = "no row key was given"
        yield Recomputed("commitments", _ALL, recorded, told, Outcome.NOT_CHECKED, ROWS)


def _own(split: str, held: Sequence[bytes], made: Sequence[bytes]) -> Recomputed:
    wrong = sum(a != b for a, b in zip(held, made, strict=True))
    told = f"{len(held):,} rows carry their own commitment"
    computed = f"{wrong:,} of them do not" if wrong else told
    return compare_texts("commitments", split, told, computed, ROWS)
