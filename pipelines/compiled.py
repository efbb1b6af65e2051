"""A contract and its policy as one engine is given them, and what that engine cannot say."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.clauses import (
    Clause,
    Unexpressed,
    claimed,
    drift_clauses,
    schema_clauses,
)
from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import InputError
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from pipelines.check import find_policy

_NEEDS = {
    "tfmd": ("tensorflow_metadata", "tfx"),
    "gx": ("great_expectations", "pytorch"),
    "evidently": ("evidently", "pytorch"),
}
"""For each engine the package that must be there, and the extra that brings it."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What an engine is given: as JSON, and as that engine's own text."""

    artefact: Any
    text: str
    clauses: Sequence[Clause]
    unexpressed: Sequence[Unexpressed]

    @property
    def claimed(self) -> tuple[str, ...]:
        """Rule ids of the clauses that the engine checks."""
        return tuple(c.rule for c in claimed(self.clauses, self.unexpressed))


def compile_to(contract_path: Path, policy_path: Path | None, engine: str) -> Compiled:
    """Compile a contract, and the policy's drift limits, to ``tfmd``, ``gx``, ``evidently`` or
    ``referee``.

    Raises:
        InputError: contract or policy are not usable, or the engine's extra is not installed.
    """
    contract = load_contract(contract_path)
    if engine in _NEEDS:
        package, extra = _NEEDS[engine]
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"extra {extra} is not installed",
                where="this Python environment",
                expected=f"`make setup EXTRAS={extra}` (or EXTRAS=all)",
            )
    if engine == "gx":  # GX compares no two sides, so it has no use for a policy
        return _gx(contract)
    policy = load_policy(find_policy(contract, policy_path), contract)
    return _COMPILERS[engine](contract, policy)


def _tfmd(contract: Contract, policy: Policy) -> Compiled:
    from google.protobuf import json_format, text_format

    from components.stacks.tfx_stack.contract_to_tfmd import compile_schema

    compiled = compile_schema(contract, policy)
    return Compiled(
        json_format.MessageToDict(compiled.schema),
        text_format.MessageToString(compiled.schema),
        _all_clauses(contract, policy),
        compiled.unexpressed,
    )


def _gx(contract: Contract) -> Compiled:
    from components.stacks.pytorch_stack import frameworks

    frameworks.start()
    from components.stacks.pytorch_stack.contract_to_gx import compile_to_gx

    compiled = compile_to_gx(contract)
    suite = compiled.suite.to_json_dict()
    return _printed(suite, schema_clauses(contract), compiled.unexpressed)


def _evidently(contract: Contract, policy: Policy) -> Compiled:
    from components.stacks.pytorch_stack import frameworks

    frameworks.start()
    from components.stacks.pytorch_stack.policy_to_evidently import compile_to_evidently

    compiled = compile_to_evidently(contract, policy.data_gate)
    rules = [
        {"rule": r.rule, "column": r.column, "method": r.method, "threshold": r.native_threshold}
        for r in compiled.rules
    ]
    return _printed(rules, drift_clauses(contract, policy.data_gate), compiled.unexpressed)


def _referee(contract: Contract, policy: Policy) -> Compiled:
    clauses = _all_clauses(contract, policy)
    return _printed([{"rule": c.rule, "severity": c.severity} for c in clauses], clauses, ())


def _printed(
    artefact: Any, clauses: Sequence[Clause], unexpressed: Sequence[Unexpressed]
) -> Compiled:
    return Compiled(artefact, json.dumps(artefact, indent=2), clauses, unexpressed)


def _all_clauses(contract: Contract, policy: Policy) -> tuple[Clause, ...]:
    return (*schema_clauses(contract), *drift_clauses(contract, policy.data_gate))


_COMPILERS: dict[str, Callable[[Contract, Policy], Compiled]] = {
    "tfmd": _tfmd,
    "evidently": _evidently,
    "referee": _referee,
}
