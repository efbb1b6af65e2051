"""Which files hold a text that ought to be nowhere, packed ones unpacked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from components.audit.phi_layers import layers

_DEEPEST = 3


def files_with(folder: Path, needle: bytes) -> tuple[tuple[str, ...], int]:
    """The files below a folder that hold a text, and how many were searched.

    Args:
        folder: searched whole, links not followed.
        needle: what is looked for, byte by byte.
    """
    found, searched = [], 0
    for path in _regular(folder):
        searched += 1
        if any(needle in content for content in _contents(path.read_bytes(), 0)):
            found.append(path.relative_to(folder).as_posix())
    return tuple(found), searched


def _regular(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _contents(content: bytes, depth: int) -> Iterator[bytes]:
    yield content
    if depth < _DEEPEST:
        for layer in layers(content, depth):
            if layer.content:
                yield from _contents(layer.content, depth + 1)
