"""A process that is killed at any call: what it acknowledged is there, and the rest goes on."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from components.lineage.evidence import CLOSING_STAGE, EvidenceChain, EvidenceRecord
from components.lineage.evidence_keys import HomeKeys
from components.lineage.keys import load_private, load_public, public_bytes
from components.release.records import read_releases
from components.stacks.abandoned import LOCK_FILE, close_abandoned
from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage
from tests import plain_stack
from tests.disk_faults import CALLS, Killed, ended, killed, nth_call, torn

RUN = "run-1"
STAGES = (*map(str, Stage), CLOSING_STAGE)
TORN_LENGTHS = 220


class Home:
    """A home with one key and a chain of some records, made again from bytes for every state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        HomeKeys(folder).signer()
        (folder / "evidence").mkdir()
        chain = self.chain()
        self.reference = [chain.append(s, _body(s)) for s in STAGES]
        self.files = [p.read_bytes() for p in sorted(chain.directory.iterdir())]

    def chain(self) -> EvidenceChain:
        """As a process sees it that has just started: it remembers nothing."""
        return EvidenceChain(self.folder / "evidence", RUN, HomeKeys(self.folder))

    def reset(self, records: int) -> None:
        """So many records stand, and nothing else."""
        shutil.rmtree(self.folder / "evidence")
        (self.folder / "evidence").mkdir()
        for place in range(records):
            self._path(place).write_bytes(self.files[place])

    def _path(self, place: int) -> Path:
        return self.folder / "evidence" / f"{place + 1:04d}-{STAGES[place]}.json"

    def write_on(self, told: Callable[[EvidenceRecord], object] = lambda _: None) -> None:
        """Append every record that is not there yet."""
        chain = self.chain()
        for stage in STAGES[len(chain.records()) :]:
            told(chain.append(stage, _body(stage)))

    def check(self, acknowledged: int) -> int:
        """See that what stands is what was acknowledged, or that and the one that was on its way.

        Returns:
            How many records stand.
        """
        found = self.chain().records()
        assert found == self.reference[: len(found)]
        assert acknowledged <= len(found) <= acknowledged + 1
        return len(found)

    def check_next(self, standing: int) -> None:
        """See that the next record can be written."""
        if standing < len(STAGES):
            stage = STAGES[standing]
            assert self.chain().append(stage, _body(stage)) == self.reference[standing]


