"""No patient's value leaves the data: canaries in every column, and every written byte searched.

Three places hold values by design and are not searched: the canonical data, the stack's own
artifacts, and the profiles, which stay where the data is. Records name them by their digests alone.
"""

from __future__ import annotations

import base64
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from components.contract.errors import InputError
from components.contract.stages import Stage
from components.stacks.process import ReleaseProcess
from components.stacks.stages import StageResult
from pipelines.worker import tell_without_values
from tests import clinic, plain_stack, seeded
from tests.monitored import LIMITS

CHANCE = random.Random(500)
WINDOW = 8  # bytes; every form of a canary is at least so long
COUNTS = {"person": 150, "note": 100, "region": 40, "age": 60, "burden": 75, "visits": 75}


def _text(column: str, place: int) -> str:
    """A value that is found nowhere by chance, with a letter that has more than one encoding."""
    return f"Zoë {column} {place:03d} {CHANCE.randbytes(5).hex()}"


class Planted:
    """Rows with canaries in every column that can hold one; ``values`` are as a file has them."""

    def __init__(self) -> None:
        self.rows = {k: np.array(v, dtype=object) for k, v in seeded.good_rows(3).items()}
        people = len(self.rows["person"]) // 2
        self.rows["note"] = np.array(["nothing to tell"] * 2 * people, dtype=object)
        self.values: dict[str, list[str]] = {}
        for column, count in COUNTS.items():
            places = CHANCE.sample(range(people), count)
            self.values[column] = [self._plant(column, 2 * p, i) for i, p in enumerate(places)]
        for column in ("burden", "visits"):  # the least and the most are somebody's as well
            numbers = [float(v) for v in self.rows[column]]
            self.values[column][:2] = [repr(min(numbers)), repr(max(numbers))]

    def _plant(self, column: str, row: int, place: int) -> str:
        value: object = self.rows[column][row]
        if column == "age":
            value = 20 + CHANCE.random() * 60
        elif column not in ("burden", "visits"):  # these are odd enough as they are
            value = _text(column, place)
        both = column in ("person", "age")  # of the person, and so the same in both rows
        self.rows[column][row : row + 1 + both] = value
        return repr(value) if isinstance(value, float) else str(value)

    def write(self, path: Path) -> Path:
        """All rows as CSV."""
        names = list(self.rows)
        lines = zip(*(self.rows[n].tolist() for n in names), strict=True)
        path.write_text("\n".join([",".join(names), *(",".join(map(str, x)) for x in lines)]))
        return path


