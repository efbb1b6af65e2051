"""Lets a PostgreSQL store hold what TFX writes: MLMD indexes texts whole, PostgreSQL does not.

MLMD has an index over every property's text. PostgreSQL refuses an entry of more than 2,704 bytes,
and TFX's own settings, a schema for one, are longer. MLMD's MySQL schema indexes the first 255
characters; here the same is done under the indexes' own names, so that MLMD takes them for its own.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from components.contract.errors import InputError

_INDEXES = {
    "idx_artifact_property_string": "artifactproperty",
    "idx_execution_property_string": "executionproperty",
    "idx_context_property_string": "contextproperty",
}
_IS_WHOLE = "SELECT indexname FROM pg_indexes WHERE indexname = ANY(%s) AND indexdef NOT LIKE %s"


def index_beginnings(config: Any, shown: str) -> None:
    """Index the beginning of each text, where the whole is indexed.

    Args:
        config: MLMD's connection to the database, which has MLMD's tables.
        shown: the URI without its password.

    Raises:
        InputError: the user may not change the tables.
    """
    import psycopg2  # type: ignore[import-untyped]

    ssl = {f.name: value for f, value in config.ssloption.ListFields()}
    try:
        with closing(
            psycopg2.connect(
                host=config.host, port=config.port, user=config.user, password=config.password,
                dbname=config.dbname, **ssl,
            )
        ) as database, database, database.cursor() as cursor:  # fmt: skip
            cursor.execute(_IS_WHOLE, (list(_INDEXES), "%left%"))
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP INDEX IF EXISTS {name}")
                columns = '(name, is_custom_property, "left"(string_value, 255))'
                cursor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {_INDEXES[name]} {columns}")
    except psycopg2.Error as error:
        raise InputError(
            "its indexes of MLMD's texts cannot be changed",
            where=shown,
            expected="the owner of MLMD's tables: PostgreSQL indexes no text as long as TFX's",
        ) from error
