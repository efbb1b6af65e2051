"""The facets of the OpenLineage export: the standard's own, and ours for what it lacks on models.

Those of the standard are the classes that ``openlineage-python`` generates from the specification
(https://openlineage.io/docs/spec/facets/). Ours are named as the standard asks of custom facets,
``assay_<name>``, and each has its JSON schema in ``schemas/openlineage``. Importing this module
takes half a second: the library brings its network clients along, and none of them is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attr
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    RunFacet,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    parent_run,
    schema_dataset,
    source_code_location_job,
    test_run,
)

PRODUCER = "urn:assay:lineage-export:1"
"""Who says so: every event and facet must name its producer by a URI."""

SCHEMA_BASE = "urn:assay:schemas/openlineage/1-0-0/"
"""What stands before a file's name in the ``$id`` of each schema in ``schemas/openlineage``."""

_REVISION = re.compile(r"(?:^| )git:([0-9a-f]{40})(?: |$)")
_PASS = "PASS"  # noqa: S105 - a verdict, not a password


def _schema(name: str) -> str:
    return f"{SCHEMA_BASE}{name}.json#/$defs/{name}"


@attr.define
class AssayRunRunFacet(RunFacet):
    """Whose run it is, of what, and what it was bound to; digests are SHA-256 in hex."""

    runId: str
    stack: str | None = None
    candidate: str | None = None
    actor: str | None = None
    seed: str | None = None
    continues: str | None = None
    nativeId: str | None = None
    outcome: str | None = None
    code: str | None = None
    environment: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayRunRunFacet")


@attr.define
class AssayPolicyRunFacet(RunFacet):
    """The policy and the data contract that a run was held to, by the SHA-256 of their files."""

    policy: str | None = None
    contract: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayPolicyRunFacet")


@attr.define
class AssayVerdictRunFacet(RunFacet):
    """What a stage's checks came to; ``waiver`` is what two people signed where it was closed."""

    status: str
    waiver: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayVerdictRunFacet")


@attr.define
class AssayEvidenceRunFacet(RunFacet):
    """The signed record that says the same: of a stage its own, of a run the last one."""

    record: str

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayEvidenceRunFacet")


@attr.define
class AssayFiguresRunFacet(RunFacet):
    """A gate's figures, fairness among them: ``name``, ``slice`` and ``value``, a decimal string.

    A slice is ``overall``, an attribute whose groups are compared, or one group.
    """

    figures: list[dict[str, str]]

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayFiguresRunFacet")


@attr.define
class AssayReleaseRunFacet(RunFacet):
    """The release that a run came to."""

    release: str
    kind: str | None = None
    at: str | None = None
    model: str | None = None
    supersedes: str | None = None
    waiver: str | None = None
    version: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayReleaseRunFacet")


@attr.define
class AssayModelDatasetFacet(DatasetFacet):
    """A model, by the SHA-256 of all its bytes, and its signature by that of the signature file."""

    sha256: str
    type: str | None = None
    seed: str | None = None
    signature: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayModelDatasetFacet")


@attr.define
class AssayRowsDatasetFacet(DatasetFacet):
    """How many rows a dataset version has, and the Merkle root over their keyed commitments."""

    rowsRoot: str | None = None
    rows: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return _schema("AssayRowsDatasetFacet")


def version(digest: str) -> DatasetFacet:
    """A dataset's version: here always the SHA-256 of its content."""
    return dataset_version_dataset.DatasetVersionDatasetFacet(digest, producer=PRODUCER)


def schema(columns: Iterable[tuple[str, str]]) -> DatasetFacet:
    """Columns by name and type, and nothing else of them."""
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name, kind, fields=None) for name, kind in columns
    ]
    return schema_dataset.SchemaDatasetFacet(fields, producer=PRODUCER)


def column_lineage(
    output: str, namespace: str, dataset: str, inputs: Iterable[str]
) -> DatasetFacet:
    """One output column that is made out of some columns of one dataset."""
    made = column_lineage_dataset.Transformation(
        "DIRECT", "TRANSFORMATION", "a model's score", masking=False
    )
    fields = [
        column_lineage_dataset.InputField(namespace, dataset, name, [made]) for name in inputs
    ]
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        {output: column_lineage_dataset.Fields(fields)}, dataset=None, producer=PRODUCER
    )


def assertions(findings: Mapping[str, str], columns: frozenset[str]) -> InputDatasetFacet:
    """What a data gate found of a dataset, rule by rule; whatever is not PASS is no success."""
    found = []
    for rule, status in sorted(findings.items()):
        kind, _, subject = rule.partition(":")
        found.append(
            data_quality_assertions_dataset.Assertion(
                assertion=kind,
                success=status == _PASS,
                column=subject if subject in columns else None,
                name=rule,
                params={"status": status},
            )
        )
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        found, producer=PRODUCER
    )


def tests(findings: Mapping[str, str]) -> RunFacet:
    """What a stage's rules came to; the standard has no word for inconclusive, which is closed."""
    found = [
        test_run.TestExecution(
            name=rule,
            status="pass" if status == _PASS else "fail",
            type=rule.partition(":")[0],
            params={"status": status},
        )
        for rule, status in sorted(findings.items())
    ]
    return test_run.TestRunFacet(found, producer=PRODUCER)


def parent(run: str, namespace: str, job: str) -> RunFacet:
    """The run that a stage belongs to."""
    return parent_run.ParentRunFacet(
        parent_run.Run(run, facets=None),
        parent_run.Job(namespace, job, facets=None),
        producer=PRODUCER,
    )


def source_code(code: str) -> JobFacet | None:
    """The git revision in a code's text; None where it names none.

    Where the repository lies is not known. The standard asks for a URL, so the revision is named by
    its Software Heritage identifier (ISO/IEC 18670), which says what and not where.
    """
    found = _REVISION.search(code)
    if found is None:
        return None
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git", url=f"swh:1:rev:{found[1]}", version=found[1], producer=PRODUCER
    )
