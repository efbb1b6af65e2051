"""Where the native stores are: a database of the operator's by URI, else SQLite in the home."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

MLMD_VARIABLE, MLFLOW_VARIABLE = "ASSAY_MLMD_URI", "ASSAY_MLFLOW_URI"
_HIDDEN = "***"
_SHOWN = {"host", "port", "sslmode"}
"""Settings of a connection whose values hold no secret; any other may."""


def mlmd_uri(home: Path) -> str:
    """URI of the MLMD store: ``ASSAY_MLMD_URI`` where set, else SQLite in the home."""
    return os.environ.get(MLMD_VARIABLE) or sqlite_uri(home, "mlmd.sqlite")


def mlflow_uri(home: Path) -> str:
    """URI of the MLflow store: ``ASSAY_MLFLOW_URI`` where set, else SQLite in the home."""
    return os.environ.get(MLFLOW_VARIABLE) or sqlite_uri(home, "mlflow.sqlite")


def sqlite_uri(home: Path, name: str) -> str:
    """URI of a SQLite file in the home's ``stores``; ``sqlite:///`` and its absolute path."""
    return f"sqlite:///{home.resolve() / 'stores' / name}"


def without_password(uri: str) -> str:
    """A URI as it may be shown: the password, and most settings, are ``***``.

    What cannot be told apart is hidden as a whole, but for the scheme.
    """
    scheme, found, rest = uri.partition("://")
    if not found:
        return _HIDDEN if "@" in uri or "=" in uri else uri
    try:
        parts = urlsplit(uri)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return f"{scheme}://{_HIDDEN}"
    # A password with an unquoted slash, query or hash sign ends up behind the host.
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{scheme}://{_HIDDEN}"
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}{colon}{_HIDDEN if colon else ''}{at}{host}"
    hidden = [(k, v if k in _SHOWN else _HIDDEN) for k, v in query]
    text = urlencode(hidden, quote_via=quote, safe="/*:,")
    if not parts.netloc and rest.startswith("/"):
        # urlunsplit would leave the empty host's two slashes out for some schemes.
        return f"{scheme}://{parts.path}{'?' if text else ''}{text}"
    return urlunsplit((parts.scheme, shown, parts.path, text, ""))
