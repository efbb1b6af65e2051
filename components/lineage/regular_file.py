"""Read a file that somebody else may have put there: a pipe is refused, not waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path) -> bytes:
    """A regular file's bytes; its type is that of the very file that is read.

    Raises:
        OSError: it cannot be read, or is a pipe, a socket or a device.
    """
    # Opened without blocking: a pipe would be waited for before it could be refused.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)
