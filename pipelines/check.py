"""`assay check`: the contract's clauses and the policy's drift limits on files alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.checks.coverage import Covered, coverage
from components.checks.gates import data_gate
from components.checks.measurement import Verdict, conclude
from components.checks.schema import schema_findings
from components.checks.small_figures import hidden_figures, masked_verdict
from components.contract.clauses import Clause, drift_clauses, schema_clauses
from components.contract.contract import NO_SPAN, Contract
from components.contract.errors import InputError
from components.contract.policy import DataGatePolicy, Policy
from components.datasets.sources import RowSource, open_source, require_columns
from components.datasets.typed_rows import open_rows
from components.profile.compute import TypedRows, profile_rows
from components.profile.edges import Edges, edges_of
from components.profile.profile import Profile
from components.profile.sql import literal, quote
from components.profile.stored import StoredProfile

ENGINE = "referee"
"""The one engine that runs here: the native ones need their frameworks, and run in a stack."""

Watch = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, about which data.

    ``profile`` is of the current rows, and can be a later check's baseline.
    """

    contract: Contract
    policy: Policy | None
    source: RowSource
    reference: str | None
    rows: int
    profile: Profile
    verdict: Verdict

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """Everything that was to be checked."""
        drift = () if self.policy is None else drift_clauses(self.contract, self.policy.data_gate)
        return (*schema_clauses(self.contract), *drift)

    @property
    def covered(self) -> tuple[Covered, ...]:
        """Which engine executed which clause, with its status."""
        return coverage(self.clauses, {ENGINE: self.verdict.findings})


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides of a comparison; ``spans`` where they were cut out of one table by span."""

    current: Profile
    baseline: Profile | None
    spans: Sequence[str] | None = None
    unusable: str | None = None


def check_schema(contract: Contract, source: RowSource, watch: Watch) -> Checked:
    """The contract's own clauses alone, at a caller's explicit wish.

    Raises:
        InputError: the files cannot be read, or have none of the contract's columns.
    """
    present, absent = _columns(contract, source)
    with open_rows(present, source) as rows:
        profile = profile_rows(rows, present, {}, max_categories=1, watch=watch)
    verdict = conclude(schema_findings(profile, contract, absent))
    return Checked(contract, None, source, None, profile.rows, profile, verdict)


def check(
    contract: Contract, policy: Policy, source: RowSource, reference: Path | None, watch: Watch
) -> Checked:
    """Schema and drift.

    The baseline is the reference where one is given, a data file or a stored profile; else the
    policy's baseline spans within the data; else there is none, which is INCONCLUSIVE unless the
    policy declares a first release.

    Args:
        contract: the clauses.
        policy: the limits.
        source: the rows to check.
        reference: the baseline: CSV or Parquet, a folder of them, or a profile that
            ``--save-profile`` or a run wrote.
        watch: told what is being counted.

    Raises:
        InputError: files cannot be read, or have none of the contract's columns.
    """
    gate = policy.data_gate
    present, absent = _columns(contract, source)
    with open_rows(present, source) as rows:
        if reference is not None:
            sides = _against_reference(present, contract, gate, rows, reference, watch)
            everything = sides.current
        elif gate.baseline_spans:
            everything, sides = _against_spans(present, gate, rows, watch)
        else:
            edges = edges_of(rows, present, gate.bins, watch)
            everything = _profile(rows, present, edges, gate, watch, keys=True)
            sides = _Sides(everything, None, spans=[])
    verdict = data_gate(
        everything, sides.current, sides.baseline, contract, policy, sides.spans,
        sides.unusable, absent,
    )  # fmt: skip
    named = None if reference is None else reference.name
    return Checked(contract, policy, source, named, everything.rows, sides.current, verdict)


def check_batch(
    contract: Contract, policy: Policy, source: RowSource, baseline: Path, watch: Watch
) -> Checked:
    """Schema and drift of a batch that a release decides about, against its training rows.

    A batch has any number of rows and any spans, and always a baseline. Its verdict is kept on
    record: it has no number that tells of 1 to 10 rows.

    Args:
        contract: of the columns that the batch has.
        policy: the release's.
        source: the batch.
        baseline: the stored profile of the training rows.
        watch: told what is being counted.

    Raises:
        InputError: files cannot be read.
    """
    names = {c.name for c in contract.columns}
    gate = replace(
        policy.data_gate,
        baseline_spans=(),
        current_spans=(),
        columns={n: limit for n, limit in policy.data_gate.columns.items() if n in names},
        row_ratio_at_least=None,
        row_ratio_at_most=None,
        first_release=None,
    )
    found = check(contract, replace(policy, data_gate=gate), source, baseline, watch)
    figures = [f.measurement for f in found.verdict.findings if f.measurement]
    verdict = masked_verdict(found.verdict, figures, hidden_figures(figures))
    return replace(found, verdict=verdict)


def _columns(contract: Contract, source: RowSource) -> tuple[Contract, set[str]]:
    """The contract of the columns that are there, and the names of those that are not."""
    names = {c.name for c in contract.columns}
    held = names & set(source.types)
    if not held:
        require_columns(contract, source)
    return contract.narrowed(held), names - held


def _profile(
    rows: TypedRows,
    contract: Contract,
    edges: Edges,
    gate: DataGatePolicy,
    watch: Watch,
    *,
    keys: bool = False,
) -> Profile:
    return profile_rows(
        rows, contract, edges, max_categories=gate.max_categories, keys=keys, watch=watch
    )


def _against_reference(
    present: Contract,
    contract: Contract,
    gate: DataGatePolicy,
    rows: TypedRows,
    reference: Path,
    watch: Watch,
) -> _Sides:
    if reference.suffix == ".json":
        stored = StoredProfile.read(reference)
        unusable = stored.unusable_for(contract, gate)
        baseline = stored.profile
        known = {} if unusable else {n: c.edges for n, c in baseline.columns.items()}
        edges = _completed(known, rows, present, gate, watch)
        return _Sides(
            _profile(rows, present, edges, gate, watch, keys=True), baseline, unusable=unusable
        )
    source = open_source(contract, reference)
    held, _ = _columns(contract, source)
    with open_rows(held, source) as before:
        found = edges_of(before, held, gate.bins, watch)
        baseline = _profile(before, held, found, gate, watch)
    edges = _completed(found, rows, present, gate, watch)
    return _Sides(_profile(rows, present, edges, gate, watch, keys=True), baseline)


def _completed(
    edges: Edges, rows: TypedRows, present: Contract, gate: DataGatePolicy, watch: Watch
) -> Edges:
    """Edges of every column: those of the rows themselves where the baseline gave none.

    No drift is judged on them. Without them a profile that is saved would be no baseline either.
    """
    lacking = present.narrowed(c.name for c in present.columns if not edges.get(c.name))
    return {**edges_of(rows, lacking, gate.bins, watch), **{n: e for n, e in edges.items() if e}}


def _against_spans(
    present: Contract, gate: DataGatePolicy, rows: TypedRows, watch: Watch
) -> tuple[Profile, _Sides]:
    if present.span is None:
        edges = edges_of(rows, present, gate.bins, watch)
        everything = _profile(rows, present, edges, gate, watch, keys=True)
        reason = "the span column that tells baseline from current is not in the data"
        return everything, _Sides(everything, None, unusable=reason)
    label = f"coalesce({quote(str(present.span_label_column))}::VARCHAR, {literal(NO_SPAN)})"
    found = rows.database.execute(f"SELECT DISTINCT {label} FROM {rows.relation}")  # noqa: S608
    spans = sorted(str(row[0]) for row in found.fetchall())

    def of(chosen: tuple[str, ...]) -> TypedRows:
        return rows.where(f"{label} IN ({', '.join(map(literal, chosen))})")

    baseline_rows = of(gate.baseline_spans)
    edges = edges_of(baseline_rows, present, gate.bins, watch)
    baseline, current = (
        _profile(side, present, edges, gate, watch)
        for side in (baseline_rows, of(gate.current_spans))
    )
    everything = _profile(rows, present, edges, gate, watch, keys=True)
    return everything, _Sides(current, baseline, spans)


def find_policy(contract: Contract, named: Path | None) -> Path:
    """The policy file to check under: the one that is named, or that of the contract's name.

    Raises:
        InputError: there is none; drift without limits cannot be judged.
    """
    from pipelines.catalogue import find

    if named is not None:
        return named
    try:
        return find("policies", contract.name)
    except InputError:
        raise InputError(
            f"no policy for {contract.name}",
            where="policies/",
            expected=f"policies/{contract.name}.yaml, --policy FILE, or --schema-only",
        ) from None
