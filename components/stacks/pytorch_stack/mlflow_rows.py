"""The rows of an MLflow store, as its database holds them, in a fixed number of statements.

MLflow's client is not asked: its search loads what belongs to runs in portions of 500, so that more
runs take more statements, gives a metric's history only run by run, and leaves out rows that it
takes for deleted. MLflow itself is not imported either, which alone would take seconds; its
revision of the schema is held against the store's before anything is read.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from components.contract.errors import EvidenceError, InputError
from components.stacks.pytorch_stack.mlflow_schema import require_schema
from components.stacks.store_uris import mlflow_uri, without_password

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Row, Select

    Rows = Mapping[str, Sequence[Row[Any]]]
    """Every row of each table, by the table's name; a row has the table's columns by name."""

RUN_ID_TAGS = ("assay.run_id", "mlflow.runName")
"""Tags that name the run of the release process, beside the MLflow run's own name."""

TABLES = (
    "experiments",
    "runs",
    "tags",
    "params",
    "metrics",
    "latest_metrics",
    "inputs",
    "input_tags",
    "datasets",
    "logged_models",
    "logged_model_tags",
    "logged_model_params",
    "logged_model_metrics",
    "model_versions",
    "model_version_tags",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
)
_POSTGRESQL = {"postgresql", "postgres"}
_SECONDS_FOR_A_LOCK = 2.0
_CAUSES = {
    "locked": "is locked by another process",
    "authentication failed": "refuses the user or the password",
    "unable to open": "cannot be opened",
    "does not exist": "has no such database or user",
}


def store_uri(home: Path) -> str:
    """URI of a home's MLflow store, with the driver that is installed for PostgreSQL."""
    uri = mlflow_uri(home)
    scheme, found, rest = uri.partition("://")
    return f"postgresql+psycopg2://{rest}" if found and scheme in _POSTGRESQL else uri


def read_rows(uri: str, runs: Collection[str] | None = None) -> tuple[Rows, int]:
    """Every row that belongs to some runs of the release process, or all; and the statements taken.

    All of it is as it was at one moment.

    Args:
        uri: the store's database, as SQLAlchemy names it.
        runs: ids of runs of the release process.

    Raises:
        InputError: the store is not there, cannot be opened, is locked, or is of another MLflow.
        EvidenceError: it is there, and its tables cannot be read.
    """
    from sqlalchemy import select, table, text

    with _connection(uri) as (connection, statements):
        require_schema(connection, without_password(uri))
        where = {} if runs is None else _belongs(sorted(runs))
        found = {}
        for name in TABLES:
            statement = select(text("*")).select_from(table(name))
            if (condition := where.get(name)) is not None:
                statement = statement.where(condition)
            found[name] = connection.execute(statement).all()
        return found, len(statements)


def by_key(tags: Sequence[Row[Any]], *columns: str, key: str = "key") -> dict[Any, dict[str, str]]:
    """Values by key of each thing that has tags; the columns name the thing."""
    found: dict[Any, dict[str, str]] = defaultdict(dict)
    thing_of, key_of = attrgetter(*columns), attrgetter(key)
    for tag in tags:
        if tag.value is not None:
            found[thing_of(tag)][key_of(tag)] = tag.value
    return found


def require_usable(uri: str) -> None:
    """See that MLflow can write into a store, or make it: better now than in the middle of a run.

    Raises:
        InputError: it cannot be opened, is locked, or is of another MLflow.
    """
    if uri.startswith("sqlite") and not _sqlite_path(uri).exists():
        return
    from sqlalchemy import inspect

    with _connection(uri) as (connection, _):
        if inspect(connection).get_table_names():
            require_schema(connection, without_password(uri))


def _belongs(runs: Sequence[str]) -> Mapping[str, ColumnElement[bool]]:
    """Which rows of each table belong to some runs; experiments and registered models are few."""
    from sqlalchemy import column as c
    from sqlalchemy import or_, select, table, tuple_, union

    chosen = union(
        select(c("run_uuid")).select_from(table("runs")).where(c("name").in_(runs)),
        select(c("run_uuid"))
        .select_from(table("tags"))
        .where(c("key").in_(RUN_ID_TAGS), c("value").in_(runs)),
    ).scalar_subquery()
    of_run = c("run_uuid").in_(chosen)
    linked = or_(c("destination_id").in_(chosen), c("source_id").in_(chosen))
    inputs = table("inputs")
    models: Select[Any] = select(c("model_id")).select_from(table("logged_models"))
    of_model = c("model_id").in_(models.where(c("source_run_id").in_(chosen)))
    versions: Select[Any, Any] = select(c("name"), c("version")).select_from(
        table("model_versions")
    )
    pushed = versions.where(c("run_id").in_(chosen))
    return {
        **dict.fromkeys(("runs", "tags", "params", "metrics", "latest_metrics"), of_run),
        "inputs": linked,
        "input_tags": c("input_uuid").in_(
            select(c("input_uuid")).select_from(inputs).where(linked)
        ),
        "datasets": c("dataset_uuid").in_(select(c("source_id")).select_from(inputs).where(linked)),
        "logged_models": c("source_run_id").in_(chosen),
        **dict.fromkeys(("logged_model_tags", "logged_model_params"), of_model),
        "logged_model_metrics": c("run_id").in_(chosen),
        "model_versions": c("run_id").in_(chosen),
        "model_version_tags": tuple_(c("name"), c("version")).in_(pushed),
    }


@contextmanager
def _connection(uri: str) -> Iterator[tuple[Connection, list[str]]]:
    """A connection that sees one moment and changes nothing, and the statements made on it."""
    from sqlalchemy import event
    from sqlalchemy.exc import DatabaseError, OperationalError

    engine, statements = _engine(uri), list[str]()
    shown = without_password(uri)

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(engine, "before_cursor_execute", count)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            yield connection, statements
    except OperationalError as error:
        told = str(error.orig)
        if "no such" in told or "decode" in told:
            raise EvidenceError(f"{shown} is not as MLflow made it: {_class(error)}") from error
        raise InputError(
            next((cause for sign, cause in _CAUSES.items() if sign in told), "cannot be reached"),
            where=shown,
            expected="an MLflow store that can be read now",
        ) from error
    except DatabaseError as error:
        raise EvidenceError(f"{shown} is not as MLflow made it: {_class(error)}") from error
    finally:
        engine.dispose()


def _class(error: Any) -> str:
    """The kind of a driver's error, whose message may quote a value."""
    return type(error.orig).__name__


def _engine(uri: str) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError

    try:
        if not uri.startswith("sqlite"):
            # One moment for all statements, as SQLite gives it by itself.
            return create_engine(uri, isolation_level="REPEATABLE READ")
        path = _sqlite_path(uri)
    except (ArgumentError, ModuleNotFoundError, ValueError):  # its message may quote the password
        raise InputError(
            "is no URI of a database that can be opened here",
            where=without_password(uri),
            expected="sqlite:///PATH or postgresql://USER@HOST/DATABASE",
        ) from None
    if not path.is_file():
        raise InputError(
            "is not there", where=str(path), expected="a home in which the pytorch stack has run"
        )
    address = f"file:{quote(str(path))}?mode=ro"
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            address, uri=True, timeout=_SECONDS_FOR_A_LOCK, isolation_level=None
        ),
    )


def _sqlite_path(uri: str) -> Path:
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "")
