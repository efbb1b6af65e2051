"""Disks that break: the calls that change a disk are counted, and one of them goes wrong.

What is counted is what Python's own ``os`` offers; files that a library opens itself are not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "replace", "rename", "link", "unlink", "mkdir")

Call = Callable[..., Any]
Fault = Callable[[str, Call, tuple[Any, ...], dict[str, Any]], Any]
"""What happens instead of a call: its name, the real function, and its arguments."""


class Killed(BaseException):
    """The process is no more; no ``except`` of the code under test catches it."""


class Counter:
    """Counts calls; ``names`` has each of them, ``hit`` the name of the one that went wrong."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.hit: str | None = None


@contextmanager
def nth_call(number: int, fault: Fault, calls: tuple[str, ...] = CALLS) -> Iterator[Counter]:
    """Within, the call of that number, from 1, is replaced by a fault.

    After a ``Killed`` no further call does anything, just as in a process that is dead.
    """
    counter, dead = Counter(), False

    def watched(name: str, real: Call) -> Call:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal dead
            if dead:
                raise Killed
            counter.names.append(name)
            if len(counter.names) != number:
                return real(*args, **kwargs)
            counter.hit = name
            try:
                return fault(name, real, args, kwargs)
            except Killed:
                dead = True
                raise

        return call

    with pytest.MonkeyPatch.context() as patched:
        for name in calls:
            patched.setattr(os, name, watched(name, getattr(os, name)))
        yield counter


def killed(_name: str, _real: Call, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """The process is killed before the call, which is to say after the one before."""
    raise Killed


def torn(length: int) -> Fault:
    """The machine stops once so many bytes of a write have reached the disk."""

    def fault(_name: str, real: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        descriptor, content = args
        real(descriptor, bytes(content)[:length])
        raise Killed

    return fault


def refused(number: int) -> Fault:
    """The call fails with that ``errno`` and does nothing."""

    def fault(name: str, _real: Call, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        raise OSError(number, f"{os.strerror(number)} ({name})")

    return fault


def short(_name: str, real: Call, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """A write takes a third of what it is given, at least a byte."""
    descriptor, content = args
    return real(descriptor, bytes(content)[: max(1, len(content) // 3)])


def ended(_name: str, _real: Call, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """As ``killed``, for a real process, which ends with code 9 and without any clean-up."""
    os._exit(9)
