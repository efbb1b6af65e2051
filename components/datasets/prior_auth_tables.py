"""Tables that turn draws into values: computed once, from the weights of the mechanisms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from components.datasets import prior_auth as plan
from components.datasets.prior_auth_draws import FINE, Codes, Integers, table

LINES, PLANS = tuple(plan.LINES), tuple(p for held in plan.PLANS.values() for p in held)
AGES, DISABLED = ("0-17", "18-44", "45-64", "65+"), ("no", "yes")
SEXES, LANGUAGES = tuple(plan.SEXES), tuple(plan.LANGUAGES)
SPECIALTIES, PROCEDURES = tuple(plan.SPECIALTIES), tuple(plan.DOLLARS)
DIAGNOSES = tuple(sorted({d for held in plan.DIAGNOSES.values() for d in held}))
PLACES, URGENCIES = tuple(plan.PLACES), tuple(plan.URGENCIES)
OUTCOMES = ("approved", "denied", "overturned")
ENGLISH = LANGUAGES.index("english")
EXPEDITED = URGENCIES.index("expedited")
RING_PROCEDURE = PROCEDURES.index(plan.RING_PROCEDURE)
OLD_CODE, NEW_CODE = PROCEDURES.index(plan.OLD_CODE), PROCEDURES.index(plan.NEW_CODE)
MOST = 1_000
"""Log-odds of a denial, hundredths, that are not passed on either side."""


def tables(weights: Mapping[str, Mapping[str, int]], names: tuple[str, ...]) -> Codes:
    """One table for each key of ``weights``, in its order; shape (keys, 4096)."""
    return np.stack([table(held, names, FINE) for held in weights.values()])


def seasonal(month: int) -> Codes:
    """Tables of diagnoses by specialty in a calendar month, 1 to 12."""
    weights = {
        specialty: {
            name: weight * (plan.WINTER[month - 1] if name == plan.WINTER_DIAGNOSIS else 100)
            for name, weight in held.items()
        }
        for specialty, held in plan.DIAGNOSES.items()
    }
    return tables(weights, DIAGNOSES)


def effects(stated: Mapping[str, int], names: tuple[str, ...]) -> Integers:
    """The whole number that stands for each value, at the place of the value's code."""
    return np.array([stated[name] for name in names], np.int64)


def by(held: npt.NDArray[Any], codes: npt.NDArray[Any], sixteen: Integers) -> Codes:
    """The value that a 16-bit draw means in the table of each row's code."""
    found: Codes = np.take(held.reshape(-1), codes.astype(np.int64) * FINE + (sixteen >> 4))
    return found


LINE_TABLE = table(plan.LINES, LINES)
PLAN_TABLES = tables(plan.PLANS, PLANS)
AGE_TABLES = tables(plan.AGES, AGES)
DISABLED_TABLES = tables(plan.DISABLED, DISABLED)
SEX_TABLE, LANGUAGE_TABLE = table(plan.SEXES, SEXES), table(plan.LANGUAGES, LANGUAGES)
SPECIALTY_TABLE = table(plan.SPECIALTIES, SPECIALTIES)
PROCEDURE_TABLES = tables(plan.PROCEDURES, PROCEDURES)
PLACE_TABLE, URGENCY_TABLE = table(plan.PLACES, PLACES), table(plan.URGENCIES, URGENCIES)
REQUESTS_TABLE = table(plan.PRIOR_REQUESTS, tuple(plan.PRIOR_REQUESTS))
DENIALS_TABLE = table(plan.PRIOR_DENIALS, tuple(plan.PRIOR_DENIALS))
DOCUMENTS_TABLE = table(plan.DOCUMENTS, ("0", "1"))
BILLED = np.array(
    [
        round(1000 * math.exp(plan.BILLED_SIGMA * NormalDist().inv_cdf((k + 0.5) / FINE)))
        for k in range(FINE)
    ],
    np.int64,
)
"""Amount billed against its median, thousandths, of each of 4,096 equally likely draws."""
CHANCES = np.array(
    [int(2**32 / (1 + math.exp(-x / 100))) for x in range(-MOST, MOST + 1)], np.uint64
)
"""Draws of 32 bits that mean a denial, for each whole hundredth of log-odds."""
