"""What commands that read evidence have in common: how they tell that it does not hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from components.contract.errors import EvidenceError, InputError
from components.lineage.dsse import UnknownSignerError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_IN_A_HOME = ("runs", "releases", "access", "retention")


class BrokenEvidenceError(EvidenceError):
    """A command was to read evidence and found that it does not hold: a verdict. Exit code 1."""

    exit_code = 1


def reads_evidence(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a command exit 1 where evidence does not hold; a key that does not count stays exit 2.

    What is missing because it was purged is no broken evidence: it is told as what it is, exit 2.
    """

    @wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except UnknownSignerError:
            raise
        except EvidenceError as error:
            _require_not_purged(kwargs.get("home"), str(error), " ".join(map(str, kwargs.values())))
            raise BrokenEvidenceError(f"tampered with or broken: {error}") from error

    return wrapped


def _require_not_purged(home: object, message: str, asked: str) -> None:
    """See that a message is not about data of a home that were purged."""
    from components.audit.retention_log import FOLDER, purge_behind

    if not isinstance(home, Path) or not (home / FOLDER).is_dir():
        return
    try:
        told = purge_behind(home, message, asked)
    except EvidenceError:
        return  # then what the message says is all that is known
    if told:
        raise InputError(
            message, where=told, expected="data that are still kept (`assay retention check`)"
        )


def require_home(home: Path) -> None:
    """Refuse a directory that is no home, before anything is written into it.

    Raises:
        InputError: it is no directory, or nothing of a home is in it.
    """
    if not home.is_dir():
        raise InputError("is no directory", where=str(home), expected="a home (`--home DIR`)")
    if not any((home / name).is_dir() for name in _IN_A_HOME):
        raise InputError(
            "is no home: it has no runs, releases or access log",
            where=str(home),
            expected="a home (`--home DIR`)",
        )
