"""Drift against the baseline: TFDV's figures are the referee's, and what is not known is closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.distribution_validator.executor import Executor
from tfx.types import standard_artifacts

from components.checks.drift import drift_findings as referee_drift
from components.checks.measurement import Finding, Status
from components.contract.clauses import Clause, ClauseKind
from components.contract.policy import DriftStatistic
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack import data_gate_findings as gate
from components.stacks.tfx_stack.comparison_anomalies import drift_findings, row_ratio_findings
from components.stacks.tfx_stack.contract_to_tfmd import (
    claimed_clauses,
    compared_columns,
    compile_drift,
    compile_schema,
)
from components.stacks.tfx_stack.example_columns import to_lists
from components.stacks.tfx_stack.parquet_example_gen import BASELINE, CURRENT, span_columns
from components.stacks.tfx_stack.schema_anomalies import kinds_of, schema_findings
from components.stacks.tfx_stack.statistics_options import statistics_options
from tests import clinic

MakeProcess = Callable[..., ReleaseProcess]


def _shifted(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The second year: dearer, other wards, and half of the sexes gone missing."""
    for i, row in enumerate(rows):
        if row["year"] == "2002":
            row["cost"] = f"{float(row['cost']) + 90:.2f}"
            row["ward"] = "A" if i % 8 < 6 else "B"
            row["sex"] = row["sex"] if i % 8 < 4 else ""
    return rows


def _limits(document: clinic.Document) -> None:
    document["data_gate"]["drift"]["columns"] = {
        "ward": {"statistic": "l_infinity", "at_most": 0.2},
        "smoker": {"statistic": "psi", "at_most": 0.2},
    }
    document["data_gate"]["row_ratio"] = {"at_least": 1.5, "at_most": 3}


def _statistics(process: ReleaseProcess, directory: Path) -> Any:
    """What StatisticsGen leaves of the two spans."""
    data, policy = process.dataset, process.policy.data_gate
    files = dict(zip((BASELINE, CURRENT), data.sides(policy), strict=True))
    columns = span_columns(process, files[BASELINE])
    options = statistics_options(process.contract, process.policy)
    options.schema = compile_schema(process.contract, process.policy).schema
    for split, parts in files.items():
        # Without files, the schema of any: no rows, as StatisticsGen sees an empty split.
        table = pa.concat_tables(pq.read_table(f) for f in parts or data.files()).combine_chunks()
        (batch,) = table.to_batches()
        rows = to_lists(batch.slice(0, batch.num_rows if parts else 0), columns)
        found = stats_impl.generate_statistics_in_memory(rows, options)
        target = directory / f"Split-{split}" / "FeatureStats.pb"
        target.parent.mkdir(parents=True)
        target.write_bytes(found.SerializeToString())
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri, artifact.split_names = str(directory), f'["{BASELINE}", "{CURRENT}"]'
    return artifact


def _compared(process: ReleaseProcess, directory: Path) -> tuple[Any, dict[str, Any]]:
    """What the stock DistributionValidator leaves, and the statistics of either side."""
    statistics = _statistics(process, directory / "statistics")
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(directory / "anomalies")
    Executor().Do(
        {"statistics": [statistics], "baseline_statistics": [statistics]},
        {"anomalies": [anomalies]},
        {
            "distribution_validator_config": compile_drift(process.contract, process.policy),
            "include_split_pairs": f'[["{CURRENT}", "{BASELINE}"]]',
        },
    )
    found = gate.read_anomalies(anomalies.uri, f"SplitPair-{CURRENT}_{BASELINE}")
    return found, gate.read_statistics(statistics.uri, (BASELINE, CURRENT))


def _native(process: ReleaseProcess, directory: Path) -> list[Finding]:
    """Drift and row ratio as the stock DistributionValidator finds them, read as findings."""
    found, statistics = _compared(process, directory)
    sides: dict[str, Any] = {}
    findings = gate.data_gate_findings(sides, found, statistics, process.contract, process.policy)
    return [f for f in findings if f.rule.startswith(("drift:", "row_ratio:"))]


def _referee(process: ReleaseProcess) -> dict[str, Finding]:
    policy = process.policy.data_gate
    before, after = process.dataset.sides(policy)
    edges = quantile_edges(before, process.contract, policy.bins)
    current, baseline = (
        profile_files(f, process.contract, edges, max_categories=policy.max_categories)
        for f in (after, before)
    )
    return {f.rule: f for f in referee_drift(current, baseline, process.contract, policy)}


@pytest.fixture(scope="module")
def drifted(make_process: MakeProcess) -> ReleaseProcess:
    """A run whose current span has moved."""
    return make_process(
        contract_change=None, policy_change=_limits, rows=_shifted(clinic.rows(people=200))
    )


