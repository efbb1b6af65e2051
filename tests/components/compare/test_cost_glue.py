"""Our own code is counted by line and by stage, and no module is left out or counted twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from components.compare.cost_glue import MODULES, PARTS, code_lines, glue, modules
from components.contract.errors import InputError
from components.contract.json_schema import ROOT

SOURCE = '''"""A docstring
of two lines."""

import os  # a comment beside code

# A comment alone.
NAMES = (
    "one",

    "two",
)
"""An attribute's docstring."""


def run() -> str:
    """One line."""
    text = """kept

    as it is"""
    return text + os.sep
'''


def test_lines_of_code_are_those_that_hold_code() -> None:
    # import, NAMES and its three other lines, def, three lines of a text that is a value, return.
    assert code_lines(SOURCE) == 1 + 4 + 1 + 3 + 1


@pytest.mark.parametrize("source", ["", "\n\n", "# nothing\n", '"""Only this."""\n'])
def test_a_file_without_code_has_no_lines(source: str) -> None:
    assert code_lines(source) == 0


@pytest.mark.parametrize("stack", ["tfx", "pytorch"])
def test_every_module_of_a_room_serves_exactly_one_part(stack: str) -> None:
    mapped = Counter(name for names in MODULES[stack].values() for name in names.split())
    assert set(mapped) == set(modules(stack, ROOT))
    assert set(mapped.values()) == {1}
    assert set(map(str, MODULES[stack])) <= set(PARTS)


@pytest.mark.parametrize("stack", ["tfx", "pytorch"])
def test_the_parts_add_up_to_the_room(stack: str) -> None:
    counts = glue(stack, ROOT)
    files = modules(stack, ROOT).values()
    assert sum(counts.values()) == sum(code_lines(file.read_text("utf-8")) for file in files) > 1000
    assert tuple(counts) == PARTS


def _copy(stack: str, root: Path) -> Path:
    """A room of the same modules, each of one line."""
    for file in modules(stack, ROOT).values():
        target = root / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("x = 1\n")
    return root


def test_a_module_without_a_stage_is_refused(tmp_path: Path) -> None:
    root = _copy("pytorch", tmp_path)
    assert sum(glue("pytorch", root).values()) == len(modules("pytorch", ROOT))
    (root / "components" / "stacks" / "pytorch_stack" / "surprise.py").write_text("x = 1\n")
    with pytest.raises(InputError, match=r"without a stage.*: surprise"):
        glue("pytorch", root)


def test_a_stage_without_its_module_is_refused(tmp_path: Path) -> None:
    root = _copy("tfx", tmp_path)
    (root / "pipelines" / "tfx_pipeline.py").unlink()
    with pytest.raises(InputError, match=r": tfx_pipeline"):
        glue("tfx", root)
