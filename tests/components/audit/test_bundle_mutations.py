"""Deep logic: a field is changed and everything is signed again with the trusted key.

So it is never the signature that saves us. ``ASSAY_MUTATIONS`` says how many changes are tried for
each way of signing again; which ones is drawn by chance from ``ASSAY_SEED``.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable

import pytest

from tests.components.audit.mutating import get, leaves, linked_field, mutated, put
from tests.small_bundle import (
    Document,
    Draft,
    blocked,
    judged,
    judged_by_second,
    released,
    seal,
    sources,
    waived,
)

COUNT = int(os.environ.get("ASSAY_MUTATIONS", "100"))
SEED = int(os.environ.get("ASSAY_SEED", "20261124"))


def one_statement(draft: Draft, chance: random.Random) -> str:
    """Change one field of one signed statement after the chain was made; sign that one again."""
    names = [
        f"{n:04d}-{stage}.json"
        for n, (stage, _) in enumerate(draft.runs[draft.run], start=1)
    ]  # fmt: skip
    name = chance.choice(names)
    told: list[str] = []

    def change(path: str, statement: Document) -> None:
        if path.endswith(f"{draft.run}/evidence/{name}"):
            place = chance.choice(list(leaves(statement["predicate"])))
            before = get(statement["predicate"], place)
            after = mutated(before, chance)
            put(statement["predicate"], place, after)
            told.append(f"{name} {place} {before!r} {after!r}")

    # The chain goes on from what stood there before: only the one signature is new.
    sound = sources(copy.deepcopy(draft))
    draft.linked.append(change)
    changed = sources(draft)
    path = next(p for p in changed if p.endswith(f"{draft.run}/evidence/{name}"))

    def keep(entries: dict[str, bytes]) -> None:
        kept = {**sound, path: changed[path]}
        del kept["manifest.json"]
        entries.clear()
        entries.update(kept)

    draft.linked.clear()
    draft.packed.append(keep)
    return told[0]


def release_field(draft: Draft, chance: random.Random) -> str:
    """Change one field of the release record or the manifest."""
    if draft.releases and chance.random() < 0.7:
        record = draft.releases[-1]
        place = chance.choice([p for p in leaves(record) if p not in (("head",), ("waiver",))])
        after = mutated(get(record, place), chance)
        put(record, place, after)
        return f"release {place} {after!r}"
    field = chance.choice(["run", "continues", "dataset", "stack", "records", "head", "release"])
    draft.manifest[field] = value = chance.choice(["other", 8, None, "0" * 64])
    return f"manifest {field} {value!r}"


WAYS: list[Callable[[Draft, random.Random], str]] = [one_statement, linked_field, release_field]


@pytest.mark.parametrize("made", [released, blocked, waived])
@pytest.mark.parametrize("way", WAYS)
def test_what_was_changed_and_signed_again_is_found(
    made: Callable[[], Draft], way: Callable[[Draft, random.Random], str]
) -> None:
    for number in range(COUNT):
        chance = random.Random(f"{SEED} {way.__name__} {made.__name__} {number}")
        draft = made()
        told = way(draft, chance)
        raw = seal(draft)
        found = judged(raw), judged_by_second(raw)
        assert {code for code, _ in found} <= {1, 2}, (SEED, number, told, found)


@pytest.mark.parametrize("field", ["tools", "code", "reason"])
def test_what_nothing_else_repeats_only_its_signer_can_know(field: str) -> None:
    draft = released()
    for _, body in draft.runs[draft.run]:
        if field == "code":
            body["inputs"]["code"] = "assay 2"
        elif field == "tools" and "tools" in body:
            body["tools"] = {"numpy": "3"}
        else:
            body["reason" if "reason" in body else "actor"] = "other"
    draft.releases[-1]["actor"] = draft.body("ingest")["actor"]
    if field == "reason":
        draft.body("close")["actor"] = "other"
    raw = seal(draft)
    assert judged(raw) == judged_by_second(raw)
