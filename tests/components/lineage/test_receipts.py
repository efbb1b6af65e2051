from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.dsse import STATEMENT_TYPE, UnknownSignerError, sign
from components.lineage.evidence_keys import HomeKeys
from components.lineage.receipts import (
    ENTRIES,
    PREDICATE_TYPE,
    RECEIPT,
    Receipt,
    parse_receipt,
    read_entries,
    write_receipt,
)

RUN, HEAD = "20261124T120000Z-tfx-plain-1a2b3c", "a" * 64
HELD = {"run/7/tag/assay.policy": "b" * 64, "run/7/param/seed": "17", "run/7/metric/auc": "0.8"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A run's directory with the receipt of what a store held of it."""
    made = tmp_path / "runs" / RUN
    made.mkdir(parents=True)
    write_receipt(made, HEAD, "mlflow", HELD, "nonce", HomeKeys(tmp_path))
    return made


def _keys(directory: Path) -> HomeKeys:
    return HomeKeys(directory.parent.parent)


def _parse(directory: Path) -> Receipt:
    raw = (directory / RECEIPT).read_bytes()
    return parse_receipt(raw, directory.name, HEAD, _keys(directory).trusted())


def test_what_a_store_held_is_read_back(directory: Path) -> None:
    receipt = _parse(directory)
    assert (receipt.run, receipt.head, receipt.store, receipt.entries) == (RUN, HEAD, "mlflow", 3)
    assert read_entries(directory, receipt) == HELD


def test_a_receipt_holds_no_entry_and_its_digest_is_not_to_be_guessed(directory: Path) -> None:
    raw = (directory / RECEIPT).read_bytes()
    assert b"seed" not in raw
    other = directory.parent / "other"
    other.mkdir()
    write_receipt(other, HEAD, "mlflow", HELD, "another nonce", _keys(directory))
    assert (other / ENTRIES).read_bytes() != (directory / ENTRIES).read_bytes()


def _flips(sound: bytes) -> Iterator[bytes]:
    for place in range(len(sound)):
        for bit in range(8):
            changed = bytearray(sound)
            changed[place] ^= 1 << bit
            yield bytes(changed)


def test_every_bit_of_receipt_and_list_counts(directory: Path) -> None:
    receipt, trusted = _parse(directory), _keys(directory).trusted()
    for raw in _flips((directory / RECEIPT).read_bytes()):
        with pytest.raises(EvidenceError):
            parse_receipt(raw, RUN, HEAD, trusted)
    for raw in _flips((directory / ENTRIES).read_bytes()):
        (directory / ENTRIES).write_bytes(raw)
        with pytest.raises(EvidenceError):
            read_entries(directory, receipt)


def test_a_receipt_of_another_run_another_end_or_another_key_is_none(
    directory: Path, tmp_path: Path
) -> None:
    raw, trusted = (directory / RECEIPT).read_bytes(), _keys(directory).trusted()
    for run, head in (("another", HEAD), (RUN, "b" * 64)):
        with pytest.raises(EvidenceError, match="about another run"):
            parse_receipt(raw, run, head, trusted)
    HomeKeys(tmp_path / "other").signer()
    with pytest.raises(UnknownSignerError):
        parse_receipt(raw, RUN, HEAD, HomeKeys(tmp_path / "other").trusted())


def _forge(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The receipt with a change, signed anew by the home's own key."""
    receipt = _parse(directory)
    statement: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": ENTRIES, "digest": {"sha256": receipt.sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"run": RUN, "head": HEAD, "store": "mlflow", "entries": 3},
    }
    change(statement)
    (directory / RECEIPT).write_bytes(sign(statement, [_keys(directory).signer()]))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(predicateType="urn:assay:access:v1"),
        lambda s: s.update(subject=[]),
        lambda s: s.update(subject=s["subject"] * 2),
        lambda s: s["subject"][0].update(name="other.json"),
        lambda s: s["subject"][0]["digest"].update(sha512="0"),
        lambda s: s["predicate"].pop("store"),
        lambda s: s["predicate"].update(sha256="0"),
        lambda s: s["predicate"].update(more=1),
        lambda s: s["predicate"].update(entries=True),
        lambda s: s["predicate"].update(entries="3"),
        lambda s: s["predicate"].update(store=["mlflow"]),
        lambda s: s.update(predicate=[]),
    ],
)
def test_what_is_signed_and_no_receipt_is_refused(
    directory: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    _forge(directory, lambda statement: None)
    assert _parse(directory).entries == 3
    _forge(directory, change)
    with pytest.raises(EvidenceError, match="signed, but no receipt"):
        _parse(directory)


def test_a_list_that_its_receipt_does_not_tell_of_is_refused(directory: Path) -> None:
    _forge(directory, lambda s: s["predicate"].update(entries=2))
    with pytest.raises(EvidenceError, match="not the list that its receipt tells of"):
        read_entries(directory, _parse(directory))
    (directory / ENTRIES).unlink()
    with pytest.raises(EvidenceError, match="cannot be read"):
        read_entries(directory, _parse(directory))


def test_a_store_is_receipted_once(directory: Path) -> None:
    before = {p.name: p.read_bytes() for p in directory.iterdir()}
    with pytest.raises(EvidenceError, match="has a native-receipt.json already"):
        write_receipt(directory, HEAD, "mlflow", {}, "nonce", _keys(directory))
    assert {p.name: p.read_bytes() for p in directory.iterdir()} == before


def test_a_list_whose_receipt_was_never_written_is_written_anew(directory: Path) -> None:
    (directory / RECEIPT).unlink()
    write_receipt(directory, HEAD, "mlflow", {"a": "1"}, "nonce", _keys(directory))
    assert read_entries(directory, _parse(directory)) == {"a": "1"}
    assert json.loads((directory / ENTRIES).read_bytes())["nonce"] == "nonce"
    assert (
        canonical_json({"entries": {"a": "1"}, "nonce": "nonce"})
        == (directory / ENTRIES).read_bytes()
    )
