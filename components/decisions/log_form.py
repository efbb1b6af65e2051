"""What a decision log must look like, whoever signed it: a key signs nonsense as well as sense.

Whoever holds the home's key can sign a log that no scoring ever wrote. Readers take none whose
header lacks a field, whose segments have other columns, or whose rows contradict the header. No
message tells a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract.errors import EvidenceError
from components.decisions.log import NOT_SELECTED, SELECTED

REVIEW = "review"
"""A qualified person decides; the model's word counts for nothing."""
DECIDE, REVIEW_ALL, REFUSE = "decide", "review", "refuse"
"""What becomes of a batch: its rows are decided, all are left to a person, or none is."""

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("assay_row", pa.binary(32)),
        ("assay_entity", pa.binary(16)),
        ("score", pa.float64()),
        ("outcome", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("decided_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of a segment; those of protected groups, ``assay_group_<column>``, follow."""

_GROUP = "assay_group_"
_TEXTS = (
    "dataset", "stack", "run", "releaseDigest", "model", "policy", "contract", "threshold",
    "batch", "route", "actor", "startedAt",
)  # fmt: skip

Flags = npt.NDArray[np.bool_]


def require_header(header: Mapping[str, Any], log_id: str) -> None:
    """Refuse the first entry of a log that does not say what stands for its decisions.

    Raises:
        EvidenceError: names the field that is missing or is not what it must be.
    """
    check, release = header.get("check"), header.get("release")
    wrong = [name for name in _TEXTS if not isinstance(header.get(name), str)]
    if type(release) is not int or release < 1:
        wrong.append("release")
    verdict = check if isinstance(check, dict) else {}
    if not all(isinstance(verdict.get(name), str) for name in ("status", "reason")):
        wrong.append("check")
    if "threshold" not in wrong and _share(header["threshold"]) is None:
        wrong.append("threshold")
    if header.get("route") not in (DECIDE, REVIEW_ALL, REFUSE):
        wrong.append("route")
    if header.get("adverse") not in (None, SELECTED, NOT_SELECTED):
        wrong.append("adverse")
    sentences = header.get("sentences", [])
    if not (isinstance(sentences, list) and all(isinstance(s, str) for s in sentences)):
        wrong.append("sentences")
    if "startedAt" not in wrong and moment(header["startedAt"]) is None:
        wrong.append("startedAt")
    if wrong:
        raise EvidenceError(f"the header of decision log {log_id} has no sound {wrong[0]}")


def _share(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= 1 else None


def moment(text: Any) -> datetime | None:
    """The time of an entry, in UTC; None where it is none, or has no time zone."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def require_columns(file: pq.ParquetFile, rows: int, named: str) -> None:
    """Refuse a segment of other columns, types or rows than a log has.

    Raises:
        EvidenceError: ``named`` is the segment, for the message.
    """
    schema = file.schema_arrow
    fixed, groups = list(schema)[: len(SCHEMA)], list(schema)[len(SCHEMA) :]
    alike = [f.name for f in fixed] == SCHEMA.names and all(
        found.type == wanted.type for found, wanted in zip(fixed, SCHEMA, strict=True)
    )
    told = all(f.name.startswith(_GROUP) and f.type == pa.string() for f in groups)
    if not (alike and told and len(set(schema.names)) == len(schema)):
        raise EvidenceError(f"{named} has other columns than a decision log")
    if file.metadata.num_rows != rows:
        raise EvidenceError(f"{named} has another number of rows than its entry says")


def require_rows(rows: pa.Table, header: Mapping[str, Any], first: int, named: str) -> None:
    """Refuse rows that no scoring under that header gave.

    What is held against what depends on the columns that are there.

    Args:
        rows: consecutive rows of a segment, some of its columns.
        header: a sound one.
        first: place in the batch of the first of them.
        named: the segment, for the message.

    Raises:
        EvidenceError: names the column that is not sound.
    """
    held = set(rows.column_names)
    if empty := [n for n in SCHEMA.names if n in held and rows[n].null_count]:
        raise EvidenceError(f"{named} has no {empty[0]} in some row")
    if "row" in held:
        places = np.arange(first, first + rows.num_rows)
        _require(
            np.array_equal(_numbers(rows["row"], np.int64), places), named, "row is out of place"
        )
    if "score" in held:
        scores = _numbers(rows["score"], np.float64)
        _require(((scores >= 0) & (scores <= 1)).all(), named, "score is not in [0, 1]")
    if "decided_at" in held and rows.num_rows:
        earliest = pc.min(rows["decided_at"]).as_py()
        begun = moment(header["startedAt"])
        sound = begun is not None and earliest >= begun
        _require(sound, named, "decided_at is before the log was begun")
    if "reasons" in held:
        _require_reasons(rows["reasons"], header, named)
    if {"score", "outcome", "reasons"} <= held:
        _require_outcomes(rows, header, named)


def _require(sound: bool | np.bool_, named: str, wrong: str) -> None:
    if not sound:
        raise EvidenceError(f"{named}: {wrong} in some row")


def _require_reasons(reasons: pa.ChunkedArray, header: Mapping[str, Any], named: str) -> None:
    """Every reason is a sentence that the policy had; logs from before name no sentences."""
    told = pc.list_flatten(reasons)
    known = header.get("sentences")
    sound = told.null_count == 0
    if sound and known is not None and len(told):
        sound = set(pc.unique(told).to_pylist()) <= set(known)
    _require(sound, named, "reasons has one that the policy does not know")


def _require_outcomes(rows: pa.Table, header: Mapping[str, Any], named: str) -> None:
    """The outcome is what score, threshold and route give; reasons go with adverse ones alone."""
    selected, review = _is(rows, SELECTED), _is(rows, REVIEW)
    _require((selected | review | _is(rows, NOT_SELECTED)).all(), named, "outcome is none")
    explained = _numbers(pc.list_value_length(rows["reasons"]), np.int32) > 0
    if header["route"] == REVIEW_ALL:
        _require(review.all(), named, "outcome is not review, where the whole batch is")
        _require(not explained.any(), named, "reasons are given where a person decides")
        return
    above = _numbers(rows["score"], np.float64) >= float(header["threshold"])
    sound = review | (selected == above)
    _require(sound.all(), named, "outcome is not what score and threshold give")
    adverse = header.get("adverse")
    against = np.zeros(len(above), bool) if adverse is None else above == (adverse == SELECTED)
    _require(not (review & ~against).any(), named, "outcome is review without a cause")
    _require(
        np.array_equal(explained, against & ~review), named, "reasons are not those of its outcome"
    )


def _is(rows: pa.Table, outcome: str) -> Flags:
    found: Flags = (
        _numbers(pc.equal(rows["outcome"], text_scalar(outcome)).cast(pa.uint8()), np.uint8) == 1
    )
    return found


def bytes_scalar(value: bytes) -> pa.FixedSizeBinaryScalar:
    """As ``pa.scalar`` of bytes, to compare a column with; that would load pandas."""
    return pa.Array.from_buffers(pa.binary(len(value)), 1, [None, pa.py_buffer(value)])[0]


def text_scalar(text: str) -> pa.StringScalar:
    """As ``pa.scalar`` of a text, to compare a column with; that would load pandas."""
    return bytes_scalar(text.encode()).cast(pa.binary()).cast(pa.string())


def _numbers(column: pa.ChunkedArray, kind: type[np.generic]) -> npt.NDArray[Any]:
    """A column without nulls as an array; ``to_numpy`` would load pandas, which takes a second."""
    size = np.dtype(kind).itemsize
    chunks = [
        np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * size)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.empty(0, kind), *chunks])
