"""A decision is followed to the rows its model saw; a link that does not hold is named."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.audit.impact import Target, impact
from components.audit.trace import trace
from components.audit.trace_page import pieces, to_html
from components.audit.trace_tree import Branch, tree_of
from components.contract.errors import EvidenceError, InputError
from components.decisions.decision_log import DecisionLog, decision_id
from components.lineage.merkle import Neighbour, verify_absence, verify_inclusion
from components.release.records import read_releases, write_release
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.carded_runs import Cards
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


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose release 1 was superseded by a waived one, which release 3 rolled back.

    Each has a log: ``one``, ``two`` and ``three``.
    """
    home = tmp_path_factory.mktemp("cards")
    cards = Cards(home)
    first = cards.run()
    blocked = cards.run(seeded.biased)
    cards.waive(blocked, "The <b>pilot</b> needs it")
    waived = cards.again(blocked, seeded.biased)
    back = cards.again(first)
    for number, (name, run) in enumerate({"one": first, "two": waived, "three": back}.items(), 1):
        decide(run, name, rows_of(first, "train"), number=number)
    return home


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


def test_each_proved_row_is_found_at_its_place(process) -> None:
    found = trace(_home(process), decision_id("seen", 7)).training
    for proof in (found["case"], *found["person"]["proofs"]):
        place = proof["place"]
        held = pq.read_table(process.dataset.directory / place["file"])
        assert held["assay_row"][place["row"]].as_py().hex() == proof["commitment"]
        assert (
            process.dataset.manifest["splits"]["train"]["spans"][place["span"]]["file"]
            == (place["file"])
        )
    assert trace(_home(process), decision_id("unseen", 7)).training["case"]["place"] is None


def test_a_release_that_was_rolled_back_is_told_with_its_waiver_and_champion(cards: Path) -> None:
    found = trace(cards, decision_id("two", 1))
    told, first = found.to_json(), trace(cards, decision_id("one", 1)).to_json()
    assert found.differences == ()
    assert told["release"]["kind"] == "waived"
    assert told["release"]["endedBy"]["kind"] == "rollback"
    assert told["release"]["endedBy"]["release"] == 3
    assert told["release"]["endedBy"]["at"] == told["release"]["until"]
    assert told["run"]["champion"] == {
        "release": 1, "run": first["run"]["id"], "model": first["model"]
    }  # fmt: skip
    assert told["run"]["waiver"]["sha256"] == told["release"]["waiver"]
    lines = "\n".join(_lines(tree_of(found)))
    until = told["release"]["until"]
    assert f"release 2 of insurer in tfx: waived, rolled back on {until[:10]}" in lines
    assert f"with the model of run {first['run']['id']}" in lines
    assert "signed by ana and bo" in lines
    assert "limit:opportunity-sex FAIL" in lines
    assert "why: The <b>pilot</b> needs it" in lines


def test_a_release_that_was_superseded_is_told_and_one_that_stands_too(cards: Path) -> None:
    one, three = (trace(cards, decision_id(name, 1)) for name in ("one", "three"))
    assert "superseded on" in "\n".join(_lines(tree_of(one)))
    assert "rollback, which stands" in "\n".join(_lines(tree_of(three)))
    assert one.to_json()["run"]["champion"] is None
    assert (three.ended_by, three.decision["assay_row"]) == (None, one.decision["assay_row"])
    # Released again, a model is still the one that the earlier run trained, on that run's rows.
    assert three.training == one.training
    assert three.training["case"]["kind"] == "inclusion"


def test_a_decision_that_was_made_after_its_release_ended_is_told(cards: Path) -> None:
    found = trace(cards, decision_id("one", 1))
    assert found.period.until is not None
    for after in (-timedelta(seconds=1), timedelta()):
        decided = {**found.decision, "decided_at": found.period.until + after}
        lines = _lines(tree_of(replace(found, decision=decided)))
        assert any("made after that" in line for line in lines) == (after == timedelta())


def test_a_waiver_that_the_release_does_not_name_is_a_difference(cards: Path, tmp_path) -> None:
    home = shutil.copytree(cards, tmp_path / "home")
    history = home / "releases" / "insurer" / "tfx"
    (history / "000003.json").unlink()
    records = read_releases(home, "insurer", "tfx")
    (history / "000002.json").unlink()
    kept = ("run", "candidate", "model", "head", "policy", "contract", "actor", "kind", "reason")
    document = {name: getattr(records[1], name) for name in (*kept, "continues")}
    document |= {"at": records[1].at.isoformat(), "verdicts": dict(records[1].verdicts)}
    write_release(home, "insurer", "tfx", {**document, "waiver": "f" * 64})
    (difference,) = (
        d for d in trace(home, decision_id("two", 1)).differences if "releaseDigest" not in d
    )
    assert difference.startswith("the run has waiver")


