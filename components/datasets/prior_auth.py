"""Synthetic prior authorization requests: what is planted in them, and how large it is.

No row is of a real person, provider or plan. Every mechanism is a constant here, so that whoever
looks for it in the data can be told whether they were right:

- **season**: respiratory diagnoses rise in winter, and so does the number of requests;
- **coding change**: from ``CODING_CHANGE`` on, infused drugs carry a new HCPCS group;
- **group disparity**: for the same request, members whose preferred language is not English are
  denied more often, by ``DISPARITY`` on the log-odds;
- **fraud rings**: a few providers share members, bill ``RING_BILLING_TENTHS`` tenths of the usual
  amount, always for equipment, and send spotless papers.

Log-odds are whole hundredths and weights whole numbers: they add up alike on every machine. The
sizes are chosen, not estimated from any claims; where public figures guided a choice, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from components.contract.errors import InputError

GENERATOR = "assay-prior-auth/v1"
"""Name of these mechanisms; whatever changes a byte of the data changes it."""
SYNTHETIC = "Synthetic data made by Assay: no row is of a real person, provider or plan."

GROUND_TRUTH = "ground_truth.json"
"""File beside the data that says what is planted in them."""

MAX_ROWS = 1_000_000_000
MAX_SEED = 2**63 - 1

MONTHS = tuple((year, month) for year in (2024, 2025) for month in range(1, 13))
"""The months that every data set covers, whatever its size."""

VOLUME = (112, 104, 106, 101, 99, 96, 92, 94, 97, 100, 101, 98)
"""Requests of each calendar month against 100. Benefits start anew in January, summers are calm."""
GROWTH = 1
"""Hundredths of the first month's requests by which each month has more than the one before."""

WINTER = (180, 160, 130, 100, 80, 60, 50, 50, 70, 100, 140, 170)
"""Respiratory diagnoses of each calendar month against 100: influenza seasons in the north peak
from December to February (CDC, "Flu Season")."""
WINTER_DIAGNOSIS = "J00-J99"

CODING_CHANGE = date(2024, 7, 1)
"""CMS updates HCPCS level II on the first day of each quarter. Here all requests for infused drugs
move from J codes to Q codes at once, as biosimilars did one by one."""
OLD_CODE, NEW_CODE = "J0120-J9999", "Q5101-Q5150"

DISPARITY = 60
"""Hundredths of log-odds by which a member whose preferred language is not English is denied more
often than another with the same request; an odds ratio of 1.82."""

RING_SIZE = 4
"""Providers in a ring."""
RING_SHARE = 983
"""Requests that come from rings, in 65,536ths: 1.5 %."""
RING_BILLING_TENTHS = 18
RING_PROCEDURE = "E0100-E8002"
"""Durable medical equipment, a field of the fraud alerts of the HHS Office of Inspector General."""

LINES = {"commercial": 45, "medicare_advantage": 25, "medicaid_managed_care": 20, "exchange": 10}
PLANS = {
    "commercial": {"COM-HMO": 30, "COM-PPO": 55, "COM-POS": 15},
    "medicare_advantage": {"MA-HMO": 60, "MA-PPO": 40},
    "medicaid_managed_care": {"MCD-MCO": 100},
    "exchange": {"EXC-EPO": 40, "EXC-HMO": 60},
}
AGES = {
    "commercial": {"0-17": 20, "18-44": 42, "45-64": 36, "65+": 2},
    "medicare_advantage": {"18-44": 3, "45-64": 12, "65+": 85},
    "medicaid_managed_care": {"0-17": 42, "18-44": 34, "45-64": 20, "65+": 4},
    "exchange": {"0-17": 9, "18-44": 46, "45-64": 44, "65+": 1},
}
DISABLED = {
    "commercial": {"no": 95, "yes": 5},
    "medicare_advantage": {"no": 80, "yes": 20},
    "medicaid_managed_care": {"no": 86, "yes": 14},
    "exchange": {"no": 95, "yes": 5},
}
SEXES = {"female": 54, "male": 46}
LANGUAGES = {"english": 80, "spanish": 13, "other": 7}

