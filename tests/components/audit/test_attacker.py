"""Who holds everything that is handed out and all rows but one cannot find that one by guessing.

A million guesses, the true row among them, are named in every way that needs no key; no name of
one may stand, whole or cut to eight bytes, in what an outsider may hold. The same attacker finds
the row at once where rows are named without a key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from components.audit.phi_layers import layers
from components.contract.contract import Contract
from components.datasets.canonical import rows_root
from components.datasets.dataset import ROW_COLUMN, Dataset
from components.lineage.commitments import commitment, encode_rows, nonce
from components.lineage.merkle import leaf_hash
from components.stacks.process import ReleaseProcess
from pipelines.cli import app
from tests import seeded
from tests.decided import decide
from tests.plain_stack import PlainStack, start

GUESSES = 1_000_000
_SHORTEST = 8  # bytes: no name may be cut to fewer and still name a row
_SIEVE_BITS = 22
_NONE = b""
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{11,}={0,2}")

Name = Callable[[bytes], bytes]


def _plain(algorithm: Callable[[bytes], Any], prefix: bytes = _NONE) -> Name:
    return lambda row: algorithm(prefix + row).digest()


NAMES: dict[str, Name] = {
    "sha256": _plain(hashlib.sha256),
    "sha512": _plain(hashlib.sha512),
    "sha1": _plain(hashlib.sha1),
    "md5": _plain(hashlib.md5),
    "blake2b": _plain(hashlib.blake2b),
    "blake2s": _plain(hashlib.blake2s),
    "leaf": leaf_hash,
    "leaf of a digest": lambda row: leaf_hash(hashlib.sha256(row).digest()),
    "no nonce": lambda row: commitment(_NONE, row),
    "nonce of zeros": lambda row: commitment(bytes(32), row),
}
"""Every way to name a row that needs no key."""


class Held:
    """Every eight bytes in a row of what somebody holds, however they are written there."""

    def __init__(self, contents: Iterable[bytes]) -> None:
        windows, self.digests = [], set()
        for raw in (r for content in contents for r in _written(content)):
            if len(raw) >= _SHORTEST:
                windows.append(_windows(raw))
            if len(raw) in (16, 32, 64):
                self.digests.add(raw)
        self._windows = np.unique(np.concatenate(windows))
        self._maybe = np.zeros(1 << _SIEVE_BITS, bool)
        self._maybe[_sieve(self._windows)] = True

    def has(self, names: Iterable[bytes]) -> np.ndarray:
        """Which of the names begin or end with eight bytes that are held."""
        names = list(names)
        first, last = b"".join([n[:8] for n in names]), b"".join([n[-8:] for n in names])
        return self._holds(first) | self._holds(last)

    def _holds(self, windows: bytes) -> np.ndarray:
        asked = np.frombuffer(windows, ">u8").astype(np.uint64)
        held = self._maybe[_sieve(asked)]
        places = np.searchsorted(self._windows, asked[held])
        held[held] = self._windows.take(places, mode="clip") == asked[held]
        return held


def _sieve(windows: np.ndarray) -> np.ndarray:
    """A place for each window: most that are not held are known by it, without a search."""
    return windows * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - _SIEVE_BITS)


def _windows(raw: bytes) -> np.ndarray:
    held = np.frombuffer(raw, np.uint8)
    found = np.zeros(len(held) - _SHORTEST + 1, np.uint64)
    for place in range(_SHORTEST):
        found = found << np.uint64(8) | held[place : place + len(found)]
    return np.unique(found)


def _written(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Some bytes, what is packed in them, and what their hex and base64 stand for."""
    yield content
    for text in _HEX.findall(content):
        for code in (text, text[1:]):
            yield bytes.fromhex(code[: len(code) // 2 * 2].decode())
    for text in _BASE64.findall(content):
        code = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        code = code[: len(code) - (len(code) % 4 == 1)]
        yield base64.b64decode(code + b"=" * (-len(code) % 4))
    for layer in layers(content, depth):
        if layer.content:
            yield from _written(layer.content, depth + 1)


@dataclass(frozen=True)
class Victim:
    """The one row that the attacker does not hold, and all that he does."""

    process: ReleaseProcess
    table: pa.Table
    held: Held
    folder: Path

    @property
    def contract(self) -> Contract:
        """Whose columns the row has."""
        return self.process.contract


def _said(folder: Path, home: Path, *arguments: str) -> None:
    done = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    assert done.exit_code == 0, done.exception
    (
        folder / f"{'-'.join(a.strip('-')[:8] for a in arguments[:2])}-{len(arguments)}.txt"
    ).write_text(done.output)


def _handed_out(folder: Path, process: ReleaseProcess) -> None:
    """Everything that an outsider may come to hold: bundle, card, log, traces, reports, lineage."""
    home, run = Path(process.spec.home), process.spec.run_id
    _said(folder, home, "bundle", run, "-o", str(folder / "run.zip"))
    _said(folder, home, "card", run, "-o", str(folder / "card"))
    _said(folder, home, "recompute", run, "--json")
    _said(folder, home, "releases", "insurer", "--json")
    _said(folder, home, "impact", "--file", "a.csv", "--json")
    _said(folder, home, "impact", "--span", "2001", "--json")
    _said(folder, home, "trace", "a-log.0000000000", "--html", str(folder / "trace.html"))
    _said(folder, home, "trace", "a-log.0000000000", "--json")
    _said(folder, home, "audit", "questions", "--stack", "tfx", "--json")
    _said(folder, home, "audit", "access", "--json")
    for form in ("openlineage", "prov"):
        target = str(folder / f"{form}.json")
        _said(
            folder, home, "lineage", "export", "--from", "evidence", "--format", form, "-o", target
        )
    for name in ("decisions", "releases"):
        shutil.copytree(home / name, folder / name)
    for part in ("evidence", "run.json", "contract.yaml", "policy.yaml"):
        source = home / "runs" / run / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)


def _held(folder: Path) -> Held:
    return Held(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """A released run that decided about the victim, among others, and what was handed out of it."""
    folder = tmp_path_factory.mktemp("attacked")
    contract, policy = seeded.write_documents(folder / "documents")
    data = seeded.write_rows(folder / "a.csv")
    process = start(folder / "home", "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(process).run() == "released"
    rows = pa.concat_tables(pq.read_table(f) for f in process.dataset.files(split="evaluation"))
    decide(process, "a-log", rows)
    (folder / "out").mkdir()
    _handed_out(folder / "out", process)
    return Victim(process, rows.slice(0, 1), _held(folder / "out"), folder)


def _guesses(victim: Victim, most: int) -> pa.Table:
    """Rows that could be the victim's; the true one is among them."""
    row = victim.table.to_pylist()[0]
    people = [row["person"], *(f"p{i:05d}" for i in range(700) if f"p{i:05d}" != row["person"])]
    tried = {
        "person": people,
        "year": (2001, 2002),
        "sex": ("f", "m"),
        "age": range(20, 80),
        "region": ("north", "south", "east"),
        "cared_for": (0, 1),
    }
    made = np.array(list(itertools.islice(itertools.product(*tried.values()), most)), dtype=object)
    columns = {n: made[:, i].tolist() for i, n in enumerate(tried)}
    known = {n: [row[n]] * len(made) for n in ("burden", "visits")}
    fields = [victim.table.schema.field(c.name) for c in victim.contract.columns]
    return pa.table({**columns, **known}).select([f.name for f in fields]).cast(pa.schema(fields))


def _texts(guesses: pa.Table) -> list[bytes]:
    """The rows as lines of CSV."""
    columns = [c.combine_chunks().cast(pa.string()).cast(pa.binary()) for c in guesses.columns]
    lines: list[bytes] = pc.binary_join_element_wise(*columns, b",").to_pylist()
    return lines


def _found(held: Held, rows: list[bytes], names: Iterable[str] = NAMES) -> list[int]:
    """Places of the guesses of which some name is held."""
    hits = np.zeros(len(rows), bool)
    for name in names:
        hits |= held.has(map(NAMES[name], rows))
    return np.flatnonzero(hits).tolist()


def test_a_million_guesses_match_nothing(victim: Victim) -> None:
    guesses = _guesses(victim, GUESSES)
    rows = list(encode_rows(guesses))
    assert len(set(rows)) == GUESSES
    assert _true(victim) in rows
    assert _found(victim.held, rows) == []
    assert _found(victim.held, _texts(guesses), ["sha256", "md5"]) == []


def _true(victim: Victim) -> bytes:
    (row,) = encode_rows(victim.table.select([c.name for c in victim.contract.columns]))
    return row


def _parts(victim: Victim) -> list[bytes]:
    """The person, and person and time, as they might be named by themselves."""
    row = victim.table.to_pylist()[0]
    person, year = str(row["person"]), str(row["year"])
    texts = [person, *(f"{person}{by}{year}" for by in ("", ",", "|", ":", "/", "\x00", " "))]
    tables = (victim.table.select(n) for n in (["person"], ["person", "year"]))
    encoded = [e for t in tables for e in encode_rows(t)]
    return [*(t.encode() for t in texts), *encoded]


def test_neither_a_person_nor_a_person_and_a_time_is_named_without_a_key(victim: Victim) -> None:
    assert _found(victim.held, _parts(victim)) == []


def test_nothing_that_is_handed_out_is_the_key(victim: Victim) -> None:
    row, parts = _true(victim), _parts(victim)
    log = pq.read_table(victim.folder / "out/decisions/a-log/segment-000001.parquet")
    raw = victim.held.digests | set(log["assay_row"].to_pylist()) | {bytes(32)}
    keys = [*raw, *(d.hex().encode() for d in raw)]
    assert len(keys) > 4_000
    assert len(victim.held.digests) > 50
    assert (Path(victim.process.spec.home) / "keys" / "row.key").read_bytes() not in keys
    names = [commitment(nonce(k, row), row) for k in keys]
    names += [hmac.digest(k, b"assay-entity-v1\x00" + parts[0], "sha256")[:16] for k in keys]
    names += [hmac.digest(k, part, "sha256") for k in keys for part in (row, *parts[:2])]
    assert not victim.held.has(names).any()


def test_no_file_that_can_be_put_together_from_rows_is_named_by_its_digest(victim: Victim) -> None:
    files = [victim.folder / "a.csv", *victim.process.dataset.files()]
    names = [h(f.read_bytes()).digest() for f in files for h in (hashlib.sha256, hashlib.md5)]
    assert not victim.held.has(names).any()


def _unkeyed_roots(victim: Victim, guesses: list[bytes], name: Name) -> list[bytes]:
    """For each guess the root of its split, if rows were named without a key."""
    columns = [c.name for c in victim.contract.columns]
    files = victim.process.dataset.files(split="evaluation")
    others = [r for f in files for r in encode_rows(pq.read_table(f).select(columns))]
    others.remove(_true(victim))
    leaves = [name(r) for r in others]
    return [bytes.fromhex(rows_root([*leaves, name(guess)])) for guess in guesses]


@pytest.mark.parametrize("name", ["sha256", "no nonce"])
def test_the_root_is_found_by_no_guess_unless_rows_are_named_without_a_key(
    victim: Victim, name: str
) -> None:
    guesses = list(encode_rows(_guesses(victim, GUESSES).slice(0, 40)))
    guesses.append(_true(victim))
    roots = _unkeyed_roots(victim, guesses, NAMES[name])
    assert not victim.held.has(roots).any()
    unkeyed = Held([json.dumps({"rowsRoot": roots[-1].hex()}).encode()])
    assert np.flatnonzero(unkeyed.has(roots)).tolist() == [40]


# The attacker is one: where a row is named without a key it is found.


@pytest.mark.parametrize("name", NAMES)
def test_a_log_that_names_rows_without_a_key_gives_the_row_away(
    victim: Victim, name: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(victim.process.spec.home, home)
    process = ReleaseProcess.open(home / "runs" / victim.process.spec.run_id)
    unkeyed = (NAMES[name](_true(victim)) + bytes(32))[:32]
    place = victim.table.schema.get_field_index(ROW_COLUMN)
    leaky = victim.table.set_column(place, ROW_COLUMN, pa.array([unkeyed], pa.binary(32)))
    decide(process, "leaky", leaky)
    _found_alone(victim, _held(home / "decisions" / "leaky"))


def _found_alone(victim: Victim, held: Held) -> None:
    rows = list(encode_rows(_guesses(victim, 5_000)))
    if (truth := _true(victim)) not in rows:
        rows.append(truth)
    assert [rows[i] for i in _found(held, rows)] == [truth]


@pytest.mark.parametrize(
    "write",
    [
        lambda d: json.dumps({"row": d.hex()}).encode(),
        lambda d: json.dumps({"row": d.hex().upper()[:16]}).encode(),
        lambda d: b"x" + d.hex().encode() + b"f",
        lambda d: base64.b64encode(json.dumps({"n": "n" * 90, "row": d.hex()}).encode()),
        lambda d: b"row=" + base64.b64encode(d),
        lambda d: b"row=" + base64.urlsafe_b64encode(d[:8]),
        lambda d: b"before" + d[:8] + b"after",
        lambda d: b"before" + d[-8:] + b"after",
    ],
)
def test_a_name_is_found_however_it_is_written(
    victim: Victim, write: Callable[[bytes], bytes]
) -> None:
    _found_alone(victim, Held([write(hashlib.sha256(_true(victim)).digest())]))


def test_the_rows_are_in_the_dataset_and_the_log_names_them(victim: Victim) -> None:
    dataset = Dataset.open(victim.process.dataset.directory)
    named = victim.table[ROW_COLUMN].to_pylist()
    assert victim.held.has(named).all()  # what is held does name the row, under the key
    assert victim.held.has([bytes.fromhex(dataset.root("train"))]).all()
