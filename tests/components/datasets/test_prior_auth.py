"""Synthetic prior authorization requests: the same bytes always, and what is planted is there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.contract.contract_loader import load_contract
from components.contract.errors import InputError
from components.contract.features import model_inputs
from components.contract.json_schema import ROOT
from components.contract.policy_loader import load_policy
from components.datasets import prior_auth as plan
from components.datasets import prior_auth_writer as writer
from components.datasets.prior_auth import GROUND_TRUTH, MONTHS, Population
from components.datasets.prior_auth_draws import draw, scattered, table
from components.datasets.prior_auth_rows import RowMaker, month_name
from components.datasets.prior_auth_writer import generate
from components.datasets.sources import open_source

CONTRACT = ROOT / "schemas" / "prior_auth.yaml"


def nobody(_rows: int) -> None:
    """A watcher that does not look."""


def everything(folder: Path) -> dict[str, bytes]:
    """Name and bytes of every file in a folder."""
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture(scope="module")
def large() -> tuple[pa.Table, RowMaker]:
    """200,000 requests, enough to see what is planted; and their maker."""
    maker = RowMaker(Population(200_000, 3))
    starts = [int(n) for n in maker.population.month_starts]
    parts = [maker.rows(m, starts[m], starts[m + 1]) for m in range(len(MONTHS))]
    return pa.concat_tables(parts), maker


def share(rows: pa.Table, column: str, value: str) -> float:
    """Share of rows with that value."""
    return float(pc.mean(pc.equal(rows[column].cast(pa.string()), value).cast(pa.int8())).as_py())


def where(rows: pa.Table, column: str, *values: object) -> pa.Table:
    """Rows with one of the values."""
    cells = rows[column]
    cells = cells.cast(pa.string()) if pa.types.is_dictionary(cells.type) else cells
    return rows.filter(pc.is_in(cells, pa.array(values, cells.type)))


def test_the_same_bytes_whatever_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP_ROWS", 500)
    for name, chunk in (("one", 1 << 16), ("two", 97), ("three", 256)):
        generate(Population(20_000, 5), tmp_path / name, nobody, chunk)
    one = everything(tmp_path / "one")
    assert one == everything(tmp_path / "two") == everything(tmp_path / "three")
    assert len(one) == 2 * len(MONTHS) + 1  # each with its digest; the ground truth
    groups = pq.read_metadata(tmp_path / "one" / "2024-01.parquet").num_row_groups
    assert groups == 2


def test_a_row_can_be_made_on_its_own() -> None:
    maker = RowMaker(Population(5_000, 5))
    start, stop = (int(n) for n in maker.population.month_starts[3:5])
    month = maker.rows(3, start, stop)
    for at in (start, start + 1, start + 6, stop - 1):
        assert maker.rows(3, at, at + 1).to_pylist() == month.slice(at - start, 1).to_pylist()


def test_draws_do_not_depend_on_where_a_chunk_begins() -> None:
    whole = draw(9, "who", 0, 40)
    for start in range(40):
        assert (draw(9, "who", start, 40 - start) == whole[start:]).all()
    assert not (draw(9, "whom", 0, 40) == whole).any()
    assert not (draw(10, "who", 0, 40) == whole).any()


def test_another_seed_gives_other_rows(tmp_path: Path) -> None:
    for seed in (1, 2):
        generate(Population(100, seed), tmp_path / str(seed), nobody)
    first, second = (pq.read_table(tmp_path / s / "2024-01.parquet") for s in "12")
    assert not first.equals(second)


@pytest.mark.parametrize("rows", [1, 2, 23, 24, 25, 1_001])
def test_every_number_of_rows_is_met(tmp_path: Path, rows: int) -> None:
    seen: list[int] = []
    made = generate(Population(rows, 0), tmp_path, seen.append)
    files = sorted(tmp_path.glob("*.parquet"))
    assert [f.stem for f in files] == [month_name(m) for m in range(len(MONTHS))]
    assert sum(pq.read_metadata(f).num_rows for f in files) == made.rows == sum(seen) == rows
    assert made.bytes == sum(f.stat().st_size for f in files)


def test_ids_are_unique_and_say_that_they_are_synthetic(
    large: tuple[pa.Table, RowMaker],
) -> None:
    rows, _ = large
    assert len(rows["request_id"].unique()) == rows.num_rows
    for name in ("request_id", "member_id", "provider_id"):
        assert pc.all(pc.starts_with(rows[name], "SYN-")).as_py()


def test_a_member_has_several_requests_and_stays_the_same_person(
    large: tuple[pa.Table, RowMaker],
) -> None:
    rows, _ = large
    traits = ["line_of_business", "plan", "sex", "age_band", "language", "disability"]
    members = rows.group_by("member_id").aggregate(
        [*((t, "count_distinct") for t in traits), ("denied", "count")]
    )
    assert 3 < pc.mean(members["denied_count"]).as_py() < 5
    for trait in traits:
        assert pc.max(members[f"{trait}_count_distinct"]).as_py() == 1


def test_requests_lie_in_their_month_and_are_decided_afterwards(
    large: tuple[pa.Table, RowMaker],
) -> None:
    rows, _ = large
    asked, decided = rows["requested_at"].to_numpy(), rows["decided_at"].to_numpy()
    assert (np.diff(asked) >= 0).all()
    months = pc.strftime(rows["requested_at"].cast(pa.timestamp("s", "UTC")), "%Y%m")
    assert months.to_pylist() == [str(m) for m in rows["request_month"].to_pylist()]
    hours = (decided - asked) / 3600
    expedited = pc.equal(rows["urgency"].cast(pa.string()), "expedited").to_numpy()
    for limit, held in ((72, hours[expedited]), (168, hours[~expedited])):
        assert held.min() > 0
        assert held.max() <= 2 * limit
        assert 0.02 < (held > limit).mean() < 0.04


def test_respiratory_diagnoses_and_requests_rise_in_winter(
    large: tuple[pa.Table, RowMaker],
) -> None:
    rows, _ = large
    january, july = (where(rows, "request_month", m) for m in (202501, 202507))
    name = plan.WINTER_DIAGNOSIS
    assert share(january, "diagnosis_group", name) > 1.6 * share(july, "diagnosis_group", name)
    assert january.num_rows > 1.1 * july.num_rows


def test_the_coding_change_is_on_its_date(large: tuple[pa.Table, RowMaker]) -> None:
    rows, _ = large
    change = plan.CODING_CHANGE.year * 100 + plan.CODING_CHANGE.month
    months = rows["request_month"]
    before, after = (
        rows.filter(pc.less(months, change)),
        rows.filter(pc.greater_equal(months, change)),
    )
    assert share(before, "procedure_group", plan.NEW_CODE) == 0
    assert share(after, "procedure_group", plan.OLD_CODE) == 0
    old = share(before, "procedure_group", plan.OLD_CODE)
    assert 0.15 < old < 0.21
    assert share(after, "procedure_group", plan.NEW_CODE) == pytest.approx(old, abs=0.01)


def test_the_disparity_is_there_and_has_no_other_reason(
    large: tuple[pa.Table, RowMaker],
) -> None:
    rows, _ = large
    english, others = (
        where(rows, "language", "english"),
        where(rows, "language", "spanish", "other"),
    )
    rates = [float(pc.mean(r["denied"]).as_py()) for r in (english, others)]
    assert 0.06 < rates[1] - rates[0] < 0.10
    for same in ("guideline_score", "documents_complete", "prior_denials"):
        means = [float(pc.mean(r[same]).as_py()) for r in (english, others)]
        assert means[0] == pytest.approx(means[1], rel=0.02)
    odds = [r / (1 - r) for r in rates]
    # Averaging over unlike requests makes an odds ratio smaller, never larger.
    assert 1.4 < odds[1] / odds[0] < np.exp(plan.DISPARITY / 100)


def test_no_other_protected_column_has_a_disparity(large: tuple[pa.Table, RowMaker]) -> None:
    rows, _ = large
    for column in ("sex", "disability"):
        rates = where(rows, "language", "english").group_by(column).aggregate([("denied", "mean")])
        assert pc.max(rates["denied_mean"]).as_py() - pc.min(rates["denied_mean"]).as_py() < 0.015


def test_rings_share_members_and_bill_more(large: tuple[pa.Table, RowMaker]) -> None:
    rows, maker = large
    ids = [p for ring in maker.rings for p in ring]
    assert len(set(ids)) == plan.RING_SIZE * maker.population.rings
    equipment = where(rows, "procedure_group", plan.RING_PROCEDURE)
    inside = pc.is_in(equipment["provider_id"], pa.array(ids))
    medians = [
        float(np.median(r["billed_amount"].to_numpy()))
        for r in (equipment.filter(inside), equipment.filter(pc.invert(inside)))
    ]
    assert medians[0] / medians[1] > 1.5
    ring = where(equipment, "provider_id", *maker.rings[0])
    visits = ring.group_by("member_id").aggregate([("provider_id", "count_distinct")])
    shared = visits.filter(pc.greater(visits["provider_id_count_distinct"], 1)).num_rows
    stranger = where(equipment, "provider_id", *equipment["provider_id"].unique()[:4].to_pylist())
    alone = stranger.group_by("member_id").aggregate([("provider_id", "count_distinct")])
    assert shared >= 0.8 * maker.population.ring_members
    assert pc.max(alone["provider_id_count_distinct"]).as_py() == 1


def test_overturned_means_denied_first(large: tuple[pa.Table, RowMaker]) -> None:
    rows, _ = large
    assert set(where(rows, "outcome", "approved")["denied"].to_pylist()) == {0}
    assert set(where(rows, "outcome", "denied", "overturned")["denied"].to_pylist()) == {1}
    denied = where(rows, "denied", 1)
    assert 0.08 < share(denied, "outcome", "overturned") < 0.11


def test_the_ground_truth_stands_beside_the_data(tmp_path: Path) -> None:
    generate(Population(200, 8), tmp_path, nobody)
    truth = json.loads((tmp_path / GROUND_TRUTH).read_text())
    assert truth["rings"]["providers"] == RowMaker(Population(200, 8)).rings
    assert truth["codingChange"]["date"] == "2024-07-01"
    assert truth["disparity"]["logOdds"] == "0.60"
    assert "Synthetic" in truth["synthetic"]
    metadata = pq.read_metadata(tmp_path / "2025-12.parquet").metadata
    assert metadata[b"assay:synthetic"] == plan.SYNTHETIC.encode()


def test_a_run_that_broke_off_goes_on(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    generate(Population(3_000, 4), whole, nobody)

    class Stop(Exception):
        """As if the power went."""

    done: list[int] = []

    def stop_in_the_fifth_month(rows: int) -> None:
        done.append(rows)
        if len(done) == 5:
            raise Stop

    with pytest.raises(Stop):
        generate(Population(3_000, 4), broken, stop_in_the_fifth_month)
    assert sorted(p.name for p in broken.glob("[!.]*")) == [
        "2024-01.parquet", "2024-02.parquet", "2024-03.parquet", "2024-04.parquet", GROUND_TRUTH,
    ]  # fmt: skip
    (broken / ".2024-05.parquet.part").write_bytes(b"what a killed process leaves")
    first = (broken / "2024-01.parquet").stat().st_mtime_ns
    made = generate(Population(3_000, 4), broken, nobody)
    assert made.kept == 4
    assert (broken / "2024-01.parquet").stat().st_mtime_ns == first
    assert everything(broken) == everything(whole)


@pytest.mark.parametrize("other", [Population(101, 1), Population(100, 2)])
def test_a_folder_of_other_data_is_refused(tmp_path: Path, other: Population) -> None:
    generate(Population(100, 1), tmp_path, nobody)
    before = everything(tmp_path)
    with pytest.raises(InputError, match="other rows or seed"):
        generate(other, tmp_path, nobody)
    assert everything(tmp_path) == before


def _a_table(path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), path)


@pytest.mark.parametrize(
    "spoil", [_a_table, lambda p: p.write_bytes(b"PAR1"), lambda p: p.write_bytes(b"")]
)
def test_a_month_that_is_not_ours_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    generate(Population(100, 1), tmp_path, nobody)
    spoil(tmp_path / "2024-03.parquet")
    with pytest.raises(InputError, match="2024-03"):
        generate(Population(100, 1), tmp_path, nobody)


def test_a_month_that_rots_behind_its_footer_is_told(tmp_path: Path) -> None:
    generate(Population(3_000, 1), tmp_path, nobody)
    path = tmp_path / "2024-03.parquet"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"2024-03.*was changed since it was written"):
        generate(Population(3_000, 1), tmp_path, nobody)
    path.unlink()
    assert generate(Population(3_000, 1), tmp_path, nobody).kept == len(MONTHS) - 1


def test_a_month_of_which_no_digest_was_kept_is_written_again(tmp_path: Path) -> None:
    generate(Population(3_000, 1), tmp_path, nobody)
    before = everything(tmp_path)
    (tmp_path / ".2024-03.parquet.sha256").unlink()
    assert generate(Population(3_000, 1), tmp_path, nobody).kept == len(MONTHS) - 1
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["2024-03.parquet", GROUND_TRUTH])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    generate(Population(100, 1), tmp_path, nobody)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError):
        generate(Population(100, 1), tmp_path, nobody)


@pytest.mark.parametrize("name", [".2024-03.parquet.sha256", ".2024-03.parquet.part"])
def test_a_pipe_beside_a_month_gives_way(tmp_path: Path, name: str) -> None:
    generate(Population(100, 1), tmp_path, nobody)
    for each in ("2024-03.parquet", ".2024-03.parquet.sha256"):
        (tmp_path / each).unlink()
    os.mkfifo(tmp_path / name)
    assert generate(Population(100, 1), tmp_path, nobody).kept == len(MONTHS) - 1
    assert (tmp_path / "2024-03.parquet").is_file()


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="notes.txt"):
        generate(Population(100, 1), tmp_path, nobody)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("rows", "seed"), [(0, 0), (-1, 0), (plan.MAX_ROWS + 1, 0), (1, -1), (1, plan.MAX_SEED + 1)]
)
def test_numbers_out_of_range_are_refused(rows: int, seed: int) -> None:
    with pytest.raises(InputError, match="expected"):
        Population(rows, seed)


def test_the_largest_population_can_be_made_from_its_end() -> None:
    maker = RowMaker(Population(plan.MAX_ROWS, plan.MAX_SEED))
    last = maker.rows(len(MONTHS) - 1, plan.MAX_ROWS - 3, plan.MAX_ROWS)
    assert last["request_id"].to_pylist()[-1] == "SYN-R001000000000"
    assert pc.max(last["decided_at"]).as_py() < 1_798_761_600


def test_scattered_numbers_are_each_number_once() -> None:
    for count in (1, 2, 30, 97, 1000):
        numbers = scattered(np.arange(count), count, 5, "ids")
        assert sorted(numbers.tolist()) == list(range(1, count + 1))


def test_tables_hold_the_shares_they_are_given() -> None:
    codes = table({"a": 1, "b": 3}, ("b", "a"), 400)
    assert np.bincount(codes).tolist() == [300, 100]


def test_the_contract_makes_its_own_rows_and_takes_a_folder(tmp_path: Path) -> None:
    contract = load_contract(CONTRACT)
    built_in = open_source(contract)
    generate(Population(20_000, 20261122), tmp_path, nobody)
    given = open_source(contract, tmp_path)
    assert [f.read_bytes() for f in built_in.files] == [f.read_bytes() for f in given.files]
    assert list(built_in.types) == [c.name for c in contract.columns]


@pytest.mark.parametrize(
    "source", ["prior_auth", "prior_auth?rows=x&seed=1", "prior_auth?rows=0&seed=1", "rand_hie?a=1"]
)
def test_other_settings_of_a_source_are_refused(tmp_path: Path, source: str) -> None:
    text = CONTRACT.read_text().replace("prior_auth?rows=20000&seed=20261122", source)
    (tmp_path / "prior_auth.yaml").write_text(text)
    with pytest.raises(InputError):
        open_source(load_contract(tmp_path / "prior_auth.yaml"))


def test_every_column_is_classified_and_identifiers_are_marked() -> None:
    contract = load_contract(CONTRACT)
    assert all(c.classification for c in contract.columns)
    marked = {c.name for c in contract.columns if c.classification == "phi-identifier"}
    assert marked >= {"request_id", "member_id", "provider_id"}


def test_the_policy_names_every_quarter_and_reweighs_every_protected_column() -> None:
    contract = load_contract(CONTRACT)
    policy = load_policy(ROOT / "policies" / "prior_auth.yaml", contract)
    span = contract.span
    assert span is not None
    assert span.bands is not None
    gate = policy.data_gate
    assert (*gate.baseline_spans, *gate.current_spans) == span.bands.labels
    mitigated = policy.candidates["mitigated"]
    assert set(mitigated.mitigate_by) == {c.name for c in contract.protected}
    assert mitigated.protected_features == ()


def test_no_model_sees_what_is_known_only_after_the_decision() -> None:
    contract = load_contract(CONTRACT)
    policy = load_policy(ROOT / "policies" / "prior_auth.yaml", contract)
    seen = {i.name for c in policy.candidates.values() for i in model_inputs(contract, c)}
    assert not seen & {"outcome", "decided_at", "denied", "request_id", "member_id", "provider_id"}


def test_the_rows_of_a_seed_never_change() -> None:
    """Whoever changes a row changes every seed's data: the generator's name goes with it."""
    maker = RowMaker(Population(2_000, 11))
    starts = [int(n) for n in maker.population.month_starts]
    rows = [maker.rows(m, starts[m], starts[m + 1]).to_pylist() for m in range(len(MONTHS))]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    assert (plan.GENERATOR, digest[:16]) == ("assay-prior-auth/v1", "7fd36a8e405bf740")
