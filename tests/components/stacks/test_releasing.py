"""Champions, challengers, rollbacks and figures computed again, through the whole process."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.checks.measurement import Measurement
from components.checks.small_figures import is_few, masked
from components.contract.errors import EvidenceError, InputError, ProcessError
from components.contract.policy_loader import load_policy
from components.contract.stages import Stage
from components.lineage.digests import canonical_json
from components.release.history import as_of, periods
from components.release.judging import as_told
from components.release.recomputation import Outcome, recompute
from components.release.records import Release, read_releases, write_release
from components.stacks.process import ReleaseProcess
from components.stacks.releasing import champion_run
from components.stacks.run_spec import RunSpec
from components.stacks.stages import CHAMPION_PREDICTIONS, StageResult
from pipelines.launch import prepare_release
from tests import seeded
from tests.plain_stack import PlainStack, changed_outputs, start, without


class Insurer:
    """A home with the made-up insurer's documents, and runs in it."""

    def __init__(self, home: Path, change: Callable | None = None) -> None:
        self.home = home
        self.contract, self.policy = seeded.write_documents(home / "documents", change)
        self.made = 0

    def start(self, rows: Callable | None = None, *, seed: int = 1) -> ReleaseProcess:
        """A run that is ready for its first stage."""
        self.made += 1
        data = seeded.write_rows(self.home / f"rows-{self.made}.csv", rows, seed)
        return start(self.home, "plain", policy=self.policy, contract=self.contract, data=data)

    def run(self, rows: Callable | None = None, *, seed: int = 1) -> ReleaseProcess:
        """A run that came to its end."""
        process = self.start(rows, seed=seed)
        PlainStack(process).run()
        return process

    def continued(self, earlier: ReleaseProcess) -> ReleaseProcess:
        """A run that is to release what an earlier one trained."""
        return ReleaseProcess(prepare_release(earlier.spec.directory, "a test"))

    @property
    def releases(self) -> list[Release]:
        """The history."""
        return read_releases(self.home, "insurer", "tfx")


def outcome(process: ReleaseProcess) -> str:
    """How a run was closed."""
    return str(process.chain.records()[-1].body["outcome"])


def gate(process: ReleaseProcess) -> dict:
    """The body of the release gate's record."""
    return next(r.body for r in process.chain.records() if r.stage == Stage.RELEASE_GATE)


def finding(process: ReleaseProcess, rule: str) -> tuple[str, str]:
    """Status and reason of one of the referee's findings at the release gate."""
    found = {f["rule"]: (f["status"], f["reason"]) for f in gate(process)["referee"]["findings"]}
    return found[rule]


def test_a_first_model_passes_without_a_champion_on_the_policys_grounds(tmp_path: Path) -> None:
    process = Insurer(tmp_path).run()
    assert outcome(process) == "released"
    status, reason = finding(process, "limit:champion")
    assert status == "PASS"
    assert reason.endswith(seeded._GROUNDS)
    assert gate(process)["champion"] is None


def test_without_grounds_a_first_model_has_nothing_to_be_held_against(tmp_path: Path) -> None:
    def no_grounds(document: dict) -> None:
        del document["release_gate"]["limits"][-1]["champion"]["none_yet"]

    process = Insurer(tmp_path, no_grounds).run()
    assert outcome(process) == "blocked"
    assert finding(process, "limit:champion")[0] == "INCONCLUSIVE"


