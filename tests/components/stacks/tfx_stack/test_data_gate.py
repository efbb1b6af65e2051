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
from tfx.components.distribution_validator.executor import Executor
from tfx.types import standard_artifacts

from components.checks.drift import drift_findings as referee_drift
from components.checks.measurement import Finding, Status
from components.contract.policy import DriftStatistic
from components.profile.compute import profile_files, quantile_edges
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack import data_gate_findings as gate
from components.stacks.tfx_stack.contract_to_tfmd import (
    compared_columns,
    compile_drift,
    compile_schema,
)
from components.stacks.tfx_stack.example_columns import to_lists
from components.stacks.tfx_stack.parquet_example_gen import BASELINE, CURRENT, span_columns
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


def _statistics(process: ReleaseProcess, directory: Path) -> Any:
    """What StatisticsGen leaves of the two spans."""
    data, policy = process.dataset, process.policy.data_gate
    files = {
        BASELINE: data.files(spans=policy.baseline_spans),
        CURRENT: data.files(spans=policy.current_spans),
    }
    columns = span_columns(process, files[BASELINE])
    options = statistics_options(process.policy)
    options.schema = compile_schema(process.contract, process.policy).schema
    for split, parts in files.items():
        table = pa.concat_tables(pq.read_table(f) for f in parts).combine_chunks()
        (batch,) = table.to_batches()
        found = stats_impl.generate_statistics_in_memory(to_lists(batch, columns), options)
        target = directory / f"Split-{split}" / "FeatureStats.pb"
        target.parent.mkdir(parents=True)
        target.write_bytes(found.SerializeToString())
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri, artifact.split_names = str(directory), f'["{BASELINE}", "{CURRENT}"]'
    return artifact


def _native(process: ReleaseProcess, directory: Path) -> list[Finding]:
    """Drift as the stock DistributionValidator finds it, read as findings."""
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
    rows = gate.read_row_counts(statistics.uri, (BASELINE, CURRENT))
    compared = compared_columns(process.contract, process.policy)
    return gate.drift_findings(found, compared, rows, process.policy.data_gate)


def _referee(process: ReleaseProcess) -> dict[str, Finding]:
    data, policy = process.dataset, process.policy.data_gate
    before, after = (data.files(spans=s) for s in (policy.baseline_spans, policy.current_spans))
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
    assert failed == {"drift:cost", "drift:ward", "drift:sex"}


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
        found = gate.drift_findings(anomalies, compared, rows, drifted.policy.data_gate)
        assert {f.status for f in found} == {Status.INCONCLUSIVE}
        assert len(found) == len(compared)


def test_few_rows_are_unknown(drifted: ReleaseProcess) -> None:
    rows = {BASELINE: drifted.policy.data_gate.min_rows - 1, CURRENT: 400}
    found = gate.drift_findings(
        None, {"cost": DriftStatistic.JENSEN_SHANNON}, rows, drifted.policy.data_gate
    )
    assert [f.status for f in found] == [Status.INCONCLUSIVE]
    assert "9 rows on one side" in found[0].reason


def test_a_schema_that_was_not_checked_is_unknown(tmp_path: Path) -> None:
    missing = gate.read_anomalies(str(tmp_path), "Split-current")
    assert [f.status for f in gate.schema_findings(missing, "current")] == [Status.INCONCLUSIVE]
    assert gate.read_row_counts(str(tmp_path), ("current",)) == {"current": 0}


def test_no_value_of_the_data_is_in_a_finding(drifted: ReleaseProcess, tmp_path: Path) -> None:
    """TFDV's own descriptions quote values; the findings carry kinds and counts."""

    def narrow(document: clinic.Document) -> None:
        clinic.column_of(document, "ward")["quality"] = [
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["B"]}}
        ]

    contract = clinic.contract(tmp_path, narrow)
    schema = compile_schema(contract, clinic.policy(tmp_path, contract)).schema
    statistics = _statistics(drifted, tmp_path / "statistics")
    current = tfdv.load_stats_binary(f"{statistics.uri}/Split-{CURRENT}/FeatureStats.pb")
    anomalies = tfdv.validate_statistics(current, schema)
    assert any(" A " in r.description for i in anomalies.anomaly_info.values() for r in i.reason)
    (ward,) = [f for f in gate.schema_findings(anomalies, CURRENT) if f.rule.endswith(":ward")]
    assert ward.reason == "ward breaks the schema in current: enum_type_unexpected_string_values"
