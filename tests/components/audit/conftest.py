"""The home that many of these tests ask, made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asked_home import make_home


@pytest.fixture(scope="session")
def asked_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both stacks' runs, releases and waivers; tests read it and change nothing."""
    path = tmp_path_factory.mktemp("asked")
    yield make_home(path / "home")
    shutil.rmtree(path)
