"""Decisions that depend on a person, or on what a model was trained on, in every log of a home."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.decisions.decision_log import DecisionLog, decision_id
from components.decisions.log_form import bytes_scalar

MOST_LISTED = 1_000

Named = tuple[str, str, int]
"""A release: its dataset, its stack and its number."""


def maker(log: DecisionLog) -> Named:
    """The release that made a log's decisions."""
    return log.header["dataset"], log.header["stack"], log.header["release"]


def of_releases(logs: list[DecisionLog], releases: Collection[Named]) -> list[dict[str, Any]]:
    """All decisions that some releases made, by log."""
    made = (log for log in logs if maker(log) in releases and log.rows)
    return [{**_log(log), "decisions": log.rows} for log in made]


def _log(log: DecisionLog) -> dict[str, Any]:
    dataset, stack, number = maker(log)
    return {
        "log": log.log_id,
        "dataset": dataset,
        "stack": stack,
        "release": number,
        "givenUp": log.aborted,
    }


def about(log: DecisionLog, tag: bytes) -> dict[str, Any]:
    """A log's decisions about one person, by outcome, and their names up to ``MOST_LISTED``.

    Args:
        log: every segment of it is read, and held against what was signed.
        tag: the person's, as decisions carry it.

    Raises:
        EvidenceError: a segment is missing, was changed, or contradicts its log.
    """
    outcomes: Counter[str] = Counter()
    names: list[str] = []
    for hits in _hits(log, tag):
        outcomes.update(hits["outcome"].to_pylist())
        names += [decision_id(log.log_id, row) for row in hits["row"].to_pylist()]
    return {
        **_log(log),
        "decisions": sum(outcomes.values()),
        "outcomes": dict(sorted(outcomes.items())),
        "ids": names[:MOST_LISTED],
    }


def _hits(log: DecisionLog, tag: bytes) -> Iterator[pa.Table]:
    for segment in log.segments:
        people = log.rows_of(segment, ["assay_entity"])["assay_entity"]
        mine = pc.equal(people, bytes_scalar(tag))
        if pc.any(mine).as_py():
            yield log.rows_of(segment).filter(mine)
