from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from components.contract.clauses import drift_clauses
from components.contract.contract import Contract
from components.contract.json_schema import ROOT
from components.contract.policy import (
    EVERYBODY,
    ChampionLimit,
    DriftLimit,
    DriftStatistic,
    LeakCheck,
    Metric,
    Mitigation,
    Pool,
    Slice,
    WaiverRules,
)
from components.contract.policy import (
    Change as Kind,
)
from components.contract.policy_loader import load_policy
from tests.clinic import Change, first_release, policy
from tests.components.contract.policy_changes import limit, more, put, refusal


@pytest.mark.parametrize("name", ["rand_hie", "rand_hie_pilot"])
def test_a_shipped_policy_loads(rand_hie_contract: Contract, name: str) -> None:
    path = ROOT / "policies" / f"{name}.yaml"
    loaded = load_policy(path, rand_hie_contract)
    assert loaded.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    held = loaded.release_gate.limits
    fair = {x.slice.attributes for x in held if x.metric is Metric.TPR_DIFFERENCE}
    assert fair == {(c.name,) for c in rand_hie_contract.protected}
    assert loaded.data_gate.limit_for("plan") == DriftLimit(DriftStatistic.PSI, 0.25)
    assert loaded.data_gate.limit_for("income") == DriftLimit(DriftStatistic.JENSEN_SHANNON, 0.1)
    assert loaded.candidates["mitigated"].protected_features == ()


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("splits",),
        ("data_gate",),
        ("data_gate", "drift"),
        ("data_gate", "drift", "default"),
        ("training",),
        ("candidates", "plain"),
        ("decision",),
        ("leak_check",),
        ("release_gate",),
        ("release_gate", "limits", 0),
    ],
    ids=str,
)
def test_an_unknown_key_is_refused_at_every_level(
    tmp_path: Path, clinic: Contract, path: tuple[str | int, ...]
) -> None:
    assert "'treshold' was unexpected" in refusal(tmp_path, clinic, put(*path, treshold=1))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name)
        for path, names in {
            (): "schemaVersion name dataset purpose splits data_gate training candidates "
            "decision leak_check release_gate",
            ("splits",): "salt train validation evaluation",
            ("data_gate",): "baseline_spans current_spans min_rows bins max_categories drift",
            ("data_gate", "drift"): "default",
            ("data_gate", "drift", "default"): "statistic at_most",
            ("training",): "seed epochs batch_size learning_rate weight_decay dropout hidden "
            "min_category_count",
            ("candidates", "plain"): "description protected_features mitigation",
            ("decision",): "threshold",
            ("leak_check",): "single_column_auc_at_most min_n grounds",
            ("release_gate",): "confidence agreement transform_tolerance serving_tolerance limits",
            ("release_gate", "limits", 0): "id metric at_least tested_on min_n grounds",
        }.items()
        for name in names.split()
    ],
    ids=str,
)
def test_nothing_has_a_default(
    tmp_path: Path, clinic: Contract, path: tuple[str | int, ...], name: str
) -> None:
    refusal(tmp_path, clinic, put(*path, **{name: None}))


