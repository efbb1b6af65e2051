"""A decision is followed to the rows its model saw; a link that does not hold is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.audit.trace import trace
from components.audit.trace_page import to_html
from components.audit.trace_tree import Branch, tree_of
from components.contract.errors import EvidenceError, InputError
from components.decisions.decision_log import decision_id
from components.lineage.merkle import Neighbour, verify_absence, verify_inclusion
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, start


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run, with logs about rows that it was and was not trained on."""
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(folder / "documents")
    made = start(
        folder, "plain", policy=policy, contract=contract, data=seeded.write_rows(folder / "a.csv")
    )
    assert PlainStack(made).run() == "released"
    decide(made, "seen", rows_of(made, "train"))
    decide(made, "unseen", rows_of(made, "evaluation"))
    return made


def _home(process: ReleaseProcess) -> Path:
    return Path(process.spec.home)


def _lines(branch: Branch) -> list[str]:
    return [branch.text, *(line for child in branch.children for line in _lines(child))]


def test_a_case_that_the_model_saw_is_proved_to_be_among_the_training_rows(process) -> None:
    found = trace(_home(process), decision_id("seen", 7))
    proof = found.training["case"]
    (leaf,) = proof["leaves"]
    assert found.differences == ()
    assert proof["kind"] == "inclusion"
    assert verify_inclusion(
        bytes.fromhex(leaf["leaf"]), leaf["index"], proof["size"],
        [bytes.fromhex(p) for p in leaf["path"]], bytes.fromhex(process.dataset.root("train")),
    )  # fmt: skip
    assert leaf["leaf"] == found.decision["assay_row"].hex()
    assert found.training["person"]["rows"] >= 1


def test_a_case_that_the_model_never_saw_is_proved_not_to_be_there(process) -> None:
    found = trace(_home(process), decision_id("unseen", 7))
    proof = found.training["case"]
    around = [
        Neighbour(bytes.fromhex(n["leaf"]), n["index"], tuple(bytes.fromhex(p) for p in n["path"]))
        for n in proof["leaves"]
    ]
    assert proof["kind"] == "absence"
    assert verify_absence(
        found.decision["assay_row"], proof["size"], around,
        bytes.fromhex(process.dataset.root("train")),
    )  # fmt: skip
    assert found.training["person"] == {"rows": 0, "proofs": []}


def test_it_names_release_run_verdicts_and_sources(process) -> None:
    lines = "\n".join(_lines(tree_of(trace(_home(process), decision_id("seen", 1)))))
    for text in ("release 1 of", process.spec.run_id, "release gate: PASS", "a.csv", "Many visits"):
        assert text in lines


def test_without_the_row_key_it_says_what_nobody_can_say(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    (home / "keys" / "row.key").unlink()
    found = trace(home, decision_id("seen", 7))
    assert "nobody can say" in found.training["person"]["missing"]
    assert not (home / "keys" / "row.key").exists()
    assert found.training["case"]["kind"] == "inclusion"


def test_without_the_data_nothing_is_proved_and_the_rest_is_told(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    shutil.rmtree(home / "datasets")
    found = trace(home, decision_id("seen", 7))
    assert "nothing is proved" in found.training["missing"]
    assert found.differences == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "f" * 64}, "the log names model"),
        ({"run": "another"}, "the log names run"),
        ({"policy": "f" * 64}, "the log names policy"),
        ({"contract": "f" * 64}, "the log names contract"),
        ({"releaseDigest": "f" * 64}, "the log names releaseDigest"),
        ({"threshold": "0.9999"}, "threshold"),
    ],
)
def test_a_log_that_says_otherwise_than_the_release_is_named(
    process, tmp_path: Path, changes: dict, told: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    copied = ReleaseProcess.open(home / "runs" / process.spec.run_id)
    decide(copied, "forged", rows_of(copied, "train"), **changes)
    found = trace(home, decision_id("forged", 1))
    assert [d for d in found.differences if told in d]


def test_a_release_that_is_not_in_the_history_is_broken_evidence(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    copied = ReleaseProcess.open(home / "runs" / process.spec.run_id)
    decide(copied, "forged", rows_of(copied, "train"), release=9)
    with pytest.raises(EvidenceError, match="release 9"):
        trace(home, decision_id("forged", 1))


@pytest.mark.parametrize("name", ["seen.0000000050", "none.0000000001", "seen", "../x.0000000001"])
def test_a_decision_that_is_not_there_is_bad_input(process, name: str) -> None:
    with pytest.raises(InputError):
        trace(_home(process), name)


def test_a_changed_segment_is_named(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    file = home / "decisions" / "seen" / "segment-000001.parquet"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(EvidenceError, match="segment-000001.parquet of log seen was changed"):
        trace(home, decision_id("seen", 1))


def test_other_rows_under_the_root_prove_nothing(process, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(_home(process), home)
    dataset = ReleaseProcess.open(home / "runs" / process.spec.run_id).dataset
    victim = dataset.files(split="train")[0]
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(EvidenceError, match="not the file that was ingested"):
        trace(home, decision_id("seen", 1))


def test_the_page_escapes_and_loads_nothing(process) -> None:
    page = to_html(trace(_home(process), decision_id("seen", 1))).decode()
    assert "default-src 'none'" in page
    assert "Every link was checked and holds." in page
    assert "http" not in page.replace("http-equiv", "")
