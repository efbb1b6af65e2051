"""How long each class of records is kept: ``policies/retention.yaml``, read strictly."""

from __future__ import annotations

import hashlib
from calendar import isleap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.audit.question_catalogue import REGULATIONS
from components.contract.errors import InputError
from components.contract.json_schema import validate
from components.contract.strict_yaml import load_yaml


class RecordClass(StrEnum):
    """Classes of records, as the policy names them."""

    EVIDENCE = "evidence"
    RELEASE_RECORDS = "release_records"
    DATASETS = "datasets"
    DECISION_LOGS = "decision_logs"
    MODELS = "models"
    PREDICTIONS = "predictions"
    NATIVE_STORES = "native_stores"
    ACCESS_LOG = "access_log"
    BUNDLES = "bundles"


PURGEABLE = frozenset(
    {
        RecordClass.DATASETS,
        RecordClass.DECISION_LOGS,
        RecordClass.MODELS,
        RecordClass.PREDICTIONS,
    }
)
"""Data. What is signed about them is small, holds no patient's values, and is never purged."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How long one class is kept, in whole years, and the ids of the regulations that ask for it.

    ``outputs`` are names of stage outputs that are of this class.
    """

    years: int
    serves: tuple[str, ...]
    outputs: tuple[str, ...]

    def keep_until(self, since: datetime) -> date:
        """The last day, in UTC, on which a record is kept; of a 29 February, the 1 March."""
        day = since.astimezone(UTC).date()
        if (day.month, day.day) == (2, 29) and not isleap(day.year + self.years):
            return date(day.year + self.years, 3, 1)
        return day.replace(year=day.year + self.years)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The policy. ``digest`` is the SHA-256 of its file, ``folders`` are those of a home it knows.

    ``rules`` has the classes in the order of the file.
    """

    name: str
    digest: str
    note: str
    rules: Mapping[RecordClass, Rule]
    folders: frozenset[str]

    def class_of(self, output: str) -> RecordClass | None:
        """The class of a stage's output; None where the policy does not know it."""
        return next((c for c, rule in self.rules.items() if output in rule.outputs), None)


def load_retention(path: Path, regulations: Path = REGULATIONS) -> RetentionPolicy:
    """Read a retention policy.

    Raises:
        InputError: an unknown key, class or rule, a name in two classes, or fewer years than a
            rule asks for; names the file and the field.
    """
    rules, _ = load_yaml(regulations)
    validate(rules, "regulations-v1.schema.json", regulations)
    document, raw = load_yaml(path)
    validate(document, "retention-v1.schema.json", path)
    known = rules["regulations"].keys()
    _require_known(path, "at_least", document["at_least"], known)
    _require_once(path, document["classes"])
    found = {
        RecordClass(name): _rule(path, name, held, document["at_least"], known)
        for name, held in document["classes"].items()
    }
    folders = [f for held in document["classes"].values() for f in held.get("folders", ())]
    return RetentionPolicy(
        name=document["name"],
        digest=hashlib.sha256(raw).hexdigest(),
        note=document["note"],
        rules=found,
        folders=frozenset([*folders, *document["not_records"]]),
    )


def _rule(
    path: Path, name: str, held: Mapping[str, Any], at_least: Mapping[str, int], known: Any
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
    return Rule(held["years"], tuple(held["serves"]), tuple(held.get("outputs", ())))


def _require_known(path: Path, field: str, named: Any, known: Any) -> None:
    if unknown := set(named) - set(known):
        raise InputError(
            f"no regulation {min(unknown)!r}",
            where=f"{path}, field {field}",
            expected="ids of regulations.yaml: " + ", ".join(sorted(known)),
        )


def _require_once(path: Path, classes: Mapping[str, Any]) -> None:
    for kind in ("outputs", "folders"):
        seen: set[str] = set()
        for name, held in classes.items():
            for value in held.get(kind, ()):
                if value in seen:
                    raise InputError(
                        f"{value!r} stands in two classes",
                        where=f"{path}, field classes.{name}.{kind}",
                        expected="each name in one class",
                    )
                seen.add(value)
