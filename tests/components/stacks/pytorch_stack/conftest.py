"""The clinic as the PyTorch stack sees it: text, flags, codes, numbers and nulls in all of them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.datasets.canonical import ingest
from components.lineage.commitments import load_or_create_row_key
from components.lineage.row_key import row_key_path
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import frameworks
from components.stacks.run_spec import RunSpec, new_run_id, utc_now
from tests import clinic

frameworks.start()  # before any test module imports a framework

MakeProcess = Callable[..., ReleaseProcess]


def with_codes(document: clinic.Document) -> None:
    """A whole-number category and names that also occur inside exported graphs."""
    properties = clinic.table_of(document)["properties"]
    clinic.column_of(document, "cost")["name"] = "add"
    clinic.column_of(document, "smoker")["name"] = "sub"
    kind = {"property": "assayKind", "value": "categorical", "vendor": "assay"}
    role = {"property": "assayRole", "value": "feature", "vendor": "assay"}
    properties.append(
        {"name": "plan code", "logicalType": "integer", "customProperties": [role, kind]}
    )


def lenient(document: clinic.Document) -> None:
    """A policy whose gates the rows can pass."""
    document["data_gate"]["drift"]["default"]["at_most"] = 0.9
    document["training"]["hidden"] = [4, 3]
    document["training"]["epochs"] = 2
    document["training"]["min_category_count"] = 5
    document["training"]["dropout"] = 0.2
    document["decision"]["threshold"] = 0.3
    auc, *gaps = document["release_gate"]["limits"]
    auc.update(at_least=0.51, min_n=1)
    for gap in gaps:
        gap.update(at_most=0.99, min_n=1)
    document["candidates"]["penalised"] = {
        "description": "d",
        "protected_features": [],
        "mitigation": "opportunity_penalty",
        "mitigate_by": ["sex", "age"],
        "penalty_strength": 5.0,
    }


def clinic_rows(people: int = 240) -> list[dict[str, str]]:
    """The clinic's rows with the columns of ``with_codes``, nulls in every feature.

    Smokers are readmitted more often, so that there is something to learn.
    """
    found, chance = [], random.Random(7)
    for i, row in enumerate(clinic.rows(people)):
        row["add"], row["sub"] = row.pop("cost"), row.pop("smoker")
        risk = 0.6 if row["sub"] == "true" else 0.15
        row["readmitted"] = str(int(chance.random() < risk))
        row["plan code"] = str(i // 2 % 12)
        row["age"] = row["age"] or "50"  # a group of missing ages would have no positives
        for name in ("add", "sub", "plan code"):
            row[name] = "" if (i + len(name)) % 17 == 0 else row[name]
        found.append(row)
    return found


@pytest.fixture(scope="session")
def make_process(tmp_path_factory: pytest.TempPathFactory) -> MakeProcess:
    """Starts a run on the clinic, in a home that the runs of a test session share."""
    folder = tmp_path_factory.mktemp("clinic")
    home = folder / "home"
    (home / "keys").mkdir(parents=True)
    rows = clinic_rows()
    (folder / "clinic.csv").write_text(clinic.csv_text(rows, list(rows[0])))

    def make(
        candidate: str = "plain",
        change: clinic.Change = lenient,
        home: Path = home,
        continues: ReleaseProcess | None = None,
    ) -> ReleaseProcess:
        contract = clinic.contract(folder, with_codes)
        policy = clinic.policy(folder, contract, change)
        (home / "keys").mkdir(parents=True, exist_ok=True)
        key = load_or_create_row_key(row_key_path(home))
        dataset = ingest(contract, policy, home, key)
        kept = folder / f"{policy.digest[:12]}.yaml"
        kept.write_bytes(policy.path.read_bytes())
        spec = RunSpec(
            run_id=new_run_id("pytorch", candidate),
            stack="pytorch",
            candidate=candidate,
            home=str(home),
            contract_path=str(contract.path),
            contract=contract.digest,
            policy_path=str(kept),
            policy=policy.digest,
            dataset=contract.name,
            dataset_path=str(dataset.directory),
            dataset_version=dataset.version,
            code="test",
            environment="test",
            actor="test",
            started=utc_now(),
            continues=continues.spec.run_id if continues else None,
            reason="a test" if continues else None,
        )
        spec.save()
        # Where a later run finds them that compares with this one.
        shutil.copyfile(contract.path, spec.directory / "contract.yaml")
        shutil.copyfile(policy.path, spec.directory / "policy.yaml")
        return ReleaseProcess(spec)

    return make


@dataclass(frozen=True)
class Settled:
    """Runs of one home that are over, as MLflow and the evidence have them."""

    home: Path
    released: ReleaseProcess
    blocked: ReleaseProcess
    refused: ReleaseProcess
    superseding: ReleaseProcess
    back: ReleaseProcess


def unreachable(document: clinic.Document) -> None:
    """A policy that no honest model can pass."""
    lenient(document)
    document["release_gate"]["limits"][0].update(at_least=0.999)


@pytest.fixture(scope="session")
def settled(make_process: MakeProcess, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    """A release, a blocked run, its refused continuation, a second release, and the way back."""
    home = tmp_path_factory.mktemp("settled")
    released = ended(make_process("fair", lenient, home), "released")
    blocked = ended(make_process("plain", unreachable, home), "blocked")
    refused = ended(make_process("plain", unreachable, home, continues=blocked), "blocked")
    superseding = ended(make_process("penalised", lenient, home), "released")
    back = ended(make_process("fair", lenient, home, continues=released), "released")
    return Settled(home, released, blocked, refused, superseding, back)


def ended(process: ReleaseProcess, outcome: str) -> ReleaseProcess:
    """A run once it has ended, as it should."""
    from tests.components.stacks.pytorch_stack.runs import end

    assert end(process) == outcome
    return process
