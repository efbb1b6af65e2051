"""Which patterns Python may match, that it matches where RE2 does, and how long that takes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import duckdb
import pytest

from components.stacks.pytorch_stack.contract_to_gx import compile_to_gx
from components.stacks.pytorch_stack.search_patterns import bounded_pattern
from tests import clinic

TRANSLATED = [
    "^(ward [a-z]|unit [a-z])$", r"^[A-Z][0-9]{2}(\.[0-9A-Z]{1,4})?$", r"^\d{3}-\d{2}$", r"^\S+$",
    r"^\D*$", r"^[^\W]$", r"^[\w.-]+$", "^.$", ".", "a", "a$", "^$", "", "a|b$", "^(ab)*$",
    "^a{2,}$",
    "a?b?c", "[^a]", "^[^a]*$", r"^\s$", r"[\s]b", "^(?:a|)$", "^a+?$", "[]a]", "[^]a]", r"\.",
    "^é$",
    r"^(?P<name>a|b)$", r"\Aa", "^(a+|b+)$", r"^[\d-]*$", "^^a", r"[a\-c]$", "x{2}", r"[\t\n]",
]  # fmt: skip

TEXTS = [
    "", "a", "b", "ab", "abab", "aa", "aaa", "a\n", "\n", "\na", "b\na", "ward a", "unit bb",
    "E11.65", "E11.", "123-45", "٣", "é", "\u00a0", "\x0b", "\t", " b", "]", "-", "_", ".", "ſ",
    "K", "a-c", "xx", "\r", "\u2028", "\x85", "12-3", "c", "\U0001f600", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("pattern", TRANSLATED)
def test_python_finds_what_re2_finds(pattern: str) -> None:
    translated, refused = bounded_pattern(pattern)
    assert refused == ""
    texts = [*TEXTS, *("".join(pair) for pair in itertools.product(TEXTS[1:20], TEXTS[1:20]))]
    with duckdb.connect() as database:
        theirs = database.execute(
            "SELECT list_transform(?::VARCHAR[], lambda x: regexp_matches(x, ?))", [texts, pattern]
        ).fetchall()[0][0]
    mine = [re.search(translated, text) is not None for text in texts]
    assert mine == theirs


def test_python_left_to_itself_would_find_other_things() -> None:
    for pattern, text in (("^a$", "a\n"), (r"^\d$", "٣"), (r"^\s$", "\x0b"), (r"^\w$", "é")):
        assert re.search(pattern, text)
        assert not re.search(bounded_pattern(pattern)[0], text)


HOSTILE = [
    r"(a+)+$", r"^(a+)+$", r"^(a|a)*$", r"^(a|ab)*c$", r"^(a?)*$", r"^a*a*$", r"a+b", r"^(a*)*$",
    r"^(a{1,9}){1,9}b$", "a{0,100}" * 3, "(a|bc)" * 15, "(" * 400 + "a" + ")" * 400, "a" * 2000,
    r"^(.*,){11}P", r"^(?:a{0,1000}){2}$", r"^(([a-z])+.)+[A-Z]([a-z])+$", "a{1000}b",
]  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_hostile_pattern_is_refused_at_once(pattern: str) -> None:
    translated, refused = bounded_pattern(pattern)
    assert (translated, bool(refused)) == ("", True)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?i)a", r"(?i:a)", r"(?=a)", r"(?!a)", r"(?<=a)b", r"(a)\1", r"\ba", r"[[:alpha:]]",
        r"\x{41}",
        r"\pL", r"\QaE\E", "a{,5}", "a++", "(?>a)", r"[\W\d]", r"\Za", r"\101", "(", "[a--b]",
        "a{4294967296}",
    ],
)  # fmt: skip
def test_what_the_two_engines_may_read_apart_is_refused(pattern: str) -> None:
    assert bounded_pattern(pattern)[1]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", [p for p in TRANSLATED if p])
def test_what_is_translated_is_searched_for_in_linear_time(pattern: str) -> None:
    """A text that is nearly a match for a long way: backtracking without bounds would never end."""
    translated = bounded_pattern(pattern)[0]
    for text in ("a" * 200_000 + "!", "ab" * 100_000 + "!", "1" * 200_000 + "\n!"):
        re.search(translated, text)


@pytest.mark.timeout(20)
def test_a_hostile_pattern_is_left_to_the_referee(tmp_path: Path) -> None:
    def hostile(document: clinic.Document) -> None:
        clinic.column_of(document, "ward")["logicalTypeOptions"] = {"pattern": "(a+)+$"}

    compiled = compile_to_gx(clinic.contract(tmp_path, hostile))
    assert "pattern:ward" not in {e.meta["rule"] for e in compiled.suite.expectations}
    (listed,) = [u for u in compiled.unexpressed if u.rule == "pattern:ward"]
    assert "backtracking" in listed.why