SPECIALTIES = {
    "cardiology": 12, "endocrinology": 8, "neurology": 11, "oncology": 14,
    "orthopedics": 19, "primary_care": 20, "psychiatry": 8, "pulmonology": 8,
}  # fmt: skip
DIAGNOSES = {
    "cardiology": {"I00-I99": 70, "E08-E13": 8, "R00-R99": 16, "J00-J99": 6},
    "endocrinology": {"E08-E13": 70, "N00-N99": 8, "I00-I99": 10, "R00-R99": 12},
    "neurology": {"G00-G99": 66, "M00-M99": 14, "R00-R99": 14, "F01-F99": 6},
    "oncology": {"C00-D49": 88, "R00-R99": 8, "N00-N99": 4},
    "orthopedics": {"M00-M99": 62, "S00-T88": 30, "G00-G99": 8},
    "primary_care": {
        "J00-J99": 18, "E08-E13": 16, "M00-M99": 20, "I00-I99": 14, "R00-R99": 16,
        "F01-F99": 8, "N00-N99": 8,
    },
    "psychiatry": {"F01-F99": 90, "G00-G99": 10},
    "pulmonology": {"J00-J99": 74, "C00-D49": 8, "R00-R99": 18},
}  # fmt: skip
"""ICD-10-CM chapters (diabetes alone of its chapter) that each specialty asks for."""
PROCEDURES = {
    "cardiology": {"70010-76499": 46, "J0120-J9999": 12, "99221-99239": 34, "E0100-E8002": 8},
    "endocrinology": {"J0120-J9999": 44, "E0100-E8002": 32, "81105-81599": 14, "70010-76499": 10},
    "neurology": {"70010-76499": 50, "J0120-J9999": 26, "97010-97799": 16, "E0100-E8002": 8},
    "oncology": {"J0120-J9999": 42, "70010-76499": 28, "81105-81599": 22, "99221-99239": 8},
    "orthopedics": {"20100-29999": 36, "97010-97799": 30, "70010-76499": 24, "E0100-E8002": 10},
    "primary_care": {
        "70010-76499": 30, "97010-97799": 18, "E0100-E8002": 16, "81105-81599": 10,
        "99221-99239": 14, "J0120-J9999": 12,
    },
    "psychiatry": {"90785-90899": 78, "J0120-J9999": 10, "99221-99239": 12},
    "pulmonology": {"E0100-E8002": 34, "70010-76499": 30, "J0120-J9999": 18, "99221-99239": 18},
}  # fmt: skip
"""CPT and HCPCS code ranges that each specialty asks for, before the coding change."""
PLACES = {"11": 46, "22": 27, "21": 9, "24": 10, "12": 8}
"""CMS place of service: office, on-campus outpatient, inpatient, ambulatory surgery, home."""
URGENCIES = {"standard": 88, "expedited": 12}
PRIOR_REQUESTS = {str(n): 1000 * 2**n // 3**n for n in range(13)}
PRIOR_DENIALS = {"0": 72, "1": 19, "2": 7, "3": 2}
DOCUMENTS = {"1": 78, "0": 22}

DOLLARS = {
    "20100-29999": 14_000, "70010-76499": 1_500, "81105-81599": 3_200, "90785-90899": 1_800,
    "97010-97799": 1_200, "99221-99239": 18_000, "E0100-E8002": 2_400, "J0120-J9999": 7_500,
    "Q5101-Q5150": 7_500,
}  # fmt: skip
"""Median amount billed, whole US dollars."""
BILLED_SIGMA = 0.5
"""Standard deviation of the logarithm of the amount billed, within a procedure group."""
ALLOWED = {
    "commercial": 620, "medicare_advantage": 410, "medicaid_managed_care": 340, "exchange": 560,
}  # fmt: skip
"""Share of the amount billed that the fee schedule allows, thousandths; it varies by a tenth."""

BASE = -245
"""Log-odds of a denial, hundredths, before what follows. About one request in five is denied: more
than the 6.4 % of Medicare Advantage (KFF, 2023), so that small data hold enough denials."""
NO_DOCUMENTS = 130
GUIDELINE = -4
"""For each point that the guideline score is above 50; the score is 0 to 100."""
PRIOR_DENIAL = 40
EXPEDITED = -40
PROCEDURE_EFFECT = {
    "20100-29999": 30, "70010-76499": 10, "81105-81599": 75, "90785-90899": -20,
    "97010-97799": 25, "99221-99239": -50, "E0100-E8002": 45, "J0120-J9999": 0, "Q5101-Q5150": 0,
}  # fmt: skip
LINE_EFFECT = {
    "commercial": 0, "medicare_advantage": -10, "medicaid_managed_care": 15, "exchange": 15,
}  # fmt: skip
PROVIDER_HABIT = 40
"""A provider's own share in every decision, uniform from minus to plus this; no column holds it."""

APPEALED = 7_668
"""Denials that are appealed, in 65,536ths: 11.7 % (KFF, Medicare Advantage 2023)."""
OVERTURNED = 6_265
"""Denials that are overturned on appeal, in 65,536ths: 81.7 % of those that are appealed (KFF)."""
HOURS = {"standard": 168, "expedited": 72}
"""Limits of CMS-0057-F, hours. Decisions take 5 % to 100 % of them."""
LATE = 1_966
"""Decisions that take up to twice the limit, in 65,536ths: 3 %."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """How many rows, members, providers and rings there are; everything else follows from it.

    Raises:
        InputError: rows or seed are out of range.
    """

    rows: int
    seed: int

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("--rows", self.rows, 1, MAX_ROWS),
            ("--seed", self.seed, 0, MAX_SEED),
        ):
            if not low <= value <= high:
                raise InputError(str(value), where=name, expected=f"{low} to {high}")

    @property
    def members(self) -> int:
        """A member has four requests on average."""
        return max(1, self.rows // 4)

    @property
    def providers(self) -> int:
        """A provider has a hundred requests or so, fewer in small data and more in large."""
        return min(max(self.rows // 100, 200), 200_000)

    @property
    def rings(self) -> int:
        """Three rings at least, one for every 500 providers."""
        return max(3, self.providers // 500)

    @property
    def ring_members(self) -> int:
        """Members that a ring shares; each has about six of its requests in larger data."""
        return max(4, self.members // (100 * self.rings))

    @cached_property
    def month_starts(self) -> Integers:
        """Number of the first row of each month, and behind the last month the number of rows."""
        weights = [VOLUME[month - 1] * (100 + GROWTH * i) for i, (_, month) in enumerate(MONTHS)]
        ends = np.cumsum([0, *weights])
        return np.array([self.rows * int(e) // int(ends[-1]) for e in ends], np.int64)


def month_second(i: int) -> int:
    """When month number ``i`` begins, Unix seconds, UTC; 24 is the end of the last one."""
    year, month = MONTHS[i] if i < len(MONTHS) else (MONTHS[-1][0] + 1, 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())
