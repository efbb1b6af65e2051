"""The MLMD store of a home: where it is, how it is opened, and what goes wrong with it in one line.

Only ``ml_metadata`` is imported here, and none of TFX, so that a store is read in a moment.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as pb

from components.contract.errors import EvidenceError, InputError
from components.lineage.durable import writable_directory
from components.stacks.store_uris import MLMD_VARIABLE, mlmd_uri, without_password
from components.stacks.tfx_stack.mlmd_postgresql import index_beginnings, keep_backslashes

_SQLITE = "sqlite:///"
PATIENCE_SECONDS = 2.0
_READ_ATTEMPTS, _WRITE_ATTEMPTS = 1, 5
"""MLMD itself waits two seconds for a lock at each attempt."""

_POSTGRESQL_PORT, _MYSQL_PORT = "5432", 3306
_POSTGRESQL_SSL = ("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert")
_EXPECTED = "sqlite:///FILE, postgresql://USER@HOST/DATABASE or mysql://USER@HOST/DATABASE"


def connection(home: Path, *, read_only: bool = False) -> Any:
    """MLMD's connection to the store, as TFX's pipelines take it as well.

    ``ASSAY_MLMD_URI`` names a PostgreSQL or MySQL database; else it is SQLite in the home.
    PostgreSQL is what the tests run; the MySQL connection is written after MLMD's own
    documentation and has not been run against a server.

    Args:
        home: the home, whose ``stores`` are made where they are needed.
        read_only: whether nothing may be written. SQLite is then opened so; a database of another
            kind is not made, but its tables are if they are missing.

    Raises:
        InputError: the URI is none that MLMD can open.
    """
    uri, config = mlmd_uri(home), pb.ConnectionConfig()
    if (path := _sqlite_file(uri)) is not None:
        _to_sqlite(config.sqlite, path, read_only)
        return config
    try:
        parts = urlsplit(uri)
        _ = parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise _no_uri(uri, "is no URI") from error
    server = parts.scheme.partition("+")[0]  # behind a plus sign others name their driver
    if server in ("postgresql", "postgres"):
        keep_backslashes()
        _to_postgresql(config.postgresql, parts, query, uri)
        config.postgresql.skip_db_creation = read_only
    elif server == "mysql":
        _to_mysql(config.mysql, parts, query, uri)
        config.mysql.skip_db_creation = read_only
    else:
        raise _no_uri(uri, "MLMD has no such store")
    return config


def prepare(home: Path) -> None:
    """Make the store, where it is not there, able to hold what a TFX pipeline writes.

    Raises:
        InputError: it cannot be opened or changed.
    """
    CountedStore(home, writable=True)
    config = connection(home)
    if config.HasField("postgresql"):
        index_beginnings(config.postgresql, without_password(mlmd_uri(home)))


def is_there(home: Path) -> bool:
    """Whether there is a store to look into; of a database server the server has to say it."""
    path = _sqlite_file(mlmd_uri(home))
    return path is None or path.is_file()


def locked(shown: str) -> InputError:
    """What is told of a store that another process holds."""
    return InputError(
        "another process has locked it", where=shown, expected="that it ends, or lets go"
    )


class CountedStore(MetadataStore):  # type: ignore[misc]
    """An MLMD store that counts its calls and says in one line what went wrong.

    Attributes:
        calls: requests that were made of the database, pages of one answer counted singly.
    """

    def __init__(self, home: Path, *, writable: bool = False) -> None:
        """Open the store of a home.

        Raises:
            InputError: it is not there, locked, or of a version that this MLMD does not know.
        """
        self.calls = 0
        self._attempts = _WRITE_ATTEMPTS if writable else _READ_ATTEMPTS
        self._shown = without_password(mlmd_uri(home))
        path = _sqlite_file(mlmd_uri(home))
        if path is not None and not writable:
            _require_sqlite(path, self._shown)
        # Before MLMD's own opening is looked up, which the first connection to PostgreSQL changes.
        config = connection(home, read_only=not writable)
        try:
            super().__init__(config)
        except RuntimeError as error:
            raise _not_opened(str(error), self._shown) from error

    def _call(
        self, method_name: str, request: Any, response: Any, extra_options: Any = None
    ) -> None:
        """One request of the database, tried again where another process holds the lock."""
        for attempt in range(1, self._attempts + 1):
            self.calls += 1
            try:
                self._call_method(method_name, request, response)
                return
            except errors.AbortedError as error:
                if attempt == self._attempts:
                    raise locked(self._shown) from error
            except (errors.InternalError, errors.DataLossError) as error:
                raise EvidenceError(f"the MLMD store {self._shown} cannot be used") from error


def _sqlite_file(uri: str) -> Path | None:
    """The file that a URI of SQLite names, None of any other. Nothing in it is quoted."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE)).resolve()


