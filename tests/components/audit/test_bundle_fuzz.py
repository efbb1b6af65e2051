"""Whatever comes in, only our named errors come out, and both verifiers say the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from components.audit import verify_bundle
from components.audit.trust import Trust
from components.contract.errors import EvidenceError, InputError
from components.lineage.dsse import verify
from components.lineage.evidence import read_chain
from tests.small_bundle import (
    RUN,
    TRUST,
    blocked,
    judged,
    judged_by_second,
    pack,
    raw_key,
    seal,
    sources,
)

FEW = settings(max_examples=150, deadline=None, derandomize=True)
KEYS = {"home": raw_key("home")}
SOUND = seal(blocked())
ENTRIES = sources(blocked())
NAMES = sorted(n for n in ENTRIES if n.endswith(".json"))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8
)


def agree(raw: bytes, trust: Trust = TRUST) -> int:
    """The code that both verifiers come to."""
    first, second = judged(raw, trust), judged_by_second(raw, trust)
    assert first[0] == second[0], (first, second)
    assert first[0] in {0, 1, 2}
    return first[0]


@FEW
@given(st.binary(max_size=400))
def test_any_bytes_are_no_bundle(raw: bytes) -> None:
    assert agree(raw) != 0


@FEW
@given(st.integers(0, len(SOUND) - 1), st.integers(0, 200), st.binary(max_size=40))
def test_a_part_that_is_replaced_is_found(start: int, length: int, new: bytes) -> None:
    raw = SOUND[:start] + new + SOUND[start + length :]
    assert (agree(raw) == 0) == (raw == SOUND)


@FEW
@given(st.sampled_from(NAMES), st.binary(max_size=60))
def test_any_bytes_in_the_place_of_an_entry_are_found(name: str, content: bytes) -> None:
    assert agree(pack({**ENTRIES, name: content})) != 0


@FEW
@given(JSON)
def test_any_json_is_no_envelope(value: Any) -> None:
    raw = verify_bundle.canonical(value).encode()
    for read in (
        lambda: verify(raw, KEYS),
        lambda: read_chain([("0001-ingest.json", raw)], RUN, KEYS),
        lambda: verify_bundle.open_envelope(raw, KEYS, "it"),
    ):
        try:
            read()
        except (EvidenceError, verify_bundle.Tampered, verify_bundle.BadInput):
            continue
        raise AssertionError("an envelope that nobody signed was believed")


@FEW
@given(st.sampled_from([s for s, _ in blocked().runs[RUN]]), st.data())
def test_any_json_in_a_signed_record_gives_a_named_error(stage: str, data: st.DataObject) -> None:
    draft = blocked()
    body = draft.body(stage)
    field = data.draw(st.sampled_from(sorted(body)))
    value = data.draw(JSON)
    if field == "outputs":  # what a record is about follows from it, so it must be of its form
        value = {}
    body[field] = value
    agree(seal(draft))


@FEW
@given(st.sampled_from(["run", "continues", "sizes", "records", "head", "release", "new"]), JSON)
def test_any_json_in_a_signed_manifest_gives_a_named_error(field: str, value: Any) -> None:
    draft = blocked()
    draft.manifest[field] = value
    assert agree(seal(draft)) in {0, 1}


def test_the_bundle_that_is_fuzzed_is_sound() -> None:
    assert agree(SOUND) == 0
    assert InputError("w", where="w", expected="e").exit_code == 2