@pytest.mark.parametrize(
    "change",
    [
        put(schemaVersion="assay-policy/v2"),
        put("data_gate", min_rows=0),
        put("data_gate", min_rows=10.0),
        put("data_gate", min_rows="10"),
        put("data_gate", bins=1),
        put("data_gate", bins=10.0),
        put("data_gate", max_categories=1000.0),
        put("data_gate", baseline_spans=[]),
        put("data_gate", baseline_spans=[2001]),
        put("data_gate", baseline_spans=["2001", "2001"]),
        put("data_gate", "drift", "default", statistic="wasserstein"),
        put("data_gate", "drift", "default", at_most=0),
        put("data_gate", "drift", "default", at_most="0.1"),
        put("data_gate", "drift", "default", at_most=True),
        put("training", epochs=0),
        put("training", epochs=15.0),
        put("training", seed=1.0),
        put("training", seed=-1),
        put("training", seed=True),
        put("training", hidden=[]),
        put("training", hidden=[32.0]),
        put("training", dropout=1),
        put("training", learning_rate=0),
        put("candidates", plain=None, fair=None),
        put("candidates", "fair", mitigation="thresholds"),
        put("candidates", "fair", mitigate_by=[]),
        put("candidates", "fair", mitigate_by="sex"),
        put("candidates", "fair", mitigate_by=["sex", "sex"]),
        put("candidates", "fair", penalty_strength=0),
        put("candidates", "fair", penalty_strength=-1),
        put("candidates", "fair", reweigh_by=["sex"]),
        put("candidates", "plain", protected_grounds="because"),
        put("leak_check", single_column_auc_at_most=0.5),
        put("leak_check", single_column_auc_at_most=1),
        put("leak_check", min_n=0),
        put("leak_check", min_n=10.0),
        put("leak_check", grounds="because"),
        put("decision", threshold=0),
        put("decision", threshold=1),
        put("release_gate", confidence=0.5),
        put("release_gate", confidence=95),
        put("release_gate", agreement=0),
        put("release_gate", limits=[]),
        limit(metric="accuracy"),
        limit(tested_on="mean"),
        limit(min_n=0),
        limit(min_n=10.0),
        limit(grounds="because"),
        limit(at_most=0.9),
        limit(at_least="0.6"),
        limit(id="Accuracy"),
        limit(slice=[]),
        limit(slice=["sex"]),
        limit(slice=["sex", "sex"]),
        limit(slice=["sex", "age", "ward"]),
        limit(slice={}),
        limit(slice={"sex": "f", "age": "old", "ward": "A"}),
        limit(slice={"sex": 1}),
        limit(slice=1),
        limit(attribute="sex"),
        limit(champion={}),
        limit(champion={"change": "doubled"}),
        limit(champion={"change": "absolute", "none_yet": "because"}),
        limit(champion={"change": "absolute", "waived": "long enough to be grounds"}),
        limit(champion="absolute"),
        limit(waive_inconclusive="yes"),
        limit(waive_inconclusive=1),
        more(pools=[{"slice": "age", "groups": ["young"], "into": "few"}]),
        more(pools=[{"slice": "age", "groups": ["young", "young"], "into": "few"}]),
        more(pools=[{"slice": "age", "groups": ["young", "old"], "into": ""}]),
        more(pools=[{"slice": "age", "groups": ["young", "old"]}]),
        more(pools=[{"slice": "age", "groups": ["young", "old"], "into": "x", "grounds": "?"}]),
        more(pools=[{"slice": {"age": "x"}, "groups": ["young", "old"], "into": "x"}]),
        more(pools=[{"slice": "age", "groups": [["young"], ["old"]], "into": "x"}]),
        put(waivers={"max_days": 0, "signers": {"a": "A" * 43 + "="}, "cosigners": {}}),
        put(waivers={"max_days": 30, "signers": {}, "cosigners": {"b": "A" * 43 + "="}}),
        put(waivers={"max_days": 30, "signers": {"a": "A"}, "cosigners": {"b": "A" * 43 + "="}}),
        put(waivers={"max_days": 30, "signers": {"a": "A" * 43 + "="}}),
        put(model_card={"intended_use": ""}),
        put(model_card={"Intended use": "text"}),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused(
    tmp_path: Path, clinic: Contract, change: Change
) -> None:
    refusal(tmp_path, clinic, change)


def test_neither_and_both_limits_are_refused(tmp_path: Path, clinic: Contract) -> None:
    assert "limits[0]" in refusal(tmp_path, clinic, limit(at_least=None))
    assert "limits[0]" in refusal(tmp_path, clinic, limit(at_least=0.6, at_most=0.9))


@pytest.mark.parametrize("name", ["agreement", "transform_tolerance", "serving_tolerance"])
def test_a_tolerance_that_tolerates_everything_is_refused(
    tmp_path: Path, clinic: Contract, name: str
) -> None:
    assert name in refusal(tmp_path, clinic, put("release_gate", **{name: 5}))


# A first release, and rows against the baseline's


def test_a_first_release_is_declared_with_grounds(tmp_path: Path, clinic: Contract) -> None:
    gate = policy(tmp_path, clinic, first_release).data_gate
    assert gate.first_release == "nothing was ever collected before"
    assert gate.baseline_spans == gate.current_spans == ()
    assert policy(tmp_path, clinic).data_gate.first_release is None


@pytest.mark.parametrize(
    "change",
    [
        put("data_gate", first_release={"grounds": "and a baseline beside it, too"}),
        put("data_gate", baseline_spans=None),
        put("data_gate", baseline_spans=None, current_spans=None),
        put("data_gate", current_spans=None),
        put("data_gate", baseline_spans=None, current_spans=None, first_release={}),
        put("data_gate", baseline_spans=None, current_spans=None, first_release={"grounds": "x"}),
        put("data_gate", row_ratio={}),
        put("data_gate", row_ratio={"at_least": 0}),
        put("data_gate", row_ratio={"at_least": 2, "at_most": 1}),
        put("data_gate", row_ratio={"exactly": 1}),
    ],
)
def test_half_a_declaration_is_refused(tmp_path: Path, clinic: Contract, change: Change) -> None:
    assert "data_gate" in refusal(tmp_path, clinic, change)


def test_row_ratios_are_read(tmp_path: Path, clinic: Contract) -> None:
    one = policy(tmp_path, clinic, put("data_gate", row_ratio={"at_least": 0.5})).data_gate
    assert (one.row_ratio_at_least, one.row_ratio_at_most) == (0.5, None)
    rules = [c.rule for c in drift_clauses(clinic, one)]
    assert rules[0] == "row_ratio:least"
    assert "row_ratio:most" not in rules


# What a limit is on


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, EVERYBODY),
        ("sex", Slice(("sex",))),
        (["sex", "age"], Slice(("age", "sex"))),
        (["age", "sex"], Slice(("age", "sex"))),
        ({"sex": "f"}, Slice(("sex",), ("f",))),
        ({"sex": "f", "age": "old"}, Slice(("age", "sex"), ("old", "f"))),
        ({"age": "(missing)"}, Slice(("age",), ("(missing)",))),
    ],
    ids=str,
)
def test_a_slice_is_read_in_the_contracts_order(
    tmp_path: Path, clinic: Contract, written: object, read: Slice
) -> None:
    fields = {} if written is None else {"slice": written}
    loaded = policy(tmp_path, clinic, more({"metric": "tpr", "at_least": 0.1, **fields}))
    assert loaded.release_gate.limits[-1].slice == read


