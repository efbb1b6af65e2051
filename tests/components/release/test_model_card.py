"""What a model card says: the evidence, what the policy states, and that the rest is unknown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import sha256_file
from components.release.card_masking import HIDDEN
from components.release.card_onc import _ATTRIBUTES
from components.release.card_statements import KEYS
from components.release.model_card import DIRECTORY, build_card, write_card
from components.release.records import read_releases
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.carded_runs import Cards, field, statements_of, table
from tests.copied_runs import copied_run

REASON = "Men are called by a nurse until their burden is recorded as it is."
STATED = {
    "developer": "Example Insurance, department of care",
    "license": "Apache-2.0",
    "known_risks": "People without a doctor are found less often.",
    "house_rule": "Ask the nurse on duty.",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cards]:
    """A home that the module's runs share."""
    path = tmp_path_factory.mktemp("cards")
    yield Cards(path, STATED)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def released(home: Cards) -> ReleaseProcess:
    """The first release."""
    return home.run()


@pytest.fixture(scope="module")
def blocked(home: Cards, released: ReleaseProcess) -> ReleaseProcess:
    """A run that the release gate ended, after the first release."""
    return home.run(seeded.biased)


@pytest.fixture(scope="module")
def waived(home: Cards, blocked: ReleaseProcess) -> ReleaseProcess:
    """The blocked model, released under a waiver."""
    home.waive(blocked, REASON)
    return home.again(blocked, seeded.biased)


def test_a_release_record_names_the_card_by_its_digests(
    home: Cards, released: ReleaseProcess
) -> None:
    release = read_releases(home.home, "insurer", "tfx")[0]
    files = {p.name: sha256_file(p) for p in (released.spec.directory / DIRECTORY).iterdir()}
    assert dict(release.cards) == files
    assert set(files) == {"model-card.md", "model-card.html", "model-card.pdf"}


def test_a_released_run(released: ReleaseProcess) -> None:
    card = build_card(released.spec.directory)
    assert (card.status, card.headline) == (
        "released",
        "Released: every stage ran and every gate is open.",
    )
    assert field(card, "Kind of release") == "release"
    assert field(card, "Model, SHA-256") == released.model
    assert field(card, "Evidence head") == released.chain.records()[-1].digest
    assert field(card, "Dataset version, SHA-256") == released.dataset.version
    assert field(card, "Decision threshold") == "0.3"
    assert field(card, "Actor") == "tester"
    assert {r["Verdict"] for r in table(card, "Stages")} == {"PASS"}
    assert table(card, "What closed a gate") == []
    rows = {r["Split"]: r["Rows"] for r in table(card, "Rows")}
    assert rows["evaluation"] == f"{released.dataset.rows('evaluation'):,}"


def test_figures_limits_and_agreement(released: ReleaseProcess) -> None:
    card = build_card(released.spec.directory)
    gate = next(r.body for r in released.chain.records() if r.stage == "release_gate")
    auc = next(m for m in gate["measurements"] if m["name"] == "roc_auc")
    row = next(r for r in table(card, "Everybody") if r["Metric"] == "ROC AUC")
    low, high = float(auc["low"]), float(auc["high"])
    assert row["Figure"] == row["Native tools"] == f"{float(auc['value']):.3f}"
    assert row["95% interval"] == f"[{low:.3f}, {high:.3f}]"
    assert row["Cases"] == f"{auc['n']:,}"
    limits = {r["Limit"]: r for r in table(card, "Limits of the release gate")}
    assert set(limits) == {x.id for x in released.policy.release_gate.limits}
    assert limits["auc"]["Requires"] == "ROC AUC at least 0.6"
    assert {(r["Referee"], r["Native"]) for r in limits.values()} == {("PASS", "PASS")}
    agreed = table(card, "Reliability: what two ways of computing the same thing gave")
    assert [r["Status"] for r in agreed] == ["PASS"] * 5
    by_sex = {r["sex"]: r for r in table(card, "By sex")}
    assert set(by_sex) == {"f", "m"}
    assert re.fullmatch(
        r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] n=[\d,]+", by_sex["f"]["True positive rate"]
    )
    assert len(table(card, "By sex and age")) == 4
    compared = {
        (r["Groups by"], r["Comparison"]) for r in table(card, "Comparisons between groups")
    }
    assert ("sex and age", "Selection rate, smallest ratio") in compared


