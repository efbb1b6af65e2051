"""What an auditor finds in MLMD: what binds a run, what each stage came to, and how it ended.

A run is a context, its stages are executions of the nodes that record them, and what they left are
artifacts that carry the SHA-256 of their content. Everything that is written when the pipeline has
ended is copied from the evidence, so that it may be written again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lineage.digests import sha256_file, sha256_tree
from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack.native_properties import (
    binding,
    ending,
    execution_properties,
    run_properties,
    stage_properties,
)

if TYPE_CHECKING:
    from components.stacks.tfx_stack.mlmd_store import CountedStore


def note_content(artifact: Any, process: ReleaseProcess) -> None:
    """Put the run's digests on an artifact that a node of ours is about to publish."""
    for name, value in run_properties(process).items():
        artifact.set_string_custom_property(name, value)


def schema_properties(process: ReleaseProcess) -> dict[str, str]:
    """What the schema's artifact carries: its origin, and the clauses that it does not hold."""
    from components.stacks.tfx_stack.contract_to_tfmd import compile_schema

    compiled = compile_schema(process.contract, process.policy)
    return {
        **run_properties(process),
        "assay_not_expressed": compiled.not_expressed,
    }


def connection(home: Path) -> Any:
    """MLMD's connection to the store of a home, for a pipeline."""
    from components.stacks.tfx_stack import mlmd_store

    return mlmd_store.connection(home)


def begin_run(process: ReleaseProcess) -> None:
    """Make the run's context before its pipeline runs: a run that is killed is known as well."""
    from ml_metadata.proto import metadata_store_pb2 as pb

    from components.stacks.tfx_stack.mlmd_store import CountedStore, prepare

    prepare(Path(process.spec.home))
    store = CountedStore(Path(process.spec.home), writable=True)
    kind = store.put_context_type(
        pb.ContextType(name=names.RUN_CONTEXT), can_add_fields=True, can_omit_fields=True
    )
    context = store.get_context_by_type_and_name(names.RUN_CONTEXT, process.spec.run_id)
    context = context or pb.Context(type_id=kind, name=process.spec.run_id)
    _set(context, binding(process))
    store.put_contexts([context])


def stamp_run(process: ReleaseProcess) -> None:
    """Write what the evidence has of a run onto its context, executions and artifacts.

    Stock components know nothing of content digests, so this is done when the pipeline has ended,
    and again when the run is closed: ``assay_sha256`` names what lies under an artifact's address.
    A digest that stands in the evidence is taken from there. Artifacts of another run that this one
    used stay as they are.
    """
    from components.stacks.tfx_stack.mlmd_store import CountedStore

    store = CountedStore(Path(process.spec.home), writable=True)
    context = store.get_context_by_type_and_name(names.RUN_CONTEXT, process.spec.run_id)
    if context is None:
        return
    _set(context, {**binding(process), **ending(process)})
    executions = store.get_executions_by_context(context.id)
    _stamp_artifacts(process, store, context.id, executions)
    nodes = _nodes(store, executions)
    records = {r.stage: r for r in process.chain.records()}
    for execution in executions:
        record = records.get(names.STAGE_NODES.get(nodes[execution.id], ""))
        stage = stage_properties(record) if record is not None else {}
        _set(execution, {**execution_properties(process), **stage})
    store.put_contexts([context])
    store.put_executions(executions)


def content_digest(path: Path) -> str | None:
    """SHA-256 of a file or of a directory's content; None where nothing was left."""
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir() or not any(p.is_file() for p in path.rglob("*")):
        return None
    return sha256_tree(path)


def _stamp_artifacts(
    process: ReleaseProcess, store: CountedStore, context: int, executions: list[Any]
) -> None:
    run = process.spec.run_id
    artifacts = [
        a
        for a in store.get_artifacts_by_context(context)
        if a.custom_properties[names.RUN].string_value in ("", run)
    ]
    outputs = _stock_outputs(store, executions)
    recorded = {
        (r.stage, name): output["sha256"]
        for r in process.chain.records()
        for name, output in r.body.get("outputs", {}).items()
    }
    for artifact in artifacts:
        output = outputs.get(artifact.id)
        digest = recorded.get(output) if output else None
        digest = digest or artifact.custom_properties[names.SHA256].string_value
        if not digest:
            is_model = output == (Stage.TRAIN, "model")
            served = names.SERVING_FORMAT if is_model else ""
            digest = content_digest(Path(artifact.uri) / served) or ""
        if not digest:
            del artifact.custom_properties[names.SHA256]
        _set(artifact, run_properties(process) | ({names.SHA256: digest} if digest else {}))
    store.put_artifacts(artifacts)


def _nodes(store: CountedStore, executions: list[Any]) -> dict[int, str]:
    """Class of the node that each execution is of."""
    found = {t.id: names.node_of(t.name) for t in store.get_execution_types()}
    return {e.id: found[e.type_id] for e in executions}


def _stock_outputs(store: CountedStore, executions: list[Any]) -> dict[int, tuple[str, str]]:
    """Stage and output, as the evidence names them, of each artifact that a stock node left."""
    nodes, found = _nodes(store, executions), {}
    for event in store.get_events_by_execution_ids(list(nodes)) if nodes else []:
        if event.type == type(event).OUTPUT and event.path.steps:
            output = (nodes[event.execution_id], event.path.steps[0].key)
            if output in names.STAGE_OUTPUTS:
                found[event.artifact_id] = names.STAGE_OUTPUTS[output]
    return {k: (str(stage), name) for k, (stage, name) in found.items()}


def _set(row: Any, properties: Mapping[str, str]) -> None:
    for name, value in properties.items():
        row.custom_properties[name].string_value = value
