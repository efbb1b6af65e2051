"""`assay keys`: make signing keys, disclose the nonce of one row, destroy the row key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from pipelines.evidence_commands import reads_evidence, require_home
from pipelines.options import HomeOption, JsonOption, RunArgument

keys_app = typer.Typer(
    help="Make keys to sign waivers with; disclose or forget what rows are named by.",
    no_args_is_help=True,
)

_HERE = Path()
_DEFAULT_HOME = Path(".assay")


@keys_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is, as ana or bo.silva.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the two files.")] = _HERE,
    as_json: JsonOption = False,
) -> None:
    """Make an Ed25519 key: NAME.key, which only you may read, and NAME.pub.

    Prints the line that a policy needs under waivers.signers or waivers.cosigners.
    """
    from components.lineage.keys import key_id, new_key, public_text
    from pipelines.json_output import print_json

    pair = new_key(out, name)
    text = public_text(pair.raw)
    if as_json:
        print_json(
            {
                "name": name,
                "publicKey": text,
                "keyId": key_id(pair.raw),
                "privateFile": str(pair.private),
                "publicFile": str(pair.public),
            }
        )
        return
    typer.echo(f"{name}: {text}")
    typer.echo(f"{pair.private}: keep it to yourself", err=True)


@keys_app.command()
@reads_evidence
def disclose(
    run: RunArgument,
    row: Annotated[str, typer.Argument(help="Commitment of the audited row, 64 hex digits.")],
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Hand out the nonce of one audited row of a run's data, and of no other.

    Whoever holds the row can then see that its commitment is its own, and that the run's root
    covers it. The disclosure stands in the access log.
    """
    from components.audit.access_log import record_access
    from components.audit.disclosure import disclose_row
    from pipelines.catalogue import run_directory
    from pipelines.json_output import print_json

    require_home(home)
    named = _commitment(row)
    told = disclose_row(home, run_directory(run, home), named)
    record_access(home, "keys disclose", [row], "the nonce of this row")
    if as_json:
        print_json(told.to_json())
        return
    typer.echo(f"row {row}: {told.proof.kind} in {told.split} of {told.proof.size} rows is proved")
    typer.echo(f"nonce {told.nonce}")


def _commitment(text: str) -> bytes:
    from components.contract.errors import InputError

    if re.fullmatch(r"[0-9a-f]{64}", text) is None:
        raise InputError(
            "is no row commitment", where="assay keys disclose", expected="64 hex digits"
        )
    return bytes.fromhex(text)


@keys_app.command()
def destroy_row_key(
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be undone.")] = False,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Destroy a home's row key, so that nobody can say any more whose rows its evidence names.

    Signatures, chains and roots hold as before. The home takes no further runs or batches. Rows
    that lie in it and copies of the key elsewhere are not touched: remove those as well. It waits
    for `assay score`, and refuses while a run is at work.
    """
    from components.audit.access_log import record_access
    from components.audit.retention_purge import undisturbed
    from components.contract.errors import InputError
    from components.lineage import row_key
    from pipelines.json_output import print_json

    require_home(home)
    row_key.require_row_key(home)
    if not yes:
        raise InputError(
            "would destroy the row key for ever",
            where=str(home),
            expected="--yes, if that is meant",
        )
    # A run or a scoring that has read the key would go on naming rows with it.
    with undisturbed(home):
        # An access that cannot be recorded must not take place; the entry is what is signed of it.
        record_access(home, "keys destroy-row-key", ["row.key"], "the row key is destroyed")
        row_key.destroy_row_key(home)
    where = str(row_key.row_key_path(home))
    if as_json:
        print_json({"destroyed": where})
        return
    typer.echo(f"{where} is destroyed: nobody can say any more whose rows this evidence names")