@pytest.mark.parametrize(
    ("slice_", "name"),
    [
        (EVERYBODY, "overall"),
        (Slice(("sex",)), "sex"),
        (Slice(("sex", "age")), "sex*age"),
        (Slice(("sex",), ("f",)), "sex=f"),
        (Slice(("sex", "age"), ("f", "old")), "sex=f*age=old"),
        (Slice(("sex", "age"), ("few",)), "sex*age=few"),
    ],
    ids=str,
)
def test_a_slice_has_a_name(slice_: Slice, name: str) -> None:
    assert slice_.name == name
    assert Slice(slice_.attributes).group(slice_.groups) == slice_


def test_a_limit_is_read_whole(tmp_path: Path, clinic: Contract) -> None:
    grounds = "long enough to be grounds"
    change = more(
        {"metric": "brier", "at_most": 0.01, "champion": {"change": "relative"}},
        {
            "metric": "ppv_ratio",
            "slice": "sex",
            "at_least": -0.1,
            "champion": {"change": "absolute", "none_yet": grounds},
            "waive_inconclusive": True,
        },
    )
    *_, plain, step, first = policy(tmp_path, clinic, change).release_gate.limits
    assert (plain.champion, plain.waive_inconclusive) == (None, False)
    assert step.champion == ChampionLimit(Kind.RELATIVE, None)
    assert (step.at_least, step.at_most, step.rule) == (None, 0.01, "limit:more-0")
    assert first.champion == ChampionLimit(Kind.ABSOLUTE, grounds)
    assert first.waive_inconclusive
    assert (first.metric, first.min_n, first.tested_on) == (Metric.PPV_RATIO, 1, "point")


