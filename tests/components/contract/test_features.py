from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from components.contract.contract import Contract, Role
from components.contract.features import ModelInput, model_inputs
from components.contract.policy import Candidate, Mitigation, Policy
from tests.clinic import contract


def _names(of: Contract, *protected: str) -> list[str]:
    candidate = Candidate("c", "d", protected, "", Mitigation.NONE, ())
    return [i.name for i in model_inputs(of, candidate)]


def test_inputs_stand_in_the_contracts_order_with_their_kind(tmp_path: Path) -> None:
    candidate = Candidate("c", "d", ("sex", "age"), "", Mitigation.NONE, ())
    assert model_inputs(contract(tmp_path), candidate) == (
        ModelInput("age", categorical=False),
        ModelInput("sex", categorical=True),
        ModelInput("ward", categorical=True),
        ModelInput("cost", categorical=False),
        ModelInput("smoker", categorical=True),
        ModelInput("under_40", categorical=True),
    )


def test_a_stand_in_is_seen_only_where_all_it_stands_in_for_is(
    rand_hie_contract: Contract,
) -> None:
    stand_ins = {c.name: set(c.proxy_of) for c in rand_hie_contract.columns if c.proxy_of}
    assert stand_ins == {"child": {"xage"}, "fchild": {"female", "xage"}}
    protected = ("black", "female", "xage")
    for size in range(4):
        for shown in combinations(protected, size):
            seen = set(_names(rand_hie_contract, *shown))
            assert seen & set(protected) == set(shown)
            for name, behind in stand_ins.items():
                assert (name in seen) == (behind <= set(shown))


@pytest.mark.parametrize("role", [Role.LABEL, Role.ENTITY, Role.SPAN, Role.EXCLUDED])
def test_no_other_role_is_ever_an_input(rand_hie_contract: Contract, role: Role) -> None:
    everything = _names(rand_hie_contract, "black", "female", "xage")
    assert not {c.name for c in rand_hie_contract.with_role(role)} & set(everything)
    assert len(everything) == 34


def test_naming_a_column_that_is_not_protected_shows_nothing_more(tmp_path: Path) -> None:
    clinic = contract(tmp_path)
    assert _names(clinic, "note", "person", "readmitted") == _names(clinic)


def test_the_shipped_mitigation_sees_no_protected_column(
    rand_hie_contract: Contract, rand_hie_policy: Policy
) -> None:
    mitigated = rand_hie_policy.candidates["mitigated"]
    seen = {i.name for i in model_inputs(rand_hie_contract, mitigated)}
    assert not seen & {"female", "black", "xage", "child", "fchild"}
    assert seen == {
        i.name
        for i in model_inputs(
            rand_hie_contract,
            replace(rand_hie_policy.candidates["plain"], protected_features=()),
        )
    }