def test_a_blocked_run_says_what_closed_it(blocked: ReleaseProcess) -> None:
    card = build_card(blocked.spec.directory)
    assert (card.status, card.headline) == (
        "blocked",
        "Blocked at release gate: 2 rules did not pass.",
    )
    assert field(card, "Kind of release") == "none: nothing was released"
    assert field(card, "Release before").startswith("number 1, run ")
    closed = {(r["Side"], r["Rule"], r["Status"]) for r in table(card, "What closed a gate")}
    rules = ("limit:impact-sex", "limit:opportunity-sex")
    assert closed == {(s, r, "FAIL") for s in ("native tools", "referee") for r in rules}
    stages = {r["Stage"]: r["Verdict"] for r in table(card, "Stages")}
    assert (stages["release gate"], stages["push"]) == ("FAIL", "not run")
    (change,) = table(card, "Change against the champion")
    assert change["Change"] == "absolute change of roc_auc"


def test_a_run_that_stopped_before_training_has_a_card(home: Cards) -> None:
    process = home.run(seeded.leaked)
    card = build_card(process.spec.directory)
    assert card.headline == "Blocked at transform: 1 rule did not pass."
    assert field(card, "Model, SHA-256") == "unknown: no model was trained"
    assert table(card, "Everybody") == []
    assert "model-index" not in card.metadata
    assert write_card(card, process.spec.directory / "other")


def test_an_open_run_has_a_card(home: Cards) -> None:
    process = home.start(None, None)
    stack = home.stack(process)
    process.run_stage(next(iter(process.stages)), lambda: stack.hook(process.stages[0]))
    card = build_card(process.spec.directory)
    assert (card.status, card.headline) == (
        "unfinished",
        "The run is not closed: nothing has been decided.",
    )


def test_a_waived_run_tells_of_the_waiver_and_of_the_training(
    blocked: ReleaseProcess, waived: ReleaseProcess
) -> None:
    card = build_card(waived.spec.directory)
    assert card.status == "released, waived"
    assert card.headline.startswith("Released under a waiver: ana and bo excused what closed")
    assert field(card, "Kind of release") == "waived"
    assert field(card, "Continues run") == blocked.spec.run_id
    assert field(card, "Model, SHA-256") == blocked.model
    assert (field(card, "Signed by"), field(card, "Co-signed by")) == ("ana", "bo")
    assert field(card, "Reason") == REASON
    assert "limit:opportunity-sex (FAIL)" in field(card, "Excuses")
    stages = {r["Stage"]: (r["Verdict"], r["Run"]) for r in table(card, "Stages")}
    assert stages["train"] == ("PASS", blocked.spec.run_id)
    assert stages["release gate"] == ("FAIL, waived", "this run")
    limitations = {r["Limitation"] for r in table(card, "Limitations that the evidence shows")}
    assert "Released although a gate was closed" in limitations


def test_a_rollback_says_so_also_when_its_card_is_made_again(
    home: Cards, released: ReleaseProcess, waived: ReleaseProcess
) -> None:
    process = home.again(released)
    first = (process.spec.directory / DIRECTORY / "model-card.md").read_bytes()
    home.again(waived)  # later releases do not change what the card says
    card = build_card(process.spec.directory)
    assert card.status == "released, rollback"
    assert field(card, "Kind of release") == "rollback"
    assert released.spec.run_id in card.headline
    (path, *_) = write_card(card, home.home / "again")
    assert path.read_bytes() == first


def test_what_nobody_stated_is_unknown_and_what_somebody_did_is_shown(
    released: ReleaseProcess,
) -> None:
    card = build_card(released.spec.directory)
    for name in ("Funding source", "Targeted patient population", "Clinical risk level"):
        assert field(card, name) == "unknown: not stated in the policy"
    assert field(card, "Developer") == STATED["developer"]
    assert field(card, "Known risks and limitations") == STATED["known_risks"]
    assert field(card, "house_rule") == STATED["house_rule"]
    assert card.sections[-2].title == "Other statements of the policy"


def test_every_documented_key_has_a_place(tmp_path: Path, released: ReleaseProcess) -> None:
    statements = {key: f"statement of {key.replace('_', ' ')}" for key in KEYS}
    cards = Cards(tmp_path, {**statements, "profile": "onc"})
    card = build_card(cards.run(seeded.leaked).spec.directory)
    text = "\n".join(statements_of(card))
    assert [k for k, said in statements.items() if said not in text] == []
    assert "other" not in {s.anchor for s in card.sections}


