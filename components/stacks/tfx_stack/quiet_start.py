"""Starts the frameworks: telemetry off, lane repaired, chatter kept from the terminal."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.stacks.telemetry import switch_off

_STDERR = 2
_CHATTY = (
    "absl",
    "apache_beam",
    "h5py",
    "root",
    "tensorflow",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tfx",
)


def prepare_environment() -> None:
    """Set what must be set before TensorFlow is imported; child processes inherit it."""
    switch_off()
    # 3: errors only. oneDNN reorders sums, so its figures vary between machines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # TFX looks for Google's credentials unless it is told that there is no cloud project.
    os.environ.setdefault("NO_GCE_CHECK", "true")
    from components.stacks.tfx_stack import portable_lane

    portable_lane.supply_missing_module()


@contextmanager
def silent() -> Iterator[None]:
    """Keep what C++ prints while TensorFlow is loaded off standard error, in a block.

    Its first lines come before any level is read.
    """
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, _STDERR)
        os.close(kept)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the frameworks' log lines and warnings below errors out of the terminal, in a block."""
    from absl import logging as absl_logging

    before = absl_logging.get_verbosity()
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        absl_logging.set_verbosity(absl_logging.ERROR)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            absl_logging.set_verbosity(before)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