def test_drift_is_the_referees_drift(drifted: ReleaseProcess, tmp_path: Path) -> None:
    native, referee = _native(drifted, tmp_path), _referee(drifted)
    assert {f.rule for f in native} == set(referee) - {"drift:smoker"}
    for finding in native:
        theirs = referee[finding.rule]
        assert finding.measurement and theirs.measurement
        assert finding.measurement.value == pytest.approx(theirs.measurement.value, abs=1e-9)
        assert finding.status is theirs.status
    failed = {f.rule for f in native if f.status is Status.FAIL}
    assert failed == {"drift:cost", "drift:ward", "drift:sex", "row_ratio:least"}


@pytest.mark.parametrize(("rule", "reported"), [("row_ratio:least", 1), ("row_ratio:most", 0)])
def test_a_row_ratio_is_tfdvs_own_finding(
    drifted: ReleaseProcess, tmp_path: Path, rule: str, reported: int
) -> None:
    """TFDV reports the ratio that is broken; its silence about a file that is not there is none."""
    found, statistics = _compared(drifted, tmp_path)
    rows = gate.row_counts(statistics)
    kinds = kinds_of(found.dataset_anomaly_info)
    assert kinds == ["COMPARATOR_LOW_NUM_EXAMPLES"]
    policy = drifted.policy.data_gate
    (finding,) = row_ratio_findings(found, [rule], rows[BASELINE], rows[CURRENT], policy)
    assert finding.status is (Status.FAIL if reported else Status.PASS)
    for anomalies, baseline in ((None, rows[BASELINE]), (found, 0)):
        (unknown,) = row_ratio_findings(anomalies, [rule], baseline, rows[CURRENT], policy)
        assert unknown.status is Status.INCONCLUSIVE


def test_a_ratio_that_tfdv_breaks_fails_whatever_its_counts_say(drifted: ReleaseProcess) -> None:
    anomalies = anomalies_pb2.Anomalies()
    anomalies.dataset_anomaly_info.reason.add(type="COMPARATOR_HIGH_NUM_EXAMPLES")
    policy = drifted.policy.data_gate
    (found,) = row_ratio_findings(anomalies, ["row_ratio:most"], 100, 100, policy)
    assert found.status is Status.FAIL


def test_without_a_baseline_drift_is_unknown(drifted: ReleaseProcess, tmp_path: Path) -> None:
    """What stock ExampleValidator does: it compares with nothing, and finds nothing."""
    statistics = _statistics(drifted, tmp_path)
    current = tfdv.load_stats_binary(f"{statistics.uri}/Split-{CURRENT}/FeatureStats.pb")
    schema = compile_schema(drifted.contract, drifted.policy).schema
    alone = tfdv.validate_statistics(current, schema)
    assert not alone.drift_skew_info
    compared = compared_columns(drifted.contract, drifted.policy)
    rows = {BASELINE: 400, CURRENT: 400}
    for anomalies in (alone, None):
        found = drift_findings(anomalies, compared, rows, drifted.policy.data_gate)
        assert {f.status for f in found} == {Status.INCONCLUSIVE}
        assert len(found) == len(compared)


def test_few_rows_are_unknown(drifted: ReleaseProcess) -> None:
    rows = {BASELINE: drifted.policy.data_gate.min_rows - 1, CURRENT: 400}
    found = drift_findings(
        None, {"cost": DriftStatistic.JENSEN_SHANNON}, rows, drifted.policy.data_gate
    )
    assert [f.status for f in found] == [Status.INCONCLUSIVE]
    assert "under 11 rows on one side" in found[0].reason


def test_more_categories_than_are_counted_are_unknown(
    make_process: MakeProcess, tmp_path: Path
) -> None:
    """TFDV would compare the most frequent ones; found by the generated cases."""

    def few(document: clinic.Document) -> None:
        document["data_gate"]["max_categories"] = 3

    process = make_process(contract_change=None, policy_change=few, rows=clinic.rows(people=100))
    native = {f.rule: f for f in _native(process, tmp_path)}
    assert native["drift:ward"].status is Status.INCONCLUSIVE
    assert "more than 3 categories" in native["drift:ward"].reason
    assert native["drift:sex"].status is Status.PASS
    referee = _referee(process)
    assert {r: f.status for r, f in native.items()} == {r: referee[r].status for r in native}


_RULES = (Clause(ClauseKind.NULLS, "age"), Clause(ClauseKind.RANGE, "age"))


def _anomalies(column: str = "", *kinds: str) -> Any:
    found = anomalies_pb2.Anomalies()
    for kind in kinds:
        found.anomaly_info[column].reason.add(type=kind, description="value 123-45-6789 seen")
    return found


def _statuses(**sides: Any) -> dict[str, tuple[str, str]]:
    return {f.rule: (str(f.status), f.reason) for f in schema_findings(sides, _RULES)}


def test_the_worst_side_counts_and_is_named() -> None:
    wrong = _anomalies("age", "FLOAT_TYPE_BIG_FLOAT")
    found = _statuses(baseline=_anomalies(), current=wrong)
    assert found == {
        "nulls:age": ("PASS", "TFDV finds nulls:age kept in baseline and current"),
        "range:age": ("FAIL", "TFDV finds range:age broken in current (float_type_big_float)"),
    }
    both = _statuses(baseline=wrong, current=wrong)
    assert "baseline (float_type_big_float); current (float" in both["range:age"][1]