def test_the_source_attributes_are_thirty_one_and_optional(released: ReleaseProcess) -> None:
    assert sum(len(attributes) for _, attributes in _ATTRIBUTES) == 31
    plain, full = (build_card(released.spec.directory, p) for p in (None, "onc"))
    assert "onc" not in {s.anchor for s in plain.sections}
    section = next(s for s in full.sections if s.anchor == "onc")
    names = [f.name for block in section.blocks for f in block.items]
    assert [int(n.split(".")[0]) for n in names] == list(range(1, 32))
    assert field(full, "1. Developer's name and contact") == STATED["developer"]
    assert field(full, "17. Data source, setting or environment of it").startswith("unknown")
    with pytest.raises(InputError, match="unknown profile 'eu'; expected onc"):
        build_card(released.spec.directory, "eu")


def test_small_groups_and_rare_labels_are_not_shown(home: Cards) -> None:
    process = home.run(seeded.degenerate)
    gate = next(r.body for r in process.chain.records() if r.stage == "release_gate")
    small = [m for m in gate["measurements"] if m["n"] is None]
    assert {"sex=x"} < {m["slice"] for m in small}
    card = build_card(process.spec.directory)
    texts = list(statements_of(card))
    assert not [t for t in texts if re.search(r"sex=x\b|\bn=([1-9]|10)(?![\d,])|\(([1-9]|10)\)", t)]
    hidden = next(r for r in table(card, "By sex") if r["sex"].startswith("(rare group"))
    assert hidden["True positive rate"] == "not shown"
    assert "(rare group 1)" in "\n".join(r["Group"] for r in table(card, "Small groups"))
    judged = {r["Limitation"] for r in table(card, "Limitations that the evidence shows")}
    assert "Could not be judged: limit:opportunity-sex" in judged


def test_no_cell_of_the_data_and_no_path_of_the_machine(
    home: Cards, released: ReleaseProcess
) -> None:
    for path in (released.spec.directory / DIRECTORY).iterdir():
        raw = path.read_bytes()
        assert str(home.home).encode() not in raw
        assert b"rows-good" not in raw
        assert not re.search(rb"\bp0\d{4}\b", raw)


def test_the_head_is_metadata_of_hugging_face(released: ReleaseProcess) -> None:
    path = released.spec.directory / DIRECTORY / "model-card.md"
    head = yaml.safe_load(path.read_text("utf-8").split("---\n")[1])
    assert head == build_card(released.spec.directory).metadata
    assert (head["license"], head["library_name"]) == ("apache-2.0", "keras")
    assert head["pipeline_tag"] == "tabular-classification"
    (entry,) = head["model-index"]
    (result,) = entry["results"]
    assert result["dataset"]["revision"] == released.dataset.version
    assert {m["type"] for m in result["metrics"]} == set(head["metrics"])
    assert all(isinstance(m["value"], float) for m in result["metrics"])


def test_a_manifest_that_was_changed_is_refused(
    home: Cards, released: ReleaseProcess, tmp_path: Path
) -> None:
    copy = tmp_path / "home"
    shutil.copytree(home.home, copy)
    run = copy / "runs" / released.spec.run_id
    path = copy / "datasets" / "insurer" / released.dataset.version[:16] / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(EvidenceError, match="not the manifest the run was bound to"):
        build_card(run)
    path.unlink()
    assert table(build_card(run), "Rows") == []


def test_an_earlier_run_that_was_changed_is_refused(
    home: Cards, blocked: ReleaseProcess, waived: ReleaseProcess, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for process in (blocked, waived):
        copied_run(process.spec.directory, tmp_path)
    assert build_card(runs / waived.spec.run_id).status == "released, waived"
    (runs / blocked.spec.run_id / "evidence" / "0007-close.json").unlink()
    with pytest.raises(EvidenceError, match="is not as it was when"):
        build_card(runs / waived.spec.run_id)
    shutil.rmtree(runs / blocked.spec.run_id)
    with pytest.raises(EvidenceError, match="is not there"):
        build_card(runs / waived.spec.run_id)


def _three_left(rows: seeded.Rows) -> None:
    """Three people are gone, each with both years."""
    kept = ~np.isin(rows["person"], rows["person"][:3])
    for name in rows:
        rows[name] = rows[name][kept]


def test_what_differs_by_a_few_from_an_earlier_release_is_not_counted(
    home: Cards, released: ReleaseProcess
) -> None:
    later = build_card(home.run(_three_left).spec.directory)
    first = {r["Split"]: r["Rows"] for r in table(build_card(released.spec.directory), "Rows")}
    then = {r["Split"]: r["Rows"] for r in table(later, "Rows")}
    moved = {split for split in first if then[split] != first[split]}
    assert moved
    assert {then[split] for split in moved} == {HIDDEN}