def _body(stage: str) -> dict[str, object]:
    chance = random.Random(stage)
    return {"stage": stage, "text": "é" * chance.randrange(300), "n": chance.randrange(2**40)}


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: it is the order of calls that counts here."""
    shared = Path("/dev", "shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def home(memory: Path) -> Home:
    """One for all states; each makes its own chain."""
    return Home(memory / "home")


def test_killed_at_any_call_of_any_append(home: Home) -> None:
    states: Counter[str] = Counter()
    for records in range(len(STAGES)):
        while True:
            home.reset(records)
            number = states[STAGES[records]] + 1
            with suppress(Killed), nth_call(number, killed) as counter:
                home.chain().append(STAGES[records], _body(STAGES[records]))
            if counter.hit is None:
                break
            states[STAGES[records]] += 1
            states[counter.hit] += 1
            home.check_next(home.check(records))
    for call in ("open", "write", "fsync", "link", "unlink"):
        assert states[call] >= len(STAGES)
    assert all(states[stage] >= 8 for stage in STAGES)


def test_a_write_torn_at_any_length(home: Home) -> None:
    states = 0
    for records in range(len(STAGES)):
        size = len(home.files[records])
        lengths = {0, 1, size - 1, size, *range(0, size, size // TORN_LENGTHS + 1)}
        for length in sorted(lengths):
            home.reset(records)
            with pytest.raises(Killed), nth_call(1, torn(length), ("write", "unlink")):
                home.chain().append(STAGES[records], _body(STAGES[records]))
            (left,) = home.folder.glob("evidence/.*.tmp")
            assert left.read_bytes() == home.files[records][:length]
            standing = home.check(records)
            assert standing == records
            if length % 7 == 0:  # that it goes on does not hang on the length
                home.check_next(standing)
            states += 1
    print(f"{states} torn writes")
    assert states >= 1_700


def test_a_process_that_really_ends_at_any_call_of_a_whole_chain(home: Home) -> None:
    number, code = 0, 9
    while code == 9:
        number += 1
        home.reset(0)
        acknowledged, code = _in_a_process(home, number)
        home.check(acknowledged)
        home.write_on()
        assert home.chain().records() == home.reference
        assert home.chain().closed
    assert code == 0
    assert number > 9 * 8


def _in_a_process(home: Home, number: int) -> tuple[int, int]:
    """How many records a process acknowledged that was to end at a call, and how it ended."""
    ours, its = os.pipe()
    child = os.fork()
    if child == 0:
        write = os.write
        with nth_call(number, ended):
            home.write_on(lambda _: write(its, b"1"))
        os._exit(0)
    os.close(its)
    with os.fdopen(ours, "rb") as told:
        acknowledged = len(told.read())
    return acknowledged, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_while_the_first_key_is_made(tmp_path: Path) -> None:
    number, states = 0, 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        with nth_call(number, killed) as counter:
            try:
                HomeKeys(folder).signer()
            except Killed:
                states += 1
        if counter.hit is None:
            break
        # Whoever comes next makes the pair or completes it, and signs.
        signer = public_bytes(HomeKeys(folder).signer())
        keys = folder / "keys"
        assert public_bytes(load_private(keys / "evidence.key")) == signer
        assert load_public(keys / "evidence.pub") == signer
        assert HomeKeys(folder).trusted() == {"evidence": signer}
    assert states > 10


class Snapshots:
    """Copies of a home, taken whenever a process that works there could be killed.

    Files there are never changed once they have their name, so a link is a copy.
    """

    def __init__(self, home: Path, into: Path) -> None:
        self.home, self.into = home, into
        self.taken: list[Path] = []
        self._seen: set[tuple[str, ...]] = set()

    def look(self) -> None:
        """Take a copy, unless one of the same files is there already."""
        watched = [*self.home.glob("runs/*/evidence/*"), *self.home.glob("releases/**/*.json")]
        files = tuple(sorted(str(p.relative_to(self.home)) for p in watched))
        if files in self._seen:
            return
        self._seen.add(files)
        copy = self.into / f"{len(self.taken):03d}"
        shutil.copytree(self.home, copy, copy_function=os.link, ignore=_big)
        (copy / "datasets").symlink_to(self.home / "datasets")
        self.taken.append(copy)

    def fault(self, _name: str, real: Callable[..., object], args: tuple, kwargs: dict) -> object:
        """Nothing goes wrong, but the disk is looked at before and after."""
        self.look()
        try:
            return real(*args, **kwargs)
        finally:
            self.look()


def _big(folder: str, names: list[str]) -> set[str]:
    return {n for n in names if n == "datasets"} if Path(folder).name.startswith("whole") else set()


@pytest.fixture(scope="module")
def killed_runs(memory: Path) -> list[Path]:
    """Homes as a whole run leaves them that is killed at a write of its evidence or its release."""
    home = memory / "whole"
    process = plain_stack.start(home, "mitigated")
    (process.spec.directory / LOCK_FILE).touch()  # free: nobody holds it
    snapshots = Snapshots(home, memory / "snapshots")
    with pytest.MonkeyPatch.context() as patched:
        for name in CALLS:
            patched.setattr(os, name, _watched(name, getattr(os, name), snapshots))
        assert plain_stack.PlainStack(process).run() == "released"
    snapshots.look()
    return snapshots.taken


def _watched(name: str, real: Callable[..., object], snapshots: Snapshots) -> Callable[..., object]:
    busy = False

    def call(*args: object, **kwargs: object) -> object:
        nonlocal busy
        if busy or not any("evidence" in str(a) or "releases" in str(a) for a in args):
            return real(*args, **kwargs)
        busy = True
        try:
            return snapshots.fault(name, real, args, kwargs)
        finally:
            busy = False

    return call


def test_a_whole_run_killed_at_any_write_is_closed_or_completed(killed_runs: list[Path]) -> None:
    outcomes = []
    for home in killed_runs:
        (directory,) = (home / "runs").iterdir()
        process = ReleaseProcess.open(directory)
        standing = process.chain.records()  # it verifies as it is
        assert [r.stage for r in standing] == list(STAGES[: len(standing)])
        close_abandoned(home)
        records = process.chain.records()
        outcomes.append(records[-1].body["outcome"])
        assert records[: len(standing)] == standing
        released = [r.run for r in read_releases(home, "rand_hie", "tfx")]
        assert released == ([directory.name] if outcomes[-1] == "released" else [])
    assert outcomes.count("interrupted") >= 9 * 2
    assert outcomes.count("released") >= 3


def test_after_a_kill_in_the_middle_a_rerun_completes(killed_runs: list[Path]) -> None:
    home = next(h for h in killed_runs if len(list(h.glob("runs/*/evidence/0*.json"))) == 5)
    close_abandoned(home)
    again = plain_stack.start(home, "mitigated")
    assert plain_stack.PlainStack(again).run() == "released"
    assert [r.run for r in read_releases(home, "rand_hie", "tfx")] == [again.spec.run_id]
