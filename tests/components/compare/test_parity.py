"""Parity pairs runs of one candidate and policy and sees what differs."""

from __future__ import annotations

from dataclasses import replace

from components.compare.parity import parity
from components.release.run_summary import RunSummary


def test_pairs_of_the_same_question(runs: list[RunSummary]) -> None:
    found = parity(runs)
    assert [(p.candidate, [r.stack for r in p.runs]) for p in found] == [
        ("plain", ["pytorch", "tfx"]),
        ("mitigated", ["pytorch", "tfx"]),
    ]
    assert all(p.same_rows and p.same_budget and p.intervals_overlap for p in found)


def test_one_stack_alone_has_no_parity(runs: list[RunSummary]) -> None:
    assert parity([r for r in runs if r.stack == "tfx"]) == []


def test_other_rows_are_seen(runs: list[RunSummary]) -> None:
    other = replace(runs[2], dataset_version="0" * 64)
    assert not parity([runs[0], other])[0].same_rows


def test_intervals_that_are_apart_are_seen(runs: list[RunSummary]) -> None:
    figures = tuple(
        replace(f, value=0.9, low=0.88, high=0.92) if f.name == "roc_auc" else f
        for f in runs[2].figures
    )
    assert parity([runs[0], replace(runs[2], figures=figures)])[0].intervals_overlap is False


def test_a_run_without_figures_is_no_agreement(runs: list[RunSummary]) -> None:
    assert parity([runs[0], replace(runs[2], figures=())])[0].intervals_overlap is None
