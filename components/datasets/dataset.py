"""A canonical dataset version on disk, opened by whoever reads what ``canonical`` wrote.

Apart from the ingest, so that who looks into a dataset loads no engine that makes one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.errors import EvidenceError
from components.contract.policy import DataGatePolicy
from components.lineage.digests import parse_canonical
from components.lineage.regular_file import open_regular, read_regular

SCHEMA_VERSION = "assay-manifest/v1"
ROW_COLUMN = "assay_row"
SPLITS = ("train", "validation", "evaluation")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A canonical dataset version on disk.

    ``version`` is the SHA-256 of ``manifest.json``, in hex; it covers every other digest.
    """

    directory: Path
    manifest: dict[str, Any]
    version: str

    def files(
        self, *, split: str | None = None, spans: tuple[str, ...] | None = None
    ) -> list[Path]:
        """Parquet files of a split, of some spans, or of both; in the manifest's order."""
        return [
            self.directory / part["file"]
            for name, whole in self.manifest["splits"].items()
            for span, part in whole["spans"].items()
            if split in (None, name) and (spans is None or span in spans)
        ]

    def sides(self, gate: DataGatePolicy) -> tuple[list[Path], list[Path]]:
        """Files of the baseline and of the current rows, as the policy tells them apart.

        Where it declares a first release there is no baseline, and every row is current.
        """
        if gate.first_release is not None:
            return [], self.files()
        return self.files(spans=gate.baseline_spans), self.files(spans=gate.current_spans)

    def rows(self, split: str) -> int:
        """Number of rows in a split."""
        return int(self.manifest["splits"][split]["rows"])

    def root(self, split: str) -> str:
        """Merkle root, in hex, over a split's row commitments in rising order."""
        return str(self.manifest["splits"][split]["root"])

    @property
    def spans(self) -> tuple[str, ...]:
        """Every span that has rows, in rising order."""
        return tuple(sorted({s for w in self.manifest["splits"].values() for s in w["spans"]}))

    @classmethod
    def open(cls, directory: Path) -> Dataset:
        """Open a dataset version and check every file against its digest.

        Raises:
            EvidenceError: names a file that is missing, was added, or is not what was written.
        """
        dataset = cls.described(directory)
        for name, digest in dataset._digests.items():
            try:
                with open_regular(directory / name) as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise _unreadable(directory / name, error) from error
            if found != digest:
                raise EvidenceError(f"{directory / name} is not the file that was ingested")
        return dataset

    @classmethod
    def described(cls, directory: Path) -> Dataset:
        """Open a dataset version to ask its manifest, and to read files by ``parquet`` alone.

        Its files are all there and no others; what is in them is not looked at.

        Raises:
            EvidenceError: names a file that is missing or was added, or says what is no manifest.
        """
        try:
            raw = read_regular(directory / "manifest.json")
        except FileNotFoundError as error:
            raise EvidenceError(f"{directory}: manifest.json is missing") from error
        except OSError as error:
            raise _unreadable(directory / "manifest.json", error) from error
        manifest = parse_canonical(raw, f"{directory / 'manifest.json'}")
        if manifest.get("schemaVersion") != SCHEMA_VERSION:
            raise EvidenceError(f"{directory}: not a manifest of format {SCHEMA_VERSION}")
        dataset = cls(directory, manifest, hashlib.sha256(raw).hexdigest())
        try:
            known = dataset._digests
        except (KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(f"{directory}: manifest.json names no files") from error
        present = {str(p.relative_to(directory)) for p in directory.rglob("*.parquet")}
        if different := present ^ set(known):
            raise EvidenceError(f"{directory}: {min(different)} is missing or was added")
        return dataset

    @property
    def _digests(self) -> dict[str, str]:
        """SHA-256 of each file, in hex, by its name in the manifest."""
        return {
            part["file"]: part["sha256"]
            for whole in self.manifest["splits"].values()
            for part in whole["spans"].values()
        }

    def parquet(self, file: Path) -> pq.ParquetFile:
        """One of ``files()`` to read columns of, from the bytes that were checked.

        Raises:
            EvidenceError: it cannot be read, or is not what was written.
        """
        try:
            content = read_regular(file)
        except OSError as error:
            raise _unreadable(file, error) from error
        name = file.relative_to(self.directory).as_posix()
        if hashlib.sha256(content).hexdigest() != self._digests[name]:
            raise EvidenceError(f"{file} is not the file that was ingested")
        # Buffering ahead leaves threads behind that abort the process when it ends.
        return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)


def _unreadable(path: Path, error: OSError) -> EvidenceError:
    return EvidenceError(f"{path} cannot be read ({error.strerror})")
