"""`assay lineage export`: lineage out of any store, in the formats that other tools read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from components.contract.errors import InputError
from components.lineage.graph import LineageGraph, LineageStore, NodeKind
from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

lineage_app = typer.Typer(
    help="Hand out lineage in the formats that other tools read.", no_args_is_help=True
)

_DEFAULT_HOME = Path(".assay")
_STACKS = {"tfx": "mlmd", "pytorch": "mlflow"}
_EVIDENCE = "evidence"
_FORMATS = _OPENLINEAGE, _PROV = "openlineage", "prov"


@lineage_app.callback()
def _lineage() -> None:
    """Keep `export` a command of its own though it is the only one."""


@lineage_app.command()
@reads_evidence
def export(
    source: Annotated[
        str, typer.Option("--from", help="Where to read it: mlmd, mlflow or evidence.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    stack: Annotated[
        str | None,
        typer.Option(help="tfx or pytorch; the store's own, or both out of evidence."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="openlineage or prov.")] = _OPENLINEAGE,
    run: Annotated[str | None, typer.Option(help="One run's id; all runs if not given.")] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write lineage as OpenLineage events, one a line, or as W3C PROV-JSON.

    The same lineage gives the same bytes. A file that is there already is left as it is.
    """
    from rich.console import Console

    from components.audit.access_log import record_access
    from pipelines.files import require_target, write_new

    if form not in _FORMATS:
        raise InputError(f"no format {form!r}", where="--format", expected=" or ".join(_FORMATS))
    store = _store(source, stack, home)
    require_target(output)
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with console.status(f"reading {store.name}"):
        graph = _read(store, run, home)
        content = _content(graph, source, form, home)
    runs = [node.key for node in graph.of_kind(NodeKind.RUN)]
    there = _is_there(output, content)
    record_access(home, "lineage export", runs, f"{form} from {source}: {len(runs)} runs")
    if not there:
        write_new(output, content)
    _tell(output, content, runs, as_json)


def _store(source: str, stack: str | None, home: Path) -> LineageStore:
    """The store of that name, if it is one that the stack keeps."""
    from pipelines.lineage_stores import evidence_store, native_store

    if stack is not None and stack not in _STACKS:
        raise InputError(f"no stack {stack!r}", where="--stack", expected=" or ".join(_STACKS))
    if not home.is_dir():
        raise InputError("is no directory", where=str(home), expected="a home (`--home DIR`)")
    if source == _EVIDENCE:
        return evidence_store(home, stack)
    owners = {store: name for name, store in _STACKS.items()}
    if source not in owners:
        known = ", ".join(owners)
        raise InputError(f"no store {source!r}", where="--from", expected=f"{known} or {_EVIDENCE}")
    if stack not in (None, owners[source]):
        raise InputError(
            f"{source} is not a store of {stack}",
            where="--from",
            expected=f"{_STACKS[str(stack)]} or {_EVIDENCE}",
        )
    return native_store(owners[source], home)


def _read(store: LineageStore, run: str | None, home: Path) -> LineageGraph:
    """What a store holds of one run, or of all; of none is an error."""
    graph = store.read(None if run is None else {run}).graph
    known = {node.key for node in graph.of_kind(NodeKind.RUN)}
    if run is not None and run not in known:
        raise InputError(
            f"no run {run!r}", where=f"{store.name} of {home}", expected="the id of a run in it"
        )
    if not known:
        raise InputError("holds no run", where=f"{store.name} of {home}", expected="a run's home")
    return graph


def _content(graph: LineageGraph, source: str, form: str, home: Path) -> bytes:
    if form == _PROV:
        from components.lineage.prov_export import prov_json

        return prov_json(graph)

    from components.lineage.openlineage_export import openlineage_events
    from pipelines.lineage_details import bound_documents, declared_only, with_records

    bound = bound_documents(graph, home)
    told = with_records(graph, home, bound) if source == _EVIDENCE else declared_only(graph, bound)
    candidates = {n.key: n.attributes.get("candidate") for n in graph.of_kind(NodeKind.RUN)}
    documents = {key: b.documents(candidates[key]) for key, b in bound.items()}
    content = openlineage_events(told, documents)
    if not content:
        raise InputError(
            "knows no time of any run or stage, and without one there is no event",
            where=f"{source} of {home}",
            expected=f"another store, or --format {_PROV}",
        )
    return content


def _is_there(path: Path, content: bytes) -> bool:
    """Whether a file is there that says the same; one that says something else stays as it is."""
    try:
        same = path.read_bytes() == content
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a file to write"
        ) from error
    if not same:
        raise InputError(
            "is there already, with something else in it",
            where=str(path),
            expected="a name that is free",
        )
    return True


def _tell(output: Path, content: bytes, runs: list[str], as_json: bool) -> None:
    from pipelines.json_output import print_json

    if as_json:
        digest = hashlib.sha256(content).hexdigest()
        print_json({"path": str(output), "sha256": digest, "runs": runs})
    else:
        typer.echo(output)
