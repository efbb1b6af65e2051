"""Synthetic prior authorization requests, column by column, for any range of rows of a month."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.datasets import prior_auth as plan
from components.datasets import prior_auth_tables as known
from components.datasets.prior_auth import Population, month_second
from components.datasets.prior_auth_draws import (
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
    upper,
)


class RowMaker:
    """Makes rows of one population. The same row comes out in whatever range it is asked for."""

    def __init__(self, population: Population) -> None:
        self.population = population
        numbers = np.arange(population.providers, dtype=np.int64)
        drawn = hashed(population.seed, "provider", numbers)
        self._specialties = known.SPECIALTY_TABLE[quarter(drawn, 0)]
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
            "line_of_business": _named(traits["line"], known.LINES),
            "plan": _named(traits["plan"], known.PLANS),
            "sex": _named(traits["sex"], known.SEXES),
            "age_band": _named(traits["age"], known.AGES),
            "language": _named(traits["language"], known.LANGUAGES),
            "disability": _named(traits["disability"], known.DISABLED),
            "specialty": _named(self._specialties[provider], known.SPECIALTIES),
            "diagnosis_group": _named(request["diagnosis"], known.DIAGNOSES),
            "procedure_group": _named(request["procedure"], known.PROCEDURES),
            "place_of_service": _named(request["place"], known.PLACES),
            "urgency": _named(request["urgency"], known.URGENCIES),
            **{name: pa.array(request[name].astype(np.int32)) for name in _COUNTED},
            "requested_at": pa.array(asked),
            "decided_at": pa.array(asked + _wait(drawn["history"], request["urgency"])),
            "outcome": _named(outcome, known.OUTCOMES),
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
        procedure = known.by(known.PROCEDURE_TABLES, specialty, quarter(what, 1))
        procedure = np.where(ring, np.uint8(known.RING_PROCEDURE), procedure)
        if _label(month) >= plan.CODING_CHANGE.year * 100 + plan.CODING_CHANGE.month:
            procedure = np.where(procedure == known.OLD_CODE, np.uint8(known.NEW_CODE), procedure)
        dollars = known.effects(plan.DOLLARS, known.PROCEDURES)[procedure]
        billed = dollars * known.BILLED[quarter(amounts, 0) >> 4] // 1000
        billed = np.where(ring, billed * plan.RING_BILLING_TENTHS // 10, billed)
        share = known.effects(plan.ALLOWED, known.LINES)[traits["line"]]
        varied = 900 + quarter(amounts, 1) * 200 // SIXTEENTHS
        documents = known.DOCUMENTS_TABLE[quarter(amounts, 2)]
        # Two draws make a triangle over 0 to 100; a ring's papers are written to the guideline.
        score = (quarter(amounts, 3) + quarter(history, 3)) * 101 // (2 * SIXTEENTHS)
        requests = known.REQUESTS_TABLE[quarter(history, 0)]
        return {
            "diagnosis": known.by(
                known.seasonal(plan.MONTHS[month][1]), specialty, quarter(what, 0)
            ),
            "procedure": procedure,
            "place": known.PLACE_TABLE[quarter(what, 2)],
            "urgency": known.URGENCY_TABLE[quarter(what, 3)],
            "billed_amount": billed,
            "allowed_amount": billed * share * varied // 1_000_000,
            "documents_complete": np.where(ring, np.uint8(1), documents),
            "guideline_score": np.where(ring, 70 + score * 30 // 100, score),
            "prior_requests": requests,
            "prior_denials": np.minimum(requests, known.DENIALS_TABLE[quarter(history, 1)]),
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
            + plan.EXPEDITED * (request["urgency"] == known.EXPEDITED)
            + known.effects(plan.PROCEDURE_EFFECT, known.PROCEDURES)[request["procedure"]]
            + known.effects(plan.LINE_EFFECT, known.LINES)[traits["line"]]
            + plan.DISPARITY * (traits["language"] != known.ENGLISH)
        )
        denied = upper(drawn) < known.CHANCES[np.clip(odds, -known.MOST, known.MOST) + known.MOST]
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
    line = known.LINE_TABLE[quarter(one, 0)]
    return {
        "line": line,
        "plan": known.by(known.PLAN_TABLES, line, quarter(one, 1)),
        "age": known.by(known.AGE_TABLES, line, quarter(one, 2)),
        "disability": known.by(known.DISABLED_TABLES, line, quarter(one, 3)),
        "sex": known.SEX_TABLE[quarter(two, 0)],
        "language": known.LANGUAGE_TABLE[quarter(two, 1)],
    }


def _wait(drawn: Draws, urgency: Codes) -> Integers:
    """Seconds from request to decision, whole minutes."""
    limit = np.array([plan.HOURS[u] * 60 for u in known.URGENCIES], np.int64)[urgency]
    part = quarter(drawn, 2)
    on_time = limit * (5 * SIXTEENTHS + 95 * part) // (100 * SIXTEENTHS)
    late = limit + limit * part // plan.LATE
    waited: Integers = np.where(part < plan.LATE, late, on_time) * 60
    return waited


def _named(codes: Codes, names: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(names))