def test_a_side_that_was_not_validated_leaves_its_rules_unknown() -> None:
    no_rows_seen = _anomalies()
    no_rows_seen.data_missing = True
    for unseen in (None, no_rows_seen):
        found = _statuses(baseline=unseen, current=_anomalies("age", "FLOAT_TYPE_BIG_FLOAT"))
        assert found["nulls:age"][0] == "INCONCLUSIVE"
        assert "statistics of baseline" in found["nulls:age"][1]
        assert found["range:age"][0] == "FAIL", "what another side breaks stays broken"
    assert {s for s, _ in _statuses().values()} == {"INCONCLUSIVE"}, "no side has rows"
    assert [f.status for f in schema_findings({"current": None}, [])] == [Status.INCONCLUSIVE]


def test_no_anomaly_is_dropped() -> None:
    """Every kind that TFDV has closes the gate, under a claimed rule or under the column's."""
    kinds: list[str] = anomalies_pb2.AnomalyInfo.Type.keys()
    assert len(kinds) > 50
    for kind in kinds:
        for column in ("age", "other"):
            found = schema_findings({"current": _anomalies(column, kind)}, _RULES)
            failed = [f for f in found if f.status is Status.FAIL]
            assert len(failed) == 1, kind
            assert failed[0].rule.endswith(f":{column}")
            assert kind.lower() in failed[0].reason
            assert "123-45-6789" not in failed[0].reason
        anomalies = anomalies_pb2.Anomalies()
        anomalies.dataset_anomaly_info.reason.add(type=kind)
        assert [f.rule for f in schema_findings({"current": anomalies}, _RULES)][2:] == [
            "schema:rows"
        ]


def test_an_anomaly_of_an_unclaimed_clause_is_its_columns() -> None:
    (domain,) = [c for c in _RULES if c.kind is ClauseKind.RANGE]
    found = schema_findings({"current": _anomalies("age", "FEATURE_TYPE_NOT_PRESENT")}, [domain])
    assert {f.rule: f.status for f in found} == {
        "range:age": Status.PASS,
        "schema:age": Status.FAIL,
    }


def test_statistics_that_are_not_there_have_no_rows(tmp_path: Path) -> None:
    assert gate.read_anomalies(str(tmp_path), "Split-current") is None
    assert gate.row_counts(gate.read_statistics(str(tmp_path), ("current",))) == {"current": 0}


def test_no_value_of_the_data_is_in_a_finding(drifted: ReleaseProcess, tmp_path: Path) -> None:
    """TFDV's own descriptions quote values; the findings carry kinds and counts."""

    def narrow(document: clinic.Document) -> None:
        clinic.column_of(document, "ward")["quality"] = [
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["B"]}}
        ]

    contract = clinic.contract(tmp_path, narrow)
    policy = clinic.policy(tmp_path, contract)
    schema = compile_schema(contract, policy).schema
    statistics = _statistics(drifted, tmp_path / "statistics")
    current = tfdv.load_stats_binary(f"{statistics.uri}/Split-{CURRENT}/FeatureStats.pb")
    anomalies = tfdv.validate_statistics(current, schema)
    assert any(" A " in r.description for i in anomalies.anomaly_info.values() for r in i.reason)
    found = schema_findings({CURRENT: anomalies}, claimed_clauses(contract, policy))
    (ward,) = [f for f in found if f.rule == "domain:ward"]
    assert ward.status is Status.FAIL
    assert ward.reason.endswith("broken in current (enum_type_unexpected_string_values)")


def test_a_first_release_validates_the_current_side_alone(
    make_process: MakeProcess, tmp_path: Path
) -> None:
    """No baseline: the validators still run, drift passes unjudged, and the schema is judged."""

    def first(document: clinic.Document) -> None:
        clinic.first_release(document)
        document["data_gate"]["drift"]["columns"] = {"cost": {"statistic": "psi", "at_most": 0.2}}

    process = make_process(contract_change=None, policy_change=first, rows=clinic.rows(people=50))
    comparison, statistics = _compared(process, tmp_path)
    assert gate.row_counts(statistics) == {BASELINE: 0, CURRENT: 100}
    contract, policy = process.contract, process.policy
    schema = compile_schema(contract, policy).schema
    current = tfdv.load_stats_binary(str(tmp_path / f"statistics/Split-{CURRENT}/FeatureStats.pb"))
    sides = {CURRENT: tfdv.validate_statistics(current, schema)}
    found = gate.data_gate_findings(sides, comparison, statistics, contract, policy)
    assert {f.status for f in found} == {Status.PASS}
    assert {f.rule for f in found} == {c.rule for c in claimed_clauses(contract, policy)}
    reasons = {f.rule: f.reason for f in found}
    assert "declares a first release" in reasons["drift:ward"]
    assert "row_count:least" in reasons
    assert "drift:cost" not in reasons, "TFDV has no PSI, release or not"
    unseen = gate.data_gate_findings({CURRENT: None}, None, statistics, contract, policy)
    assert Status.INCONCLUSIVE in {f.status for f in unseen}
