"""Which columns a candidate's model sees, and how: the one definition for both stacks."""

from __future__ import annotations

from dataclasses import dataclass

from components.contract.contract import Contract, Role
from components.contract.policy import Candidate


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One column that the model sees.

    A numeric input is standardised: ``(x - mean) / std`` with the mean and population standard
    deviation of the training rows that have a value; null, and every value where std is 0, becomes
    0. A categorical input is one-hot over the values, as text and in rising order, that at least
    ``min_category_count`` training rows hold; null and every other value is all zeros.
    """

    name: str
    categorical: bool


def model_inputs(contract: Contract, candidate: Candidate) -> tuple[ModelInput, ...]:
    """Inputs of a candidate's model, in the contract's order.

    Features, and the protected columns that the candidate declares. A feature that stands in for
    a protected column (``assayProxyOf``) is seen only where all of those are.
    """
    seen = set(candidate.protected_features)
    return tuple(
        ModelInput(c.name, c.categorical)
        for c in contract.columns
        if (c.role is Role.FEATURE and set(c.proxy_of) <= seen)
        or (c.role is Role.PROTECTED and c.name in seen)
    )
