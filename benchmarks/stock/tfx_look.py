"""What TFX and ML Metadata tell somebody who looks at a pushed model after its release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

from benchmarks.stock.runs import WORK, Said, tool
from benchmarks.stock.tfx_quickstart import DATABASE, ingest_again, outputs, pushed
from benchmarks.stock.tfx_trainer import SIGNATURE


def look(home: Path) -> list[Said]:
    """Ask MLMD what is behind the pushed model, load and call it, and ingest the input again."""
    database, said = home / WORK / DATABASE, []

    def tell(stage: str, distribution: str, message: str) -> None:
        said.append(Said(stage, tool(distribution), message, database))

    store = _store(database)
    models = store.get_artifacts_by_type("PushedModel")
    events = store.get_events_by_artifact_ids([m.id for m in models])
    known = store.get_executions_by_id([e.execution_id for e in events])
    if not known:
        tell("MLMD", "ml-metadata", "no execution is behind the pushed model")
    for blessing in store.get_artifacts_by_type("ModelBlessing"):
        blessed = blessing.custom_properties["blessed"].int_value == 1
        if blessed != (Path(blessing.uri) / "BLESSED").exists():
            tell("MLMD", "ml-metadata", "a blessing's property and its file differ")
    del store
    try:
        model = tf.saved_model.load(str(pushed(home)))
        files = tf.io.gfile.glob(f"{outputs(home, 'CsvExampleGen/examples')[-1]}/Split-eval/*")
        rows = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(2)
        model.signatures[SIGNATURE](examples=next(iter(rows)))
    except Exception as error:  # noqa: BLE001 - whatever a spoilt file breaks is what is measured
        kind = type(error).__name__
        tell("load", "tensorflow", f"the pushed model cannot be loaded: {kind}")
    tfx.orchestration.LocalDagRunner().run(ingest_again(home))
    last = max(_store(database).get_executions(), key=lambda e: e.id)
    if last.last_known_state != metadata_store_pb2.Execution.CACHED:
        message = "nothing cached has the fingerprint of the input: it is ingested anew"
        tell("CsvExampleGen", "tfx", message)
    return said


def _store(database: Path) -> Any:
    config = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(database))
    return MetadataStore(config)
