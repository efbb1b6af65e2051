"""What stands in MLflow's model registry and is no run's doing.

The stack registers a dataset's models as ``assay-<dataset>``, each version for the run that pushed
it, and gives the released one the alias ``champion``; nothing else. A version of no run of the
release process, another alias, a description or a tag of the registered model belongs to no run
and so to no list of entries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.stacks.pytorch_stack.mlflow_rows import Rows

_PREFIX, _STACK, _CHAMPION = "assay-", "pytorch", "champion"
_DELETED = "Deleted_Internal"
"""The stage that MLflow gives a version which it has deleted, and of which it keeps the row."""


def strays(rows: Rows, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Everything in the registry that no run brought about, as the key of a release.

    Args:
        rows: of the whole store.
        known: MLflow runs that stand for a run of the release process.

    Yields:
        ``<dataset>/pytorch/<what it is>``, which no recorded release has as its key, and where it
        stands, as ``models:/<name>`` and the version. Descriptions and values are not quoted.
    """
    for name, what, version in _found(rows, known):
        if name.startswith(_PREFIX):
            place = f"models:/{name}" if version is None else f"models:/{name}/{version}"
            yield f"{name.removeprefix(_PREFIX)}/{_STACK}/{what}", place


def _found(rows: Rows, known: Collection[str]) -> Iterator[tuple[str, str, int | None]]:
    for version in rows["model_versions"]:
        if version.run_id not in known and version.current_stage != _DELETED:
            yield version.name, f"version {version.version}", version.version
    for alias in rows["registered_model_aliases"]:
        if alias.alias != _CHAMPION:
            yield alias.name, f"alias {alias.alias}", alias.version
    for model in rows["registered_models"]:
        if model.description:
            yield model.name, "description", None
    for tag in rows["registered_model_tags"]:
        yield tag.name, f"tag {tag.key}", None
