"""What depends on a person, a span or a file is found, and nothing is told of anybody else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.audit.impact import Target, impact
from components.contract.errors import EvidenceError, InputError
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, start


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run with a log about evaluation rows, and a second run on other data."""
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(folder / "documents")
    runs = []
    for name, seed in (("a", 1), ("b", 2)):
        data = seeded.write_rows(folder / f"{name}.csv", seed=seed)
        runs.append(start(folder, "plain", policy=policy, contract=contract, data=data))
        assert PlainStack(runs[-1]).run() == "released"
    decide(runs[0], "a-log", rows_of(runs[0], "evaluation"))
    return runs[0]


def _home(process: ReleaseProcess) -> Path:
    return Path(process.spec.home)


def _people(process: ReleaseProcess, split: str) -> list[str]:
    name = process.contract.entity.name
    files = process.dataset.files(split=split)
    return [str(e) for f in files for e in pq.read_table(f, columns=[name])[name].to_pylist()]


def test_a_person_who_was_trained_on(process) -> None:
    people = _people(process, "train")
    found = impact(_home(process), Target(member=people[0]))
    mine = [d for d in found["datasets"] if d["version"] == process.dataset.version]
    assert mine[0]["rows"] == {"train": people.count(people[0])}
    run = next(r for r in found["runs"] if r["run"] == process.spec.run_id)
    assert (run["trained"], run["model"]) == (True, process.model)
    assert [r["run"] for r in found["releases"] if r["learned"]][:1] == [process.spec.run_id]
    assert found["decisions"] == []


def test_a_person_who_was_decided_about(process) -> None:
    rows = rows_of(process, "evaluation")[process.contract.entity.name].to_pylist()
    found = impact(_home(process), Target(member=str(rows[0])))
    (log,) = found["decisions"]
    assert log["decisions"] == rows.count(rows[0]) == len(log["ids"])
    assert log["ids"][0] == "a-log.0000000000"
    assert not any(r["trained"] for r in found["runs"] if r["run"] == process.spec.run_id)


def test_a_person_without_rows_is_a_clear_answer(process) -> None:
    found = impact(_home(process), Target(member="nobody of that name"))
    assert [found[k] for k in ("datasets", "runs", "releases", "decisions")] == [[], [], [], []]
    assert "nobody" not in json.dumps(found)


def test_a_span_and_a_file_reach_every_decision_of_the_model(process) -> None:
    for target in (Target(span=process.dataset.spans[0]), Target(file="a.csv")):
        found = impact(_home(process), target)
        assert process.spec.run_id in {r["run"] for r in found["runs"] if r["trained"]}
        assert [(d["log"], d["decisions"]) for d in found["decisions"]] == [("a-log", 50)]


def test_a_file_of_another_run_does_not(process) -> None:
    found = impact(_home(process), Target(file="b.csv"))
    assert process.spec.run_id not in {r["run"] for r in found["runs"]}
    assert found["decisions"] == []


def test_an_unknown_span_or_file_touches_nothing(process) -> None:
    for target in (Target(span="1900"), Target(file="c.csv")):
        assert impact(_home(process), target)["runs"] == []


def test_without_the_row_key_decisions_are_not_told_to_be_about_anybody(
    process, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    (home / "keys" / "row.key").unlink()
    with pytest.raises(InputError, match="the row key is missing"):
        impact(home, Target(member="1"))
    assert impact(home, Target(file="a.csv"))["runs"]


def test_a_changed_segment_is_named(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    (home / "decisions" / "a-log" / "segment-000001.parquet").write_bytes(b"x")
    with pytest.raises(EvidenceError, match="was changed"):
        impact(home, Target(member="1"))


def test_a_dataset_that_is_gone_is_named_and_not_passed_over(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    shutil.rmtree(home / "datasets" / process.contract.name / process.dataset.version[:16])
    assert impact(home, Target(span="2001"))["missing"] == [process.dataset.version]
    assert impact(_home(process), Target(span="2001"))["missing"] == []
