"""A chain verifies the same bytes once, and everything that differs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contract.errors import EvidenceError
from components.lineage import evidence
from components.lineage.evidence import EvidenceChain, read_chain
from components.lineage.evidence_keys import HomeKeys
from components.lineage.keys import new_key

STAGES = ("ingest", "statistics", "data_gate", "transform")


@pytest.fixture
def chain(tmp_path: Path) -> EvidenceChain:
    """Four records that this very object wrote and checked."""
    (tmp_path / "evidence").mkdir()
    made = EvidenceChain(tmp_path / "evidence", "run-1", HomeKeys(tmp_path))
    for stage in STAGES:
        made.append(stage, {"stage": stage, "list": [1, {"n": 2}]})
    return made


def _path(chain: EvidenceChain, number: int) -> Path:
    return chain.directory / f"{number:04d}-{STAGES[number - 1]}.json"


def test_a_signature_over_the_same_bytes_is_verified_once(
    chain: EvidenceChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []

    def counted(raw: bytes, trusted: dict[str, bytes]) -> evidence.Verified:
        verified.append(raw)
        return real(raw, trusted)

    real = evidence.verify
    monkeypatch.setattr(evidence, "verify", counted)
    first = chain.records()
    assert verified == []
    again = EvidenceChain(chain.directory, "run-1", chain.keys)
    assert again.records() == again.records() == first
    assert len(verified) == len(STAGES)
    chain.append("train", {})
    assert len(verified) == len(STAGES) + 1


def test_a_changed_byte_of_a_known_record_shows_and_its_sound_form_is_known_again(
    chain: EvidenceChain,
) -> None:
    sound = chain.records()
    for number in range(1, 5):
        path = _path(chain, number)
        raw = path.read_bytes()
        for place in (0, len(raw) // 2, len(raw) - 1):
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
            with pytest.raises(EvidenceError, match=path.name):
                chain.records()
        path.write_bytes(raw)
        assert chain.records() == sound


def test_known_records_in_other_places_show(chain: EvidenceChain) -> None:
    chain.records()
    second, third = _path(chain, 2), _path(chain, 3)
    held = second.read_bytes(), third.read_bytes()
    second.write_bytes(held[1])
    third.write_bytes(held[0])
    with pytest.raises(EvidenceError, match="0002"):
        chain.records()
    second.write_bytes(held[0])
    third.unlink()
    with pytest.raises(EvidenceError, match="0004-transform"):
        chain.records()


def test_what_a_caller_does_to_a_body_stays_with_him(chain: EvidenceChain) -> None:
    before = chain.records()
    spoilt = chain.records()[2].body
    spoilt["stage"] = "push"
    spoilt["list"][1]["n"] = 3
    assert chain.records() == before
    assert chain.records()[2].body == {"stage": "data_gate", "list": [1, {"n": 2}]}


def test_a_key_that_no_longer_counts_is_missed_at_once(chain: EvidenceChain) -> None:
    chain.records()
    keys = chain.directory.parent / "keys"
    (keys / "evidence.pub").rename(keys / "retired.pub")
    new_key(keys, "evidence-2027")
    with pytest.raises(EvidenceError, match=r"0001-ingest\.json: a signature is by a key that"):
        chain.records()
    (keys / "evidence-2027.pub").unlink()
    (keys / "retired.pub").rename(keys / "evidence.pub")
    assert len(chain.records()) == len(STAGES)


def test_what_is_known_of_one_run_says_nothing_of_another(chain: EvidenceChain) -> None:
    named = [(p.name, p.read_bytes()) for p in sorted(chain.directory.iterdir())]
    known = evidence.KnownRecords()
    trusted = chain.keys.trusted()
    assert read_chain(named, "run-1", trusted, known) == chain.records()
    with pytest.raises(EvidenceError, match="run is not what the chain calls for"):
        read_chain(named, "run-2", trusted, known)
