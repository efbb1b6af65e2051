"""`assay monitor`: open where every limit holds, and closed by each limit that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.contract.errors import InputError
from components.stacks import batch_scoring
from components.stacks.process import ReleaseProcess
from pipelines.cli import app
from tests import monitored
from tests.monitored import RELEASE, Cases, cases


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run without a log."""
    return monitored.released(tmp_path_factory.mktemp("home"))


def run(home: Path, *arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of `assay monitor`."""
    done = CliRunner().invoke(app, ["monitor", RELEASE, "--home", str(home), *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def given(case: Cases, folder: Path, name: str) -> list[str | Path]:
    """A log, its batch and its labels, as arguments."""
    batch = case.batch(folder / "batch.csv")
    case.write(name, batch)
    return [name, "--data", batch, "--labels", case.label_file(folder / "l.parquet", name)]


def closed(told: dict[str, Any]) -> dict[str, str]:
    """Rules that do not pass."""
    findings = told["verdict"]["findings"]
    return {
        f["rule"].removeprefix("monitoring:"): f["status"]
        for f in findings
        if f["status"] != "PASS"
    }


def test_honest_decisions_open_it(process: ReleaseProcess, tmp_path: Path) -> None:
    case = cases(process)
    code, text = run(case.home, *given(case, tmp_path, "open"))
    assert code == 0
    assert text.splitlines()[-1].startswith("PASS: all 15 rules hold")
    assert "selection_rate of sex=f 0." in text
    assert read_access(case.home)[-1].result == "PASS"
    code, text = run(case.home, "open", "--json")
    told = json.loads(text)
    assert (code, told["verdict"]["status"]) == (1, "INCONCLUSIVE")
    assert {f["slice"] for f in told["figures"]} >= {"sex=f", "sex=m"}


def _higher(case: Cases) -> None:
    case.scores = np.clip(case.scores * 0.5 + 0.5, 0, 1)
    case.decide()


def _unequal(case: Cases) -> None:
    """Three men in four score below the threshold."""
    men = np.array(case.rows["sex"].to_pylist()) == "m"
    lower = men & (np.arange(len(men)) % 4 > 0)
    case.scores = np.where(lower, np.minimum(case.scores, 0.29), case.scores)
    case.decide()


def _by_people(case: Cases) -> None:
    case.outcomes = [
        "review" if o == "selected" and i % 2 else o for i, o in enumerate(case.outcomes)
    ]


def _half_labelled(case: Cases) -> None:
    case.labels = [None if i % 2 else label for i, label in enumerate(case.labels)]


def _by_chance(case: Cases) -> None:
    chance = np.random.default_rng(1)
    case.labels = [int(x) for x in chance.permutation(np.array(case.labels))]


def _men_missed(case: Cases) -> None:
    """Men who were not selected turn out to be in need, one in five."""
    for i, sex in enumerate(case.rows["sex"].to_pylist()):
        if sex == "m" and case.outcomes[i] == "not_selected" and i % 5 == 0:
            case.labels[i] = 1


def _men_healthy(case: Cases) -> None:
    """Of those who were selected most men turn out healthy, and all women in need."""
    for i, sex in enumerate(case.rows["sex"].to_pylist()):
        if case.outcomes[i] == "selected":
            case.labels[i] = int(sex == "f" or i % 8 == 0)


def _more_need(case: Cases) -> None:
    """A third of the healthy, whatever their score, come to be in need."""
    case.labels = [1 if i % 3 == 0 else label for i, label in enumerate(case.labels)]


def _overturned(case: Cases) -> None:
    case.overturned = [None if x is None else i % 6 == 0 for i, x in enumerate(case.overturned)]


def _moved(case: Cases) -> None:
    """Everybody's burden has moved beyond what the training rows hold."""
    place = case.rows.column_names.index("burden")
    moved = pa.array(np.array(case.rows["burden"].to_pylist()) + 6.0)
    case.rows = case.rows.set_column(place, "burden", moved)


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_higher, "score_drift"),
        (_unequal, "selection_gap:sex"),
        (_by_people, "review_share"),
        (_half_labelled, "labelled_share"),
        (_by_chance, "auc"),
        (_men_missed, "tpr_gap:sex"),
        (_men_healthy, "fpr_gap:sex"),
        (_more_need, "calibration_bias"),
        (_overturned, "overturned_share"),
        (_moved, "input_drift:burden"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_limit_closes_it(
    process: ReleaseProcess, tmp_path: Path, spoil: Callable[[Cases], None], rule: str
) -> None:
    case = cases(process)
    spoil(case)
    code, text = run(case.home, *given(case, tmp_path, spoil.__name__.strip("_")), "--json")
    assert (code, closed(json.loads(text))[rule]) == (1, "FAIL")


def test_batches_are_held_to_their_logs(process: ReleaseProcess, tmp_path: Path) -> None:
    case = cases(process)
    arguments = given(case, tmp_path, "held")
    batch = tmp_path / "batch.csv"
    with pytest.raises(InputError, match="given twice"):
        run(case.home, *arguments, "--data", batch)
    other = tmp_path / "other.csv"
    other.write_bytes(batch.read_bytes() + b"\n")
    with pytest.raises(InputError, match="is the batch of none of these logs") as refused:
        run(case.home, "held", "--data", other)
    assert refused.value.exit_code == 2


def test_inputs_of_all_logs_are_judged_together(process: ReleaseProcess, tmp_path: Path) -> None:
    case = cases(process)
    whole, logs = case.rows, []
    for i, rows in enumerate((whole.slice(0, 1200), whole.slice(1200))):
        part = Cases(process, rows, case.scores[i * 1200 :][: rows.num_rows], [0] * rows.num_rows)
        (folder := tmp_path / str(i)).mkdir()
        batch = part.batch(folder / "batch.csv")
        part.write(f"part-{i}", batch)
        logs.append((f"part-{i}", batch))
    names = [name for name, _ in logs]
    both = [x for _, batch in logs for x in ("--data", batch)]
    told = json.loads(run(case.home, *names, *both, "--json")[1])
    found = {f["rule"]: f for f in told["verdict"]["findings"]}
    held = found["monitoring:input_drift:burden"]
    assert (held["status"], held["measurement"]["n"]) == ("PASS", whole.num_rows)
    told = json.loads(run(case.home, *names, *both[:2], "--json")[1])
    assert closed(told)["input_drift"] == "INCONCLUSIVE"
    assert "1 of 2 logs" in told["verdict"]["reason"]


def test_labels_of_other_decisions_are_bad_input(process: ReleaseProcess, tmp_path: Path) -> None:
    case = cases(process)
    case.write("labelled")
    labels = case.label_file(tmp_path / "l.csv", "another-log")
    with pytest.raises(InputError, match="rows with a decision that is in none of the logs"):
        run(case.home, "labelled", "--labels", labels)


class ByBurden:
    """The true risk, for a home whose stack has no serving model of its own."""

    def score(self, columns: pa.Table) -> np.ndarray:
        burden, visits = (columns[c].to_numpy() for c in ("burden", "visits"))
        return 1 / (1 + np.exp(1.2 - 1.6 * burden - 0.6 * visits))


def test_what_was_scored_is_what_is_monitored(
    process: ReleaseProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_scoring, "load_scorer", lambda deciding: ByBurden())
    case = cases(process)
    batch = case.batch(tmp_path / "scored.csv")
    asked = ["score", RELEASE, "--data", str(batch), "--home", str(case.home), "--json"]
    log = json.loads(CliRunner().invoke(app, asked).stdout)["log"]
    labels = case.label_file(tmp_path / "l.csv", log)
    told = json.loads(run(case.home, log, "--data", batch, "--labels", labels, "--json")[1])
    found = {f["rule"]: f for f in told["verdict"]["findings"]}
    assert closed(told) == {}
    assert found["monitoring:input_drift:burden"]["measurement"]["n"] == case.rows.num_rows
    assert float(found["monitoring:auc"]["measurement"]["value"]) > 0.75
