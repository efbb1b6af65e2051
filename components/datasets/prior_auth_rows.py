"""Synthetic prior authorization requests, column by column, for any range of rows of a month."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.datasets import prior_auth as plan
from components.datasets.prior_auth import Population, month_second
from components.datasets.prior_auth_draws import (
    FINE,
    SIXTEENTHS,
    Codes,
    Draws,
    Integers,
    below,
    draw,
    hashed,
    identifiers,
    quarter,
    scattered,
    table,
    upper,
)

_LINES, _PLANS = tuple(plan.LINES), tuple(p for held in plan.PLANS.values() for p in held)
_AGES, _DISABLED = ("0-17", "18-44", "45-64", "65+"), ("no", "yes")
_SEXES, _LANGUAGES = tuple(plan.SEXES), tuple(plan.LANGUAGES)
_SPECIALTIES, _PROCEDURES = tuple(plan.SPECIALTIES), tuple(plan.DOLLARS)
_DIAGNOSES = tuple(sorted({d for held in plan.DIAGNOSES.values() for d in held}))
_PLACES, _URGENCIES = tuple(plan.PLACES), tuple(plan.URGENCIES)
OUTCOMES = ("approved", "denied", "overturned")
_ENGLISH = _LANGUAGES.index("english")
_EXPEDITED = _URGENCIES.index("expedited")
_RING_PROCEDURE = _PROCEDURES.index(plan.RING_PROCEDURE)
_OLD_CODE, _NEW_CODE = _PROCEDURES.index(plan.OLD_CODE), _PROCEDURES.index(plan.NEW_CODE)
_MOST = 1_000
"""Log-odds of a denial, hundredths, that are not passed on either side."""


def _tables(weights: Mapping[str, Mapping[str, int]], names: tuple[str, ...]) -> Codes:
    """One table for each key of ``weights``, in its order; shape (keys, 4096)."""
    return np.stack([table(held, names, FINE) for held in weights.values()])


def _seasonal(month: int) -> Codes:
    """Tables of diagnoses by specialty in a calendar month, 1 to 12."""
    weights = {
        specialty: {
            name: weight * (plan.WINTER[month - 1] if name == plan.WINTER_DIAGNOSIS else 100)
            for name, weight in held.items()
        }
        for specialty, held in plan.DIAGNOSES.items()
    }
    return _tables(weights, _DIAGNOSES)


def _effects(effects: Mapping[str, int], names: tuple[str, ...]) -> Integers:
    return np.array([effects[name] for name in names], np.int64)


def _by(tables: npt.NDArray[Any], codes: npt.NDArray[Any], sixteen: Integers) -> Codes:
    """The value that a 16-bit draw means in the table of each row's code."""
    found: Codes = np.take(tables.reshape(-1), codes.astype(np.int64) * FINE + (sixteen >> 4))
    return found


_LINE_TABLE = table(plan.LINES, _LINES)
_PLAN_TABLES = _tables(plan.PLANS, _PLANS)
_AGE_TABLES = _tables(plan.AGES, _AGES)
_DISABLED_TABLES = _tables(plan.DISABLED, _DISABLED)
_SEX_TABLE, _LANGUAGE_TABLE = table(plan.SEXES, _SEXES), table(plan.LANGUAGES, _LANGUAGES)
_SPECIALTY_TABLE = table(plan.SPECIALTIES, _SPECIALTIES)
_PROCEDURE_TABLES = _tables(plan.PROCEDURES, _PROCEDURES)
_PLACE_TABLE, _URGENCY_TABLE = table(plan.PLACES, _PLACES), table(plan.URGENCIES, _URGENCIES)
_REQUESTS_TABLE = table(plan.PRIOR_REQUESTS, tuple(plan.PRIOR_REQUESTS))
_DENIALS_TABLE = table(plan.PRIOR_DENIALS, tuple(plan.PRIOR_DENIALS))
_DOCUMENTS_TABLE = table(plan.DOCUMENTS, ("0", "1"))
_BILLED = np.array(
    [
        round(1000 * math.exp(plan.BILLED_SIGMA * NormalDist().inv_cdf((k + 0.5) / FINE)))
        for k in range(FINE)
    ],
    np.int64,
)
"""Amount billed against its median, thousandths, of each of 4,096 equally likely draws."""
_CHANCES = np.array(
    [int(2**32 / (1 + math.exp(-x / 100))) for x in range(-_MOST, _MOST + 1)], np.uint64
)
"""Draws of 32 bits that mean a denial, for each whole hundredth of log-odds."""


