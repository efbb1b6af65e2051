"""Names of figures in MLflow lead back to the figures, whatever a group is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.checks.measurement import Measurement
from components.contract.policy import Metric
from components.stacks.pytorch_stack.metric_names import figure_of, metric_name

ALLOWED = re.compile(r"^[/\w.\- ]*$")
"""What MLflow lets a metric be called."""
texts = st.text(st.characters(codec="utf-8"), min_size=1) | st.text("_a2f=*/ x", min_size=1)
groups = st.builds("{}={}".format, texts.filter(lambda t: "=" not in t), texts)


@settings(deadline=None)
@given(st.sampled_from(list(Metric)), texts | groups)
def test_a_figure_is_read_back_as_it_was_named(name: Metric, group: str) -> None:
    metric = metric_name(Measurement(name, 0.5, 20, slice=group))
    assert ALLOWED.match(metric)
    expected = (name, group) if group != "overall" else (name, "overall")
    assert figure_of(metric) == expected


@pytest.mark.parametrize(
    ("group", "metric"),
    [
        ("overall", "tpr"),
        ("sex=female", "tpr/sex/female"),
        ("black=not_black*female=female", "tpr/black/not_black_2a_female_3d_female"),
        ("xage=40+", "tpr/xage/40_2b_"),
        ("site=a_be_c", "tpr/site/a_5f_be_5f_c"),
        ("a/b", "tpr/a_2f_b"),
    ],
)
def test_ordinary_names_stay_readable(group: str, metric: str) -> None:
    assert metric_name(Measurement("tpr", 0.5, 20, slice=group)) == metric
    assert figure_of(metric) == ("tpr", group)


@pytest.mark.parametrize(
    "metric", ["train_loss", "evaluation_roc_auc", "champion_brier", "roc", "", "/tpr"]
)
def test_other_metrics_are_no_figures_of_a_gate(metric: str) -> None:
    assert figure_of(metric) is None


def test_a_change_against_the_champion_is_a_figure() -> None:
    assert figure_of("absolute change of roc_auc") == ("absolute change of roc_auc", "overall")