def test_a_challenger_as_good_as_the_champion_supersedes_it(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    first, second = insurer.run(), insurer.run(seed=2)
    assert [r.run for r in insurer.releases] == [first.spec.run_id, second.spec.run_id]
    assert [(r.supersedes, r.kind) for r in insurer.releases] == [(0, "release"), (1, "release")]
    named = gate(second)["champion"]
    assert named == {"release": 1, "run": first.spec.run_id, "model": insurer.releases[0].model}
    change = next(m for m in gate(second)["measurements"] if "change" in m["name"])
    assert float(change["low"]) < float(change["value"]) < float(change["high"])


def test_a_challenger_that_is_worse_is_blocked(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    insurer.run()
    worse = insurer.run(seeded.uninformed)
    assert outcome(worse) == "blocked"
    assert finding(worse, "limit:champion")[0] == "FAIL"
    assert len(insurer.releases) == 1


def test_a_champion_of_another_contract_cannot_be_compared(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    insurer.run()
    document = json.loads(insurer.contract.read_text())
    insurer.contract.write_text(json.dumps({**document, "version": "2.0.0"}))
    second = insurer.run(seed=2)
    assert outcome(second) == "blocked"
    assert finding(second, "limit:champion") == ("INCONCLUSIVE", "roc_auc was not measured")


def test_a_stack_that_does_not_score_the_champion_breaks_down(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    insurer.run()
    process = insurer.start(seed=2)

    def silent(_: PlainStack, result: StageResult) -> StageResult:
        return without(result, CHAMPION_PREDICTIONS)

    with pytest.raises(ProcessError, match="left no champion_predictions"):
        PlainStack(process, {Stage.RELEASE_GATE: silent}).run()


def test_champion_scores_of_other_rows_are_a_malfunction(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    insurer.run()
    process = insurer.start(seed=2)

    def short(stack: PlainStack, result: StageResult) -> StageResult:
        table = pq.read_table(result.outputs[CHAMPION_PREDICTIONS]).slice(1)
        return changed_outputs(result, **{CHAMPION_PREDICTIONS: stack.write("s.parquet", table)})

    with pytest.raises(ProcessError, match="scores other rows"):
        PlainStack(process, {Stage.RELEASE_GATE: short}).run()


def test_a_rollback_is_a_release_with_its_own_record(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    first = insurer.run()
    insurer.run(seed=2)
    back = insurer.continued(first)
    assert back.stages == (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)
    assert PlainStack(back).release() == "released"
    one, two, three = insurer.releases
    assert three.model == one.model != two.model
    assert (three.kind, three.supersedes, three.reason) == ("rollback", 2, "a test")
    assert three.continues == first.spec.run_id
    assert dict(three.verdicts) == dict.fromkeys(map(str, Stage), "PASS")
    facts = gate(back)["facts"]
    assert facts == {
        "continues": first.spec.run_id,
        "head": first.chain.records()[-1].digest,
        "reason": "a test",
    }
    assert gate(back)["measurements"] == gate(first)["measurements"]


def test_a_blocked_model_stays_blocked_when_nobody_excuses_it(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    blocked = insurer.run(seeded.biased)
    again = insurer.continued(blocked)
    assert PlainStack(again).release() == "blocked"
    assert gate(again)["verdict"]["status"] == "FAIL"
    assert gate(again)["waiver"] is None
    assert insurer.releases == []


def test_a_run_that_trains_has_no_gate_to_judge_again(tmp_path: Path) -> None:
    process = Insurer(tmp_path).start()
    with pytest.raises(ProcessError, match="no gate to judge again"):
        process.rejudge()


@pytest.mark.parametrize("name", ["predictions", CHAMPION_PREDICTIONS])
def test_scores_that_were_changed_since_are_not_judged_again(tmp_path: Path, name: str) -> None:
    insurer = Insurer(tmp_path)
    insurer.run()
    second = insurer.run(seed=2)
    insurer.run(seed=3)
    path = second.artifacts / f"{name}.parquet"
    table = pq.read_table(path)
    higher = pc.min_element_wise(pc.add(table["score"], 0.001), 1.0)
    pq.write_table(table.set_column(1, "score", higher), path)
    with pytest.raises(EvidenceError, match=f"{name}.parquet is not what stage release_gate rec"):
        insurer.continued(second).rejudge()
    with pytest.raises(EvidenceError, match=f"{name}.parquet is not what stage release_gate rec"):
        recompute(second.spec.directory)


@pytest.mark.parametrize("rows", [None, seeded.biased, seeded.degenerate])
def test_every_figure_comes_out_again_from_the_stored_scores(
    tmp_path: Path, rows: Callable | None
) -> None:
    process = Insurer(tmp_path).run(rows)
    shutil.rmtree(process.artifacts / "plain")  # the model is not needed
    found = recompute(process.spec.directory)
    assert len(found) > 60
    assert {d.outcome for d in found} <= {Outcome.EQUAL, Outcome.NOT_CHECKED}
    assert {d.name for d in found if not d.same} <= {"finding"}  # of hidden native figures


def test_a_figure_that_was_recorded_wrongly_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.checks import release

    right = release.brier

    def wrong(*arguments: object) -> object:
        return replace(right(*arguments), value=0.01)

    insurer = Insurer(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(release, "brier", wrong)
        process = insurer.run()
    different = {(d.name, d.slice) for d in recompute(process.spec.directory) if not d.same}
    assert different == {("brier", "overall"), ("finding", "agreement:brier:overall")}
    insurer.run(seed=2)
    with pytest.raises(EvidenceError, match="give other figures than the gate recorded"):
        insurer.continued(process).rejudge()


def test_nothing_can_be_computed_of_a_run_without_a_gate(tmp_path: Path) -> None:
    process = Insurer(tmp_path).run(seeded.leaked)
    with pytest.raises(InputError, match="has not come to a release gate"):
        recompute(process.spec.directory)


def test_a_run_is_what_its_records_say_and_not_what_its_files_say(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    blocked = insurer.run(seeded.biased)
    directory = blocked.spec.directory
    document = json.loads((directory / "policy.yaml").read_text())
    for limit in document["release_gate"]["limits"]:
        limit.update({"at_most": 0.9} if limit["id"] == "opportunity-sex" else {})
    (directory / "policy.yaml").write_text(json.dumps(document))
    spec = json.loads((directory / "run.json").read_text())
    spec["policy"] = hashlib.sha256((directory / "policy.yaml").read_bytes()).hexdigest()
    (directory / "run.json").write_bytes(canonical_json(spec))
    known = set((tmp_path / "runs").iterdir())
    with pytest.raises(EvidenceError, match="is not the one the run was bound to"):
        recompute(directory)
    for look in (
        lambda: ReleaseProcess.open(directory),
        lambda: prepare_release(directory, "a test"),
    ):
        with pytest.raises(EvidenceError, match="is not about what stage ingest recorded"):
            look()
    assert set((tmp_path / "runs").iterdir()) == known


def test_a_copied_home_is_read_where_it_is(tmp_path: Path) -> None:
    process = Insurer(tmp_path / "home").run()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "home", copy)
    run = copy / "runs" / process.spec.run_id
    shutil.rmtree(tmp_path / "home")
    assert [d for d in recompute(run) if not d.same] == []
    assert RunSpec.load(run).home == str(copy)
    path = run / "artifacts" / "predictions.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(EvidenceError, match="is not what stage release_gate recorded"):
        recompute(run)


def test_two_runs_that_began_together_meet_at_the_gate(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    good, worse = insurer.start(), insurer.start(seeded.uninformed)
    assert PlainStack(good).run() == "released"
    assert PlainStack(worse).run() == "blocked"
    assert finding(worse, "limit:champion")[0] == "FAIL"


def test_a_release_in_between_closes_a_run_that_never_met_it(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    late = insurer.start(seed=2)
    stack = PlainStack(late)
    for stage in Stage:
        assert late.run_stage(stage, lambda s=stage: stack.hook(s))
    insurer.run()
    assert late.close() == "blocked"
    reason = late.chain.records()[-1].body["reason"]
    assert reason.endswith("another release stands than the one that the gate compared with")
    assert len(insurer.releases) == 1


def test_a_waived_model_still_has_to_meet_the_champion_that_stands(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    blocked = insurer.run(seeded.biased)
    insurer.run()
    again = insurer.continued(blocked)
    assert PlainStack(again).release() == "blocked"
    assert finding(again, "champion")[0] == "INCONCLUSIVE"


def test_a_gate_that_was_overtaken_comes_out_again_as_well(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    blocked = insurer.run(seeded.biased)
    insurer.run()
    again = insurer.continued(blocked)
    PlainStack(again).release()
    found = recompute(again.spec.directory)
    assert len(found) > 60
    assert {d.outcome for d in found} <= {Outcome.EQUAL, Outcome.NOT_CHECKED}
    assert {d.name for d in found if not d.same} <= {"finding"}  # of hidden native figures


def test_a_champion_whose_policy_is_older_than_the_rules_is_still_one(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    first = insurer.run()
    text = (first.spec.directory / "policy.yaml").read_text()
    older = json.loads(text)
    del older["leak_check"]
    (first.spec.directory / "policy.yaml").write_text(json.dumps(older))
    digest = hashlib.sha256((first.spec.directory / "policy.yaml").read_bytes()).hexdigest()
    champion = replace(insurer.releases[0], policy=digest)
    rules = load_policy(insurer.policy, first.contract)
    found = champion_run(first.spec, first.contract, rules, champion)
    assert found is not None
    assert found.candidate == first.candidate


def test_a_champion_whose_policy_was_changed_is_none(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    first = insurer.run()
    path = first.spec.directory / "policy.yaml"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(EvidenceError, match="is not the one it was released by"):
        insurer.run(seed=2)


def test_a_run_that_was_broken_off_is_not_taken_up_again(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    process = insurer.start()
    stack = PlainStack(process)
    for stage in list(Stage)[:6]:
        assert process.run_stage(stage, lambda s=stage: stack.hook(s))
    process.close(interrupted="stopped by hand")
    with pytest.raises(InputError, match="ended in another way"):
        insurer.continued(process)


def test_the_model_that_stands_is_not_released_again(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    with pytest.raises(InputError, match="stands already, as release 1"):
        insurer.continued(insurer.run())


def test_a_forged_release_is_no_champion(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    first, blocked = insurer.run(), insurer.run(seeded.biased)
    kept = insurer.releases[0]
    forged = {
        **{k: getattr(kept, k) for k in ("candidate", "model", "policy", "contract", "actor")},
        "run": blocked.spec.run_id,
        "head": "0" * 64,
        "at": first.chain.records()[-1].body["finished"],
    }
    write_release(tmp_path, "insurer", "tfx", forged)
    with pytest.raises(EvidenceError, match="of release 2 is not there, or open"):
        insurer.run(seed=2)


def test_a_release_taken_out_of_the_history_comes_back_from_the_evidence(tmp_path: Path) -> None:
    insurer = Insurer(tmp_path)
    insurer.run()
    kept = insurer.releases
    shutil.rmtree(tmp_path / "releases")
    worse = insurer.run(seeded.uninformed)
    assert outcome(worse) == "blocked"
    assert finding(worse, "limit:champion")[0] == "FAIL"
    assert insurer.releases == kept


def test_a_limit_on_pairs_misses_no_pair(tmp_path: Path) -> None:
    def on_pairs(document: dict) -> None:
        limit = seeded.limit("pairs", "tpr_difference", slice=["sex", "age"], at_most=0.9)
        document["release_gate"]["limits"].append(limit)

    def no_old_women(rows: seeded.Rows) -> None:
        rows["age"] = np.where(rows["sex"] == "f", 30, rows["age"])

    insurer = Insurer(tmp_path, on_pairs)
    process = insurer.run(no_old_women)
    assert outcome(process) == "blocked"
    closed = [f for f in gate(process)["referee"]["findings"] if f["status"] == "INCONCLUSIVE"]
    assert [(f["rule"], f["reason"]) for f in closed] == [
        ("limit:pairs", "tpr_difference of sex*age has no rows of sex=f*age=50 and over")
    ]


def _release(number: int, at: str) -> Release:
    return Release(
        number, "insurer", "tfx", f"run-{number}", "plain", "m", "h", "p", "c", "ann",
        datetime.fromisoformat(at), "d",
    )  # fmt: skip


HISTORY = [
    _release(1, "2026-03-01T10:00:00+00:00"),
    _release(2, "2026-03-05T12:00:00+00:00"),
    _release(3, "2026-03-05T18:00:00+00:00"),
]


@pytest.mark.parametrize(
    ("when", "standing"),
    [
        ("2026-02-28", []),
        ("2026-03-01", [1]),
        ("2026-03-04", [1]),
        ("2026-03-05", [1, 2, 3]),
        ("2026-03-06", [3]),
        ("2026-03-05T11:59:59Z", [1]),
        ("2026-03-05T12:00:00Z", [2]),
        ("2026-03-05T12:00:00", [2]),
        ("2026-03-05T14:00:00+03:00", [1]),
    ],
)
def test_what_stood_on_a_day_or_at_a_moment(when: str, standing: list[int]) -> None:
    assert [p.release.number for p in as_of(HISTORY, when)] == standing


def test_a_release_stands_until_the_next_one() -> None:
    found = periods(HISTORY)
    assert [p.until for p in found] == [HISTORY[1].at, HISTORY[2].at, None]
    assert found[0].to_json()["until"] == "2026-03-05T12:00:00+00:00"
    assert periods([]) == []


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01", "2026-3-5", "", "9999-12-31"])
def test_a_date_that_is_none_or_yet_to_come_is_refused(when: str) -> None:
    with pytest.raises(InputError, match="--as-of") as caught:
        as_of(HISTORY, when)
    assert len(str(caught.value).splitlines()) == 1


def test_today_is_not_yet_to_come() -> None:
    assert len(as_of(HISTORY, f"{datetime.now(UTC):%Y-%m-%d}")) == 1


def test_no_record_tells_of_a_few_people(tmp_path: Path) -> None:
    process = Insurer(tmp_path).run(seeded.degenerate)
    told = hidden = 0
    for record in process.chain.records()[:-1]:
        body = record.body
        sides = [body[s] for s in ("native", "referee") if body[s]]
        found = [f for side in sides for f in side["findings"]]
        documents = [*body["measurements"], *body["nativeMeasurements"]]
        documents += [f["measurement"] for f in found if f["measurement"]]
        figures = [Measurement.from_json(m) for m in documents]
        assert not [m for m in figures if is_few(m)]
        reasons = [body["verdict"]["reason"], *(f["reason"] for f in found)]
        assert not [r for r in reasons if re.search(r"\(([1-9]|10)\)|\b([1-9]|10) cases", r)]
        told += sum(not m.hidden for m in figures)
        hidden += sum(m.hidden for m in figures)
    assert told > 50
    assert hidden > 50


def test_a_record_that_hides_more_than_it_must_is_not_the_same() -> None:
    figures = [Measurement("tpr", 0.5, n, slice=f"sex={n}", of="sex") for n in (100, 200)]
    few = [replace(figures[0], n=12), figures[1]]
    hides = [masked(m, {(m.name, m.slice)}).to_json() for m in figures]
    assert as_told(few, hides) == hides
    assert as_told(figures, hides) == [m.to_json() for m in figures] != hides
    old = [m.to_json() for m in few]  # of a format that hid nothing
    assert as_told(few, old) == old
