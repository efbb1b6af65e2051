"""What depends on a person, a span or a file is found, and nothing is told of anybody else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.audit.impact import Target, impact
from components.checks import suppression
from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import canonical_json
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, start


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReleaseProcess]:
    """Released runs ``a`` and ``b`` on different data, and ``other`` on b's data in another stack.

    Each has a log about evaluation rows of a: ``a-log``, ``b-log`` and ``other-log``.
    """
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(folder / "documents")
    files = {n: seeded.write_rows(folder / f"{n}.csv", seed=s) for n, s in (("a", 1), ("b", 2))}
    made = {}
    for name, file, stack in (("a", "a", "tfx"), ("b", "b", "tfx"), ("other", "b", "pytorch")):
        made[name] = start(
            folder, "plain", policy=policy, contract=contract, data=files[file], stack=stack
        )
        assert PlainStack(made[name]).run() == "released"
    for name, number in (("a", 1), ("b", 2), ("other", 1)):
        decide(made[name], f"{name}-log", rows_of(made["a"], "evaluation"), number=number)
    return made


@pytest.fixture
def process(runs: dict[str, ReleaseProcess]) -> ReleaseProcess:
    """Run ``a``."""
    return runs["a"]


@pytest.fixture
def home(process: ReleaseProcess, tmp_path: Path) -> Path:
    """A copy of the home, to be changed."""
    return shutil.copytree(_home(process), tmp_path / "home")


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
    (release,) = (r for r in found["releases"] if r["run"] == process.spec.run_id)
    assert (release["learned"], release["decisions"]) == (True, 50)
    assert found["decisions"] == []


def test_a_person_who_was_decided_about(process) -> None:
    rows = rows_of(process, "evaluation")[process.contract.entity.name].to_pylist()
    found = impact(_home(process), Target(member=str(rows[0])))
    logs = found["decisions"]
    assert [(x["log"], x["stack"], x["release"]) for x in logs] == [
        ("a-log", "tfx", 1), ("b-log", "tfx", 2), ("other-log", "pytorch", 1)
    ]  # fmt: skip
    assert {x["decisions"] for x in logs} == {rows.count(rows[0])} == {len(logs[0]["ids"])}
    assert logs[0]["ids"][0] == "a-log.0000000000"
    assert not any(r["trained"] for r in found["runs"] if r["run"] == process.spec.run_id)


def test_a_few_rows_of_a_span_are_not_counted_out(process, monkeypatch) -> None:
    home, member = (
        _home(process),
        str(rows_of(process, "train")[process.contract.entity.name].to_pylist()[0]),
    )
    shown = impact(home, Target(span="2001"))
    monkeypatch.setattr(suppression, "FEWEST_SHOWN", 1_000_000)
    told = impact(home, Target(span="2001"))
    for before, now in zip(shown["datasets"], told["datasets"], strict=True):
        assert min(before["rows"].values()) > 0
        assert now["rows"] == dict.fromkeys(before["rows"])
    assert told["runs"] == shown["runs"]
    assert impact(home, Target(member=member))["datasets"][0]["rows"]["train"] > 0


def test_a_person_without_rows_is_a_clear_answer(process) -> None:
    found = impact(_home(process), Target(member="nobody of that name"))
    assert [found[k] for k in ("datasets", "runs", "releases", "decisions")] == [[], [], [], []]
    assert "nobody" not in json.dumps(found)


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        (Target(span="2001"), {"a", "b", "other"}),
        (Target(file="a.csv"), {"a"}),
        (Target(file="b.csv"), {"b", "other"}),
    ],
)
def test_a_span_and_a_file_reach_every_decision_of_the_models(
    runs: dict[str, ReleaseProcess], target: Target, reached: set[str]
) -> None:
    found = impact(_home(runs["a"]), target)
    ids = {runs[n].spec.run_id for n in reached}
    assert {d["version"] for d in found["datasets"]} == {runs[n].dataset.version for n in reached}
    assert {r["run"] for r in found["runs"] if r["trained"]} == ids
    assert {r["run"] for r in found["releases"] if r["learned"]} == ids
    assert [(d["log"], d["decisions"]) for d in found["decisions"]] == [
        (f"{name}-log", 50) for name in sorted(reached)
    ]


def test_an_unknown_span_or_file_touches_nothing_and_the_known_ones_are_named(process) -> None:
    found = impact(_home(process), Target(span="1900"))
    assert (found["runs"], found["known"]) == ([], list(process.dataset.spans))
    found = impact(_home(process), Target(file="c.csv"))
    assert (found["runs"], found["known"]) == ([], ["a.csv", "b.csv"])
    assert impact(_home(process), Target(member="nobody"))["known"] == []


def test_without_the_row_key_decisions_are_not_told_to_be_about_anybody(home: Path) -> None:
    (home / "keys" / "row.key").unlink()
    with pytest.raises(InputError, match="the row key is missing"):
        impact(home, Target(member="1"))
    assert impact(home, Target(file="a.csv"))["runs"]


def test_under_another_row_key_nobody_is_told_to_have_no_decisions(process, home: Path) -> None:
    (home / "keys" / "row.key").write_bytes(b"another key of thirty-two bytes!")
    with pytest.raises(InputError, match="the row key is not the one"):
        impact(home, Target(member=_people(process, "evaluation")[0]))


def test_a_changed_segment_is_named(home: Path) -> None:
    (home / "decisions" / "a-log" / "segment-000001.parquet").write_bytes(b"x")
    with pytest.raises(EvidenceError, match="was changed"):
        impact(home, Target(member="1"))


def _dataset(home: Path, process: ReleaseProcess) -> Path:
    return home / "datasets" / process.contract.name / process.dataset.version[:16]


@pytest.mark.parametrize("gone", ["whole", "manifest.json"])
def test_a_dataset_that_is_gone_is_named_and_not_passed_over(
    process, home: Path, gone: str
) -> None:
    if gone == "whole":
        shutil.rmtree(_dataset(home, process))
    else:
        (_dataset(home, process) / gone).unlink()
    assert impact(home, Target(span="2001"))["missing"]["datasets"] == [process.dataset.version]
    assert not any(impact(_home(process), Target(span="2001"))["missing"].values())


def test_evidence_that_is_gone_is_named_and_not_passed_over(process, home: Path) -> None:
    shutil.rmtree(home / "runs" / process.spec.run_id / "evidence")
    assert impact(home, Target(span="2001"))["missing"]["runs"] == [process.spec.run_id]
    shutil.rmtree(home / "releases" / process.contract.name / "pytorch")
    assert impact(home, Target(span="2001"))["missing"]["logs"] == ["other-log"]


def test_an_edited_manifest_does_not_hide_what_a_model_was_trained_on(process, home: Path) -> None:
    path = _dataset(home, process) / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["sources"] = [{"name": "c.csv", "sha256": "0" * 64}]
    path.write_bytes(canonical_json(manifest))
    with pytest.raises(EvidenceError, match="is not the dataset version of that name"):
        impact(home, Target(file="a.csv"))


def test_a_pipe_in_the_place_of_rows_is_refused_and_not_waited_for(process, home: Path) -> None:
    victim = next(_dataset(home, process).glob("train/*.parquet"))
    victim.unlink()
    os.mkfifo(victim)
    with pytest.raises(EvidenceError, match=f"{victim.name} cannot be read"):
        impact(home, Target(member="1"))


def test_a_model_that_a_later_run_releases_again_was_trained_by_the_earlier_one(
    process, home: Path
) -> None:
    earlier = ReleaseProcess.open(home / "runs" / process.spec.run_id)
    again = start(home, "plain", continues=earlier)
    assert PlainStack(again).release() == "released"
    (run,) = (
        r for r in impact(home, Target(file="a.csv"))["runs"] if r["run"] == again.spec.run_id
    )
    assert (run["trained"], run["model"]) == (True, process.model)