class RowMaker:
    """Makes rows of one population. The same row comes out in whatever range it is asked for."""

    def __init__(self, population: Population) -> None:
        self.population = population
        numbers = np.arange(population.providers, dtype=np.int64)
        drawn = hashed(population.seed, "provider", numbers)
        self._specialties = _SPECIALTY_TABLE[quarter(drawn, 0)]
        span = 2 * plan.PROVIDER_HABIT + 1
        self._habits = (quarter(drawn, 1) * span // SIXTEENTHS) - plan.PROVIDER_HABIT

    @cached_property
    def rings(self) -> list[list[str]]:
        """Provider ids of each ring."""
        size = plan.RING_SIZE
        named = self._provider_ids(np.arange(self.population.rings * size, dtype=np.int64))
        ids = named.to_pylist()
        return [ids[a:b] for a, b in pairwise(range(0, len(ids) + 1, size))]

    def _provider_ids(self, providers: Integers) -> pa.StringArray:
        count, seed = self.population.providers, self.population.seed
        return identifiers("SYN-P", scattered(providers, count, seed, "provider ids"), 6)

    def rows(self, month: int, start: int, stop: int) -> pa.Table:
        """Rows ``start`` to ``stop - 1``, all of month number ``month`` (0 to 23)."""
        people = self.population
        drawn = {
            name: draw(people.seed, name, start, stop - start)
            for name in ("who", "whom", "what", "amounts", "history", "decision")
        }
        ring = quarter(drawn["who"], 0) < plan.RING_SHARE
        member, provider = self._parties(drawn, ring)
        traits = _traits(people.seed, member)
        request = self._request(month, drawn, ring, provider, traits)
        denied, outcome = self._decision(drawn["decision"], request, traits, provider)
        asked = self._times(month, start, stop, drawn["whom"])
        numbers = np.arange(start + 1, stop + 1, dtype=np.int64)
        member_numbers = scattered(member, people.members, people.seed, "member ids")
        columns = {
            "request_id": identifiers("SYN-R", numbers, 12),
            "member_id": identifiers("SYN-M", member_numbers, 9),
            "provider_id": self._provider_ids(provider),
            "request_month": pa.array(np.full(len(member), _label(month), np.int32)),
            "line_of_business": _named(traits["line"], _LINES),
            "plan": _named(traits["plan"], _PLANS),
            "sex": _named(traits["sex"], _SEXES),
            "age_band": _named(traits["age"], _AGES),
            "language": _named(traits["language"], _LANGUAGES),
            "disability": _named(traits["disability"], _DISABLED),
            "specialty": _named(self._specialties[provider], _SPECIALTIES),
            "diagnosis_group": _named(request["diagnosis"], _DIAGNOSES),
            "procedure_group": _named(request["procedure"], _PROCEDURES),
            "place_of_service": _named(request["place"], _PLACES),
            "urgency": _named(request["urgency"], _URGENCIES),
            **{name: pa.array(request[name].astype(np.int32)) for name in _COUNTED},
            "requested_at": pa.array(asked),
            "decided_at": pa.array(asked + _wait(drawn["history"], request["urgency"])),
            "outcome": _named(outcome, OUTCOMES),
            "denied": pa.array(denied.astype(np.int8)),
        }
        return pa.table(columns)

    def _parties(self, drawn: dict[str, Draws], ring: npt.NDArray[np.bool_]) -> tuple[Any, Any]:
        """Numbers of each row's member and provider; those of a ring's rows are the ring's."""
        people = self.population
        who, whom = upper(drawn["who"]), upper(drawn["whom"])
        which = quarter(drawn["who"], 1) * people.rings // SIXTEENTHS
        shared = (which * people.ring_members + below(people.ring_members, who)) % people.members
        member = np.where(ring, shared, below(people.members, who))
        slot = quarter(drawn["whom"], 0) * plan.RING_SIZE // SIXTEENTHS
        provider = np.where(ring, which * plan.RING_SIZE + slot, below(people.providers, whom))
        return member, provider

    def _request(
        self,
        month: int,
        drawn: dict[str, Draws],
        ring: npt.NDArray[np.bool_],
        provider: Integers,
        traits: dict[str, Codes],
    ) -> dict[str, npt.NDArray[Any]]:
        what, amounts, history = drawn["what"], drawn["amounts"], drawn["history"]
        specialty = self._specialties[provider]
        procedure = _by(_PROCEDURE_TABLES, specialty, quarter(what, 1))
        procedure = np.where(ring, np.uint8(_RING_PROCEDURE), procedure)
        if _label(month) >= plan.CODING_CHANGE.year * 100 + plan.CODING_CHANGE.month:
            procedure = np.where(procedure == _OLD_CODE, np.uint8(_NEW_CODE), procedure)
        dollars = _effects(plan.DOLLARS, _PROCEDURES)[procedure]
        billed = dollars * _BILLED[quarter(amounts, 0) >> 4] // 1000
        billed = np.where(ring, billed * plan.RING_BILLING_TENTHS // 10, billed)
        share = _effects(plan.ALLOWED, _LINES)[traits["line"]]
        varied = 900 + quarter(amounts, 1) * 200 // SIXTEENTHS
        documents = _DOCUMENTS_TABLE[quarter(amounts, 2)]
        # Two draws make a triangle over 0 to 100; a ring's papers are written to the guideline.
        score = (quarter(amounts, 3) + quarter(history, 3)) * 101 // (2 * SIXTEENTHS)
        requests = _REQUESTS_TABLE[quarter(history, 0)]
        return {
            "diagnosis": _by(_seasonal(plan.MONTHS[month][1]), specialty, quarter(what, 0)),
            "procedure": procedure,
            "place": _PLACE_TABLE[quarter(what, 2)],
            "urgency": _URGENCY_TABLE[quarter(what, 3)],
            "billed_amount": billed,
            "allowed_amount": billed * share * varied // 1_000_000,
            "documents_complete": np.where(ring, np.uint8(1), documents),
            "guideline_score": np.where(ring, 70 + score * 30 // 100, score),
            "prior_requests": requests,
            "prior_denials": np.minimum(requests, _DENIALS_TABLE[quarter(history, 1)]),
        }

    def _decision(
        self,
        drawn: Draws,
        request: dict[str, npt.NDArray[Any]],
        traits: dict[str, Codes],
        provider: Integers,
    ) -> tuple[npt.NDArray[np.bool_], Codes]:
        """Whether each request is denied on review, and what stands after any appeal."""
        odds = (
            plan.BASE
            + self._habits[provider]
            + plan.NO_DOCUMENTS * (request["documents_complete"] == 0)
            + plan.GUIDELINE * (request["guideline_score"] - 50)
            + plan.PRIOR_DENIAL * request["prior_denials"].astype(np.int64)
            + plan.EXPEDITED * (request["urgency"] == _EXPEDITED)
            + _effects(plan.PROCEDURE_EFFECT, _PROCEDURES)[request["procedure"]]
            + _effects(plan.LINE_EFFECT, _LINES)[traits["line"]]
            + plan.DISPARITY * (traits["language"] != _ENGLISH)
        )
        denied = upper(drawn) < _CHANCES[np.clip(odds, -_MOST, _MOST) + _MOST]
        overturned = denied & (quarter(drawn, 0) < plan.OVERTURNED)
        outcome: Codes = denied.astype(np.uint8) + overturned
        return denied, outcome

    def _times(self, month: int, start: int, stop: int, drawn: Draws) -> Integers:
        """Unix seconds; a month's rows are spread over it evenly and in order."""
        first, after = self.population.month_starts[month : month + 2]
        begins, length = month_second(month), month_second(month + 1) - month_second(month)
        place = np.arange(start - first, stop - first, dtype=np.int64) * length
        jitter = quarter(drawn, 1) * length // SIXTEENTHS
        asked: Integers = begins + (place + jitter) // (after - first)
        return asked


_COUNTED = (
    "billed_amount", "allowed_amount", "documents_complete", "guideline_score", "prior_requests",
    "prior_denials",
)  # fmt: skip


def _label(month: int) -> int:
    """January 2024 as 202401."""
    return plan.MONTHS[month][0] * 100 + plan.MONTHS[month][1]


def month_name(month: int) -> str:
    """January 2024 as ``2024-01``."""
    year, number = plan.MONTHS[month]
    return datetime(year, number, 1, tzinfo=UTC).strftime("%Y-%m")


def _traits(seed: int, member: Integers) -> dict[str, Codes]:
    """What stays the same in all of a member's requests, as codes."""
    one, two = hashed(seed, "member", member), hashed(seed, "member again", member)
    line = _LINE_TABLE[quarter(one, 0)]
    return {
        "line": line,
        "plan": _by(_PLAN_TABLES, line, quarter(one, 1)),
        "age": _by(_AGE_TABLES, line, quarter(one, 2)),
        "disability": _by(_DISABLED_TABLES, line, quarter(one, 3)),
        "sex": _SEX_TABLE[quarter(two, 0)],
        "language": _LANGUAGE_TABLE[quarter(two, 1)],
    }


def _wait(drawn: Draws, urgency: Codes) -> Integers:
    """Seconds from request to decision, whole minutes."""
    limit = np.array([plan.HOURS[u] * 60 for u in _URGENCIES], np.int64)[urgency]
    part = quarter(drawn, 2)
    on_time = limit * (5 * SIXTEENTHS + 95 * part) // (100 * SIXTEENTHS)
    late = limit + limit * part // plan.LATE
    waited: Integers = np.where(part < plan.LATE, late, on_time) * 60
    return waited


def _named(codes: Codes, names: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(names))
