"""One change to the clinic's policy at a time, and the one line that refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.contract.contract import Contract
from components.contract.errors import InputError
from tests.clinic import Change, Document, policy


def refusal(directory: Path, clinic: Contract, change: Change) -> str:
    """What a policy with that change is refused with: after the file, from the field on."""
    with pytest.raises(InputError) as caught:
        policy(directory, clinic, change)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    start = f"{directory / 'clinic_policy.yaml'}, field "
    assert message.startswith(start)
    assert "; expected " in message
    return message.removeprefix(start)


def put(*path: str | int, **fields: Any) -> Change:
    """Set fields at a place in the policy; None takes one away."""

    def change(document: Document) -> None:
        node: Any = document
        for part in path:
            node = node[part]
        node.update(fields)
        for name in [k for k, v in fields.items() if v is None]:
            del node[name]

    return change


def limit(index: int = 0, **fields: Any) -> Change:
    """Set fields of one of the clinic's limits: accuracy, then women and men, then the ages."""
    return put("release_gate", "limits", index, **fields)


def more(*limits: Document, pools: list[Document] | None = None) -> Change:
    """Add limits (of a point, on grounds, with an id each) and pools (on grounds)."""

    def change(document: Document) -> None:
        grounds = "long enough to be grounds"
        gate = document["release_gate"]
        gate["limits"] += [
            {"id": f"more-{i}", "tested_on": "point", "min_n": 1, "grounds": grounds, **fields}
            for i, fields in enumerate(limits)
        ]
        if pools is not None:
            gate["pools"] = [{"grounds": grounds, **pool} for pool in pools]

    return change


def together(*changes: Change) -> Change:
    """Several changes in turn."""

    def change(document: Document) -> None:
        for one in changes:
            one(document)

    return change
