"""How TFDV summarises: what the policy says of bins and categories, and nothing more."""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv

from components.contract.policy import Policy


def statistics_options(policy: Policy) -> Any:
    """TFDV's options: the policy's number of bins, and every category it is willing to count."""
    return tfdv.StatsOptions(
        num_histogram_buckets=policy.data_gate.bins,
        num_rank_histogram_buckets=policy.data_gate.max_categories,
    )
