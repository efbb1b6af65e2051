from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from components.contract.errors import InputError
from components.contract.strict_yaml import MAX_BYTES, load_yaml


def _load(tmp_path: Path, content: str | bytes) -> dict[str, object]:
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_yaml(path)[0]


def _refusal(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(tmp_path / "file.yaml") in message
    assert "; expected " in message
    return message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("NO", "'NO' would be read as a boolean"),
        ("yes", "'yes' would be read as a boolean"),
        ("on", "'on' would be read as a boolean"),
        ("off", "'off' would be read as a boolean"),
        ("True", "'True' would be read as a boolean"),
        ("FALSE", "'FALSE' would be read as a boolean"),
        ("010", "'010' would be read as a number in another notation"),
        ("0x1f", "'0x1f' would be read as a number in another notation"),
        ("0b11", "'0b11' would be read as a number in another notation"),
        ("1_000", "'1_000' would be read as a number in another notation"),
        ("1_000.5", "'1_000.5' would be read as a number in another notation"),
        ("1:30", "'1:30' would be read as a number in another notation"),
        ("1:30.5", "'1:30.5' would be read as a number in another notation"),
        (".nan", "'.nan' is not a finite number"),
        (".inf", "'.inf' is not a finite number"),
        ("-.INF", "'-.INF' is not a finite number"),
        ("1.0e+999", "'1.0e+999' is not a finite number"),
        ("2024-01-01", "'2024-01-01' would be read as a timestamp"),
        ("2024-01-01T10:00:00Z", "'2024-01-01T10:00:00Z' would be read as a timestamp"),
        ("!!str 5", "explicit tag"),
        ("!!python/object/apply:os.getcwd []", "explicit tag"),
        ("! x", "explicit tag"),
        ("&anchor x", "anchor or alias"),
        ("*anchor", "anchor or alias"),
        ('"\\uD800"', "half a surrogate pair"),
    ],
)
@pytest.mark.parametrize("shape", ["a: 1\nb: {}\n", "a: 1\nb: [[{{c: {}}}]]\n"])
def test_a_surprise_is_refused_with_its_line(
    tmp_path: Path, value: str, shown: str, shape: str
) -> None:
    message = _refusal(tmp_path, shape.format(value))
    assert shown in message
    assert "file.yaml, line 2" in message


@pytest.mark.parametrize("key", ["NO", "1", "1.5", "2024-01-01", "~", "<<", "? [a, b]\n"])
def test_a_key_that_is_not_text_is_refused(tmp_path: Path, key: str) -> None:
    assert "not text; expected a quoted text key" in _refusal(tmp_path, f"{key}: {{x: 1}}\n")


@pytest.mark.parametrize(
    "content", ["a: 1\na: 2\n", 'a: 1\n"a": 2\n', "b:\n  - {a: 1, a: 1}\n", "b: {c: {a: , a: }}\n"]
)
def test_a_key_that_appears_twice_is_refused(tmp_path: Path, content: str) -> None:
    assert "key 'a' appears twice; expected each key once" in _refusal(tmp_path, content)


def test_an_alias_bomb_is_refused_at_its_first_anchor(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert "line 1: anchor or alias" in _refusal(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("opening", ["[", "{a: "])
@pytest.mark.parametrize("depth", [41, 5000])
def test_a_depth_bomb_is_refused(tmp_path: Path, opening: str, depth: int) -> None:
    assert "nested too deeply; expected at most 40 levels" in _refusal(
        tmp_path, "a: " + opening * depth
    )


def test_the_size_is_capped(tmp_path: Path) -> None:
    head = b"a: "
    fits = head + b"x" * (MAX_BYTES - len(head))
    assert len(str(_load(tmp_path, fits)["a"])) == MAX_BYTES - len(head)
    assert "too large; expected at most 1,000,000 bytes" in _refusal(tmp_path, fits + b"x")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"a: \xff\xfe", "byte 3 is not UTF-8"),
        (b"", "not a mapping"),
        (b"# nothing\n", "not a mapping"),
        (b"- a\n- b\n", "not a mapping"),
        (b"text\n", "not a mapping"),
        (b"a: b\n---\nc: d\n", "another document"),
        (b"a: [1\nb: 2\n", "file.yaml, line"),
        (b"\ta: 1\n", "file.yaml, line 1"),
        (b"a: \x00\n", "not YAML"),
        (b"a: =\n", "file.yaml, line 1"),
        (b"a: " + b"9" * 5000, "a number of very many digits"),
    ],
)
def test_what_is_not_one_mapping_is_refused(tmp_path: Path, content: bytes, shown: str) -> None:
    assert shown in _refusal(tmp_path, content)


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_yaml(path)


def test_what_is_read_is_what_is_written(tmp_path: Path) -> None:
    text = 'a: "NO"\nb: true\nc: -5\nd: 0.25\ne: [x, "010", null]\nf: 1.5e-7\ng: Ä\nh: "a: b"\n'
    expected = {
        "a": "NO",
        "b": True,
        "c": -5,
        "d": 0.25,
        "e": ["x", "010", None],
        "f": 1.5e-7,
        "g": "Ä",
        "h": "a: b",
    }
    assert _load(tmp_path, text) == expected
    path = tmp_path / "file.yaml"
    assert load_yaml(path) == (expected, text.encode())


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.touch()
    os.truncate(path, 64 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="too large"):
            load_yaml(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BYTES
    finally:
        tracemalloc.stop()


def test_a_number_that_no_double_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("a: 1" + "0" * 400)
    with pytest.raises(InputError, match="a number of very many digits"):
        load_yaml(tmp_path / "n.yaml")
