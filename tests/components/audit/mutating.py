"""How a field of a bundle is changed into another value, for the tests that sign it again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.small_bundle import Draft

FREE = {
    "tools", "reason", "seconds", "name", "kind", "rule", "measurement", "code", "environment",
    "lock", "image", "nativeMeasurements", "measurements", "finished", "expires",
}  # fmt: skip
"""Fields that nothing else in a bundle repeats: what a signer says there, only he can know.

So it is with a blocked run's outputs, and with one finding where another keeps its gate closed.
"""

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a document that holds a text, a number, a truth or nothing."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from leaves(inside, (*path, key))
    elif isinstance(value, list):
        for i, inside in enumerate(value):
            yield from leaves(inside, (*path, i))
    else:
        yield path


def mutated(value: Any, chance: random.Random) -> Any:
    """Something else in the place of a value, often of the same form."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 5])
    if value is None:
        return chance.choice(["x", 1, True, {}])
    if value in ("PASS", "FAIL", "INCONCLUSIVE"):
        return chance.choice(sorted({"PASS", "FAIL", "INCONCLUSIVE"} - {value}))
    if len(value) == 64:
        at = chance.randrange(64)
        return value[:at] + format((int(value[at], 16) + 1) % 16, "x") + value[at + 1 :]
    return chance.choice([value + "x", value[1:] + "y", None, 7, "other"])


def put(document: Any, path: Path, value: Any) -> None:
    """Put a value into its place."""
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


def get(document: Any, path: Path) -> Any:
    """The value at a place."""
    for step in path:
        document = document[step]
    return document


def linked_field(draft: Draft, chance: random.Random) -> str:
    """Change one field that others depend on; chain, release and manifest are all made anew."""
    while True:
        run = chance.choice(list(draft.runs))
        stage, body = chance.choice(draft.runs[run])
        place = chance.choice(list(leaves(body)))
        alone = not draft.releases and {"findings", "outputs", "facts"} & set(place)
        if not alone and not any(step in FREE for step in place):
            break
    before = get(body, place)
    after = mutated(before, chance)
    put(body, place, after)
    return f"{run} {stage} {place} {before!r} {after!r}"
