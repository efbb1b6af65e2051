"""What an auditor finds in MLMD: content digests on the run's context and on every artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lineage.digests import sha256_file, sha256_tree
from components.stacks.process import ReleaseProcess


def run_properties(process: ReleaseProcess) -> dict[str, str]:
    """What binds a native record to the run, its data, contract, policy and code."""
    spec = process.spec
    return {
        "assay_run": spec.run_id,
        "assay_candidate": spec.candidate,
        "assay_dataset_version": spec.dataset_version,
        "assay_rows_root": str(process.dataset.manifest["root"]),
        "assay_contract": spec.contract,
        "assay_policy": spec.policy,
        "assay_code": spec.code,
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
    """MLMD's connection to the home's SQLite store."""
    from tfx.orchestration import metadata

    path = home / "stores" / "mlmd.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    return metadata.sqlite_metadata_connection_config(str(path))


def stamp_run(process: ReleaseProcess) -> None:
    """Put digests on everything that the run left in MLMD: its context, artifacts, executions.

    Stock components know nothing of content digests, so their artifacts are stamped when the
    pipeline has ended: ``assay_sha256`` names what lies under the artifact's address. Artifacts of
    another run that this one used stay as they are.
    """
    from ml_metadata import metadata_store

    store = metadata_store.MetadataStore(connection(Path(process.spec.home)))
    context = store.get_context_by_type_and_name("pipeline_run", process.spec.run_id)
    if context is None:
        return
    bound = run_properties(process)
    artifacts = [
        a
        for a in store.get_artifacts_by_context(context.id)
        if a.custom_properties["assay_run"].string_value in ("", process.spec.run_id)
    ]
    executions = store.get_executions_by_context(context.id)
    for record in (context, *artifacts, *executions):
        for name, value in bound.items():
            record.custom_properties[name].string_value = value
    for artifact in artifacts:
        digest = content_digest(Path(artifact.uri))
        if digest is not None:
            artifact.custom_properties["assay_sha256"].string_value = digest
    store.put_contexts([context])
    store.put_artifacts(artifacts)
    store.put_executions(executions)


def content_digest(path: Path) -> str | None:
    """SHA-256 of a file or of a directory's content; None where nothing was left."""
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir() or not any(p.is_file() for p in path.rglob("*")):
        return None
    return sha256_tree(path)
