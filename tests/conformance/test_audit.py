"""What an auditor gets of real runs, the same of both stacks, and what shows when they change."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.contract.json_schema import ROOT
from components.lineage.evidence import chain_of
from components.lineage.graph import NodeKind
from pipelines.lineage_stores import evidence_store, native_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ASSAY = Path(sys.executable).parent / "assay"
SECOND_VERIFIER = ROOT / "components" / "audit" / "verify_bundle.py"
both_stacks = pytest.mark.parametrize("stack", ["tfx", "pytorch"])


def _assay(*arguments: object) -> subprocess.CompletedProcess:
    command = [str(ASSAY), *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _json(*arguments: object) -> dict[str, Any]:
    done = _assay(*arguments, "--json")
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _runs(home: Path, stack: str) -> set[str]:
    """What ran in the home so far: the demo, and whatever else was made in it before."""
    return {folder.name for folder in (home / "runs").glob(f"*-{stack}-*")}


@both_stacks
def test_what_the_store_says_of_a_run_is_what_the_evidence_says(demo, stack: str) -> None:
    native = native_store(stack, demo.home).read().graph
    evidence = evidence_store(demo.home).read().graph
    assert {n.key for n in native.of_kind(NodeKind.RUN)} == _runs(demo.home, stack)
    for kind in (NodeKind.RUN, NodeKind.STAGE, NodeKind.MODEL, NodeKind.RELEASE):
        for node in native.of_kind(kind):
            told = evidence.nodes[node.id].attributes
            same = {k: v for k, v in node.attributes.items() if k in told and k != "native_id"}
            assert same == {k: told[k] for k in same}, node.id
            assert same, node.id


@both_stacks
def test_nothing_differs_after_real_runs(demo, stack: str) -> None:
    done = _assay("audit", "mutations", "--stack", stack, "--home", demo.home)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"{len(_runs(demo.home, stack))} runs" in done.stdout


_CHANGES = {
    "tfx": (
        "mlmd.sqlite",
        "UPDATE ContextProperty SET string_value = 'x' WHERE name = 'assay_policy'",
        "assay_policy",
    ),
    "pytorch": (
        "mlflow.sqlite",
        "UPDATE metrics SET value = 0.99 WHERE key = 'roc_auc'",
        "roc_auc",
    ),
}


@both_stacks
def test_a_store_that_was_edited_shows_and_says_what_it_said_before(
    demo, stack: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo.home, home)
    store, statement, where = _CHANGES[stack]
    with sqlite3.connect(home / "stores" / store) as database:
        assert database.execute(statement).rowcount > 0
    database.close()
    found = _json("audit", "mutations", "--stack", stack, "--home", home)["stacks"][0]
    edited = [d for d in found["differences"] if d["kind"] == "edited property"]
    assert edited
    assert all(where in d["where"] and d["old"] != d["new"] for d in edited)


@both_stacks
def test_questions_are_answered_from_the_store_and_better_with_evidence(demo, stack: str) -> None:
    document = _json("audit", "questions", "--stack", stack, "--home", demo.home)
    native, evidence = document["readings"]
    assert len(document["questions"]) >= 30
    assert evidence["answered"] == len(document["questions"])
    assert 0 < native["answered"] <= evidence["answered"]
    facts = {a["question"]: a["facts"] for a in evidence["answers"]}
    assert all(f["value"] and f["node"] and f["store"] for found in facts.values() for f in found)


@both_stacks
def test_a_bundle_of_a_real_run_is_sound_and_no_more_when_a_byte_is_changed(
    demo, stack: str, tmp_path: Path
) -> None:
    run = demo.run(stack, "mitigated", "rand_hie_pilot")
    bundle, key = tmp_path / "run.zip", demo.home / "keys" / "evidence.pub"
    assert _assay("bundle", run.run_id, "-o", bundle, "--home", demo.home).returncode == 0
    checked = _assay("verify", bundle, "--key", key)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert chain_of(run.directory).records()[-1].digest in checked.stdout
    second = [sys.executable, "-I", str(SECOND_VERIFIER), str(bundle), "--key", str(key)]
    assert subprocess.run(second, capture_output=True, check=False).returncode == 0
    raw = bytearray(bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    bundle.write_bytes(raw)
    assert _assay("verify", bundle, "--key", key).returncode == 1
    assert subprocess.run(second, capture_output=True, check=False).returncode == 1


@both_stacks
def test_figures_of_a_real_run_are_the_same_when_they_are_performed_again(
    demo, stack: str, tmp_path: Path
) -> None:
    run = demo.run(stack, "mitigated", "rand_hie_pilot")
    bundle, key = tmp_path / "run.zip", demo.home / "keys" / "evidence.pub"
    assert _assay("bundle", run.run_id, "-o", bundle, "--home", demo.home).returncode == 0
    done = _assay("reperform", bundle, "--data", demo.home, "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
