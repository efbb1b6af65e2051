"""The restore drill: what bundles answer alone, what they lack, and what a home says otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.audit.answers import Answer, Fact, Missing, Status
from components.audit.bundle import build_bundle
from components.audit.bundle_format import SignerError, TamperedError
from components.audit.evidence_lineage import EvidenceLineage
from components.audit.question_catalogue import load_catalogue
from components.audit.restore_drill import Restored, check_bundles, restore
from components.audit.restore_drill_answers import (
    MEANING,
    Absent,
    FactDifference,
    differing,
    not_bundled,
)
from components.audit.trust import Trust, TrustedKey, load_trust
from components.contract.errors import EvidenceError, InputError
from components.contract.json_schema import ROOT
from components.lineage.graph import NodeKind
from components.release.records import read_releases, write_release
from tests import small_bundle
from tests.asked_home import RUNS, copied_home, runs_of

CATALOGUE = load_catalogue()
GOLDEN = ROOT / "tests" / "golden" / "bundle_v1"


@pytest.fixture(scope="module")
def bundles(
    asked_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """The bundle of each run of one stack and of one of the other's, by stack and run's name."""
    folder, found = tmp_path_factory.mktemp("bundles"), {}
    for stack, names in (("tfx", RUNS), ("pytorch", RUNS[:1])):
        runs = runs_of(EvidenceLineage(asked_home, stack).read().graph)
        for name in names:
            found[stack, name] = folder / f"{runs[name]}.zip"
            build_bundle(asked_home / "runs" / runs[name], found[stack, name])
    return found


@pytest.fixture
def trust(asked_home: Path) -> Trust:
    """The home's key, from outside."""
    return load_trust(asked_home / "keys" / "evidence.pub")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders go; nothing may be left in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def drill(paths: list[Path], trust: Trust, home: Path | None = None) -> list[Restored]:
    """Both steps."""
    return restore(check_bundles(paths, trust), trust, CATALOGUE, home)


def unanswered(restored: Restored) -> dict[str, list[str]]:
    """The facts that are missing, by question."""
    return {a.question: [m.name for m in a.missing] for a in restored.answers if a.missing}


def test_every_question_is_answered_from_bundles_alone_as_the_home_answers_it(
    asked_home: Path, bundles: dict[tuple[str, str], Path], trust: Trust
) -> None:
    before = sorted(asked_home.rglob("*"))
    found = drill(list(bundles.values()), trust, asked_home)
    assert [(r.stack, len(r.runs)) for r in found] == [("pytorch", 1), ("tfx", len(RUNS))]
    for restored in found:
        assert unanswered(restored) == {}
        assert restored.count(Status.ANSWERED) == len(CATALOGUE.questions)
        whole = EvidenceLineage(asked_home, restored.stack).read().graph
        facts = [f for a in restored.answers for f in a.facts]
        assert {f.about for f in facts} <= whole.nodes.keys()
        assert len(facts) > 50
        assert (restored.differences, restored.untold, restored.holds) == ({}, 0, True)
        assert restored.beyond is not None
        assert restored.beyond.runs == len(RUNS) - len(restored.runs)
    assert sorted(asked_home.rglob("*")) == before


def test_the_order_of_bundles_does_not_matter(
    bundles: dict[tuple[str, str], Path], trust: Trust
) -> None:
    # The bundle of the run that puts it back holds the first run too, without its cards.
    pair = [bundles["tfx", "put back"], bundles["tfx", "first"]]
    assert [[r.runs for r in drill(order, trust)] for order in (pair, pair[::-1])] == [
        [tuple(sorted(p.stem for p in pair))]
    ] * 2


def test_rows_are_answered_though_no_bundle_has_the_manifest(
    bundles: dict[tuple[str, str], Path], trust: Trust
) -> None:
    (restored,) = drill([bundles["tfx", "first"]], trust)
    rows = {a.question: [f.value for f in a.facts if f.name == "rows"] for a in restored.answers}
    assert (rows["A6"], rows["D3"]) == (["6000"], ["6000"])
    assert (restored.holds, restored.differences, restored.beyond) == (True, {}, None)


def test_a_bundle_of_an_older_version_is_restored() -> None:
    (restored,) = drill([GOLDEN / "bundle.zip"], load_trust(GOLDEN / "evidence.pub"))
    assert restored.holds


