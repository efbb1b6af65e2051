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
    than the largest domain has, so a foreign value cannot hide behind the contract's own.
    """
    largest = max((len(domain_texts(c)) for c in contract.columns), default=0)
    return tfdv.StatsOptions(
        num_histogram_buckets=policy.data_gate.bins,
        num_rank_histogram_buckets=max(policy.data_gate.max_categories, largest + 1),
    )
