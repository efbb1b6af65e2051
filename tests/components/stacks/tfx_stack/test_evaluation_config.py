"""The policy as TFMA's configuration: thresholds, slices, and what TFMA has no words for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from components.contract.contract import Contract
from components.stacks.tfx_stack.evaluation_config import compile_evaluation
from components.stacks.tfx_stack.evaluation_thresholds import CompiledLimits, compile_limits
from tests import clinic
from tests.components.stacks.tfx_stack.tfma_cases import limit, pooled

GOLDEN = Path(__file__).with_name("evaluation_config.json")
HELD = {
    ("age",): frozenset({("young",), ("old",)}),
    ("sex",): frozenset({("f",), ("m",), ("(missing)",)}),
    ("age", "sex"): frozenset({("young", "f"), ("old", "f"), ("old", "m")}),
}
ABSOLUTE, RELATIVE = {"change": "absolute"}, {"change": "relative"}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The clinic's contract."""
    return clinic.contract(tmp_path)


def compiled(contract: Contract, *limits: clinic.Document) -> CompiledLimits:
    """The limits of a policy that has these beside its own."""
    policy = _policy(contract, *limits)
    return compile_limits(contract, policy, HELD)


def _policy(contract: Contract, *limits: clinic.Document) -> Any:
    def change(document: clinic.Document) -> None:
        document["release_gate"]["limits"] += limits

    return clinic.policy(contract.path.parent, contract, change)


def test_a_policy_is_compiled_as_before(contract: Contract) -> None:
    policy = _policy(
        contract,
        limit("ap", "average_precision", at_least=0.2),
        limit("leak", "roc_auc", at_most=0.9),
        limit("ppv-sex", "ppv", slice="sex", at_least=0.1),
        limit("brier-old", "brier", slice={"age": "old"}, at_most=0.3),
        limit("fpr-pairs", "fpr_difference", slice=["sex", "age"], at_most=0.4),
        limit("drop", "roc_auc", at_least=-0.02, champion=ABSOLUTE),
        limit("rise", "brier", at_most=0.1, champion=RELATIVE),
    )
    config = compile_evaluation(contract, policy, HELD, with_champion=True)
    found = json_format.MessageToDict(config)
    assert found == json.loads(GOLDEN.read_text())


def test_without_a_champion_there_is_no_change_to_wave_through(contract: Contract) -> None:
    policy = _policy(contract, limit("drop", "roc_auc", at_least=-0.02, champion=ABSOLUTE))
    config = compile_evaluation(contract, policy, HELD)
    (auc,) = [m for m in config.metrics_specs[0].metrics if m.class_name == "AUC"]
    assert [t.threshold.HasField("change_threshold") for t in auc.per_slice_thresholds] == [False]
    assert [m.is_baseline for m in config.model_specs] == [False]


def test_a_threshold_is_of_its_own_slices_only(contract: Contract) -> None:
    found = {
        t.limit.id: t
        for t in compiled(
            contract,
            limit("each", "tpr", slice="sex"),
            limit("one", "tpr", slice={"sex": "f"}),
            limit("pair", "tpr", slice={"sex": "f", "age": "old"}),
        ).thresholds
    }
    keys: dict[str, Any] = {
        "all": (),
        "f": (("assay_group_sex", "f"),),
        "m": (("assay_group_sex", "m"),),
        "old": (("assay_group_age", "old"),),
        "old f": (("assay_group_age", "old"), ("assay_group_sex", "f")),
    }
    covered = {name: {k for k, key in keys.items() if t.covers(key)} for name, t in found.items()}
    assert covered == {"auc": {"all"}, "each": {"f", "m"}, "one": {"f"}, "pair": {"old f"}}


def test_a_group_without_rows_has_no_threshold_that_would_be_missing(contract: Contract) -> None:
    found = compiled(contract, limit("gone", "tpr", slice={"age": "middle"}))
    assert [t.limit.id for t in found.thresholds] == ["auc"]
    assert "limit:gone" not in {u.rule for u in found.unexpressed}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (limit("x", "calibration_error", at_most=0.1), "no such metric"),
        (limit("x", "calibration_bias", at_most=0.1, slice="sex"), "no such metric"),
        (limit("x", "calibration_bias_difference", at_most=0.1, slice="sex"), "no such metric"),
        (limit("x", "tpr_ratio", at_least=0.8, slice="sex"), "difference alone"),
        (limit("x", "fpr_difference", at_most=0.1, slice="sex"), "between slices as missing"),
        (limit("x", "brier", at_most=0.1, tested_on="worst_bound"), "test the point"),
        (
            limit("x", "brier", at_most=0.1, tested_on="worst_bound", champion=ABSOLUTE),
            "no interval of a change",
        ),
        (
            limit("x", "tpr_difference", slice="sex", at_most=0.1, champion=ABSOLUTE),
            "between slices as missing",
        ),
    ],
)
def test_what_tfma_cannot_say_is_listed(
    contract: Contract, wanted: clinic.Document, why: str
) -> None:
    found = compiled(contract, wanted)
    (listed,) = [u for u in found.unexpressed if u.rule == "limit:x"]
    assert why in listed.why
    assert listed.engine == "tfma"
    assert found.untested == ()
    assert ("sex",) in found.compared


def test_what_tfma_can_say_is_not_listed(contract: Contract) -> None:
    found = compiled(
        contract,
        limit("x", "ppv", slice="sex"),
        limit("y", "roc_auc", at_least=-0.1, champion=RELATIVE),
    )
    assert {"limit:x", "limit:y"}.isdisjoint({u.rule for u in found.unexpressed})
    assert {"x", "y"} <= {t.limit.id for t in found.thresholds}


def test_too_many_groups_are_compared_by_counts(contract: Contract) -> None:
    policy = _policy(contract)
    held = {**HELD, ("sex",): frozenset((f"g{i}",) for i in range(17))}
    found = compile_limits(contract, policy, held)
    (listed,) = [u for u in found.unexpressed if u.rule == "limit:tpr"]
    assert "too many" in listed.why
    assert found.compared == (("age",),)


def test_pools_are_beyond_tfma(contract: Contract) -> None:
    policy = clinic.policy(contract.path.parent, contract, pooled)
    found = compile_limits(contract, policy, HELD)
    reasons = {u.rule: u.why for u in found.unexpressed}
    assert "sum of their counts" in reasons["limit:pool"]
    assert "not tested" in reasons["limit:roc-auc-age"]
    assert {x.id for x in found.untested} == {
        "roc-auc-age", "roc-auc-both", "average-precision-age", "average-precision-both",
    }  # fmt: skip
    assert found.compared == (("sex",),), "no pool is of sexes alone"
    assert {t.limit.slice.attributes for t in found.thresholds} == {()}
