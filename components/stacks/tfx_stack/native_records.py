"""What an auditor finds in MLMD: what binds a run, what each stage came to, and how it ended.

A run is a context, its stages are executions of the nodes that record them, and what they left are
artifacts that carry the SHA-256 of their content. Everything that is written when the pipeline has
ended is copied from the evidence, so that it may be written again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lineage.digests import canonical_json, sha256_file, sha256_tree
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord
from components.release.card_masking import FEWEST_SHOWN
from components.release.records import read_releases
from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage
from components.stacks.tfx_stack import mlmd_names as names

if TYPE_CHECKING:
    from components.stacks.tfx_stack.mlmd_store import CountedStore

_WAIVER_FIELDS = ("sha256", "reason", "expires", "signer", "cosigner")

Properties = Mapping[str, str]


def run_properties(process: ReleaseProcess) -> dict[str, str]:
    """What binds an artifact to its run, and to the data and the documents that it follows from."""
    spec = process.spec
    return {
        names.RUN: spec.run_id,
        "assay_dataset_version": spec.dataset_version,
        "assay_contract": spec.contract,
        "assay_policy": spec.policy,
    }


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

    from components.stacks.tfx_stack.mlmd_store import CountedStore

    store = CountedStore(Path(process.spec.home), writable=True)
    kind = store.put_context_type(
        pb.ContextType(name=names.RUN_CONTEXT), can_add_fields=True, can_omit_fields=True
    )
    context = store.get_context_by_type_and_name(names.RUN_CONTEXT, process.spec.run_id)
    context = context or pb.Context(type_id=kind, name=process.spec.run_id)
    _set(context, _binding(process))
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
    _set(context, {**_binding(process), **_ending(process)})
    executions = store.get_executions_by_context(context.id)
    _stamp_artifacts(process, store, context.id, executions)
    nodes = _nodes(store, executions)
    records = {r.stage: r for r in process.chain.records()}
    for execution in executions:
        record = records.get(names.STAGE_NODES.get(nodes[execution.id], ""))
        stage = _stage_properties(record) if record is not None else {}
        _set(execution, {**_execution_properties(process), **stage})
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


def _binding(process: ReleaseProcess) -> dict[str, str]:
    """What a run is about, known before its first stage."""
    spec, manifest = process.spec, process.dataset.manifest
    found = {
        **run_properties(process),
        "assay_stack": spec.stack,
        "assay_candidate": spec.candidate,
        "assay_dataset": spec.dataset,
        "assay_rows_root": str(manifest["root"]),
        "assay_rows": str(manifest["rows"]),
        "assay_code": spec.code,
        "assay_environment": spec.environment,
        "assay_lock": spec.lock,
        "assay_sbom": spec.sbom,
        "assay_image": spec.image,
        "assay_seed": str(process.policy.training.seed),
        "assay_actor": spec.actor,
        "assay_started": spec.started,
    }
    if spec.continues is not None:
        found |= {"assay_continues": spec.continues, "assay_continues_reason": spec.reason or ""}
    return found


def _ending(process: ReleaseProcess) -> dict[str, str]:
    """How a closed run ended, and the release that came of it; nothing of one that is open."""
    records = process.chain.records()
    if not records or records[-1].stage != CLOSING_STAGE:
        return {}
    spec, closing = process.spec, records[-1]
    found = {f"assay_{k}": str(closing.body[k]) for k in ("outcome", "reason", "finished")}
    found["assay_head"] = closing.digest
    for release in read_releases(Path(spec.home), spec.dataset, spec.stack):
        if release.run == spec.run_id:
            at = release.at.isoformat(timespec="microseconds")
            values = {f: str(getattr(release, f)) for f in names.RELEASE} | {"at": at}
            found |= {f"assay_release_{f}": v for f, v in values.items()}
    return found


def _execution_properties(process: ReleaseProcess) -> dict[str, str]:
    """What binds an execution to its run, and to what ran."""
    spec = process.spec
    return {
        names.RUN: spec.run_id,
        "assay_code": spec.code,
        "assay_environment": spec.environment,
    }


def _stage_properties(record: EvidenceRecord) -> dict[str, str]:
    """A stage's outcome. Figures of fewer than 11 people stay in the evidence."""
    body = record.body
    figures = {
        f"{m['name']}@{m['slice']}": m["value"]
        for m in reversed(body["nativeMeasurements"])
        if m["value"] is not None and m["n"] >= FEWEST_SHOWN
    }
    own = {name for stage, name in names.STAGE_OUTPUTS.values() if stage == record.stage}
    outputs = {k: v for k, v in body["outputs"].items() if k not in own}
    waiver = {k: v for k, v in (body.get("waiver") or {}).items() if k in _WAIVER_FIELDS}
    found = {
        names.STAGE: record.stage,
        "assay_status": body["verdict"]["status"],
        "assay_reason": body["verdict"]["reason"],
        "assay_started": body["started"],
        "assay_finished": body["finished"],
        "assay_tools": ", ".join(f"{k} {v}" for k, v in sorted(body["tools"].items())),
        "assay_record": record.digest,
    }
    documents = {names.FIGURES: figures, names.OUTPUTS: outputs, names.WAIVER: waiver}
    return found | {k: canonical_json(v).decode() for k, v in documents.items() if v}


def _set(row: Any, properties: Properties) -> None:
    for name, value in properties.items():
        row.custom_properties[name].string_value = value
