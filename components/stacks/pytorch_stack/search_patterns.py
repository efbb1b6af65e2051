"""Patterns that Python's backtracking ``re`` can search for in linear time, and as RE2 would.

Great Expectations on pandas matches with ``re``, which for a pattern such as ``(a+)+$`` tries
every way of cutting a text and may never come to an end. The referee matches with RE2, in linear
time. Only a pattern that is known to be harmless, and to mean the same to both, is translated.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST_PATTERN = 1000
MOST_GROUPS = 20
"""Beyond these, in characters and in brackets, a pattern is not even parsed."""

MOST_STEPS = 1000
"""Bound on what backtracking tries at one place of a text: ways to match, times their length."""

_CLASSES = {
    kinds.CATEGORY_DIGIT: "0-9",
    kinds.CATEGORY_WORD: "0-9A-Za-z_",
    kinds.CATEGORY_SPACE: r"\t\n\f\r ",
}
"""RE2's classes: ASCII, and no vertical tab among the spaces. Python's hold all of Unicode."""

_COMPLEMENTS = {
    kinds.CATEGORY_NOT_DIGIT: kinds.CATEGORY_DIGIT,
    kinds.CATEGORY_NOT_WORD: kinds.CATEGORY_WORD,
    kinds.CATEGORY_NOT_SPACE: kinds.CATEGORY_SPACE,
}


class _Refused(ValueError):
    """Something in the pattern is not known to be harmless; the message says what."""


def bounded_pattern(pattern: str) -> tuple[str, str]:
    """The pattern for Python's ``re.search``, and an empty text; or an empty text and why not.

    What comes back matches where RE2 does, in time linear in the length of the text: it is written
    anew from the parsed pattern, with RE2's classes, ``$`` at the very end only, and no groups.
    A repeat without a bound is allowed once, of something that matches in one way, and only where
    the pattern begins with ``^``: elsewhere a search starts it at every place of the text.

    Args:
        pattern: a regular expression that Python and RE2 both read.
    """
    try:
        return _translated(pattern), ""
    except _Refused as refused:
        return "", str(refused)


def _translated(pattern: str) -> str:
    if len(pattern) > LONGEST_PATTERN or pattern.count("(") > MOST_GROUPS:
        raise _Refused("it is long")
    if "{," in pattern or re.search(r"\\[0-9]", pattern):
        raise _Refused("Python and RE2 read one of its parts in two ways")
    with warnings.catch_warnings():
        # What Python warns of (``[[``, ``--`` in a class) are classes of RE2's that it lacks.
        warnings.simplefilter("error", FutureWarning)
        try:
            parsed = parser.parse(pattern)
        except (re.error, OverflowError, FutureWarning):
            raise _Refused("Python does not read it as RE2 does") from None
    if parsed.state.flags & ~re.UNICODE:
        raise _Refused("it sets flags")
    items = list(parsed)
    ways, unbounded = _cost(items)
    if unbounded and not _begins_at_start(items):
        raise _Refused("a repeat without a bound could start at every place of a text")
    if unbounded > 1 or ways * max(1, parsed.getwidth()[0]) > MOST_STEPS:
        raise _Refused("it can match a text in too many ways")
    return _written(items)


def _begins_at_start(items: list[Any]) -> bool:
    return items[0] == (kinds.AT, kinds.AT_BEGINNING)


def _cost(items: list[Any]) -> tuple[int, int]:
    """In how many ways the items match at one place, and how many unbounded repeats they have."""
    ways, unbounded = 1, 0
    for op, argument in items:
        more, open_ended = _cost_of(op, argument)
        ways, unbounded = min(ways * more, MOST_STEPS + 1), unbounded + open_ended
    return ways, unbounded


def _cost_of(op: Any, argument: Any) -> tuple[int, int]:
    if op is kinds.SUBPATTERN:
        return _cost(list(argument[3]))
    if op is kinds.BRANCH:
        costs = [_cost(list(branch)) for branch in argument[1]]
        return sum(ways for ways, _ in costs), max(unbounded for _, unbounded in costs)
    if op not in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        return 1, 0
    least, most, body = argument
    ways, unbounded = _cost(list(body))
    if unbounded or (most is kinds.MAXREPEAT and ways > 1):
        raise _Refused("it repeats what itself can match in several ways")
    if most is kinds.MAXREPEAT:
        if body.getwidth()[0] == 0:
            raise _Refused("it repeats what can be empty")
        return 1, 1
    if most > MOST_STEPS:
        raise _Refused("it repeats something very often")
    return min(sum(ways**n for n in range(least, most + 1)), MOST_STEPS + 1), 0


def _written(items: list[Any]) -> str:
    return "".join(_item(op, argument) for op, argument in items)


def _item(op: Any, argument: Any) -> str:
    if op is kinds.LITERAL:
        return re.escape(chr(argument))
    if op is kinds.NOT_LITERAL:
        return f"[^{re.escape(chr(argument))}]"
    if op is kinds.ANY:
        return r"[^\n]"
    if op is kinds.IN:
        return _character_class(argument)
    if op is kinds.AT and argument in (kinds.AT_BEGINNING, kinds.AT_BEGINNING_STRING):
        return r"\A"
    if op is kinds.AT and argument is kinds.AT_END:
        return r"\Z"
    if op is kinds.SUBPATTERN and not argument[1] and not argument[2]:
        return f"(?:{_written(list(argument[3]))})"
    if op is kinds.BRANCH:
        return f"(?:{'|'.join(_written(list(branch)) for branch in argument[1])})"
    if op in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        least, most, body = argument
        upper = "" if most is kinds.MAXREPEAT else int(most)
        return f"(?:{_written(list(body))}){{{int(least)},{upper}}}"
    raise _Refused(f"it uses {str(op).lower()}")


def _character_class(members: list[Any]) -> str:
    negated = members[0] == (kinds.NEGATE, None)
    inside = members[1:] if negated else members
    if len(inside) == 1 and inside[0][1] in _COMPLEMENTS:
        inside, negated = [(kinds.CATEGORY, _COMPLEMENTS[inside[0][1]])], not negated
    return f"[{'^' if negated else ''}{''.join(_member(op, a) for op, a in inside)}]"


def _member(op: Any, argument: Any) -> str:
    if op is kinds.LITERAL:
        return re.escape(chr(argument))
    if op is kinds.RANGE:
        return "-".join(re.escape(chr(end)) for end in argument)
    if op is kinds.CATEGORY and argument in _CLASSES:
        return _CLASSES[argument]
    raise _Refused("it mixes classes")