def test_under_another_row_key_nobody_is_told_to_have_no_rows(process, tmp_path: Path) -> None:
    home = shutil.copytree(_home(process), tmp_path / "home")
    (home / "keys" / "row.key").write_bytes(b"another key of thirty-two bytes!")
    told = trace(home, decision_id("seen", 7)).training["person"]
    assert "another one than the log" in told["missing"]


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
        ({"startedAt": "2001-01-01T00:00:00+00:00"}, "the log was begun before release 1"),
        ({"policy": "f" * 64}, "the log names policy"),
        ({"contract": "f" * 64}, "the log names contract"),
        ({"releaseDigest": "f" * 64}, "the log names releaseDigest"),
        ({"threshold": "0.9999"}, "threshold"),
        ({"sentences": ["Many visits last year."]}, "may tell for it, is not the policy's"),
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


def test_a_decision_of_a_log_that_was_given_up_does_not_stand(
    process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(_home(process), tmp_path / "home")
    copied = ReleaseProcess.open(home / "runs" / process.spec.run_id)
    rows = rows_of(copied, "train")
    monkeypatch.setattr(DecisionLog, "close", lambda log: log.abort("a reason"))
    decide(copied, "over", rows)
    found = trace(home, decision_id("over", 1))
    assert found.differences == ("the log was given up, its decisions do not stand: a reason",)
    assert "log over, not whole: given up" in "\n".join(_lines(tree_of(found)))
    person = str(rows[copied.contract.entity.name].to_pylist()[1])
    logs = {x["log"]: x["givenUp"] for x in impact(home, Target(member=person))["decisions"]}
    assert logs == {"over": "a reason", "seen": None}


def test_a_reason_that_the_policy_does_not_have_is_named(tmp_path: Path) -> None:
    """Whoever holds the key can leave out of a log's head which sentences it may tell."""
    made = start(tmp_path, "mitigated", stack="pytorch")
    assert PlainStack(made).run() == "released"
    decide(made, "forged", rows_of(made, "evaluation"))
    found = trace(tmp_path, decision_id("forged", 1))
    assert [d for d in found.differences if "none of the policy's sentences" in d]
    assert trace(tmp_path, decision_id("forged", 0)).differences == ()


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


def test_a_pipe_in_the_place_of_rows_is_refused_and_not_waited_for(process, tmp_path) -> None:
    home = shutil.copytree(_home(process), tmp_path / "home")
    victim = next((home / "datasets").glob("*/*/train/*.parquet"))
    victim.unlink()
    os.mkfifo(victim)
    with pytest.raises(EvidenceError, match=f"{victim.name} cannot be read"):
        trace(home, decision_id("seen", 1))


def test_the_page_escapes_and_loads_nothing(process) -> None:
    page = to_html(trace(_home(process), decision_id("seen", 1))).decode()
    assert "default-src 'none'" in page
    assert "Every link was checked and holds." in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_says_what_does_not_hold_and_takes_no_text_for_markup(cards: Path) -> None:
    found = replace(trace(cards, decision_id("two", 1)), differences=("<i>one</i> link",))
    page = to_html(found).decode()
    assert "Every link" not in page
    assert page.count("&lt;i&gt;one&lt;/i&gt; link") == 1
    assert "The &lt;b&gt;pilot&lt;/b&gt; needs it" in page
    assert 'release gate: <b class="bad">FAIL</b>' in page


def test_a_line_comes_out_of_its_pieces_whole(cards: Path) -> None:
    for name in ("one", "two"):
        for line in _lines(tree_of(trace(cards, decision_id(name, 1)))):
            assert "".join(text for _, text in pieces(line)) == line


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser(cards: Path, tmp_path: Path, browser, width: int) -> None:
    path = tmp_path / "trace.html"
    path.write_bytes(to_html(trace(cards, decision_id("two", 1))))
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert page.title() == "decision two.0000000001"
    assert page.locator("section > h2").all_inner_texts()[0].startswith("selected")
    assert page.locator(".brief .bad").all_inner_texts() == ["FAIL"]
    assert json.loads(page.locator("pre").text_content())["case"]["kind"] == "absence"
    # The one style is let in, and a line of the tree is not wider than the page.
    assert page.evaluate("getComputedStyle(document.querySelector('ul')).listStyleType") == "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (requests, problems) == ([path.as_uri()], [])
