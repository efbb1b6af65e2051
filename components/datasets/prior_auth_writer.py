"""Synthetic prior authorization data on disk: one Parquet file a month, and what is planted.

A file appears whole, by rename, so a month that is there is finished; a hidden file beside it holds
its SHA-256, by which a finished month is known again. ``ground_truth.json`` is
written first and names the rows and the seed: whoever asks again for the same goes on where it
stopped, and whoever asks for something else is refused. The bytes depend on rows and seed (and the
version of the Parquet library) alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.errors import InputError
from components.datasets import prior_auth as plan
from components.datasets.prior_auth import GROUND_TRUTH, MONTHS, Population
from components.datasets.prior_auth_rows import RowMaker, month_name
from components.lineage.digests import sha256_file
from components.lineage.durable import (
    locked_directory,
    sync_directory,
    sync_file,
    writable_directory,
    write_atomically,
)
from components.lineage.regular_file import read_regular

GROUP_ROWS = 1 << 18
"""Rows of a row group, which is all that is in memory; some 200 bytes each."""
CHUNK_ROWS = 1 << 16
"""Rows that are made at a time; the bytes do not depend on it."""
_PREFIXES = {"request_id": "DELTA_BYTE_ARRAY", "requested_at": "DELTA_BINARY_PACKED"}
_PLAIN = {"member_id": "PLAIN", "provider_id": "PLAIN", "decided_at": "DELTA_BINARY_PACKED"}

Watch = Callable[[int], None]
"""Called with the number of rows that were just written, or found to be there."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What stands in the folder: rows, bytes of the data files, and months found finished."""

    rows: int
    bytes: int
    files: int
    kept: int


def generate(
    population: Population, folder: Path, watch: Watch, chunk_rows: int = CHUNK_ROWS
) -> Generated:
    """Write every month that is not there yet.

    Raises:
        InputError: the folder holds something else, or the disk refuses.
    """
    writable_directory(folder)
    maker, kept = RowMaker(population), 0
    try:
        with locked_directory(folder):
            _begin(maker, folder)
            for month in range(len(MONTHS)):
                path = folder / f"{month_name(month)}.parquet"
                if _is_finished(path, population, month):
                    watch(_count(population, month))
                    kept += 1
                else:
                    _write_month(maker, month, path, watch, chunk_rows)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", where=str(folder), expected="a disk with room"
        ) from error
    files = [folder / f"{month_name(i)}.parquet" for i in range(len(MONTHS))]
    return Generated(population.rows, sum(f.stat().st_size for f in files), len(files), kept)


def ground_truth(maker: RowMaker) -> dict[str, Any]:
    """What is planted, for whoever wants to know whether it was found."""
    people = maker.population
    return {
        "schemaVersion": plan.GENERATOR,
        "synthetic": plan.SYNTHETIC,
        "rows": people.rows,
        "seed": str(people.seed),
        "season": {
            "column": "diagnosis_group",
            "value": plan.WINTER_DIAGNOSIS,
            "weightByCalendarMonth": list(plan.WINTER),
        },
        "codingChange": {
            "column": "procedure_group",
            "date": plan.CODING_CHANGE.isoformat(),
            "before": plan.OLD_CODE,
            "from": plan.NEW_CODE,
        },
        "disparity": {
            "column": "language",
            "against": [name for name in plan.LANGUAGES if name != "english"],
            "logOdds": f"{plan.DISPARITY / 100:.2f}",
        },
        "rings": {
            "shareOfRequests": f"{plan.RING_SHARE / 65536:.3f}",
            "billedAgainstOthers": f"{plan.RING_BILLING_TENTHS / 10:.1f}",
            "procedure": plan.RING_PROCEDURE,
            "providers": maker.rings,
        },
    }


def _begin(maker: RowMaker, folder: Path) -> None:
    """See that the folder is empty or holds a start of the same data, and say what will be there.

    Raises:
        InputError: it is neither.
    """
    truth = (json.dumps(ground_truth(maker), indent=1) + "\n").encode()
    path, expected = folder / GROUND_TRUTH, "an empty folder, or the same --rows and --seed again"
    if path.exists():
        if read_regular(path) != truth:
            raise InputError(
                "holds data of other rows or seed", where=str(folder), expected=expected
            )
        return
    if odd := next((p.name for p in sorted(folder.iterdir()) if p.name[0] != "."), None):
        raise InputError(f"{odd} is there already", where=str(folder), expected=expected)
    write_atomically(path, truth)


def _count(population: Population, month: int) -> int:
    starts = population.month_starts
    return int(starts[month + 1] - starts[month])


def _metadata(population: Population, month: int) -> dict[bytes, bytes]:
    return {
        b"assay:synthetic": plan.SYNTHETIC.encode(),
        b"assay:generator": plan.GENERATOR.encode(),
        b"assay:rows": str(population.rows).encode(),
        b"assay:seed": str(population.seed).encode(),
        b"assay:month": month_name(month).encode(),
    }


def _is_finished(path: Path, population: Population, month: int) -> bool:
    """Whether the month is there; one of which no digest was kept is written again.

    Raises:
        InputError: a file of that name is something else, or was changed.
    """
    if not os.path.lexists(path):
        return False
    _require_ours(path, population, month)
    digest = _digest_beside(path)
    if not digest.is_file():
        return False
    if read_regular(digest) != _digest_line(path):
        raise InputError(
            "was changed since it was written", where=str(path), expected="this file removed"
        )
    return True


def _digest_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _digest_line(path: Path) -> bytes:
    return f"{sha256_file(path)}\n".encode()


def _require_ours(path: Path, population: Population, month: int) -> None:
    """Refuse a file of that name that says it is something else; a pipe is not waited for."""
    wanted, found = _metadata(population, month), None
    with contextlib.suppress(pa.ArrowInvalid):  # no Parquet: told below, like any foreign file
        found = pq.read_metadata(path) if path.is_file() else None
    held = (found.metadata or {}) if found else {}
    if (
        found is None
        or found.num_rows != _count(population, month)
        or any(held.get(k) != v for k, v in wanted.items())
    ):
        raise InputError(
            "not the month that belongs here", where=str(path), expected="this file removed"
        )


def _write_month(maker: RowMaker, month: int, path: Path, watch: Watch, chunk_rows: int) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # somebody's pipe would be waited for
    schema = maker.rows(month, 0, 0).schema
    dictionaries = [f.name for f in schema if pa.types.is_dictionary(f.type)]
    counted = [f.name for f in schema if f.type in (pa.int8(), pa.int32())]
    try:
        with pq.ParquetWriter(
            part,
            schema,
            version="2.6",
            compression="zstd",
            use_dictionary=dictionaries + counted,
            column_encoding={**_PREFIXES, **_PLAIN},
            store_schema=False,
        ) as writer:
            for group in _groups(maker, month, chunk_rows):
                writer.write_table(group, GROUP_ROWS)
                watch(group.num_rows)
            writer.add_key_value_metadata(_metadata(maker.population, month))
        sync_file(part)
        write_atomically(_digest_beside(path), _digest_line(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)


def _groups(maker: RowMaker, month: int, chunk_rows: int) -> Iterator[pa.Table]:
    """A month's rows in tables of one row group, each column in one piece."""
    first, after = (int(n) for n in maker.population.month_starts[month : month + 2])
    for start in range(first, after, GROUP_ROWS):
        stop = min(start + GROUP_ROWS, after)
        chunks = [
            maker.rows(month, at, min(at + chunk_rows, stop))
            for at in range(start, stop, chunk_rows)
        ]
        yield pa.concat_tables(chunks).combine_chunks()
