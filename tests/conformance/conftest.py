"""Real runs of both stacks, made once: the demo, and runs whose data or training is seeded bad."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from components.contract.contract_loader import load_contract
from components.contract.json_schema import ROOT
from components.datasets.sources import open_source
from components.lineage.keys import new_key, public_text
from components.release.run_summary import RunSummary, summarise
from pipelines.launch import Order, execute, prepare
from tests.seeded import FAULTS, Fault, biased, write_documents, write_rows

STACKS = ("tfx", "pytorch")
CONTRACT = ROOT / "schemas" / "rand_hie.yaml"
PRODUCTION = ROOT / "policies" / "rand_hie.yaml"
PILOT = ROOT / "policies" / "rand_hie_pilot.yaml"
ASSAY = Path(sys.executable).parent / "assay"


@dataclass(frozen=True)
class Demo:
    """What `assay demo` left: its home, its runs, its exit code, and what it connected to."""

    home: Path
    runs: list[RunSummary]
    report: Path
    connections: str

    def run(self, stack: str, candidate: str, policy: str) -> RunSummary:
        """The one run of that stack, candidate and policy."""
        (found,) = [
            r
            for r in self.runs
            if (r.stack, r.candidate, r.policy.name) == (stack, candidate, policy)
        ]
        return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo as a newcomer runs it, with every connection it makes written down."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed; `make test` installs it on Debian"
    folder = tmp_path_factory.mktemp("demo")
    trace = folder / "connections.txt"
    command = [strace, "-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", trace]
    done = subprocess.run(
        [*command, ASSAY, "demo", "--json"], cwd=folder, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k != "DO_NOT_TRACK"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return Demo(
        home=folder / ".assay",
        runs=[summarise(Path(r["directory"])) for r in document["runs"]],
        report=folder / document["report"],
        connections=trace.read_text(errors="replace"),
    )


def _rows(change: str, where: str) -> str:
    """SQL for the real rows with one column changed in some of them."""
    column = change.split(" AS ")[1]
    return f"SELECT * REPLACE (CASE WHEN {where} THEN {change.split(' AS ')[0]} ELSE {column} END AS {column})"  # noqa: E501


SEEDED: dict[str, tuple[str, str]] = {
    "drift": ("(income::DOUBLE * 3 + 1)::VARCHAR AS income", "year::INTEGER >= 3"),
    "domain": ("'7' AS tookphys", "rowid = 11"),
}
"""Name of a seeded fault, the changed column, and the rows it is changed in."""


@pytest.fixture(scope="session")
def seeded(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Runs of both stacks on seeded-bad data or training, by fault and stack."""
    folder = tmp_path_factory.mktemp("seeded")
    specs, faults = [], []
    for fault, (change, where) in SEEDED.items():
        data = folder / f"{fault}.csv"
        _write_changed(data, change, where)
        orders = [Order(stack, "plain", PRODUCTION) for stack in STACKS]
        specs += prepare(CONTRACT, orders, demo.home, data)
        faults += [fault] * len(STACKS)
    diverging = folder / "diverging.yaml"
    text = PILOT.read_text()
    assert "learning_rate: 0.001" in text
    text = text.replace("learning_rate: 0.001", "learning_rate: 1.0e+30")
    diverging.write_text(text)
    specs += prepare(CONTRACT, [Order(s, "mitigated", diverging) for s in STACKS], demo.home, None)
    faults += ["diverging"] * len(STACKS)
    execute(specs, lambda spec, record: None)
    runs = {
        (fault, spec.stack): summarise(spec.directory)
        for fault, spec in zip(faults, specs, strict=True)
    }
    return lambda fault, stack: runs[fault, stack]


def _write_changed(path: Path, change: str, where: str) -> None:
    source = open_source(load_contract(CONTRACT))
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE rows AS {source.sql}")
        database.execute(f"COPY ({_rows(change, where)} FROM rows) TO '{path}' (HEADER)")


@dataclass(frozen=True)
class Insurer:
    """Runs of the made-up insurer in one home, by name and stack, and the keys that may waive."""

    home: Path
    runs: dict[tuple[str, str], RunSummary]
    signer: Path
    cosigner: Path


GOOD, PENALISED = "good", "penalised"


@pytest.fixture(scope="session")
def insurer(tmp_path_factory: pytest.TempPathFactory) -> Insurer:
    """Every seeded fault, then a good model, then one that is worse, in both stacks.

    All in one home: no fault is ever released, so the good model is the first champion.
    """
    folder = tmp_path_factory.mktemp("insurer")
    signer, cosigner = (new_key(folder, name) for name in ("ann", "bob"))
    keys = {
        "max_days": 30,
        "signers": {"ann": public_text(signer.raw)},
        "cosigners": {"bob": public_text(cosigner.raw)},
    }
    before = [n for n, f in FAULTS.items() if not f.after_good]
    names = [*before, GOOD, *(n for n in FAULTS if n not in before), PENALISED]
    specs, made = [], []
    for name in names:
        fault = FAULTS.get(name)

        def change(document: dict, fault: Fault | None = fault) -> None:
            document["waivers"] = keys
            if fault is not None and fault.policy is not None:
                fault.policy(document)

        contract, policy = write_documents(folder / name, change)
        rows = biased if name == PENALISED else fault.rows if fault else None
        data = write_rows(folder / f"{name}.csv", rows)
        candidate = "penalised" if name == PENALISED else "plain"
        orders = [Order(stack, candidate, policy) for stack in STACKS]
        specs += prepare(contract, orders, folder / "home", data)
        made += [name] * len(STACKS)
    execute(specs, lambda spec, record: None)
    runs = {
        (name, spec.stack): summarise(spec.directory)
        for name, spec in zip(made, specs, strict=True)
    }
    return Insurer(folder / "home", runs, signer.private, cosigner.private)