def _to_sqlite(config: Any, path: Path, read_only: bool) -> None:
    modes = pb.SqliteMetadataSourceConfig
    if not read_only:
        writable_directory(path.parent)
    config.filename_uri = str(path)
    config.connection_mode = modes.READONLY if read_only else modes.READWRITE_OPENCREATE


def _to_postgresql(config: Any, parts: Any, query: dict[str, str], uri: str) -> None:
    config.host = query.pop("host", None) or unquote(parts.hostname or "")
    config.port = query.pop("port", None) or str(parts.port or _POSTGRESQL_PORT)
    config.user = query.pop("user", None) or unquote(parts.username or "")
    config.password = query.pop("password", None) or unquote(parts.password or "")
    config.dbname = unquote(parts.path.lstrip("/"))
    for name in _POSTGRESQL_SSL:
        if name in query:
            setattr(config.ssloption, name, query.pop(name))
    # MLMD ends the whole process where one of these is empty.
    _require(uri, query, host=config.host, user=config.user, database=config.dbname)


def _to_mysql(config: Any, parts: Any, query: dict[str, str], uri: str) -> None:
    config.host = unquote(parts.hostname or "")
    config.port = parts.port or _MYSQL_PORT
    config.user = unquote(parts.username or "")
    config.password = query.pop("password", None) or unquote(parts.password or "")
    config.database = unquote(parts.path.lstrip("/"))
    config.socket = query.pop("unix_socket", "")
    host = config.host or config.socket
    _require(uri, query, host=host, user=config.user, database=config.database)


def _require(uri: str, unknown: dict[str, str], **needed: str) -> None:
    if unknown:
        raise _no_uri(uri, f"{min(unknown)} is no setting that MLMD has")
    for name, value in needed.items():
        if not value:
            raise _no_uri(uri, f"names no {name}")


def _no_uri(uri: str, what: str) -> InputError:
    shown = without_password(uri)
    return InputError(f"{shown} {what}", where=MLMD_VARIABLE, expected=_EXPECTED)


def _require_sqlite(path: Path, shown: str) -> None:
    """A file that is there, not locked, and a store of MLMD's; MLMD tells these apart badly."""
    if not path.is_file():
        raise _not_there(shown)
    try:
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, timeout=0)) as database:
            database.execute(f"PRAGMA busy_timeout = {int(PATIENCE_SECONDS * 1000)}")
            database.execute("SELECT schema_version FROM MLMDEnv").fetchall()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise locked(shown) from error
        raise _no_store(shown) from error
    except sqlite3.DatabaseError as error:
        raise _no_store(shown) from error


def _not_opened(message: str, shown: str) -> InputError:
    if "older than library" in message:
        what, expected = "is of an older MLMD", "MLMD's own upgrade of it, on a copy first"
    elif "greater than library" in message:
        what, expected = "is of a newer MLMD than is installed", "the version that wrote it"
    elif "subset of tables" in message:
        return locked(shown)
    else:
        what, expected = "MLMD cannot open it", "a database that is there, and leave to use it"
    return InputError(what, where=shown, expected=expected)


def _not_there(shown: str) -> InputError:
    return InputError("is not there", where=shown, expected="an MLMD store (`assay run`)")


def _no_store(shown: str) -> InputError:
    return InputError("is no MLMD store", where=shown, expected="what a TFX run left there")
