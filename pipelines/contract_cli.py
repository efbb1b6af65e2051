"""The commands `assay contract lint`, `infer` and `compile`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

contract_app = typer.Typer(help="Check, begin and compile data contracts.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


class Target(StrEnum):
    """Engines that a contract compiles to."""

    TFMD = "tfmd"
    GX = "gx"
    EVIDENTLY = "evidently"
    REFEREE = "referee"


@contract_app.command()
def lint(
    file: Annotated[Path, typer.Argument(help="Data contract, a YAML file.")],
    as_json: JsonOption = False,
) -> None:
    """Check a contract against the ODCS JSON schema and Assay's rules; list its clauses.

    Exit 0 if it can be used as it is, 1 while a person has yet to confirm a guess.
    """
    from components.contract.clauses import ClauseKind, schema_clauses
    from components.contract.contract_loader import load_contract
    from pipelines.json_output import print_json

    contract = load_contract(file)
    clauses = schema_clauses(contract)
    guesses = {c.name: c.to_confirm for c in contract.columns if c.to_confirm}
    if as_json:
        print_json(
            {
                "contract": {"name": contract.name, "version": contract.version},
                "sha256": contract.digest,
                "clauses": [{"rule": c.rule, "severity": c.severity} for c in clauses],
                "toConfirm": guesses,
            }
        )
    else:
        typer.echo(f"{contract.name} {contract.version}: {len(contract.columns)} columns")
        for kind in ClauseKind:
            if n := sum(c.kind is kind for c in clauses):
                typer.echo(f"  {kind:<12}{n}")
        for column, guess in guesses.items():
            typer.echo(f"to confirm: {column}: {guess}")
        typer.echo(f"{len(guesses)} to confirm" if guesses else "fit to use")
    raise typer.Exit(1 if guesses else 0)


@contract_app.command()
def infer(
    data: Annotated[Path, typer.Argument(help="CSV or Parquet, a file or a folder.")],
    name: Annotated[str, typer.Option(help="Name of the dataset, as rand_hie.")],
    label: Annotated[str, typer.Option(help="Column that is to be predicted.")],
    positive: Annotated[str, typer.Option(help="The label's positive value, as it is written.")],
    entity: Annotated[str, typer.Option(help="Column that names a person.")],
    span: Annotated[str | None, typer.Option(help="Column that orders rows in time.")] = None,
    protected: Annotated[
        list[str] | None, typer.Option(help="Protected column; may be repeated.")
    ] = None,
    missing: Annotated[
        list[str] | None, typer.Option(help="Text that marks a missing cell, as ?; repeatable.")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="Delimiter of CSV files.")] = ",",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; printed if not given.")
    ] = None,
) -> None:
    """Begin a contract from data: types, domains, ranges; guesses are marked for a person."""
    from components.datasets.infer import Wishes, infer_contract
    from pipelines.files import write_new

    wishes = Wishes(
        name=name,
        label=label,
        positive=positive,
        entity=entity,
        span=span,
        protected=tuple(protected or ()),
        missing=tuple(missing or ()),
        delimiter=delimiter,
    )
    beside = (output or Path("contract.yaml")).absolute().parent
    text = infer_contract(data, wishes, os.path.relpath(data, beside))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_new(output, text.encode())
        typer.echo(f"{output}: confirm each guess, then `assay contract lint {output}`", err=True)


@contract_app.command(name="compile")
def compile_contract(
    file: Annotated[Path, typer.Argument(help="Data contract, a YAML file.")],
    to: Annotated[Target, typer.Option(help="Engine.")],
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; policies/NAME.yaml if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what one engine is given, and the clauses that it cannot express."""
    from pipelines.compiled import compile_to
    from pipelines.json_output import print_json

    compiled = compile_to(file, policy, str(to))
    left_out: list[dict[str, Any]] = [u.to_json() for u in compiled.unexpressed]
    if as_json:
        print_json(
            {"engine": str(to), "artefact": compiled.artefact, "expressed": list(compiled.claimed),
             "notExpressed": left_out}
        )  # fmt: skip
        return
    typer.echo(compiled.text)
    checked = f"{len(left_out)} not, which the referee checks"
    typer.echo(f"\n# {len(compiled.claimed)} clauses expressed, {checked}")
    for item in left_out:
        typer.echo(f"# {item['rule']}: {item['why']}")
