"""The command `assay check`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from components.contract.policy import Policy
    from pipelines.check import Checked, Watch


def check(
    contract: Annotated[Path, typer.Option(help="Data contract, a YAML file.")],
    data: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet, a file or a folder; the contract's own if not given."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Baseline for drift: CSV, Parquet, a folder, or a saved profile."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; policies/NAME.yaml if not given.")
    ] = None,
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="The contract's clauses alone, no drift.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here, for CI.")] = None,
    save_profile: Annotated[
        Path | None, typer.Option(help="Write the data's profile here, a later check's baseline.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Check files against a contract and a policy's drift limits; no ML framework is loaded.

    Exit 0 if every clause holds, 1 if one does not or cannot be judged.
    """
    from rich.console import Console

    from components.contract.errors import InputError
    from pipelines import check_output
    from pipelines.files import require_target, write
    from pipelines.json_output import print_json

    if schema_only and (reference or policy or save_profile):
        raise InputError(
            "--schema-only with a reference, policy or profile",
            where="assay check",
            expected="one or the other",
        )
    for target in (junit, save_profile):
        require_target(target, contract, data, reference, policy)
    with _progress(quiet=as_json) as watch:
        checked = _check(contract, data, reference, policy, schema_only, watch)
    if save_profile is not None and checked.policy is not None:
        _save(save_profile, checked, checked.policy)
    if junit is not None:
        write(junit, check_output.junit(checked))
    if as_json:
        print_json(check_output.as_json(checked))
    else:
        check_output.print_table(Console(highlight=False), checked)
    raise typer.Exit(0 if checked.verdict.is_open else 1)


def _save(path: Path, checked: Checked, policy: Policy) -> None:
    """Write the profile of rows that break nothing; of others it would make a bad baseline."""
    from components.checks.measurement import Status
    from components.profile.stored import StoredProfile
    from pipelines.files import write

    if checked.verdict.status is Status.FAIL:
        typer.echo(f"assay: {path} was not written: the data break a rule", err=True)
        return
    stored = StoredProfile.of(checked.contract, policy.data_gate, checked.profile)
    write(path, stored.to_bytes())


def _check(
    contract_path: Path,
    data: Path | None,
    reference: Path | None,
    policy_path: Path | None,
    schema_only: bool,
    watch: Watch,
) -> Checked:
    from components.contract.contract_loader import load_contract
    from components.contract.policy_loader import load_policy
    from components.datasets.sources import open_source
    from pipelines import check as checks

    contract = load_contract(contract_path)
    if schema_only:
        return checks.check_schema(contract, open_source(contract, data), watch)
    policy = load_policy(checks.find_policy(contract, policy_path), contract)
    return checks.check(contract, policy, open_source(contract, data), reference, watch)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Watch]:
    """Names the column that is being counted, on a terminal; nothing on a pipe."""
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet, highlight=False)
    with console.status("reading") as status:
        yield lambda column: status.update(f"counting {column}")