def test_what_a_record_lacks_is_told_question_by_question(tmp_path: Path) -> None:
    path = tmp_path / "bare.zip"
    path.write_bytes(small_bundle.seal(small_bundle.released()))
    (restored,) = drill([path], small_bundle.TRUST)
    assert not restored.holds
    assert unanswered(restored)["D3"] == ["rows"]
    by_id = {a.question: a.status for a in restored.answers}
    assert (by_id["D3"], by_id["C1"], by_id["B10"]) == ("partial", "impossible", "answered")


def test_an_answer_that_differs_is_named_with_both_sides(
    asked_home: Path, bundles: dict[tuple[str, str], Path], trust: Trust, tmp_path: Path
) -> None:
    home = copied_home(asked_home, tmp_path / "home")
    last = read_releases(home, "insurer", "tfx")[-1]
    (home / "releases" / "insurer" / "tfx" / "000003.json").unlink()
    said = {k: getattr(last, k) for k in ("run", "candidate", "model", "head", "policy")}
    others = {"contract": last.contract, "at": last.at.isoformat(), "kind": last.kind}
    more = {"continues": last.continues, "reason": last.reason, "waiver": last.waiver}
    write_release(home, "insurer", "tfx", {**said, **others, **more, "actor": "eve"})
    found = drill([bundles["tfx", "put back"]], trust, home)[0]
    assert not found.holds
    assert found.count(Status.ANSWERED) == len(CATALOGUE.questions)
    assert set(found.differences) == {"B1", "B6"}
    release = "release/insurer/tfx/3"
    assert found.differences["B6"] == (
        FactDifference(
            "by", release, f"{last.actor} (actor of {release})", f"eve (actor of {release})"
        ),
    )
    assert [d.fact for d in found.differences["B1"]] == ["released by", "the actor on record"]
    assert [r.holds for r in drill([bundles["pytorch", "first"]], trust, home)] == [True]


def test_releases_whose_runs_are_in_no_bundle_are_counted_and_so_are_a_homes_other_runs(
    asked_home: Path, bundles: dict[tuple[str, str], Path], trust: Trust, tmp_path: Path
) -> None:
    home = copied_home(asked_home, tmp_path / "home")
    leaked = bundles["tfx", "leaked"].stem
    (home / "runs" / leaked / "evidence" / "0005-close.json").unlink()
    (restored,) = drill([bundles["tfx", "waived"]], trust, home)
    assert set(restored.runs) == {bundles["tfx", n].stem for n in ("waived", "stopped")}
    assert (restored.untold, restored.holds) == (1, True)
    assert restored.beyond is not None
    assert (restored.beyond.runs, restored.beyond.unfinished) == (3, 1)


def test_a_home_that_lost_the_run_or_whose_evidence_is_broken(
    asked_home: Path, bundles: dict[tuple[str, str], Path], trust: Trust, tmp_path: Path
) -> None:
    home, path = copied_home(asked_home, tmp_path / "home"), bundles["tfx", "first"]
    record = home / "runs" / path.stem / "evidence" / "0006-release_gate.json"
    record.write_bytes(record.read_bytes().replace(b'"', b"'", 1))
    with pytest.raises(EvidenceError, match=f"{home}: run {path.stem}: 0006-release_gate"):
        drill([path], trust, home)
    (home / "runs" / path.stem).rename(tmp_path / "gone")
    with pytest.raises(InputError, match=f"no run '{path.stem}'"):
        drill([path], trust, home)


# What cannot be restored.


def test_two_bundles_of_a_run(bundles: dict[tuple[str, str], Path], trust: Trust) -> None:
    path = bundles["tfx", "first"]
    with pytest.raises(InputError, match="one bundle of each run"):
        check_bundles([path, bundles["tfx", "stopped"], path], trust)


def test_bundles_that_hold_the_same_thing_differently(tmp_path: Path) -> None:
    waived, other = tmp_path / "waived.zip", tmp_path / "other.zip"
    waived.write_bytes(small_bundle.seal(small_bundle.waived()))
    draft = small_bundle.blocked()
    draft.runs = {small_bundle.EARLIER: draft.runs[small_bundle.RUN]}
    draft.files = small_bundle._files(small_bundle.EARLIER)
    other.write_bytes(small_bundle.seal(draft))
    assert len(check_bundles([waived, other], small_bundle.TRUST)) == 2
    draft.body("train")["tools"] = {"numpy": "3"}
    other.write_bytes(small_bundle.seal(draft))
    with pytest.raises(InputError, match=f"holds another runs/run-1 than {waived}"):
        check_bundles([waived, other], small_bundle.TRUST)
    first = small_bundle.released()
    first.runs = {"run-9": first.runs[small_bundle.RUN]}
    first.releases[0]["run"] = "run-9"
    first.files = small_bundle._files("run-9")
    other.write_bytes(small_bundle.seal(first))
    with pytest.raises(InputError, match=r"another releases/clinic/tfx/000001\.json than"):
        check_bundles([waived, other], small_bundle.TRUST)


