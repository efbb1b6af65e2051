"""How long each class of data is kept: ``policies/retention.yaml``, read strictly."""

from __future__ import annotations

import hashlib
from calendar import isleap
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.audit.question_catalogue import REGULATIONS
from components.contract.errors import InputError
from components.contract.json_schema import validate
from components.contract.strict_yaml import load_yaml


class DataClass(StrEnum):
    """Classes of data, as the policy names them. What is signed is none of them and stays."""

    DATASETS = "datasets"
    DECISION_LOGS = "decision_logs"
    MODELS = "models"
    PREDICTIONS = "predictions"


@dataclass(frozen=True, slots=True)
class Rule:
    """How long one class is kept, in whole years, and the ids of the regulations that ask for it.

    ``outputs`` are names of stage outputs that are of this class. ``at_least`` is the number of
    years that the regulations ask for.
    """

    years: int
    serves: tuple[str, ...]
    outputs: tuple[str, ...]
    at_least: int = 0

    def keep_until(self, since: datetime) -> date:
        """The last day, in UTC, on which something is kept; of a 29 February, the 1 March."""
        return _years_after(since, self.years)

    def first_purge(self, made: datetime) -> datetime:
        """When something made then may be purged at the earliest, however long it was in use."""
        day = _years_after(made, self.at_least) + timedelta(days=1)
        return datetime.combine(day, time(), UTC)


def _years_after(since: datetime, years: int) -> date:
    day = since.astimezone(UTC).date()
    if (day.month, day.day) == (2, 29) and not isleap(day.year + years):
        return date(day.year + years, 3, 1)
    return day.replace(year=day.year + years)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The policy. ``digest`` is the SHA-256 of its file.

    ``rules`` has the classes in the order of the file. ``not_data`` are folders of a home that no
    purge takes anything of.
    """

    name: str
    digest: str
    rules: Mapping[DataClass, Rule]
    not_data: frozenset[str]

    def class_of(self, output: str) -> DataClass | None:
        """The class of a stage's output; None where the policy does not know it."""
        return next((c for c, rule in self.rules.items() if output in rule.outputs), None)


def load_retention(path: Path, regulations: Path = REGULATIONS) -> RetentionPolicy:
    """Read a retention policy.

    Raises:
        InputError: an unknown key, class or rule, an output in two classes, or fewer years than a
            rule asks for; names the file and the field.
    """
    rules, _ = load_yaml(regulations)
    validate(rules, "regulations-v1.schema.json", regulations)
    document, raw = load_yaml(path)
    validate(document, "retention-v1.schema.json", path)
    known = rules["regulations"].keys()
    _require_known(path, "at_least", document["at_least"], known)
    _require_once(path, document["classes"])
    return RetentionPolicy(
        name=document["name"],
        digest=hashlib.sha256(raw).hexdigest(),
        rules={
            DataClass(name): _rule(path, name, held, document["at_least"], known)
            for name, held in document["classes"].items()
        },
        not_data=frozenset(document["not_data"]),
    )


def _rule(
    path: Path,
    name: str,
    held: Mapping[str, Any],
    at_least: Mapping[str, int],
    known: Collection[str],
) -> Rule:
    where = f"classes.{name}"
    _require_known(path, f"{where}.serves", held["serves"], known)
    for rule in held["serves"]:
        if held["years"] < at_least.get(rule, 0):
            raise InputError(
                f"{held['years']} years are fewer than {rule} asks for",
                where=f"{path}, field {where}.years",
                expected=f"at least {at_least[rule]}",
            )
    fewest = max((at_least.get(rule, 0) for rule in held["serves"]), default=0)
    return Rule(held["years"], tuple(held["serves"]), tuple(held["outputs"]), fewest)


def _require_known(path: Path, field: str, named: Collection[str], known: Collection[str]) -> None:
    if unknown := set(named) - set(known):
        raise InputError(
            f"no regulation {min(unknown)!r}",
            where=f"{path}, field {field}",
            expected="ids of regulations.yaml: " + ", ".join(sorted(known)),
        )


def _require_once(path: Path, classes: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for name, held in classes.items():
        if twice := seen & set(held["outputs"]):
            raise InputError(
                f"{min(twice)!r} stands in two classes",
                where=f"{path}, field classes.{name}.outputs",
                expected="each output in one class",
            )
        seen |= set(held["outputs"])