@pytest.mark.parametrize("metric", Metric)
def test_every_metric_may_be_limited(tmp_path: Path, clinic: Contract, metric: Metric) -> None:
    limits = [{"metric": str(metric), "slice": "sex"}]
    if not metric.compares_groups:
        limits += [{"metric": str(metric)}, {"metric": str(metric), "slice": {"sex": "f"}}]
    for fields in limits:
        fields["at_most" if metric.is_difference else "at_least"] = 0.01
    loaded = policy(tmp_path, clinic, more(*limits))
    assert {x.metric for x in loaded.release_gate.limits[3:]} == {metric}


@pytest.mark.parametrize("metric", Metric)
def test_a_comparison_knows_what_it_compares(metric: Metric) -> None:
    kinds = [metric.is_difference, metric.is_ratio, metric.of_group is metric]
    assert sum(kinds) == 1
    assert metric.compares_groups == (not kinds[2])
    assert str(metric) in (
        str(metric.of_group),
        f"{metric.of_group}_difference",
        f"{metric.of_group}_ratio",
    )
    assert metric.of_group.of_group is metric.of_group


def test_pools_are_read_and_applied(tmp_path: Path, clinic: Contract) -> None:
    grounds = "long enough to be grounds"
    change = more(
        pools=[
            {"slice": "age", "groups": ["young", "middle"], "into": "below 65"},
            {
                "slice": ["sex", "age"],
                "groups": [["f", "below 65"], ["m", "old"], ["x", "(missing)"]],
                "into": "rest",
            },
        ]
    )
    gate = policy(tmp_path, clinic, change).release_gate
    assert gate.pools == (
        Pool(("age",), (("young",), ("middle",)), "below 65", grounds),
        Pool(
            ("age", "sex"), (("below 65", "f"), ("old", "m"), ("(missing)", "x")), "rest", grounds
        ),
    )
    for attributes, labels, pooled in (
        (("age",), ("young",), ("below 65",)),
        (("age",), ("old",), ("old",)),
        (("age",), ("below 65",), ("below 65",)),
        (("sex",), ("f",), ("f",)),
        (("age", "sex"), ("young", "f"), ("rest",)),
        (("age", "sex"), ("middle", "f"), ("rest",)),
        (("age", "sex"), ("old", "m"), ("rest",)),
        (("age", "sex"), ("young", "m"), ("below 65", "m")),
        (("age", "sex"), ("old", "f"), ("old", "f")),
        (("age", "sex"), ("(missing)", "x"), ("rest",)),
    ):
        assert gate.pooled(attributes, labels) == pooled


# What else is read


def test_candidates_are_read(tmp_path: Path, clinic: Contract) -> None:
    fair = {"mitigation": "opportunity_penalty", "mitigate_by": ["sex", "age"]}
    loaded = policy(
        tmp_path, clinic, put("candidates", "fair", penalty_strength=2.5, **fair)
    ).candidates
    assert loaded["fair"].mitigation is Mitigation.OPPORTUNITY_PENALTY
    assert loaded["fair"].mitigate_by == ("sex", "age")
    assert loaded["fair"].penalty_strength == 2.5
    assert loaded["plain"].mitigation is Mitigation.NONE
    assert (loaded["plain"].mitigate_by, loaded["plain"].penalty_strength) == ((), 0.0)
    assert loaded["plain"].protected_grounds == "long enough to be grounds"


def test_leak_check_waivers_and_model_card_are_read(tmp_path: Path, clinic: Contract) -> None:
    plain = policy(tmp_path, clinic, put("leak_check", min_n=7))
    assert plain.leak_check == LeakCheck(0.95, 7, "long enough to be grounds")
    assert (plain.waivers, plain.model_card) == (None, {})
    one, other = "A" * 43 + "=", "B" * 43 + "="
    written = {"max_days": 30, "signers": {"Ada": one}, "cosigners": {"Grace": other}}
    card = {"intended_use": "A test."}
    full = policy(tmp_path, clinic, put(waivers=written, model_card=card))
    assert full.waivers == WaiverRules(30, {"Ada": one}, {"Grace": other})
    assert full.model_card == card
