"""Who does something: the name that he goes by, and the account that he works under."""

from __future__ import annotations

import getpass
import os
import pwd


def actor() -> str:
    """Who runs this: ``ASSAY_ACTOR`` where set, else the operating system's user name."""
    try:
        return os.environ.get("ASSAY_ACTOR") or getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return account()


def account() -> str:
    """The operating system's account of this process, whatever the environment says.

    Its name, or ``uid:`` and its number where it has none.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid:{os.getuid()}"
