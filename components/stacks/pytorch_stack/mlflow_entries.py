"""Everything that an MLflow store holds of each run of the release process, property by property.

A path begins with what the property is of: ``experiment/<id>``, ``run/<MLflow run>``,
``logged_model/<id>`` or ``model_version/<name>/<version>``; then comes the column, or ``tag``,
``param``, ``metric``, ``latest_metric``, ``input`` or ``output`` and its key. Of each file that
MLflow keeps for the run or for its logged model, the entry ``file`` and its relative path is the
SHA-256. An alias is none of a run's properties: it moves on with the next release.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lineage.digests import decimal
from components.stacks.pytorch_stack.mlflow_files import files_of
from components.stacks.pytorch_stack.mlflow_rows import RUN_ID_TAGS

if TYPE_CHECKING:
    from sqlalchemy import Row

    from components.stacks.pytorch_stack.mlflow_rows import Rows

_OF_EXPERIMENT = ("name", "artifact_location", "lifecycle_stage", "creation_time")


def owners(rows: Rows) -> dict[str, str]:
    """Id of the run of the release process for each MLflow run that stands for one.

    MLflow has it in three places; what most of them say counts, so that an edit of one of them
    shows as what it is and not as a run that has gone.
    """
    said: dict[str, Counter[str]] = {r.run_uuid: Counter([r.name]) for r in rows["runs"] if r.name}
    ours = set()
    for tag in rows["tags"]:
        if tag.key in RUN_ID_TAGS:
            said.setdefault(tag.run_uuid, Counter())[tag.value] += 1
        if tag.key.startswith("assay."):
            ours.add(tag.run_uuid)
    return {uuid: said[uuid].most_common(1)[0][0] for uuid in sorted(ours & said.keys())}


class RunEntries(Mapping[str, Mapping[str, str]]):
    """The entries of each run, by its id; put together when the first of them is asked for."""

    def __init__(self, rows: Rows, owner: Mapping[str, str], stores: Path) -> None:
        self._rows, self._owner, self._stores = rows, owner, stores
        self._found: dict[str, dict[str, str]] = {}

    def __getitem__(self, run: str) -> Mapping[str, str]:
        if not self._found:
            self._found = {name: {} for name in self._owner.values()}
            for uuid, path, value in _properties(self._rows):
                self._note(uuid, path, value)
            for uuid, path, value in files_of(self._rows, self._stores):
                self._note(uuid, path, value)
        return self._found[run]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(set(self._owner.values())))

    def __len__(self) -> int:
        return len(set(self._owner.values()))

    def _note(self, uuid: str, path: str, value: Any) -> None:
        if uuid not in self._owner or value is None:
            return
        held, text = self._found[self._owner[uuid]], _text(value)
        if held.setdefault(path, text) != text:
            # Only a metric can have two values at one step and moment; both are properties.
            held[path] = " | ".join(sorted([held[path], text]))


def _text(value: Any) -> str:
    return str(decimal(value)) if isinstance(value, float) else str(value)


def _properties(rows: Rows) -> Iterator[tuple[str, str, Any]]:
    """MLflow run, path and value of every property."""
    yield from _of_runs(rows)
    yield from _of_metrics(rows)
    yield from _of_links(rows)
    yield from _of_logged_models(rows)
    yield from _of_versions(rows)


def _columns(row: Row[Any]) -> Iterator[tuple[str, Any]]:
    yield from row._mapping.items()


def _of_runs(rows: Rows) -> Iterator[tuple[str, str, Any]]:
    experiments = {e.experiment_id: e for e in rows["experiments"]}
    for run in rows["runs"]:
        for name, value in _columns(run):
            yield run.run_uuid, f"run/{run.run_uuid}/{name}", value
        if (experiment := experiments.get(run.experiment_id)) is not None:
            for name in _OF_EXPERIMENT:
                path = f"experiment/{run.experiment_id}/{name}"
                yield run.run_uuid, path, getattr(experiment, name)
    for kind in ("param", "tag"):
        for row in rows[f"{kind}s"]:
            yield row.run_uuid, f"run/{row.run_uuid}/{kind}/{row.key}", row.value


def _of_metrics(rows: Rows) -> Iterator[tuple[str, str, Any]]:
    for m in rows["metrics"]:
        path = f"run/{m.run_uuid}/metric/{m.key}/{m.step}/{m.timestamp}"
        yield m.run_uuid, path, "NaN" if m.is_nan else m.value
    for m in rows["latest_metrics"]:
        value = "NaN" if m.is_nan else decimal(m.value)
        text = f"{value} at step {m.step}, {m.timestamp}"
        yield m.run_uuid, f"run/{m.run_uuid}/latest_metric/{m.key}", text


def _of_links(rows: Rows) -> Iterator[tuple[str, str, Any]]:
    """What a run took in and gave out, with the datasets that are at the other end."""
    datasets = {d.dataset_uuid: d for d in rows["datasets"]}
    tags: dict[str, list[Row[Any]]] = defaultdict(list)
    for tag in rows["input_tags"]:
        tags[tag.input_uuid].append(tag)
    for link in rows["inputs"]:
        into = link.destination_type == "RUN"
        uuid = link.destination_id if into else link.source_id
        path = f"run/{uuid}/{'input' if into else 'output'}/{link.input_uuid}"
        for name, value in _columns(link):
            yield uuid, f"{path}/{name}", value
        for tag in tags[link.input_uuid]:
            yield uuid, f"{path}/tag/{tag.name}", tag.value
        if link.source_id in datasets:
            for name, value in _columns(datasets[link.source_id]):
                yield uuid, f"{path}/dataset/{name}", value


def _of_logged_models(rows: Rows) -> Iterator[tuple[str, str, Any]]:
    made_by = {m.model_id: m.source_run_id for m in rows["logged_models"]}
    for model in rows["logged_models"]:
        for name, value in _columns(model):
            yield model.source_run_id, f"logged_model/{model.model_id}/{name}", value
    for kind in ("param", "tag"):
        for row in rows[f"logged_model_{kind}s"]:
            key, value = getattr(row, f"{kind}_key"), getattr(row, f"{kind}_value")
            path = f"logged_model/{row.model_id}/{kind}/{key}"
            yield made_by.get(row.model_id, ""), path, value
    for m in rows["logged_model_metrics"]:
        # They are properties of the run that measured, which need not be the one that trained.
        path = f"logged_model/{m.model_id}/metric/{m.metric_name}/{m.metric_step}"
        yield m.run_id, f"{path}/{m.metric_timestamp_ms}", m.metric_value


def _of_versions(rows: Rows) -> Iterator[tuple[str, str, Any]]:
    pushed_by = {(v.name, v.version): v.run_id for v in rows["model_versions"]}
    for version in rows["model_versions"]:
        path = f"model_version/{version.name}/{version.version}"
        for name, value in _columns(version):
            yield version.run_id, f"{path}/{name}", value
    for tag in rows["model_version_tags"]:
        path = f"model_version/{tag.name}/{tag.version}/tag/{tag.key}"
        yield pushed_by.get((tag.name, tag.version), ""), path, tag.value