def test_a_tampered_bundle_is_never_restored(
    bundles: dict[tuple[str, str], Path], trust: Trust, tmp_path: Path
) -> None:
    path, good = tmp_path / "bad.zip", bundles["tfx", "first"]
    path.write_bytes(good.read_bytes().replace(b"assay-policy/v1", b"assay-policy/v2"))
    (checked,) = check_bundles([path], trust)
    assert not checked.verification.sound
    with pytest.raises(TamperedError, match=r"bad\.zip, runs/.*policy\.yaml"):
        restore([checked], trust, CATALOGUE)
    # One that is changed between the two looks is as bad.
    held = check_bundles([good], trust)[0]
    with pytest.raises(TamperedError):
        restore([replace(held, path=path)], trust, CATALOGUE)


def test_another_key_and_no_bundle_are_named_by_their_file(
    bundles: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    path, half = bundles["tfx", "first"], tmp_path / "half.zip"
    other = Trust("the test", (TrustedKey("other", small_bundle.raw_key("other")),))
    with pytest.raises(SignerError, match=rf"^{path}: signed by a key that is not trusted"):
        check_bundles([path], other)
    half.write_bytes(path.read_bytes()[:5000])
    for bad in (half, tmp_path / "nowhere.zip", tmp_path):
        with pytest.raises(InputError, match=rf"^{bad}: "):
            check_bundles([bad], small_bundle.TRUST)


def test_an_interrupted_drill_leaves_nothing(
    bundles: dict[tuple[str, str], Path],
    trust: Trust,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(self: EvidenceLineage, runs: object) -> None:
        assert list(scratch.glob("*/home/runs/*/run.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(EvidenceLineage, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        drill([bundles["tfx", "first"]], trust)


# Answers against each other, and what no bundle holds.


def answer(*facts: Fact, missing: tuple[Missing, ...] = (), about: int = 1) -> Answer:
    """An answer."""
    status = Status.PARTIAL if missing else Status.ANSWERED
    return Answer("A1", "evidence", status, about, facts, missing, 0.0)


def test_answers_are_compared_fact_by_fact() -> None:
    one, two = Fact("f", "run/r", "1", "run/r", "seed"), Fact("f", "run/r", "2", "run/r", "seed")
    assert differing(answer(one, two), answer(two, one)) == ()
    assert differing(answer(one), answer(two)) == (
        FactDifference("f", "run/r", "1 (seed of run/r)", "2 (seed of run/r)"),
    )
    twice = differing(answer(one, one), answer(one))
    assert twice == (FactDifference("f", "run/r", "1 (seed of run/r)", None),)
    elsewhere = replace(one, node="run/s")
    assert differing(answer(one), answer(elsewhere))[0].home == "1 (seed of run/s)"
    unknown = answer(missing=(Missing("f", "run/r", "run/r has no seed"),))
    assert [(d.fact, d.bundle, d.home) for d in differing(unknown, answer(one))] == [
        ("f", "not known: run/r has no seed", "1 (seed of run/r)"),
        ("status", "partial", "answered"),
    ]
    assert [d.to_json() for d in differing(answer(about=0), answer(about=2))] == [
        {"fact": "about", "about": None, "bundle": "0", "home": "2"}
    ]


def test_each_question_says_what_a_home_may_hold_beyond_bundles() -> None:
    told = {q.id: set(not_bundled(q)) for q in CATALOGUE.questions}
    assert MEANING.keys() == set(Absent) == set().union(*told.values())
    assert told["A7"] == {Absent.STORE, Absent.LATER}
    assert told["A2"] == {Absent.STORE, Absent.OTHERS}
    assert told["A5"] == {Absent.STORE, Absent.OTHERS}  # of those that were brought to an end
    assert told["B11"] == {Absent.STORE, Absent.OTHERS, Absent.UNFINISHED, Absent.ACCESS_LOG}
    assert told["D9"] == {Absent.STORE, Absent.OTHERS, Absent.UNFINISHED, Absent.FILES}
    for question in CATALOGUE.questions:
        assert Absent.STORE in told[question.id]
        if question.about.kind is NodeKind.RELEASE:
            assert Absent.UNFINISHED not in told[question.id]