def _forms(value: str) -> Iterator[bytes]:
    """How a value may stand in a file: encodings of its text, and its own eight bytes."""
    raw = value.encode()
    for text in {value, value.upper(), quote(value), json.dumps(value)[1:-1]}:
        yield text.encode()
        yield text.encode("utf-16-le")
        yield text.encode("utf-16-be")
    yield value.encode("latin-1")
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for lead in range(3):  # base64 looks different from each place of three
        code = base64.b64encode(b"\x00" * lead + raw)
        yield code[(0, 2, 3)[lead] : len(code) // 4 * 4 - 4]
        yield base64.urlsafe_b64encode(b"\x00" * lead + raw)[(0, 2, 3)[lead] : -4]
    try:
        number = float(value)
    except ValueError:
        return
    yield struct.pack("<d", number)
    yield struct.pack(">d", number)
    yield f"{number:.9f}".encode()
    yield f"{number:.12g}".encode()


class Search:
    """Finds any form of any canary in some bytes, whatever else is there."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._forms: dict[bytes, list[tuple[bytes, str]]] = {}
        for column, canaries in values.items():
            for value in canaries:
                for form in set(_forms(value)):
                    assert len(form) >= WINDOW
                    self._forms.setdefault(form[:WINDOW], []).append((form, column))

    def found(self, content: bytes) -> set[str]:
        """Columns of the canaries in some bytes, and in what these hold encoded or compressed."""
        found = set()
        for raw in _layers(content):
            windows = {raw[i : i + WINDOW] for i in range(len(raw) - WINDOW + 1)}
            for start in windows & self._forms.keys():
                found |= {column for form, column in self._forms[start] if form in raw}
        return found


def _layers(content: bytes) -> Iterator[bytes]:
    """The bytes, the payload of an envelope, and every compressed stream within."""
    yield content
    for code in re.findall(rb"[A-Za-z0-9+/]{200,}={0,2}", content):
        yield base64.b64decode(code + b"=" * (-len(code) % 4))
    for start in re.finditer(rb"stream\r?\n", content):
        try:
            yield zlib.decompressobj().decompress(content[start.end() :])
        except zlib.error:
            continue


def _searched(home: Path) -> list[Path]:
    return [p for p in sorted(home.rglob("*")) if p.is_file() and not _holds_rows(p, home)]


def _holds_rows(path: Path, home: Path) -> bool:
    parts = path.relative_to(home).parts
    artifact = "artifacts" in parts and (
        "plain" in parts or path.suffix == ".parquet" or path.name.startswith("profile-")
    )
    return artifact or parts[0] in ("datasets", "documents")


def _leaks(search: Search, home: Path) -> dict[str, set[str]]:
    """Columns whose canaries are in a file, by the file; its name counts as written too."""
    found = {}
    for path in _searched(home):
        name = str(path.relative_to(home))
        if columns := search.found(path.read_bytes()) | search.found(name.encode()):
            found[name] = columns
    return found


@pytest.fixture(scope="module")
def planted() -> Planted:
    """The rows."""
    return Planted()


@pytest.fixture(scope="module")
def search(planted: Planted) -> Search:
    """For all of the canaries."""
    assert sum(map(len, planted.values.values())) == 500
    assert {c for c in planted.rows if c not in planted.values} == {"year", "sex", "cared_for"}
    return Search(planted.values)


def _start(home: Path, data: Path) -> ReleaseProcess:
    documents = home / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    contract = seeded.contract_document()
    note = clinic._column("note", "string", "excluded")
    clinic.table_of(contract)["properties"].append(note)
    policy = seeded.policy_document()
    policy["monitoring"] = dict(LIMITS)
    return plain_stack.start(
        home,
        "plain",
        contract=clinic.write(documents / "insurer.yaml", contract),
        policy=clinic.write(documents / "insurer_policy.yaml", policy),
        data=data,
    )


def _home(folder: Path, planted: Planted) -> tuple[Path, Path]:
    (folder / "home" / "documents").mkdir(parents=True)
    return folder / "home", planted.write(folder / "home" / "documents" / "insurer.csv")


@pytest.mark.parametrize("column", COUNTS)
def test_the_search_finds_every_form_of_every_canary(
    planted: Planted, search: Search, column: str
) -> None:
    for value in planted.values[column]:
        for form in _forms(value):
            assert column in search.found(b"before " + form + b" after")
        envelope = base64.b64encode(json.dumps({"n": "x" * 200, "v": value}).encode())
        assert column in search.found(b'{"payload":"' + envelope + b'"}')
        assert column in search.found(b"stream\n" + zlib.compress(value.encode()))


def test_a_released_run_writes_no_canary(
    tmp_path: Path, planted: Planted, search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    home, data = _home(tmp_path, planted)
    process = _start(home, data)
    assert plain_stack.PlainStack(process).run() == "released"
    names = {p.suffix for p in _searched(home)}
    assert {".json", ".yaml", ".key", ".pub"} <= names
    assert len(_searched(home)) >= 20
    assert _leaks(search, home) == {}
    assert search.found(caplog.text.encode()) == set()
    # What holds rows by design does hold them: the canaries were read.
    assert search.found(data.read_bytes()) == set(COUNTS)


def test_a_run_that_a_gate_blocks_writes_no_canary_but_names_its_groups(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    spoilt = Planted()
    sexes = [_text("sex", i) for i in range(20)]
    for place, sex in enumerate(sexes):  # a group of one person each
        spoilt.rows["sex"][2 * place : 2 * place + 2] = sex
    home, data = _home(tmp_path, spoilt)
    process = _start(home, data)
    assert plain_stack.PlainStack(process).run() == "blocked"
    search = Search(spoilt.values)
    assert _leaks(search, home) == {}
    assert search.found(caplog.text.encode()) == set()
    # A group that is too small to judge is named where it is judged, and nowhere else.
    groups = Search({"sex": sexes})
    named = {Path(name).name for name in _leaks(groups, home)}
    assert named <= {"0006-release_gate.json", "0007-close.json"}
    assert groups.found(caplog.text.encode()) == set()


def _raises(value: str) -> plain_stack.Change:
    def change(_stack: plain_stack.PlainStack, _result: StageResult) -> StageResult:
        raise RuntimeError(f"cannot make sense of {value}") from ValueError(value)

    return change


def test_a_run_that_breaks_down_over_a_value_does_not_write_it(
    tmp_path: Path, planted: Planted, search: Search, capfd: pytest.CaptureFixture[str]
) -> None:
    home, data = _home(tmp_path, planted)
    process = _start(home, data)
    value = planted.values["note"][0]
    stack = plain_stack.PlainStack(process, {Stage.STATISTICS: _raises(value)})
    with pytest.raises(RuntimeError) as caught:
        stack.run()
    tell_without_values(caught.type, caught.value, caught.tb)  # as the worker's last words
    process.close(interrupted="the tfx process ended with code 1")
    told = "".join(capfd.readouterr())
    assert "RuntimeError" in told
    assert search.found(told.encode()) == set()
    assert _leaks(search, home) == {}


def _a_word_for_a_number(rows: Planted, value: str) -> None:
    rows.rows["burden"][7] = value


def _a_word_for_the_label(rows: Planted, value: str) -> None:
    rows.rows["cared_for"][7] = value


def _a_word_for_the_year(rows: Planted, value: str) -> None:
    rows.rows["year"][7] = value


@pytest.mark.parametrize(
    "spoil", [_a_word_for_a_number, _a_word_for_the_label, _a_word_for_the_year]
)
def test_a_value_that_breaks_a_rule_closes_the_data_gate_and_is_not_quoted(
    tmp_path: Path, spoil: Callable[[Planted, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    spoilt, value = Planted(), _text("spoilt", 0)
    spoil(spoilt, value)
    home, data = _home(tmp_path, spoilt)
    process = _start(home, data)
    assert plain_stack.PlainStack(process).run() == "blocked"
    assert process.chain.records()[-2].stage == Stage.DATA_GATE
    search = Search({**spoilt.values, "spoilt": [value]})
    assert _leaks(search, home) == {}
    assert search.found(caplog.text.encode()) == set()


def _a_line_too_long(rows: Planted, value: str) -> None:
    rows.rows["note"][7] = f"{value},{value}"


def _a_quote_left_open(rows: Planted, value: str) -> None:
    rows.rows["note"][7] = f'"{value}'


@pytest.mark.parametrize("spoil", [_a_line_too_long, _a_quote_left_open])
def test_data_that_cannot_be_read_is_refused_without_a_value(
    tmp_path: Path, spoil: Callable[[Planted, str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    spoilt, value = Planted(), _text("spoilt", 0)
    spoil(spoilt, value)
    home, data = _home(tmp_path, spoilt)
    with pytest.raises(InputError) as caught:
        _start(home, data)
    search = Search({**spoilt.values, "spoilt": [value]})
    assert search.found(str(caught.value).encode()) == set()
    assert search.found("".join(capfd.readouterr()).encode()) == set()
    assert _leaks(search, home) == {}
