"""The comparison's limits: the shipped file loads, and nothing else than it says is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contract.compare_policy import COMPARE, load_compare_policy
from components.contract.errors import InputError

SHIPPED = COMPARE.read_text()
LIMIT = "prediction_difference_at_most: 0.00001"


def test_the_shipped_limits() -> None:
    policy = load_compare_policy()
    assert policy.bridge.prediction_difference_at_most == 1e-5
    assert policy.exports.prediction_difference_at_most == 1e-5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LIMIT, "prediction_difference_at_most: 0"),
        (LIMIT, "prediction_difference_at_most: .nan"),
        (LIMIT, 'prediction_difference_at_most: "0.00001"'),
        (LIMIT, "prediction_difference_at_most: 0.2"),
        (LIMIT, f"{LIMIT}\n  prediction_differences_at_most: 0.1"),
        (LIMIT, "{}"),
        ("assay-compare/v1", "assay-compare/v2"),
    ],
)
def test_another_file_is_refused_with_its_field(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "compare.yaml"
    assert old in SHIPPED
    file.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(InputError, match="compare.yaml"):
        load_compare_policy(file)
