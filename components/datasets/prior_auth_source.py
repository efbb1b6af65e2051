"""The built-in source prior_auth: a small synthetic data set, made anew when it is asked for."""

from __future__ import annotations

import atexit
import functools
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

from components.contract.errors import InputError
from components.datasets.prior_auth import Population

_SETTINGS = re.compile(r"rows=([0-9]{1,10})&seed=([0-9]{1,19})", re.ASCII)
_until_exit = ExitStack()
atexit.register(_until_exit.close)


def made_here(settings: str, contract: Path) -> Path:
    """A folder with the data set that a contract asks for, as long as this process lives.

    Args:
        settings: ``rows=20000&seed=1``, as behind the ``?`` of the contract's ``assaySource``.
        contract: the contract, for messages.

    Raises:
        InputError: other settings, or rows and seed out of range.
    """
    found = _SETTINGS.fullmatch(settings)
    if found is None:
        raise InputError(
            f"settings {settings!r} of the source prior_auth",
            where=str(contract),
            expected="prior_auth?rows=20000&seed=1",
        )
    return _made(Population(int(found[1]), int(found[2])))


@functools.cache
def _made(population: Population) -> Path:
    from components.datasets.prior_auth_writer import generate

    folder = Path(_until_exit.enter_context(tempfile.TemporaryDirectory(prefix="assay-")))
    generate(population, folder, watch=lambda _: None)
    return folder
