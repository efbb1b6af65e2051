"""How TFDV summarises: what the policy says of bins and categories, and nothing more."""

from __future__ import annotations

from typing import Any

import tensorflow_data_validation as tfdv

from components.contract.contract import Contract
from components.contract.policy import Policy
from components.stacks.tfx_stack.tfmd_domains import domain_texts


def statistics_options(contract: Contract, policy: Policy) -> Any:
    """TFDV's options: the policy's bins, and every category that it is willing to count.

    TFDV holds to a domain only the values that it lists, the most frequent ones. It lists one more
    than the largest domain has, so a foreign value cannot hide behind the contract's own. Drift,
    too, it measures on what it lists: every category or bin, and missing.
    """
    gate = policy.data_gate
    largest = max((len(domain_texts(c)) for c in contract.columns), default=0)
    return tfdv.StatsOptions(
        num_histogram_buckets=gate.bins,
        # A lowest value that has a bin to itself is one edge more than the policy's bins have.
        num_rank_histogram_buckets=max(gate.max_categories + 1, gate.bins + 2, largest + 1),
    )
