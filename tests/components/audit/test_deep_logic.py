"""Deep logic, many times over: a signed chain is changed in memory and signed again, and checked.

What ``test_bundle_mutations.py`` does to whole archives is done here to what a verifier has in hand
once the archive and its manifest are as they should be. Each changed statement is really signed
with the trusted key, and opened by both verifiers; an envelope of the very same bytes is opened
once. ``ASSAY_DEEP_MUTATIONS`` says how many changes are tried, ``ASSAY_SEED`` draws them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from components.audit import bundle_format, bundle_run, verify_bundle
from components.audit.bundle_documents import check_cards, check_documents
from components.audit.bundle_format import MANIFEST, Manifest, TamperedError, parse_manifest
from components.audit.bundle_run import read_run
from components.lineage import evidence
from components.lineage.dsse import sign, verify
from components.release import records, waivers
from tests.components.audit.mutating import Path, get, leaves, linked_field, mutated, put
from tests.small_bundle import (
    Draft,
    Sources,
    blocked,
    key,
    raw_key,
    released,
    sha_of,
    sources,
    waived,
)

COUNT = int(os.environ.get("ASSAY_DEEP_MUTATIONS", "100000"))
SEED = int(os.environ.get("ASSAY_SEED", "20261124"))
PARTS = 10
LINKED = 20
"""Of so many changes one is made before the chain is linked: each record behind it is new then."""
RELEASED = 5
"""And of so many one is to the release record, where there is one."""
KEYS = {"home": raw_key("home")}


@dataclass(frozen=True)
class Content:
    """What a verifier has in hand behind a sound manifest: its entries, and what it says."""

    entries: Sources
    manifest: Manifest
    said: dict[str, Any]
    digests: dict[str, str]

    def with_entry(self, name: str, raw: bytes) -> Content:
        """With another entry, which its manifest lists."""
        entries, digests = {**self.entries, name: raw}, {**self.digests, name: sha_of(raw)}
        return Content(entries, self.manifest, self.said, digests)


def content(draft: Draft) -> Content:
    """What the verifiers read out of the manifest of a draft, which they check."""
    entries = sources(draft)
    said, digests, _ = verify_bundle.read_manifest(entries[MANIFEST], KEYS)
    assert {n: sha_of(raw) for n, raw in entries.items() if n != MANIFEST} == digests
    read = {n: raw for n, raw in entries.items() if not n.startswith("reports/")}
    return Content(read, parse_manifest(entries[MANIFEST], KEYS), said, digests)


@cache
def sound(made: Callable[[], Draft]) -> Content:
    """What lies in a bundle to which nothing was done."""
    return content(made())


@cache
def statements(made: Callable[[], Draft], kind: str) -> list[tuple[str, str, list[Path]]]:
    """Entry, JSON text and places of each signed statement of a kind, to be changed in a copy."""
    found = []
    for name, raw in sound(made).entries.items():
        if kind in name:
            statement = verify(raw, KEYS).statement
            found.append((name, json.dumps(statement), list(leaves(statement["predicate"]))))
    return found


def one_statement(made: Callable[[], Draft], chance: random.Random, kind: str) -> Content:
    """Change one field of one statement, and sign it again."""
    name, text, places = chance.choice(statements(made, kind))
    statement, place = json.loads(text), chance.choice(places)
    predicate = statement["predicate"]
    before = get(predicate, place)
    put(predicate, place, mutated(before, chance))
    assert get(predicate, place) != before or type(get(predicate, place)) is not type(before)
    if place == ("model",):  # a release record is about its model, whichever that is
        statement["subject"][0]["digest"]["sha256"] = predicate["model"]
    return sound(made).with_entry(name, sign(statement, [key("home")]))


def change(made: Callable[[], Draft], number: int, chance: random.Random) -> Content:
    """One changed bundle."""
    if number % LINKED == 0:
        draft = made()
        linked_field(draft, chance)
        return content(draft)
    if number % RELEASED == 1 and made is not blocked:
        return one_statement(made, chance, "releases/")
    return one_statement(made, chance, "/evidence/")


def refused_by_first(given: Content) -> str:
    """What the library finds wrong; nothing where it accepts."""
    try:
        run = read_run(given.manifest, given.entries, KEYS, [])
        check_documents(run, given.entries, [])
        check_cards(run, given.digests, [])
    except TamperedError as error:
        return str(error)
    return ""


def refused_by_second(given: Content) -> str:
    """What the second verifier finds wrong."""
    try:
        verify_bundle.check_content(given.said, given.entries, given.digests, KEYS, [])
    except verify_bundle.Tampered as error:
        return str(error)
    return ""


class Once:
    """A check of some bytes or fields, done once for those of the bundles that nobody changed."""

    def __init__(self, check: Callable[..., Any], told: Callable[..., Any]) -> None:
        self.check, self.told, self.known, self.learning = check, told, {}, True

    def __call__(self, *given: Any) -> Any:
        told = self.told(*given)
        if told not in self.known:
            found = self.check(*given)
            if not self.learning:
                return found
            self.known[told] = found
        return self.known[told]


def _opened(raw: bytes, keys: dict[str, bytes], *entry: str) -> object:
    return raw, tuple(keys.items()), entry


def _body(statement: dict[str, Any]) -> object:
    # The rest of a statement was compared with what the chain calls for before it comes here.
    return json.dumps(statement["predicate"]["body"]), statement["predicate"]["stage"]


def _value(value: Any, shape: Any, entry: str, field: str = "it") -> object:
    # Of the values that nobody changed each is one object, which is kept; no other has its id.
    return id(value), id(shape), entry, field


class Kept(Once):
    """As ``Once``, for bodies of records only, which it keeps."""

    def __init__(self, check: Callable[..., Any]) -> None:
        super().__init__(check, _value)
        self.kept: list[Any] = []

    def __call__(self, *given: Any) -> Any:
        if given[-1] != "body":
            return self.check(*given)
        if self.learning:
            self.kept.append(given[0])
        return super().__call__(*given)


@pytest.fixture
def checked_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Envelopes that nobody changed are opened once, and records that nobody changed too."""
    first, second = Once(verify, _opened), Once(verify_bundle.open_envelope, _opened)
    schema = Once(bundle_run.check_schema, _body)
    for module in (evidence, records, waivers, bundle_format):
        monkeypatch.setattr(module, "verify", first)
    monkeypatch.setattr(verify_bundle, "open_envelope", second)
    monkeypatch.setattr(bundle_run, "check_schema", schema)
    monkeypatch.setattr(verify_bundle, "require", shape := Kept(verify_bundle.require))
    for made in (released, blocked, waived):
        assert refused_by_first(sound(made)) == refused_by_second(sound(made)) == ""
    for once in (first, second, schema, shape):
        once.learning = False
    yield
    for made in (released, blocked, waived):
        assert refused_by_first(sound(made)) == refused_by_second(sound(made)) == ""


@pytest.mark.usefixtures("checked_once")
@pytest.mark.parametrize("made", [released, blocked, waived])
@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_changed_and_signed_again_is_refused_by_both(
    made: Callable[[], Draft], part: int
) -> None:
    for number in range(part, COUNT // 3 + 1, PARTS):
        chance = random.Random(f"{SEED} {made.__name__} {number}")
        given = change(made, number, chance)
        found = refused_by_first(given), refused_by_second(given)
        assert all(found), (SEED, made.__name__, number, found)
