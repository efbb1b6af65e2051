"""Lineage read back from an MLflow store alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract.stages import Stage
from components.lineage.digests import decimal
from components.lineage.graph import EdgeKind, GraphBuilder, NodeKind, StoreReading
from components.stacks.pytorch_stack.metric_names import figure_of
from components.stacks.pytorch_stack.mlflow_entries import RunEntries, owners
from components.stacks.pytorch_stack.mlflow_rows import by_key, read_rows, store_uri
from components.stacks.pytorch_stack.mlflow_strays import strays
from components.stacks.pytorch_stack.tag_texts import read_document, whole

if TYPE_CHECKING:
    from sqlalchemy import Row

    from components.stacks.pytorch_stack.mlflow_rows import Rows

Tags = Mapping[str, str]

_MODELS = ("model", "serving_model")
_SERIES = {"assay.dataset", "assay.stack"}
_MODEL_USERS = (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)


class MlflowLineage:
    """The MLflow store of a home, or of the URI that ``ASSAY_MLFLOW_URI`` names."""

    name = "mlflow"

    def __init__(self, home: Path) -> None:
        self.home = home

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """All that MLflow holds of every run, or of some; as many statements for one as for all.

        A run that MLflow has another name for in most places is none of those asked for. What
        stands in the registry and is no run's doing is a release of its own in the whole store.

        Raises:
            InputError: the store is not there, cannot be opened, is locked, or is of an older or
                newer MLflow.
            EvidenceError: it is there, and broken.
        """
        rows, statements = read_rows(store_uri(self.home), runs)
        owner = {u: run for u, run in owners(rows).items() if runs is None or run in runs}
        graph = GraphBuilder()
        _Reader(rows, owner, graph).read()
        for key, place in strays(rows, owner) if runs is None else ():
            graph.node(NodeKind.RELEASE, key, model=place)
        entries = RunEntries(rows, owner, self.home / "stores")
        return StoreReading(graph.build(), entries, statements)


class _Reader:
    """Puts the rows of a store into a graph."""

    def __init__(self, rows: Rows, owner: Mapping[str, str], graph: GraphBuilder) -> None:
        self.rows, self.owner, self.graph = rows, owner, graph
        self.tags = by_key(rows["tags"], "run_uuid")
        self.inputs = _dataset_inputs(rows)
        self.metrics: dict[str, list[Row[Any]]] = defaultdict(list)
        for metric in rows["latest_metrics"]:
            self.metrics[metric.run_uuid].append(metric)

    def read(self) -> None:
        """Runs first; a run that was begun again in MLflow is told by its last beginning."""
        ours = [r for r in self.rows["runs"] if r.run_uuid in self.owner]
        ours.sort(key=lambda r: (r.lifecycle_stage != "active", -(r.start_time or 0), r.run_uuid))
        for row in ours:
            self._run(row.run_uuid)
        for row in ours:
            origin = self.tags[row.run_uuid].get("assay.continues")
            if origin in self.owner.values():
                run = f"run/{self.owner[row.run_uuid]}"
                self.graph.edge(run, EdgeKind.INFORMED_BY, f"run/{origin}")
        self._registry()

    def _run(self, uuid: str) -> None:
        graph, tags, run = self.graph, self.tags[uuid], self.owner[uuid]
        outcome = tags.get("assay.outcome")
        node = graph.node(
            NodeKind.RUN,
            run,
            stack=tags.get("assay.stack"),
            candidate=tags.get("assay.candidate"),
            dataset=tags.get("assay.dataset"),
            actor=tags.get("assay.actor"),
            started=tags.get("assay.started"),
            finished=tags.get("assay.finished"),
            outcome="unfinished" if outcome == "running" else outcome,
            reason=whole(tags.get("assay.reason")),
            head=tags.get("assay.evidence_head"),
            continues=tags.get("assay.continues"),
            seed=tags.get("assay.seed"),
            native_id=uuid,
        )
        self._used(node, uuid)
        if actor := tags.get("assay.actor"):
            graph.edge(node, EdgeKind.ASSOCIATED_WITH, graph.node(NodeKind.ACTOR, actor))
        for stage in Stage:
            if f"assay.stage.{stage}" in tags:
                self._stage(run, stage, uuid)

    def _used(self, run: str, uuid: str) -> None:
        """What the run took in; the datasets as its tags and as its inputs name them."""
        graph, tags = self.graph, self.tags[uuid]
        dataset = tags.get("assay.dataset")
        things = {
            NodeKind.CONTRACT: tags.get("assay.contract"),
            NodeKind.POLICY: tags.get("assay.policy"),
            NodeKind.CODE: tags.get("assay.code"),
            NodeKind.ENVIRONMENT: tags.get("assay.environment"),
        }
        for kind, key in things.items():
            if key:
                documents = kind in (NodeKind.CONTRACT, NodeKind.POLICY)
                thing = graph.node(kind, key, dataset=dataset if documents else None)
                graph.edge(run, EdgeKind.USED, thing)
        if version := tags.get("assay.dataset_version"):
            root = tags.get("assay.rows_root")
            data = graph.node(NodeKind.DATASET, version, name=dataset, rows_root=root)
            graph.edge(run, EdgeKind.USED, data)
        for version, rows in self.inputs[uuid].items():
            data = graph.node(NodeKind.DATASET, version, name=dataset, rows=str(rows))
            graph.edge(run, EdgeKind.USED, data)

    def _stage(self, run: str, stage: Stage, uuid: str) -> None:
        graph, tags = self.graph, self.tags[uuid]
        prefix = f"assay.stage.{stage}"
        node = graph.node(
            NodeKind.STAGE,
            f"{run}/{stage}",
            status=tags[prefix],
            reason=whole(tags.get(f"{prefix}.reason")),
            started=tags.get(f"{prefix}.started"),
            finished=tags.get(f"{prefix}.finished"),
            tools=whole(tags.get(f"{prefix}.tools")),
            record=tags.get(f"{prefix}.record"),
        )
        graph.edge(node, EdgeKind.PART_OF, f"run/{run}")
        version = tags.get("assay.dataset_version")
        data = graph.node(NodeKind.DATASET, version) if version else None
        if stage is Stage.INGEST and data:
            graph.edge(node, EdgeKind.USED, data)
        for name, value in self._told(stage, uuid):
            graph.note(node, name, value)
        if stage is Stage.RELEASE_GATE:
            self._waiver(node, tags)
        for name, digest in _below(tags, f"assay.output.{stage}."):
            self._output(node, name, digest, data, tags)
        pushed = tags.get("assay.output.push.serving_model")
        if pushed and stage in _MODEL_USERS:
            graph.edge(node, EdgeKind.USED, graph.node(NodeKind.MODEL, pushed))

    def _output(self, stage: str, name: str, digest: str, data: str | None, tags: Tags) -> None:
        graph = self.graph
        if name in _MODELS:
            thing = graph.node(NodeKind.MODEL, digest, seed=tags.get("assay.seed"))
            if data:
                graph.edge(thing, EdgeKind.DERIVED_FROM, data)
        else:
            thing = graph.node(NodeKind.ARTIFACT, digest)
        graph.edge(thing, EdgeKind.GENERATED_BY, stage, role=name)

    def _told(self, stage: Stage, uuid: str) -> Iterator[tuple[str, str]]:
        """What was found and measured; the release gate's figures are metrics of the run."""
        tags = self.tags[uuid]
        for rule, status in read_document(f"assay.stage.{stage}.findings", tags).items():
            yield f"finding:{rule}", status
        for figure, value in read_document(f"assay.stage.{stage}.figures", tags).items():
            yield f"figure:{figure}", value
        for metric in self.metrics[uuid] if stage is Stage.RELEASE_GATE else ():
            if (known := figure_of(metric.key)) is not None:
                value = "NaN" if metric.is_nan else str(decimal(metric.value))
                yield f"figure:{'@'.join(known)}", value

    def _waiver(self, gate: str, tags: Tags) -> None:
        if digest := tags.get("assay.waiver.sha256"):
            node = self.graph.node(NodeKind.WAIVER, digest)
            for name in ("reason", "expires", "signer", "cosigner"):
                self.graph.note(node, name, whole(tags.get(f"assay.waiver.{name}")))
            self.graph.edge(gate, EdgeKind.USED, node)

    def _registry(self) -> None:
        """Registered models and, of those that were released, the releases."""
        aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
        for alias in self.rows["registered_model_aliases"]:
            aliases[alias.name, alias.version].append(alias.alias)
        tags_of = by_key(self.rows["model_version_tags"], "name", "version")
        releases = {}
        for row in sorted(self.rows["model_versions"], key=lambda v: (v.name, v.version)):
            tags, known = tags_of[row.name, row.version], self.tags[row.run_id]
            if row.run_id not in self.owner or "assay.sha256" not in tags:
                continue
            model = self.graph.node(
                NodeKind.MODEL, tags["assay.sha256"], location=f"models:/{row.name}/{row.version}"
            )
            held = ", ".join(sorted(aliases[row.name, row.version]))
            if "assay.release" in tags and known.keys() >= _SERIES:
                series = f"{known['assay.dataset']}/{known['assay.stack']}"
                release = self._release(series, row, tags, model, held)
                releases[release] = f"release/{series}/{tags.get('assay.supersedes')}"
            else:
                self.graph.note(model, "alias", held)
        for release, before in releases.items():
            if before in releases:
                self.graph.edge(release, EdgeKind.INFORMED_BY, before)

    def _release(self, series: str, row: Row[Any], tags: Tags, model: str, alias: str) -> str:
        graph = self.graph
        node = graph.node(NodeKind.RELEASE, f"{series}/{tags['assay.release']}")
        for attribute in ("kind", "at", "actor", "run_id", "supersedes", "waiver"):
            name = "run" if attribute == "run_id" else attribute
            graph.note(node, name, tags.get(f"assay.{attribute}"))
        graph.note(node, "reason", whole(tags.get("assay.reason")))
        graph.note(node, "model", tags["assay.sha256"])
        graph.note(node, "version", str(row.version))
        graph.note(node, "alias", alias)
        graph.edge(node, EdgeKind.GENERATED_BY, f"run/{self.owner[row.run_id]}")
        graph.edge(node, EdgeKind.DERIVED_FROM, model)
        if actor := tags.get("assay.actor"):
            graph.edge(node, EdgeKind.ASSOCIATED_WITH, graph.node(NodeKind.ACTOR, actor))
        return node


def _below(tags: Tags, prefix: str) -> Iterator[tuple[str, str]]:
    """Tags that begin with a prefix, without it."""
    return ((k.removeprefix(prefix), v) for k, v in sorted(tags.items()) if k.startswith(prefix))


def _dataset_inputs(rows: Rows) -> dict[str, dict[str, int]]:
    """Number of rows, over all splits, of each dataset version that a run took in, by MLflow run.

    What was evaluated is a table of scores and no split: it has no such tags.
    """
    tags = by_key(rows["input_tags"], "input_uuid", key="name")
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for link in rows["inputs"]:
        held = tags[link.input_uuid]
        version, count = held.get("assay.dataset_version"), held.get("assay.rows", "")
        if version and link.destination_type == "RUN":
            known = found[link.destination_id]
            known[version] = known.get(version, 0) + (int(count) if count.isdecimal() else 0)
    return found
