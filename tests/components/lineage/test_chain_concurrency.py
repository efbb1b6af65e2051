"""Eight processes that write at once: no fork, and nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from components.lineage.evidence import EvidenceChain
from components.lineage.evidence_keys import HomeKeys
from components.lineage.keys import load_private, load_public, public_bytes
from components.lineage.signed_log import SignedLog

WRITERS = 8
CHAINS = 125
RECORDS_EACH = 4
ENTRIES_EACH = 125
RACES = 20
KIND = "urn:test:log:v1"

_FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a folder: locks are what is tried here, and not the disk."""
    memory = Path("/dev", "shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


def _at_once(work: Callable[[int, Barrier], None]) -> None:
    """Run some work in eight processes that begin together; each must end well."""
    barrier = _FORK.Barrier(WRITERS)
    processes = [_FORK.Process(target=work, args=(w, barrier)) for w in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [p.exitcode for p in processes] == [0] * WRITERS


def _acknowledged(folder: Path) -> list[list[str | int]]:
    found = []
    for path in folder.glob("acknowledged-*"):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    return found


def test_five_thousand_appends_of_eight_writers(folder: Path) -> None:
    HomeKeys(folder).signer()
    runs = [f"run-{i:03d}" for i in range(CHAINS)]
    for run in runs:
        (folder / run).mkdir()

    def write(writer: int, barrier: Barrier) -> None:
        log = SignedLog(folder / "log", KIND, HomeKeys(folder))
        barrier.wait()
        with (folder / f"acknowledged-{writer}").open("w") as told:

            def tell(*what: str | int) -> None:
                told.write(json.dumps(what) + "\n")

            for place, run in enumerate(runs):  # all of them at the same chains
                chain = EvidenceChain(folder / run, run, HomeKeys(folder))
                for number in range(RECORDS_EACH):
                    stage = f"stage{writer}x{number}"
                    record = chain.append(stage, {"writer": writer})
                    tell(run, record.sequence, record.digest, stage)
                tell("log", log.append({"writer": writer, "place": place}), writer, place)

    _at_once(write)
    told = _acknowledged(folder)
    assert len(told) == WRITERS * (CHAINS * RECORDS_EACH + ENTRIES_EACH) == 5_000
    # Reading checks every signature and every link.
    standing = [
        [run, r.sequence, r.digest, r.stage]
        for run in runs
        for r in EvidenceChain(folder / run, run, HomeKeys(folder)).records()
    ]
    entries = SignedLog(folder / "log", KIND, HomeKeys(folder)).entries()
    standing += [["log", n, e["writer"], e["place"]] for n, e in enumerate(entries, start=1)]
    assert sorted(map(str, standing)) == sorted(map(str, told))
    assert Counter(run for run, *_ in standing) == {
        **dict.fromkeys(runs, WRITERS * RECORDS_EACH),
        "log": WRITERS * ENTRIES_EACH,
    }
    assert not [p.name for p in folder.rglob(".*")]


def test_a_race_for_the_first_key_ends_with_one_pair(folder: Path) -> None:
    homes = [folder / f"home-{i}" for i in range(RACES)]
    for home in homes:
        home.mkdir()

    def sign(writer: int, barrier: Barrier) -> None:
        for home in homes:
            barrier.wait()
            made = public_bytes(HomeKeys(home).signer())
            (home / f"acknowledged-{writer}").write_text(json.dumps([made.hex()]))

    _at_once(sign)
    for home in homes:
        (key,) = {made for (made,) in _acknowledged(home)}
        assert len(_acknowledged(home)) == WRITERS
        assert sorted(p.name for p in (home / "keys").iterdir()) == ["evidence.key", "evidence.pub"]
        assert load_public(home / "keys" / "evidence.pub").hex() == key
        assert public_bytes(load_private(home / "keys" / "evidence.key")).hex() == key


def test_a_race_to_complete_half_a_pair_ends_with_that_pair(folder: Path) -> None:
    key = public_bytes(HomeKeys(folder).signer())
    (folder / "keys" / "evidence.pub").unlink()  # as if its maker had been killed

    def sign(_writer: int, barrier: Barrier) -> None:
        barrier.wait()
        assert public_bytes(HomeKeys(folder).signer()) == key

    _at_once(sign)
    assert HomeKeys(folder).trusted() == {"evidence": key}
