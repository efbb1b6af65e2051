"""Lets a PostgreSQL store hold what TFX writes: long texts, and texts with a backslash.

MLMD has an index over every property's text. PostgreSQL refuses an entry of more than 2,704 bytes,
and TFX's own settings, a schema for one, are longer. MLMD's MySQL schema indexes the first 255
characters; here the same is done under the indexes' own names, so that MLMD takes them for its own.

MLMD 1.17 quotes a text with a backslash twice, which PostgreSQL refuses, and the settings of TFX's
Evaluator have some. On their way to the server backslashes are therefore written as another
character, and read back as what they were.
"""

from __future__ import annotations

from contextlib import closing
from functools import cache
from typing import Any

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as pb

from components.contract.errors import InputError

_INDEXES = {
    "idx_artifact_property_string": "artifactproperty",
    "idx_execution_property_string": "executionproperty",
    "idx_context_property_string": "contextproperty",
}
_IS_WHOLE = "SELECT indexname FROM pg_indexes WHERE indexname = ANY(%s) AND indexdef NOT LIKE %s"


_BACKSLASH, _APART = "\\", "\ue05c"
"""The second is of a block that Unicode leaves to private use: no text has it by itself."""


@cache
def keep_backslashes() -> None:
    """Teach MLMD's client, in this process, to bring backslashes to PostgreSQL and back.

    TFX opens the store by itself, so it is MLMD's own class that has to know. Stores of another
    kind are left alone.
    """
    open_store, call = MetadataStore.__init__, MetadataStore._pywrap_cc_call

    def opened(self: Any, config: Any, *arguments: Any, **named: Any) -> None:
        served = isinstance(config, pb.ConnectionConfig) and config.HasField("postgresql")
        self.writes_apart = served
        open_store(self, config, *arguments, **named)

    def called(self: Any, method: Any, request: Any, response: Any) -> None:
        if not self.writes_apart:
            call(self, method, request, response)
            return
        sent = type(request)()
        sent.CopyFrom(request)
        _exchange(sent, _BACKSLASH, _APART)
        call(self, method, sent, response)
        _exchange(response, _APART, _BACKSLASH)

    MetadataStore.writes_apart = False  # of a store of another kind that was opened before
    MetadataStore.__init__, MetadataStore._pywrap_cc_call = opened, called


def _exchange(message: Any, old: str, new: str) -> None:
    """Exchange a character in every property of a request or an answer."""
    if isinstance(message, pb.Value):
        if message.WhichOneof("value") == "string_value":
            message.string_value = message.string_value.replace(old, new)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = (
                value.values() if field.message_type.fields_by_name["value"].message_type else ()
            )
        else:
            values = value if field.is_repeated else (value,)
        for inner in values:
            _exchange(inner, old, new)


def opened(config: Any) -> Any:
    """A connection of its own to the database that MLMD's settings name."""
    import psycopg2  # type: ignore[import-untyped]

    ssl = {f.name: value for f, value in config.ssloption.ListFields()}
    return psycopg2.connect(
        host=config.host, port=config.port, user=config.user, password=config.password,
        dbname=config.dbname, **ssl,
    )  # fmt: skip


def index_beginnings(config: Any, shown: str) -> None:
    """Index the beginning of each text, where the whole is indexed.

    Args:
        config: MLMD's connection to the database, which has MLMD's tables.
        shown: the URI without its password.

    Raises:
        InputError: the user may not change the tables.
    """
    import psycopg2

    try:
        with closing(opened(config)) as database, database, database.cursor() as cursor:
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
